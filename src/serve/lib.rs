//! The real-time shell: sockets, TLS, files, threads and the wall clock around the pure cores.
//!
//! In Kubernetes these are the ends of kube-apiserver (`k8s.io/apiserver/pkg/server`) and of etcd
//! (its write-ahead log). The one idea: one thread owns the cores and never waits; a log thread
//! waits for the disk, connections wait for clients, and channels join them.
//!
//! The way in: [`FileLog::open`], [`Core::start`] on it, [`listen`] for clients over TLS, and
//! [`drive`] for components: over [`Local`] in the same process, over [`Remote`] against any API
//! server that an [`Access`] describes.
//!
//! Left out: SPDY (kubectl before 1.30 for exec, all of them for port-forward), an etcd behind the
//! store's interface, reloading certificates.
//!
//! Book: `book/src/control-plane/serving.md`.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the shell is where clocks, threads and sockets live"
)]

mod access;
mod body;
mod client_tls;
mod clock;
mod committer;
mod connections;
mod credentials;
mod door;
mod driver;
mod engine;
mod error;
mod event;
mod file_log;
mod housekeeping;
mod http;
mod kubeconfig;
mod listener;
mod node_streams;
mod pki;
mod remote;
mod token;
mod transport;
mod websocket;

pub use access::Access;
pub use clock::{Clock, wall_time};
pub use door::{Core, Frames, Reply, Stopped};
pub use driver::{Driver, Effects, Outcomes, drive};
pub use error::ServeError;
pub use file_log::{FileLog, SnapshotWriter};
pub use kubeconfig::Kubeconfig;
pub use listener::{Listener, listen};
pub use node_streams::{
    MESSAGES_QUEUED, NodeStream, NodeStreams, Opened, Process, ProcessInput, ProcessOutput,
};
pub use pki::{Identity, Pki};
pub use remote::{Incident, Remote, RemoteLines};
pub use token::{Es256, kept_token, random_token};
pub use transport::{Heard, Lines, Local, Transport, Watch, Watched};
