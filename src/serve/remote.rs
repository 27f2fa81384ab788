//! Any API server, over the network: the [`Transport`] of components that run elsewhere.
//!
//! Many components share one [`Remote`] and with it its few connections. What a component cannot
//! say, because to it a refusal is only a reason to try again, a witness may be told:
//! [`Incident`].
//!
//! 1. A watch gives whole lines, wherever the network cut them.
//! 2. A request is sent once, and again only when nothing of it was sent.
//! 3. An answer of more than [`ANSWER_BYTES_MAX`], or a line of more, is as none.
//!
//! Left out: compressed answers; `Retry-After` (components wait as they do after any failure).
//!
//! Book: `book/src/simulator/nodes.md`.

use std::error::Error;
use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};

use wavetank_api::{Headers, Request, Response};
use wavetank_informer::Failure;

use crate::access::Access;
use crate::body::Body;
use crate::connections::{Connections, Outgoing, Place};
use crate::error::ServeError;
use crate::http::next_frame;
use crate::transport::{Heard, Lines, Transport, Watch, Watched};

/// The longest answer, and the longest line of a watch.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// How often a request is tried on another connection after one that was about to close.
const SENDS_MAX: usize = 3;

/// Something that whoever runs components on a [`Remote`] may want to know.
#[derive(Debug)]
pub enum Incident<'a> {
    /// The server answered.
    Answered(&'a Request, &'a Response),
    /// It could not be reached, or broke off.
    Failed(&'a ServeError),
}

type Witness = Arc<dyn Fn(Incident<'_>) + Send + Sync>;

/// A way to an API server somewhere. Its clones share connections.
#[derive(Clone)]
pub struct Remote {
    connections: Arc<Connections>,
    witness: Witness,
}

impl Remote {
    /// Connects; later, connections are made when they are needed.
    ///
    /// # Errors
    /// When there is no connection, in kubectl's words.
    pub async fn connect(access: Access) -> Result<Remote, ServeError> {
        let connections = Arc::new(Connections::new(access));
        drop(connections.place().await?);
        Ok(Remote {
            connections,
            witness: Arc::new(|_| {}),
        })
    }

    /// The same way, of which `witness` is told every whole answer and every failure; it must not
    /// block.
    pub fn witnessed(&self, witness: impl Fn(Incident<'_>) + Send + Sync + 'static) -> Remote {
        Remote {
            connections: self.connections.clone(),
            witness: Arc::new(witness),
        }
    }

    fn failed(&self, error: &ServeError) -> Failure {
        (self.witness)(Incident::Failed(error));
        Failure::Unreachable
    }

    /// Sends a request; the head of its answer, the body to come, and the place it occupies.
    async fn send(&self, request: &Request) -> Result<(Place, hyper::Response<Incoming>), Failure> {
        let server = || self.connections.access().server();
        let broken = |cause: String| ServeError::Unreachable {
            server: server(),
            cause,
        };
        let mut outgoing = self
            .outgoing(request)
            .map_err(|cause| self.failed(&broken(cause)))?;
        for left in (0..SENDS_MAX).rev() {
            let place = self.connections.place().await;
            let mut place = place.map_err(|error| self.failed(&error))?;
            match place.send(outgoing).await {
                Ok(response) => return Ok((place, response)),
                Err(mut refused) => match refused.take_message() {
                    Some(unsent) if left > 0 => outgoing = unsent,
                    _ => return Err(self.failed(&broken(cause(refused.error())))),
                },
            }
        }
        Err(Failure::Unreachable)
    }

    fn outgoing(&self, request: &Request) -> Result<Outgoing, String> {
        let access = self.connections.access();
        let scheme = if access.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let host = match access.host.contains(':') {
            true => format!("[{}]", access.host),
            false => access.host.clone(),
        };
        let (port, base, target) = (access.port, &access.base, &request.target);
        let mut outgoing = hyper::Request::builder()
            .method(request.method.as_str())
            .uri(format!("{scheme}://{host}:{port}{base}{target}"))
            .body(Body::Chunks([request.body.clone()].into()))
            .map_err(|error| error.to_string())?;
        for (name, value) in request.headers.iter() {
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
                outgoing.headers_mut().append(name, value);
            }
        }
        if let Some(value) = access.credentials.authorization() {
            outgoing.headers_mut().insert(AUTHORIZATION, value);
        }
        Ok(outgoing)
    }

    /// Reads an answer to its end.
    async fn whole(
        &self,
        request: &Request,
        from: hyper::Response<Incoming>,
    ) -> Result<Response, Failure> {
        let (head, mut incoming) = from.into_parts();
        let mut headers = Headers::default();
        for (name, value) in &head.headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            headers.push(name.as_str().to_owned(), value);
        }
        let mut body = Vec::new();
        let mut length = 0;
        while let Some(frame) = next_frame(&mut incoming).await {
            let broken = |cause: String| {
                self.failed(&ServeError::Unreachable {
                    server: self.connections.access().server(),
                    cause,
                })
            };
            let data = frame.map_err(|error| broken(cause(&error)))?.into_data();
            let data = data.unwrap_or_default(); // trailers say nothing here
            length += data.len();
            if length > ANSWER_BYTES_MAX {
                return Err(broken(format!(
                    "an answer of more than {ANSWER_BYTES_MAX} bytes"
                )));
            }
            body.push(data);
        }
        let response = Response {
            status: head.status.as_u16(),
            headers,
            body,
        };
        (self.witness)(Incident::Answered(request, &response));
        Ok(response)
    }
}

