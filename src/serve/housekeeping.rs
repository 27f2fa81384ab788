//! What the core thread does for its own sake: compaction, and snapshots when the log has grown.
//!
//! 1. History is kept for five to ten minutes, as upstream's `compact.go` keeps it in etcd.
//! 2. A snapshot is written by its own thread, and only after what it shows is on disk.
//!
//! Book: `book/src/control-plane/serving.md`.

use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use wavetank_api::Revision;
use wavetank_store::{FileKind, Log, LogError, Snapshot, Store, Ticket};

use crate::event::Event;
use crate::file_log::{FileLog, SnapshotWriter};

/// Upstream's `--etcd-compaction-interval`.
const COMPACTION: Duration = Duration::from_secs(5 * 60);
/// How many events are dropped before requests have their turn again.
const SWEEP: usize = 512;
/// So many bytes of log since the last snapshot make the next one worth its while.
const SNAPSHOT_AFTER_BYTES: u64 = 64 * 1024 * 1024;

/// Where compaction and snapshots stand.
pub(crate) struct Housekeeping {
    writer: SnapshotWriter,
    /// Bytes of log that the last snapshot does not cover.
    log_bytes: u64,
    snapshot: Progress,
    /// The revision that the next compaction forgets up to, and when that is due.
    compaction: (Revision, Instant),
    sweeping: bool,
}

enum Progress {
    None,
    /// Taken; what it shows is not yet all on disk.
    Taken(Box<Snapshot>),
    /// Being written by its thread.
    Writing,
}

/// A snapshot that may be written now.
pub(crate) struct Ready {
    snapshot: Box<Snapshot>,
    writer: SnapshotWriter,
}

impl Housekeeping {
    pub fn new(log: &FileLog) -> Result<Self, LogError> {
        let segments = log.files()?.into_iter();
        let segments = segments.filter(|file| matches!(file.kind, FileKind::Segment { .. }));
        Ok(Housekeeping {
            writer: log.snapshots(),
            log_bytes: segments.map(|file| file.bytes).sum(),
            snapshot: Progress::None,
            compaction: (Revision(0), Instant::now() + COMPACTION),
            sweeping: false,
        })
    }

    /// The log has grown by a frame just handed out. Takes a snapshot behind it when it is time,
    /// and names the frame that begins the next segment.
    pub fn wrote(&mut self, bytes: u64, store: &Store) -> Option<u64> {
        self.log_bytes += bytes;
        if self.log_bytes < SNAPSHOT_AFTER_BYTES || !matches!(self.snapshot, Progress::None) {
            return None;
        }
        let snapshot = Box::new(store.snapshot());
        let first = snapshot.covers();
        self.log_bytes = 0;
        self.snapshot = Progress::Taken(snapshot);
        Some(first)
    }

    /// Everything up to this ticket is on disk: perhaps the snapshot that was taken may be written.
    pub fn durable(&mut self, upto: Ticket) -> Option<Ready> {
        match std::mem::replace(&mut self.snapshot, Progress::Writing) {
            Progress::Taken(snapshot) if snapshot.after() <= upto => Some(Ready {
                snapshot,
                writer: self.writer.clone(),
            }),
            other => {
                self.snapshot = other;
                None
            }
        }
    }

    /// The snapshot is there.
    pub fn published(&mut self) {
        self.snapshot = Progress::None;
    }

    /// The snapshot is not there; the next is tried after as many bytes again.
    pub fn failed(&mut self) {
        self.snapshot = Progress::None;
    }

    /// Compacts when it is time, and drops a part of what is compacted.
    pub fn compact(&mut self, store: &mut Store) {
        let (upto, due) = self.compaction;
        if Instant::now() >= due {
            self.compaction = (store.revision(), due + COMPACTION);
            // At the first time there is nothing old enough.
            self.sweeping = upto > store.compacted() && store.compact(upto).is_ok();
        }
        if self.sweeping {
            self.sweeping = store.sweep(SWEEP);
        }
    }

    /// Whether there is more to drop right away.
    pub fn is_sweeping(&self) -> bool {
        self.sweeping
    }
}

impl Ready {
    /// Writes on a thread of its own, and tells how it went.
    pub fn write(self, events: UnboundedSender<Event>) {
        let covers = self.snapshot.covers();
        let refused = events.clone();
        let spawned = thread::Builder::new()
            .name("snapshot".into())
            .spawn(move || {
                let outcome = self.writer.publish(&self.snapshot);
                let _ = events.send(Event::Published(covers, outcome));
            });
        if let Err(error) = spawned {
            let (what, file) = ("publish", FileKind::Snapshot { covers }.name());
            let error = LogError {
                what,
                file,
                cause: error.to_string(),
            };
            let _ = refused.send(Event::Published(covers, Err(error)));
        }
    }
}
