//! What can go wrong before a server runs or a client has reached one, in words that say on which
//! file or address.
//!
//! Book: `book/src/control-plane/serving.md`.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use wavetank_store::{LogError, OpenError};

/// Why a server did not start, or could not be reached.
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
    /// A kubeconfig that is not there, or not one.
    #[error("error loading config file \"{}\": {cause}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why, in kubectl's words.
        cause: String,
    },
    /// A field of a kubeconfig.
    #[error("invalid configuration: {}: {field}: {cause}", path.display())]
    KubeconfigField {
        /// The file.
        path: PathBuf,
        /// The field, by the names of what it is in: `users[admin].user.token`.
        field: String,
        /// Why, in kubectl's words where it has words.
        cause: String,
    },
    /// An API server that nobody listens for.
    #[error(
        "the connection to the server {server} was refused - did you specify the right host or \
         port?"
    )]
    Refused {
        /// Host and port.
        server: String,
    },
    /// An API server that cannot be reached or understood.
    #[error("unable to connect to the server {server}: {cause}")]
    Unreachable {
        /// Host and port.
        server: String,
        /// What the system or a library said.
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