impl Transport for Remote {
    type Lines = RemoteLines;

    async fn call(&self, request: Request) -> Heard<Response> {
        let (_place, response) = self.send(&request).await?;
        self.whole(&request, response).await
    }

    async fn watch(&self, request: Request) -> Watched<Self> {
        let (place, response) = self.send(&request).await?;
        if !response.status().is_success() {
            return self.whole(&request, response).await.map(Watch::Refused);
        }
        Ok(Watch::Opened(RemoteLines {
            incoming: response.into_body(),
            rest: BytesMut::new(),
            _place: place,
        }))
    }
}

/// The body of a watch, as it arrives.
pub struct RemoteLines {
    incoming: Incoming,
    /// What has come of a line whose end has not.
    rest: BytesMut,
    _place: Place,
}

impl Lines for RemoteLines {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            // However a watch ends, it is opened again from where it was.
            let data = next_frame(&mut self.incoming).await?.ok()?.into_data();
            if let Some(lines) = whole_lines(&mut self.rest, data.ok()?) {
                return Some(lines);
            }
            if self.rest.len() > ANSWER_BYTES_MAX {
                return None;
            }
        }
    }
}

// ANCHOR: whole_lines
/// What is whole with the bytes that have come now; the rest is kept.
fn whole_lines(rest: &mut BytesMut, data: Bytes) -> Option<Bytes> {
    let Some(end) = memchr::memrchr(b'\n', &data) else {
        rest.extend_from_slice(&data);
        return None;
    };
    if rest.is_empty() && end + 1 == data.len() {
        return Some(data); // nearly always: an event is a frame
    }
    rest.extend_from_slice(&data[..=end]);
    let whole = std::mem::take(rest).freeze();
    rest.extend_from_slice(&data[end + 1..]);
    Some(whole)
}
// ANCHOR_END: whole_lines

/// An error with what caused it.
fn cause(error: &(dyn Error + 'static)) -> String {
    let system = error.downcast_ref::<io::Error>();
    if system.is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof) {
        return "unexpected EOF".to_owned();
    }
    match error.source() {
        Some(source) => format!("{error}: {}", cause(source)),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However the network cuts a text, what is given is whole lines, and all of them.
        #[test]
        fn lines_come_whole_wherever_they_are_cut(
            lines in proptest::collection::vec("[a-z{}]{0,12}\n", 0..20),
            cuts in proptest::collection::vec(0usize..300, 0..20),
        ) {
            let text = lines.concat();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|at| at.min(text.len())).collect();
            cuts.push(0);
            cuts.push(text.len());
            cuts.sort_unstable();
            let mut rest = BytesMut::new();
            let mut given = Vec::new();
            for pair in cuts.windows(2) {
                let data = Bytes::copy_from_slice(&text.as_bytes()[pair[0]..pair[1]]);
                if let Some(whole) = whole_lines(&mut rest, data) {
                    prop_assert!(whole.ends_with(b"\n"));
                    given.extend_from_slice(&whole);
                }
            }
            prop_assert!(rest.is_empty());
            prop_assert_eq!(given, text.into_bytes());
        }
    }
}
