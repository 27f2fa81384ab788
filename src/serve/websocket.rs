//! Exec and attach over WebSocket: `v5.channel.k8s.io` and `v4.channel.k8s.io`.
//!
//! Each binary message begins with the number of its channel. The protocol is that of
//! `k8s.io/apimachinery/pkg/util/remotecommand` and `kubelet/pkg/cri/streaming/remotecommand`.
//!
//! 1. The last message of a process is its status on channel 3; a normal close follows it.
//! 2. Reading from the client and writing to it never wait for one another.
//!
//! Left out: SPDY (a client that asks for it is told so), text messages, base64 sub-protocols.
//!
//! Book: `book/src/control-plane/serving.md`.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use wavetank_api::Headers;
use wavetank_api::status::Status;
use wavetank_apiserver::{StdStreams, Tunnel, TunnelKind};

use crate::body::Body;
use crate::http::outgoing;
use crate::node_streams::{Process, ProcessInput, ProcessOutput};

/// Sub-protocols, best first.
const PROTOCOLS: &[&str] = &["v5.channel.k8s.io", "v4.channel.k8s.io"];

/// RFC 6455 section 1.3: what is hashed with the client's key.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// How long the client has to answer our close.
const CLOSING: Duration = Duration::from_secs(2);

/// How long a client may take to make its streams. client-go begins to read before it has made
/// them, and drops what comes in between (`tools/remotecommand/websocket.go`, `readDemuxLoop`);
/// from a program in this process the first output would come at once.
const STREAMS_MADE: Duration = Duration::from_millis(50);

// ANCHOR: channels
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
const RESIZE: u8 = 4;
/// v5 only: the channel named by the next byte is closed.
const CLOSE: u8 = 255;
// ANCHOR_END: channels

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// An upgrade that has been agreed on.
pub(crate) struct Handshake {
    protocol: &'static str,
    accept: String,
    streams: StdStreams,
}

impl Handshake {
    /// Checks the client's offer; refuses what this server does not speak.
    pub fn of(request: &hyper::Request<Incoming>, tunnel: &Tunnel) -> Result<Self, Box<Status>> {
        let refuse = |words: String| Err(Box::new(Status::bad_request(words)));
        let streams = match &tunnel.kind {
            TunnelKind::Exec { streams, .. } | TunnelKind::Attach { streams } => *streams,
            _ => StdStreams::default(),
        };
        if !tunnel.upgrade.eq_ignore_ascii_case("websocket") {
            return refuse(match tunnel.upgrade.as_str() {
                "" => "Upgrade request required".to_owned(),
                other => format!(
                    "unable to upgrade: this server speaks websocket with v5.channel.k8s.io or \
                     v4.channel.k8s.io, and not {other}"
                ),
            });
        }
        let header = |name: &str| request.headers().get(name).and_then(|v| v.to_str().ok());
        let Some(key) = header("sec-websocket-key") else {
            return refuse("unable to upgrade: sec-websocket-key is missing".to_owned());
        };
        if header("sec-websocket-version") != Some("13") {
            return refuse("unable to upgrade: sec-websocket-version must be 13".to_owned());
        }
        let offered = |name: &&&str| tunnel.protocols.iter().any(|offer| offer == **name);
        let Some(protocol) = PROTOCOLS.iter().find(offered) else {
            let offered = tunnel.protocols.join(", ");
            return refuse(format!(
                "unable to upgrade: no sub-protocol of [{offered}] is known"
            ));
        };
        Ok(Handshake {
            protocol,
            accept: accept(key),
            streams,
        })
    }

    /// Switches protocols, and joins the connection with the process once the client has switched.
    pub fn join(
        self,
        mut request: hyper::Request<Incoming>,
        process: Process,
    ) -> hyper::Response<Body> {
        let upgrade = hyper::upgrade::on(&mut request);
        let v5 = self.protocol == "v5.channel.k8s.io";
        tokio::spawn(async move {
            let Ok(upgraded) = upgrade.await else { return };
            let io = TokioIo::new(upgraded);
            let socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
            carry(socket, process, self.streams, v5).await;
        });
        let mut headers = Headers::default();
        headers.push("connection", "Upgrade");
        headers.push("upgrade", "websocket");
        headers.push("sec-websocket-accept", self.accept);
        headers.push("sec-websocket-protocol", self.protocol);
        outgoing(101, &headers, Body::empty())
    }
}

/// RFC 6455 section 4.2.2: proves that the key was read.
fn accept(key: &str) -> String {
    let algorithm = &ring::digest::SHA1_FOR_LEGACY_USE_ONLY;
    let digest = ring::digest::digest(algorithm, format!("{key}{GUID}").as_bytes());
    STANDARD.encode(digest.as_ref())
}

