//! Requests and answers as plain values: what crosses every edge of the cluster.
//!
//! The API server's core takes a [`Request`] and gives a [`Response`]; `serve` turns sockets into
//! these, the simulator passes them on as they are. Connections, TLS and framing are the shell's.
//!
//! 1. Header names are lower case, so that a look-up is one comparison.
//!
//! Book: `book/src/ground/wire.md`.

use std::borrow::Cow;

use bytes::Bytes;

/// The HTTP methods the API uses (RFC 9110 section 9; PATCH from RFC 5789).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

impl Method {
    /// The method's token, upper case.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
            Method::Options => "OPTIONS",
        }
    }

    /// The method of a token; `None` for a method the API does not use.
    pub fn parse(token: &str) -> Option<Self> {
        Some(match token {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "PATCH" => Method::Patch,
            "DELETE" => Method::Delete,
            "OPTIONS" => Method::Options,
            _ => return None,
        })
    }
}

/// Header fields in the order they came; names are lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Cow<'static, str>, String)>);

impl Headers {
    /// The first value of `name`, which must be lower case.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// Adds a field; `name` must be lower case.
    pub fn push(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        let name = name.into();
        debug_assert!(
            !name.bytes().any(|b| b.is_ascii_uppercase()),
            "header name in lower case"
        );
        self.0.push((name, value.into()));
    }

    /// All fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_ref(), v.as_str()))
    }
}

/// Who is at the other end of the connection, as the transport proved it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Peer {
    /// Nobody in particular: the API server looks at the `authorization` header.
    #[default]
    Unknown,
    /// A verified client certificate: its common name is the user, its organisations the groups.
    Certificate {
        /// Subject CN.
        common_name: String,
        /// Subject O, in order.
        organizations: Vec<String>,
    },
    /// A component in the same process, named as its certificate would name it.
    Component(Cow<'static, str>),
}

/// One request to an API server (or from it to a kubelet).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What to do.
    pub method: Method,
    /// Path and query as on the wire, percent-encoded: `/api/v1/pods?limit=500`.
    pub target: String,
    /// Header fields.
    pub headers: Headers,
    /// The whole body.
    pub body: Bytes,
    /// Proved identity of the sender.
    pub peer: Peer,
}

impl Request {
    /// A request without body and headers.
    pub fn new(method: Method, target: impl Into<String>) -> Self {
        Request {
            method,
            target: target.into(),
            headers: Headers::default(),
            body: Bytes::new(),
            peer: Peer::Unknown,
        }
    }

    /// The same request with a body of the given content type.
    pub fn with_body(mut self, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        self.headers.push("content-type", content_type);
        self.body = body.into();
        self
    }

    /// The same request with one more header field.
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push(name, value);
        self
    }
}

/// A whole answer. The body comes in chunks that are sent one after the other, so that a LIST hands
/// out the stored bytes of each object without copying them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status code (RFC 9110 section 15).
    pub status: u16,
    /// Header fields.
    pub headers: Headers,
    /// The body's chunks in order.
    pub body: Vec<Bytes>,
}

impl Response {
    /// An answer with one chunk of the given content type.
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut headers = Headers::default();
        headers.push("content-type", content_type);
        Response {
            status,
            headers,
            body: vec![body.into()],
        }
    }

    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body in one piece: free when it has one chunk.
    pub fn bytes(&self) -> Bytes {
        match self.body.as_slice() {
            [] => Bytes::new(),
            [one] => one.clone(),
            many => many.concat().into(),
        }
    }
}
