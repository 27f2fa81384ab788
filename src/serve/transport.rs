//! The way from a component to an API server: in the same process, or over the network.
//!
//! Used by [`drive`](crate::drive). [`Local`] hands requests to the core thread;
//! [`Remote`](crate::Remote) sends them to any API server.
//!
//! 1. What a watch gives is one or more whole lines at a time.
//! 2. Dropping a call, a watch or its lines gives it up; what a request did stays done.
//!
//! Book: `book/src/control-plane/serving.md`.

use std::borrow::Cow;
use std::future::Future;

use bytes::Bytes;

use wavetank_api::http::Peer;
use wavetank_api::{Request, Response};
use wavetank_informer::Failure;

use crate::door::{Core, Frames, Reply};

/// What came of a request, or why nothing did.
pub type Heard<T> = Result<T, Failure>;

/// What came of asking for a watch.
pub type Watched<T> = Heard<Watch<<T as Transport>::Lines>>;

// ANCHOR: transport
/// Carries requests to an API server and its answers back.
pub trait Transport: Clone + Send + 'static {
    /// What a watch gives.
    type Lines: Lines;

    /// Sends a request whose answer is whole.
    fn call(&self, request: Request) -> impl Future<Output = Heard<Response>> + Send;

    /// Sends a request whose answer goes on.
    fn watch(&self, request: Request) -> impl Future<Output = Watched<Self>> + Send;
}

/// What asking for a watch came to.
#[derive(Debug)]
pub enum Watch<L> {
    /// It was accepted.
    Opened(L),
    /// The answer was whole: a refusal.
    Refused(Response),
}

/// The body of a watch.
pub trait Lines: Send {
    /// The next whole lines; `None` when the watch has ended or broke.
    fn next(&mut self) -> impl Future<Output = Option<Bytes>> + Send;
}
// ANCHOR_END: transport

/// The way to the core thread of this process.
#[derive(Clone, Debug)]
pub struct Local {
    core: Core,
    peer: Peer,
}

impl Local {
    /// For a component that is named as its certificate would name it (`system:kube-scheduler`).
    pub fn new(core: &Core, identity: impl Into<Cow<'static, str>>) -> Self {
        Local {
            core: core.clone(),
            peer: Peer::Component(identity.into()),
        }
    }

    async fn send(&self, mut request: Request) -> Result<Reply, Failure> {
        request.peer = self.peer.clone();
        let reply = self.core.call(request).await;
        reply.map_err(|_| Failure::Unreachable)
    }
}

impl Transport for Local {
    type Lines = Frames;

    async fn call(&self, request: Request) -> Heard<Response> {
        match self.send(request).await? {
            Reply::Decided(decided) => Ok(decided.response()),
            // A stream or tunnel where an answer was expected: dropping it ends it.
            Reply::Stream(..) | Reply::Tunnel(_) => Err(Failure::Unreachable),
        }
    }

    async fn watch(&self, request: Request) -> Watched<Self> {
        match self.send(request).await? {
            Reply::Stream(_, frames) => Ok(Watch::Opened(frames)),
            Reply::Decided(decided) => Ok(Watch::Refused(decided.response())),
            Reply::Tunnel(_) => Err(Failure::Unreachable),
        }
    }
}

impl Lines for Frames {
    async fn next(&mut self) -> Option<Bytes> {
        Frames::next(self).await
    }
}
