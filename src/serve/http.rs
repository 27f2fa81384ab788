//! One request of one connection: read whole, given to the core, its answer sent.
//!
//! Called by [`listener`](crate::listener) for each request; what it sees of HTTP (framing,
//! versions, upgrades) goes no further.
//!
//! 1. A body of more than [`BODY_BYTES_MAX`] is refused as upstream refuses it, and not read on.
//! 2. Whatever arrives, the answer is an answer of the API or the connection's end.
//!
//! Book: `book/src/control-plane/serving.md`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body as _, Incoming};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{StatusCode, body};
use tokio::sync::oneshot;
use tokio::time::timeout;

use wavetank_api::http::Peer;
use wavetank_api::status::Status;
use wavetank_api::{Headers, Method, Request, Response};
use wavetank_apiserver::{Tunnel, TunnelKind};

use crate::body::Body;
use crate::door::{Core, Reply};
use crate::node_streams::{NodeStream, NodeStreams};
use crate::websocket;

/// Upstream's `MaxRequestBodyBytes`: 3 MiB.
pub(crate) const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;

/// How long a client may take to send a body: upstream's `--request-timeout`.
const BODY_WAIT: Duration = Duration::from_secs(60);

type Incomings = hyper::Request<Incoming>;
type Outgoing = hyper::Response<Body>;
/// What hyper wants of a service: an answer, never an error.
type Answer = Result<Outgoing, Infallible>;

/// What all connections share.
#[derive(Clone)]
pub(crate) struct Service {
    pub core: Core,
    pub nodes: Arc<dyn NodeStreams>,
}

impl Service {
    // ANCHOR: answer
    /// Answers a request of this peer.
    pub async fn answer(self, mut arrived: Incomings, peer: Peer) -> Answer {
        let request = match read(&mut arrived, peer).await {
            Ok(request) => request,
            Err(status) => return Ok(refusal(&status)),
        };
        Ok(match self.core.call(request).await {
            Ok(Reply::Decided(decided)) => {
                let response = decided.response();
                let body = Body::Chunks(response.body.into());
                outgoing(response.status, &response.headers, body)
            }
            Ok(Reply::Stream(head, frames)) => {
                outgoing(head.status, &head.headers, Body::Frames(frames))
            }
            Ok(Reply::Tunnel(tunnel)) => self.tunnel(arrived, tunnel).await,
            Err(stopped) => refusal(&Status::service_unavailable(stopped.to_string())),
        })
    }
    // ANCHOR_END: answer

    /// Joins the connection with a node's stream.
    async fn tunnel(self, arrived: Incomings, tunnel: Tunnel) -> Outgoing {
        let handshake = match tunnel.kind {
            TunnelKind::Log(_) => None,
            TunnelKind::Exec { .. } | TunnelKind::Attach { .. } => {
                match websocket::Handshake::of(&arrived, &tunnel) {
                    Ok(handshake) => Some(handshake),
                    Err(status) => return refusal(&status),
                }
            }
            TunnelKind::PortForward { .. } => {
                let words = "port-forward needs SPDY streams, which this server does not speak";
                return refusal(&Status::bad_request(words));
            }
        };
        let (reply, opened) = oneshot::channel();
        self.nodes.open(tunnel, reply);
        match (opened.await, handshake) {
            (Ok(Ok(NodeStream::Log(lines))), None) => {
                let text = Response::new(200, "text/plain", Bytes::new());
                outgoing(200, &text.headers, Body::Log(lines))
            }
            (Ok(Ok(NodeStream::Process(process))), Some(handshake)) => {
                handshake.join(arrived, process)
            }
            (Ok(Err(status)), _) => refusal(&status),
            _ => refusal(&Status::internal_error("the node gave no such stream")),
        }
    }
}

/// The request as the core takes it.
async fn read(arrived: &mut Incomings, peer: Peer) -> Result<Request, Box<Status>> {
    let Some(method) = Method::parse(arrived.method().as_str()) else {
        let words = format!("method {} is not used by this API", arrived.method());
        return Err(Box::new(Status::bad_request(words)));
    };
    let target = arrived
        .uri()
        .path_and_query()
        .map_or("/", |target| target.as_str())
        .to_owned();
    let mut headers = Headers::default();
    for (name, value) in arrived.headers() {
        let value = String::from_utf8_lossy(value.as_bytes());
        headers.push(name.as_str().to_owned(), value);
    }
    let body = match timeout(BODY_WAIT, read_body(arrived.body_mut())).await {
        Ok(body) => body?,
        Err(_) => {
            let words = "request did not complete within requested timeout";
            return Err(Box::new(Status::timeout(words, 0)));
        }
    };
    Ok(Request {
        method,
        target,
        headers,
        body,
        peer,
    })
}

async fn read_body(incoming: &mut Incoming) -> Result<Bytes, Box<Status>> {
    let too_large = || {
        let words = format!("limit is {BODY_BYTES_MAX}");
        Box::new(Status::request_entity_too_large(&words))
    };
    if incoming.size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let mut whole = BytesMut::new();
    while let Some(frame) = next_frame(incoming).await {
        let frame = frame.map_err(|error| {
            Box::new(Status::bad_request(format!("the body broke off: {error}")))
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if whole.len() + data.len() > BODY_BYTES_MAX {
            return Err(too_large());
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// The next part of a body.
pub(crate) async fn next_frame(
    incoming: &mut Incoming,
) -> Option<hyper::Result<body::Frame<Bytes>>> {
    std::future::poll_fn(|context| std::pin::Pin::new(&mut *incoming).poll_frame(context)).await
}

/// A refusal as the API gives it.
pub(crate) fn refusal(status: &Status) -> Outgoing {
    let response = Response::new(status.code, "application/json", status.to_bytes());
    outgoing(
        response.status,
        &response.headers,
        Body::Chunks(response.body.into()),
    )
}

pub(crate) fn outgoing(status: u16, headers: &Headers, body: Body) -> Outgoing {
    let mut out = hyper::Response::new(body);
    *out.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers.iter() {
        // What cannot stand in a header is left out; the core makes no such names and values.
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            out.headers_mut().append(name, value);
        }
    }
    out
}
