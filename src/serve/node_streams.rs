//! Where log, exec and attach end: a node's streams, as channels.
//!
//! The API server only checks such a request and says which node it is for ([`Tunnel`]); this shell
//! joins the client's connection with what the node gives. The root binary brings the nodes.
//!
//! Book: `book/src/control-plane/serving.md`.

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use wavetank_api::status::Status;
use wavetank_apiserver::Tunnel;

/// How many messages of a stream wait before their sender does.
pub const MESSAGES_QUEUED: usize = 64;

/// Where the answer to [`NodeStreams::open`] goes.
pub type Opened = oneshot::Sender<Result<NodeStream, Box<Status>>>;

// ANCHOR: node_streams
/// All nodes' streams.
pub trait NodeStreams: Send + Sync + 'static {
    /// Opens what the tunnel names, and answers through `reply` when it is open or
    /// refused; a reply that is dropped is answered to the client as an internal error.
    /// Must not block.
    fn open(&self, tunnel: Tunnel, reply: Opened);
}
// ANCHOR_END: node_streams

/// An open stream of a node.
#[derive(Debug)]
pub enum NodeStream {
    /// A log's bytes; its end is the channel's.
    Log(mpsc::Receiver<Bytes>),
    /// A process in a container.
    Process(Process),
}

/// Both directions of a process.
#[derive(Debug)]
pub struct Process {
    /// To the process; dropped when the client is gone.
    pub input: mpsc::Sender<ProcessInput>,
    /// From the process; ends with [`ProcessOutput::Exit`].
    pub output: mpsc::Receiver<ProcessOutput>,
}

/// What a client sends to a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessInput {
    /// Bytes of its standard input.
    Stdin(Bytes),
    /// No more of them.
    Eof,
    /// The client's terminal has this size.
    Resize {
        /// Columns.
        width: u16,
        /// Rows.
        height: u16,
    },
}

/// What a process sends to its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessOutput {
    /// Bytes of its standard output.
    Stdout(Bytes),
    /// Bytes of its standard error.
    Stderr(Bytes),
    /// It has ended with this exit code; the last message.
    Exit(i32),
    /// It could not be run or was lost, in these words; the last message.
    Failed(String),
}
