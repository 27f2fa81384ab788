//! What a request asks its shell to do, and what the shell tells it.
//!
//! Each [`Step`] that carries a [`Ticket`] waits for one `resume` (or, for [`Step::Wait`], comes
//! back from `woken`); the other steps end the request.
//!
//! 1. A ticket is good for one `resume`: a later one with the same ticket is answered with a 500
//!    and changes nothing.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use core::time::Duration;
use std::net::Ipv4Addr;

use bytes::Bytes;

use wavetank_api::{Response, Revision};
use wavetank_store::{Txn, TxnResult};

use crate::reply::Decided;

/// Names one waiting step of one request; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(crate) u64);

/// Names one open watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(crate) u64);

// ANCHOR: step
/// What happens next with a request.
#[derive(Debug)]
pub enum Step {
    /// The answer, to be written; the request is done for the core.
    Respond(Decided),
    /// Give this transaction to the store, then `resume` with [`Input::Txn`].
    Txn(Ticket, Txn),
    /// Ask the store for a lease of this length, then `resume` with [`Input::Txn`].
    Grant(Ticket, Duration),
    /// Ask the store for its revision, then `resume` with [`Input::Revision`].
    Revision(Ticket),
    /// The watch cache is behind, or another request has asked for a lease that this
    /// one may share: `woken` gives the next step once that is over.
    Wait(Ticket),
    /// Send this head, then what `drain` gives, until it says closed.
    Stream(Response, StreamId),
    /// Join the client's connection with a kubelet's; the request is done for the core.
    Tunnel(Tunnel),
}

/// What the shell brings back.
#[derive(Clone, Debug)]
pub enum Input {
    /// The outcome of a [`Step::Txn`] or [`Step::Grant`].
    Txn(Result<TxnResult, Unavailable>),
    /// The answer to a [`Step::Revision`].
    Revision(Revision),
}
// ANCHOR_END: step

/// Why the store gave no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// Nothing was done and nothing will be: the store refused the transaction, in these words.
    Refused(String),
    /// It is not known whether the transaction was or will be done.
    Unknown,
}

/// Frames of a stream that are ready to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Whole frames, in order.
    pub frames: Vec<Bytes>,
    /// Whether the stream has ended with these frames.
    pub closed: bool,
    /// Whether more is ready: `news` names the stream again.
    pub more: bool,
}

/// Two byte streams to be joined: the client's and that of the kubelet that runs the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// Name of the node.
    pub node: String,
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// UID of the pod, so that a later pod of the same name is not taken for it.
    pub uid: String,
    /// Name of the container; empty for port-forward.
    pub container: String,
    /// What is to be streamed.
    pub kind: TunnelKind,
    /// Value of the client's `upgrade` header, lower case; empty when there was none.
    pub upgrade: String,
    /// Sub-protocols the client offered, in its order (`sec-websocket-protocol`, or
    /// `x-stream-protocol-version` of SPDY).
    pub protocols: Vec<String>,
}

/// What a tunnel carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TunnelKind {
    /// The container's log as plain text; no upgrade.
    Log(LogOptions),
    /// A new process in the container.
    Exec {
        /// Program and arguments.
        command: Vec<String>,
        /// Which streams are wanted.
        streams: StdStreams,
    },
    /// The container's main process.
    Attach {
        /// Which streams are wanted.
        streams: StdStreams,
    },
    /// TCP connections to ports of the pod.
    PortForward {
        /// Ports named in the query (the older protocol); empty when the streams name them.
        ports: Vec<u16>,
    },
}

/// Which standard streams an exec or attach joins (`PodExecOptions`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct StdStreams {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub tty: bool,
}

/// `PodLogOptions`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Keep sending as the container writes.
    pub follow: bool,
    /// The container's previous life.
    pub previous: bool,
    /// Put the time before each line.
    pub timestamps: bool,
    /// Only the last so many lines.
    pub tail_lines: Option<u64>,
    /// Stop after so many bytes.
    pub limit_bytes: Option<u64>,
    /// Only lines of the last so many seconds.
    pub since_seconds: Option<u64>,
    /// Only lines from this time on.
    pub since_time: Option<wavetank_api::Time>,
}

/// Where clients reach this API server: what the Endpoints of the Service `kubernetes` say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// IPv4 address.
    pub ip: Ipv4Addr,
    /// TCP port.
    pub port: u16,
}
