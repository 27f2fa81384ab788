//! The contract between a component (controller manager, scheduler, kubelet) and its shell.
//!
//! `serve` drives components with sockets and the wall clock, `sim` with virtual time and faults;
//! neither knows what the component is for. A component starts calls and streams and hears back;
//! what else it does to its machine is its own `Effect` type.
//!
//! 1. Every `Call` and every `Watch` is answered in the end by `Response` or `Failed`, unless the
//!    component cancelled it or was dropped.
//! 2. After `Opened`, a stream gives `Frame`s in order and then `Closed`, once.
//! 3. A `CallId` is used once in the life of a component.
//! 4. `handle` with the same inputs gives the same outputs.
//!
//! Book: `book/src/control-plane/informers.md`.

use std::sync::Arc;

use bytes::Bytes;

use wavetank_api::{Request, Response, Time};

/// Names one call or stream of one component; chosen by the component, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// Where a component takes its call ids from; all its parts share one.
#[derive(Clone, Debug, Default)]
pub struct CallIds {
    last: u64,
}

impl CallIds {
    /// An id that was never given before.
    pub fn fresh(&mut self) -> CallId {
        self.last += 1;
        CallId(self.last)
    }
}

/// Why no answer came. In each case the request may or may not have taken effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The connection could not be made, or broke.
    Unreachable,
    /// No answer within the time the shell allows.
    TimedOut,
}

/// The `Effect` and `Outcome` of a component that does nothing but make requests.
pub type Nothing = core::convert::Infallible;

/// What happened, told by the shell.
#[derive(Clone, Debug)]
pub enum Input<O> {
    /// The process has started; first input of every component.
    Start,
    /// The time asked for by the latest `WakeAt` has come.
    Tick,
    /// The whole answer to a `Call`; to a `Watch`, a refusal (not 2xx), or all there is of it: a
    /// watch from a revision that is no longer held is accepted, and ends with its first line.
    Response(CallId, Response),
    /// A `Watch` was accepted.
    Opened(CallId),
    /// The next bytes of a watch: one or more whole lines.
    Frame(CallId, Bytes),
    /// The watch has ended; the component reconnects when it likes.
    Closed(CallId),
    /// No answer will come.
    Failed(CallId, Failure),
    /// The outcome of an effect.
    Outcome(O),
}

/// Why a component does what it does next; not an action.
///
/// A controller emits one when it starts to work on an object and one when it decides; the calls
/// that follow in the same `handle` are its consequences. The simulator writes it into the trace,
/// so that a write can be explained; a shell that keeps no trace drops it. Nothing may depend on
/// it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Who decides: `replicaset-controller`, `default-scheduler`, `kubelet`.
    pub by: &'static str,
    /// What about: `apps/v1 ReplicaSet default/web-5d9c`.
    pub about: Arc<str>,
    /// What it saw: `pod changed`, `too few replicas`.
    pub because: &'static str,
}

/// What the component wants done.
#[derive(Clone, Debug)]
pub enum Output<E> {
    /// Send a request; answered by `Response` or `Failed`.
    Call(CallId, Request),
    /// Send a request whose answer is a stream; answered by `Opened`, `Response` or `Failed`.
    Watch(CallId, Request),
    /// Forget a call or close a stream; nothing more will be heard of it.
    Cancel(CallId),
    /// Send `Tick` at this time (now or later). Replaces the time asked for before.
    WakeAt(Time),
    /// Something other than a request: see the component's `Effect`.
    Effect(E),
    /// Nothing to do: the reason of what follows, for a trace. A shell may drop it.
    Note(Note),
}

// ANCHOR: component
/// A process of the cluster, as a shell sees it.
pub trait Component {
    /// What it does besides requests: a kubelet's CRI calls and probes; mostly nothing.
    type Effect;
    /// What comes back from an effect.
    type Outcome;

    /// Takes one input at time `now` and appends what is to be done to `out`.
    fn handle(
        &mut self,
        input: Input<Self::Outcome>,
        now: Time,
        out: &mut Vec<Output<Self::Effect>>,
    );
}
// ANCHOR_END: component
