//! The connections to one API server: opened when the others are full, shared by many.
//!
//! [`remote`](crate::remote) takes a [`Place`] for each request, and holds it until the answer's
//! last byte.
//!
//! 1. A connection carries at most [`STREAMS_MAX`] requests of HTTP/2 at a time, or one of
//!    HTTP/1.1.
//! 2. One connection is made at a time: a thousand who start together share the first, not make a
//!    thousand.
//!
//! Left out: closing connections that are no longer needed; the server closes those that idle.
//!
//! Book: `book/src/simulator/nodes.md`.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::access::Access;
use crate::body::Body;
use crate::error::ServeError;

/// Requests and watches on one HTTP/2 connection: as many as kube-apiserver allows
/// (`k8s.io/apiserver/pkg/server/secure_serving.go`).
const STREAMS_MAX: usize = 100;
/// How long a connection and its handshakes may take: client-go's 30 s and 10 s would outlast a
/// heartbeat.
const DIAL_MAX: Duration = Duration::from_secs(10);
/// Silence after which the server is asked whether it is there, and how long it may take to
/// answer: a connection that was cut without a word is noticed (client-go's
/// `HTTP2_READ_IDLE_TIMEOUT_SECONDS` and `HTTP2_PING_TIMEOUT_SECONDS`).
const IDLE: Duration = Duration::from_secs(30);
const PING: Duration = Duration::from_secs(15);
/// What the server may send before it is read: to one stream, and to all, as Go's client has it.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 1 << 30;

pub(crate) type Outgoing = hyper::Request<Body>;

/// All connections to one server.
pub(crate) struct Connections {
    access: Access,
    /// Held by who makes a connection, so that the others wait for it.
    dialling: tokio::sync::Mutex<()>,
    open: Arc<Mutex<Vec<Connection>>>,
}

/// A connection with room.
enum Connection {
    /// Shared by as many as there are permits.
    Two(http2::SendRequest<Body>, Arc<Semaphore>),
    /// Idle, or about to be.
    One(http1::SendRequest<Body>),
}

/// The right to have one request under way; the connection is free for another when it is dropped.
pub(crate) struct Place {
    sender: Option<Sender>,
    home: Arc<Mutex<Vec<Connection>>>,
}

enum Sender {
    Two(
        http2::SendRequest<Body>,
        #[allow(dead_code, reason = "held")] OwnedSemaphorePermit,
    ),
    One(http1::SendRequest<Body>),
}

/// Nobody panics while holding this: what is in there is whole.
fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connections {
    pub fn new(access: Access) -> Self {
        Connections {
            access,
            dialling: tokio::sync::Mutex::default(),
            open: Arc::default(),
        }
    }

    pub fn access(&self) -> &Access {
        &self.access
    }

    // ANCHOR: place
    /// A place on a connection that has room, or on a new one.
    pub async fn place(&self) -> Result<Place, ServeError> {
        if let Some(place) = self.free() {
            return Ok(place);
        }
        let _dialling = self.dialling.lock().await;
        // Somebody may have made one meanwhile.
        if let Some(place) = self.free() {
            return Ok(place);
        }
        let made = timeout(DIAL_MAX, dial(&self.access)).await;
        let late = || unreachable(&self.access, "net/http: TLS handshake timeout");
        lock(&self.open).push(made.map_err(|_| late())??);
        self.free()
            .ok_or_else(|| unreachable(&self.access, "the connection closed at once"))
    }
    // ANCHOR_END: place

    fn free(&self) -> Option<Place> {
        let mut open = lock(&self.open);
        open.retain(|connection| !connection.is_closed());
        let (at, sender) = open.iter().enumerate().find_map(|(at, connection)| {
            let Connection::Two(sender, places) = connection else {
                return Some((at, None));
            };
            let permit = places.clone().try_acquire_owned().ok()?;
            Some((at, Some(Sender::Two(sender.clone(), permit))))
        })?;
        let sender = sender.or_else(|| match open.swap_remove(at) {
            Connection::One(sender) => Some(Sender::One(sender)),
            Connection::Two(..) => None,
        })?;
        Some(Place {
            sender: Some(sender),
            home: self.open.clone(),
        })
    }
}

impl Connection {
    fn is_closed(&self) -> bool {
        match self {
            Connection::Two(sender, _) => sender.is_closed(),
            Connection::One(sender) => sender.is_closed(),
        }
    }
}

impl Place {
    /// Sends a request. When none of it was sent it comes back with the error.
    pub async fn send(
        &mut self,
        request: Outgoing,
    ) -> Result<hyper::Response<Incoming>, TrySendError<Outgoing>> {
        match &mut self.sender {
            Some(Sender::Two(sender, _)) => sender.try_send_request(request).await,
            Some(Sender::One(sender)) => {
                // The answer before may still be on its way; an error shows in what follows.
                let _ = sender.ready().await;
                sender.try_send_request(one(request)).await
            }
            None => unreachable!("the sender leaves when the place is dropped"),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(Sender::One(sender)) = self.sender.take()
            && !sender.is_closed()
        {
            lock(&self.home).push(Connection::One(sender));
        }
    }
}

/// The request as HTTP/1.1 has it: the path alone, and the host in a header.
fn one(mut request: Outgoing) -> Outgoing {
    let uri = std::mem::take(request.uri_mut());
    if let Some(host) = uri.authority().map(|it| it.as_str())
        && let Ok(host) = host.parse()
    {
        request.headers_mut().insert(hyper::header::HOST, host);
    }
    let path = uri.path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(Default::default, hyper::Uri::from);
    request
}

/// Connects, and speaks HTTP/2 if the server chooses it.
async fn dial(access: &Access) -> Result<Connection, ServeError> {
    let address = (access.host.as_str(), access.port);
    let stream = TcpStream::connect(address).await;
    let stream = stream.map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => ServeError::Refused {
            server: access.server(),
        },
        _ => unreachable(access, &error.to_string()),
    })?;
    let _ = stream.set_nodelay(true);
    let Some(tls) = &access.tls else {
        return speak_one(stream)
            .await
            .map_err(|e| unreachable(access, &e.to_string()));
    };
    let connector = TlsConnector::from(tls.config.clone());
    let stream = connector.connect(tls.name.clone(), stream).await;
    let stream = stream.map_err(|error| unreachable(access, &format!("tls: {error}")))?;
    let spoken = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => speak_two(stream).await,
        _ => speak_one(stream).await,
    };
    spoken.map_err(|error| unreachable(access, &error.to_string()))
}

async fn speak_one<S>(stream: S) -> hyper::Result<Connection>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Its errors are those of the requests on it.
    tokio::spawn(connection);
    Ok(Connection::One(sender))
}

async fn speak_two<S>(stream: S) -> hyper::Result<Connection>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(IDLE)
        .keep_alive_timeout(PING)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let places = Arc::new(Semaphore::new(STREAMS_MAX));
    Ok(Connection::Two(sender, places))
}

fn unreachable(access: &Access, cause: &str) -> ServeError {
    ServeError::Unreachable {
        server: access.server(),
        cause: cause.to_owned(),
    }
}
