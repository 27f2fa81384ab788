//! What a kubelet does besides API requests, and what it hears back.
//!
//! The shell carries an [`Effect`] to the runtime or the network and returns an [`Outcome`].
//!
//! 1. Each `Cri` and each `Probe` effect is answered once, by the outcome with its id.
//!
//! Book: `book/src/node/kubelet.md`.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use wavetank_cri as cri;
use wavetank_informer::CallId;

/// Contents of files by their paths in a volume.
pub type Files = Arc<BTreeMap<Arc<str>, Arc<[u8]>>>;

// ANCHOR: effect
/// Something to be done on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Call the container runtime; answered by [`Outcome::Cri`].
    Cri(CallId, cri::Call),
    /// Ask a program whether it is well; answered by [`Outcome::Probe`].
    Probe(ProbeId, Probe),
    /// Make a directory, and let it hold exactly these files; none: leave its content
    /// to those who mount it. Not answered: effects are carried out in order, and a
    /// container that mounts what could not be made cannot be created.
    SetUp {
        /// On the machine.
        path: Arc<str>,
        /// Contents by path in the directory.
        files: Option<Files>,
    },
    /// Remove a directory with all in it; not answered.
    TearDown {
        /// On the machine.
        path: Arc<str>,
    },
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The runtime's answer.
    Cri(CallId, Result<cri::Reply, cri::Error>),
    /// Something happened in the runtime.
    Event(cri::Event),
    /// The program's answer.
    Probe(ProbeId, ProbeResult),
}
// ANCHOR_END: effect

/// Names one probe or network hook; never used twice by one kubelet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProbeId(pub u64);

/// One question to a program over the network (exec probes are [`cri::Call::ExecSync`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The container that is asked about; a runtime that simulates its program answers for it.
    pub container: cri::ContainerId,
    /// Where and how to ask.
    pub target: Arc<Target>,
    /// No answer within this time is a failure.
    pub timeout: Duration,
}

/// Where and how to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// GET; 200 to 399 is success (`pkg/probe/http`).
    Http {
        /// Address or name.
        host: Arc<str>,
        /// Port.
        port: u16,
        /// Path and query.
        path: Arc<str>,
        /// TLS without verification.
        tls: bool,
        /// Header fields besides `user-agent` and `accept`.
        headers: Vec<(Arc<str>, Arc<str>)>,
    },
    /// Success when the connection opens (`pkg/probe/tcp`).
    Tcp {
        /// Address or name.
        host: Arc<str>,
        /// Port.
        port: u16,
    },
    /// `grpc.health.v1.Health/Check` (`pkg/probe/grpc`).
    Grpc {
        /// Address.
        host: Arc<str>,
        /// Port.
        port: u16,
        /// The service asked for; empty for the whole server.
        service: Arc<str>,
    },
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeResult {
    /// It is well.
    Success,
    /// It is not, or did not answer; the text goes into the event.
    Failure(Arc<str>),
}
