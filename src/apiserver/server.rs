//! The API server as its shell sees it: requests in, steps out.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use wavetank_api::{Request, Response, Time};
use wavetank_store::{Batch, Range};

use crate::config::Config;
use crate::step::{Drained, Input, Step, StreamId, Ticket};

/// One API server: its watch cache, its waiting requests, its open watches.
pub struct ApiServer {
    config: Config,
}

impl ApiServer {
    /// A server with an empty cache; it is ready after the first [`ApiServer::sync`].
    pub fn new(config: Config) -> Self {
        ApiServer { config }
    }

    /// Fills the cache with everything below `/registry/` at one revision: at the start, and again
    /// when the store's watch was compacted away under it. Open watches end.
    pub fn sync(&mut self, _snapshot: &Range, _now: Time) {}

    /// Takes the next events of the store's watch, in order.
    pub fn observe(&mut self, _batch: &Batch, _now: Time) {}

    /// Takes a request.
    pub fn begin(&mut self, _request: Request, _now: Time) -> Step {
        Step::Respond(Response::new(503, "text/plain", self.config.name.clone()))
    }

    /// Goes on with a request whose step asked for something.
    pub fn resume(&mut self, _ticket: Ticket, _input: Input, _now: Time) -> Step {
        Step::Respond(Response::new(503, "text/plain", "not built"))
    }

    /// Requests that waited for the cache and go on now, or have waited long enough.
    pub fn woken(&mut self, _now: Time) -> Vec<(Ticket, Step)> {
        Vec::new()
    }

    /// Streams that have frames since the last call (or have more after a partial drain).
    pub fn news(&mut self) -> Vec<StreamId> {
        Vec::new()
    }

    /// Takes ready frames of a stream: a bounded number, `news` names the stream again for the rest.
    pub fn drain(&mut self, _stream: StreamId, _now: Time) -> Drained {
        Drained {
            frames: Vec::new(),
            closed: true,
        }
    }

    /// The client of a stream went away.
    pub fn close(&mut self, _stream: StreamId) {}

    /// The client of a waiting request went away. What it gave to the store may still be done.
    pub fn abandon(&mut self, _ticket: Ticket) {}

    /// When [`ApiServer::tick`] (and then `woken` and `news`) should be called next.
    pub fn next_wake(&self) -> Option<Time> {
        None
    }

    /// Time has come: watches time out, bookmarks are due, waiting requests give up.
    pub fn tick(&mut self, _now: Time) {}

    /// Begins the requests that create what always exists: namespaces, the Service `kubernetes` and
    /// its endpoints, priority classes. Drive them like requests; their answers can be dropped.
    pub fn bootstrap(&mut self, _now: Time) -> Vec<Step> {
        Vec::new()
    }
}
