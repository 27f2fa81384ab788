//! The door to the core thread: a handle that anybody in the process can send requests through.
//!
//! HTTP connections and [`Driver`](crate::drive)s hold clones of [`Core`]; behind it one thread
//! owns the store and the API server ([`engine`](crate::engine)).
//!
//! 1. At most [`REQUESTS_QUEUED`] requests wait at the door; more wait outside, in their senders.
//! 2. A stream's frames come in order and whole, up to the end or to the cut.
//! 3. A client that takes nothing holds at most [`STREAM_BYTES`] and one drain's frames in memory.
//!
//! Book: `book/src/control-plane/serving.md`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use wavetank_api::{Request, Response};
use wavetank_apiserver::{Config, Decided, StreamId, Tunnel};

use crate::clock::Clock;
use crate::engine::Engine;
use crate::error::ServeError;
use crate::event::Event;
use crate::file_log::FileLog;

/// How many requests wait for the core thread before their senders do.
pub(crate) const REQUESTS_QUEUED: usize = 1024;

/// So many unsent bytes of a stream make the core leave it alone until the client has taken some.
pub(crate) const STREAM_BYTES: usize = 1024 * 1024;

/// A request and where its answer goes.
pub(crate) struct Call {
    pub request: Request,
    pub reply: oneshot::Sender<Reply>,
}

// ANCHOR: reply
/// What a request comes to.
#[derive(Debug)]
pub enum Reply {
    /// A whole answer, still to be written: by whoever waited for it, not by the core thread.
    Decided(Decided),
    /// The head of an answer, and a body that goes on.
    Stream(Response, Frames),
    /// The client's connection is to be joined with a node's.
    Tunnel(Tunnel),
}
// ANCHOR_END: reply

/// The core thread has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server is shutting down")]
pub struct Stopped;

/// A handle on the core thread.
#[derive(Clone, Debug)]
pub struct Core {
    requests: mpsc::Sender<Call>,
    events: mpsc::UnboundedSender<Event>,
    clock: Clock,
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Event")
    }
}

impl Core {
    /// Brings the store back from its log and starts the core thread on it.
    pub fn start(log: FileLog, config: Config, clock: Clock) -> Result<Core, ServeError> {
        let (requests, calls) = mpsc::channel(REQUESTS_QUEUED);
        let (events, happened) = mpsc::unbounded_channel();
        let engine = Engine::open(log, config, clock, events.clone())?;
        engine.start(calls, happened)?;
        Ok(Core {
            requests,
            events,
            clock,
        })
    }

    /// Sends a request and waits for what it comes to. Dropping the future gives the answer up;
    /// what the request did stays done.
    pub async fn call(&self, request: Request) -> Result<Reply, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.requests
            .send(Call { request, reply })
            .await
            .map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }

    /// The cluster's clock.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Ends all streams, syncs what is staged and stops the thread. Returns when the data directory
    /// is free.
    pub async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if self.events.send(Event::Stop(done)).is_ok() {
            let _ = stopped.await;
        }
    }
}

/// How many bytes of a stream the client has not yet taken.
pub(crate) type Unsent = Arc<AtomicUsize>;

/// The frames of one stream, as the core gives them.
#[derive(Debug)]
pub struct Frames {
    id: StreamId,
    frames: mpsc::UnboundedReceiver<Bytes>,
    unsent: Unsent,
    events: mpsc::UnboundedSender<Event>,
}

/// The core's end of a stream.
#[derive(Debug)]
pub(crate) struct Outlet {
    frames: mpsc::UnboundedSender<Bytes>,
    unsent: Unsent,
}

impl Outlet {
    /// Both ends of a new stream.
    pub fn new(id: StreamId, events: mpsc::UnboundedSender<Event>) -> (Outlet, Frames) {
        let (outlet, frames) = mpsc::unbounded_channel();
        let unsent = Unsent::default();
        let outlet = Outlet {
            frames: outlet,
            unsent: unsent.clone(),
        };
        (
            outlet,
            Frames {
                id,
                frames,
                unsent,
                events,
            },
        )
    }

    /// Whether the client has taken enough for more to be worth making.
    pub fn has_room(&self) -> bool {
        self.unsent.load(Ordering::Acquire) < STREAM_BYTES
    }

    /// Hands a frame over; the client's going away is told by an event.
    pub fn send(&self, frame: Bytes) {
        self.unsent.fetch_add(frame.len(), Ordering::AcqRel);
        let _ = self.frames.send(frame);
    }
}

impl Frames {
    /// The next frame; `None` when the stream has ended or was cut.
    pub async fn next(&mut self) -> Option<Bytes> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// As `next`, for bodies.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let frame = std::task::ready!(self.frames.poll_recv(context));
        if let Some(frame) = &frame {
            let before = self.unsent.fetch_sub(frame.len(), Ordering::AcqRel);
            if before >= STREAM_BYTES && before - frame.len() < STREAM_BYTES {
                let _ = self.events.send(Event::Room(self.id));
            }
        }
        Poll::Ready(frame)
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        let _ = self.events.send(Event::Gone(self.id));
    }
}