/// Carries both directions until the process has ended or the client is gone.
async fn carry(socket: Socket, process: Process, streams: StdStreams, v5: bool) {
    let (sink, stream) = socket.split();
    let reading = tokio::spawn(read(stream, process.input, v5));
    let reader = reading.abort_handle();
    let written = write(sink, process.output, streams);
    tokio::select! {
        _ = reading => return,
        closed = written => if closed.is_none() {
            reader.abort();
            return;
        },
    }
    // The close handshake: the reader ends when the client has answered.
    tokio::time::sleep(Duration::ZERO).await;
    let wait = async {
        while !reader.is_finished() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let _ = tokio::time::timeout(CLOSING, wait).await;
    reader.abort();
}

/// From the client to the process. Ends when the client does.
async fn read(mut stream: SplitStream<Socket>, input: mpsc::Sender<ProcessInput>, v5: bool) {
    while let Some(Ok(message)) = stream.next().await {
        let Message::Binary(bytes) = message else {
            continue;
        };
        // A process that has ended takes nothing; the client is still to hear its status.
        if let Some(message) = decode(&bytes, v5) {
            let _ = input.send(message).await;
        }
    }
}

// ANCHOR: decode
fn decode(message: &Bytes, v5: bool) -> Option<ProcessInput> {
    let (channel, _) = message.split_first()?;
    let data = message.slice(1..);
    match *channel {
        STDIN => Some(ProcessInput::Stdin(data)),
        CLOSE if v5 && data.first() == Some(&STDIN) => Some(ProcessInput::Eof),
        RESIZE => {
            let size: serde_json::Value = serde_json::from_slice(&data).ok()?;
            let side = |name: &str| u16::try_from(size.get(name)?.as_u64()?).ok();
            Some(ProcessInput::Resize {
                width: side("Width")?,
                height: side("Height")?,
            })
        }
        _ => None,
    }
}
// ANCHOR_END: decode

/// From the process to the client, with the close at the end; `None` when the client is gone.
async fn write(
    mut sink: SplitSink<Socket, Message>,
    mut output: mpsc::Receiver<ProcessOutput>,
    streams: StdStreams,
) -> Option<()> {
    // As upstream does, so that the client sees the connection before the first output.
    let first = match streams {
        StdStreams { stdout: true, .. } => STDOUT,
        StdStreams { stderr: true, .. } => STDERR,
        _ => STATUS,
    };
    tokio::time::sleep(STREAMS_MADE).await;
    sink.send(message(first, &[])).await.ok()?;
    loop {
        let (last, next) = match output.recv().await {
            Some(ProcessOutput::Stdout(bytes)) => (false, message(STDOUT, &bytes)),
            Some(ProcessOutput::Stderr(bytes)) => (false, message(STDERR, &bytes)),
            Some(ProcessOutput::Exit(code)) => (true, message(STATUS, &exit_status(code))),
            Some(ProcessOutput::Failed(why)) => (true, message(STATUS, &failure(&why))),
            None => (
                true,
                message(STATUS, &failure("the node's stream broke off")),
            ),
        };
        sink.send(next).await.ok()?;
        if last {
            break;
        }
    }
    let close = CloseFrame {
        code: CloseCode::Normal,
        reason: "".into(),
    };
    sink.send(Message::Close(Some(close))).await.ok()
}

fn message(channel: u8, data: &[u8]) -> Message {
    let mut bytes = BytesMut::with_capacity(1 + data.len());
    bytes.put_u8(channel);
    bytes.put_slice(data);
    Message::Binary(bytes.freeze())
}

/// How a process ended, as `remotecommand` says it.
fn exit_status(code: i32) -> Vec<u8> {
    let status = if code == 0 {
        json!({ "metadata": {}, "status": "Success" })
    } else {
        json!({
            "metadata": {},
            "status": "Failure",
            "message": format!("command terminated with non-zero exit code: exit code {code}"),
            "reason": "NonZeroExitCode",
            "details": { "causes": [{ "reason": "ExitCode", "message": code.to_string() }] },
        })
    };
    status.to_string().into_bytes()
}

fn failure(why: &str) -> Vec<u8> {
    let message = format!("Internal error occurred: {why}");
    json!({
        "metadata": {}, "status": "Failure", "message": message,
        "reason": "InternalError", "code": 500,
    })
    .to_string()
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6455 section 1.3 has this example.
    #[test]
    fn the_key_is_accepted_as_the_rfc_shows() {
        assert_eq!(
            accept("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn messages_are_told_apart_by_their_first_byte() {
        let decode = |bytes: &'static [u8], v5| decode(&Bytes::from_static(bytes), v5);
        let hi = ProcessInput::Stdin(Bytes::from_static(b"hi"));
        assert_eq!(decode(b"\0hi", true), Some(hi));
        assert_eq!(decode(b"\xff\0", true), Some(ProcessInput::Eof));
        assert_eq!(decode(b"\xff\0", false), None);
        let size = Some(ProcessInput::Resize {
            width: 80,
            height: 24,
        });
        assert_eq!(decode(b"\x04{\"Width\":80,\"Height\":24}\n", true), size);
        assert_eq!(decode(b"", true), None);
    }
}
