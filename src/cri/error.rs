//! Why a call failed: a gRPC status.
//!
//! Book: `book/src/node/cri.md`.

use std::sync::Arc;

/// The gRPC codes that CRI runtimes answer with (`google/rpc/code.proto`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Anything without a code of its own, such as a failed pull.
    Unknown,
    /// The call is malformed.
    InvalidArgument,
    /// An `ExecSync` ran into its timeout.
    DeadlineExceeded,
    /// No such sandbox, container or image.
    NotFound,
    /// The name and attempt are taken.
    AlreadyExists,
    /// A limit is reached: no address is left.
    ResourceExhausted,
    /// Not in this state: start of a started container, exec in a stopped one.
    FailedPrecondition,
    /// The runtime cannot be reached.
    Unavailable,
}

impl Code {
    /// The name as in Go's `codes.Code`, which error messages in events carry.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::Unknown => "Unknown",
            Code::InvalidArgument => "InvalidArgument",
            Code::DeadlineExceeded => "DeadlineExceeded",
            Code::NotFound => "NotFound",
            Code::AlreadyExists => "AlreadyExists",
            Code::ResourceExhausted => "ResourceExhausted",
            Code::FailedPrecondition => "FailedPrecondition",
            Code::Unavailable => "Unavailable",
        }
    }
}

/// A refused call, printed as grpc-go prints it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rpc error: code = {} desc = {desc}", .code.as_str())]
pub struct Error {
    /// What kind of failure.
    pub code: Code,
    /// What the runtime says about it.
    pub desc: Arc<str>,
}

impl Error {
    /// A status with this code and description.
    pub fn new(code: Code, desc: impl Into<Arc<str>>) -> Self {
        Error {
            code,
            desc: desc.into(),
        }
    }

    /// `NotFound` of something with an id, in containerd's words.
    pub fn not_found(what: &str, id: &str) -> Self {
        Error::new(
            Code::NotFound,
            format!("an error occurred when try to find {what} \"{id}\": not found"),
        )
    }
}
