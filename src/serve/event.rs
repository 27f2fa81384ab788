//! What reaches the core thread besides requests: from the log thread, from clients' streams, and
//! from whoever stops it.
//!
//! Book: `book/src/control-plane/serving.md`.

use tokio::sync::oneshot;

use wavetank_apiserver::StreamId;
use wavetank_store::{LogError, Ticket};

/// Something that happened.
pub(crate) enum Event {
    /// The log thread: everything up to this ticket is on disk.
    Synced(Ticket),
    /// The snapshot thread: a snapshot that covers the frames before this one is there, or failed.
    Published(u64, Result<(), LogError>),
    /// A client has taken so much of its stream that there is room for more.
    Room(StreamId),
    /// A client is gone.
    Gone(StreamId),
    /// Take no more requests, sync what is staged, and say when that is done.
    Stop(oneshot::Sender<()>),
}
