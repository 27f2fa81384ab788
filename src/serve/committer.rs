//! The log thread: appends and syncs, so that the core thread never waits for a disk.
//!
//! The core hands it one frame at a time and goes on; the answer comes back as an event. What is
//! staged meanwhile makes the next frame: the slower the disk, the larger the group.
//!
//! 1. One frame is on its way at a time, so a frame is appended only after the last is synced.
//! 2. A failed append or sync ends the process: what a disk holds after it reported an error is not
//!    known, and a second sync may report success for lost pages.
//!
//! Book: `book/src/control-plane/serving.md`.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedSender;

use wavetank_store::{Log, LogError, Ticket, prune, rotate};

use crate::error::ServeError;
use crate::event::Event;
use crate::file_log::FileLog;

/// What the core asks of the log thread, done in order.
enum Job {
    /// Append and sync a frame, then say so.
    Commit(Ticket, Bytes),
    /// Begin a new segment with this frame.
    Rotate(u64),
    /// Remove what a published snapshot covers.
    Prune(u64),
}

/// The core's end of the log thread.
pub(crate) struct Committer {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    pub fn start(log: FileLog, events: UnboundedSender<Event>) -> Result<Self, ServeError> {
        let (jobs, todo) = channel();
        let thread = thread::Builder::new()
            .name("log".into())
            .spawn(move || {
                if let Err(error) = work(log, &todo, &events) {
                    eprintln!("the store's log failed, so this process ends: {error}");
                    std::process::exit(1);
                }
            })
            .map_err(|source| ServeError::Thread {
                name: "log",
                source,
            })?;
        Ok(Committer {
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    pub fn commit(&self, upto: Ticket, frame: Bytes) {
        self.send(Job::Commit(upto, frame));
    }

    pub fn rotate(&self, first: u64) {
        self.send(Job::Rotate(first));
    }

    pub fn prune(&self, covers: u64) {
        self.send(Job::Prune(covers));
    }

    fn send(&self, job: Job) {
        // The thread lives as long as the sender; if it ended, so does the process.
        let _ = self.jobs.as_ref().map(|jobs| jobs.send(job));
    }
}

impl Drop for Committer {
    /// Waits until everything handed over is done, so that the lock is free afterwards.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

// ANCHOR: work
fn work(
    mut log: FileLog,
    todo: &Receiver<Job>,
    events: &UnboundedSender<Event>,
) -> Result<(), LogError> {
    while let Ok(job) = todo.recv() {
        match job {
            Job::Commit(upto, frame) => {
                log.append(&frame)?;
                log.sync()?;
                let _ = events.send(Event::Synced(upto));
            }
            Job::Rotate(first) => rotate(&mut log, first)?,
            Job::Prune(covers) => prune(&mut log, covers)?,
        }
    }
    Ok(())
}
// ANCHOR_END: work
