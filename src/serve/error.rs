//! What can go wrong before a server runs, in words that say on which file or address.
//!
//! Book: `book/src/control-plane/serving.md`.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use wavetank_store::{LogError, OpenError};

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Another process has the data directory.
    #[error("data directory {} is in use by another process", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// A file or directory.
    #[error("{what} {}", path.display())]
    File {
        /// What was attempted: `read`, `create` …
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The store's log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The store did not come back.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The address.
    #[error("listen on {address}")]
    Listen {
        /// Which one.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A key or certificate.
    #[error("{what}: {cause}")]
    Certificate {
        /// What was attempted, on which key or certificate.
        what: String,
        /// What the library said.
        cause: String,
    },
    /// A thread could not be started.
    #[error("start thread {name}")]
    Thread {
        /// Its name.
        name: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl ServeError {
    pub(crate) fn file(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> ServeError {
        let path = path.into();
        move |source| ServeError::File { what, path, source }
    }

    pub(crate) fn certificate(
        what: impl Into<String>,
        cause: impl std::fmt::Display,
    ) -> ServeError {
        ServeError::Certificate {
            what: what.into(),
            cause: cause.to_string(),
        }
    }
}
