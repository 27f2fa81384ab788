//! What a runtime tells unasked: `GetContainerEvents`.
//!
//! 1. Events of one container come in order; an event may be lost, so a kubelet still lists from
//!    time to time.
//!
//! Book: `book/src/node/cri.md`.

use wavetank_api::Uid;

use crate::{ContainerStatus, SandboxId};

/// `ContainerEventResponse`. Upstream's carries the status of the sandbox and of all its
/// containers; ours that of the one container it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The pod.
    pub pod: Uid,
    /// The sandbox.
    pub sandbox: SandboxId,
    /// What happened.
    pub kind: EventKind,
}

/// `ContainerEventType`, for a container or for the sandbox itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// `CONTAINER_STARTED_EVENT`: the process runs.
    Started(Box<ContainerStatus>),
    /// `CONTAINER_STOPPED_EVENT`: the process is gone.
    Stopped(Box<ContainerStatus>),
    /// `CONTAINER_STOPPED_EVENT` of the sandbox: it became `NotReady` by itself.
    SandboxStopped,
}
