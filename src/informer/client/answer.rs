//! Answers taken apart: an object, a list of objects, or the server's reason why not.
//!
//! 1. Any bytes give a value: what cannot be read is an [`ApiError`] of reason `InternalError`.
//!
//! Book: `book/src/control-plane/informers.md`.

use core::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use wavetank_api::{Response, Revision};

use crate::view::Object;

/// A refusal: the `Status` object that the server answered with
/// (`k8s.io/apimachinery/pkg/apis/meta/v1/types.go`).
#[derive(Clone, Debug, Default, PartialEq, Deserialize, thiserror::Error)]
#[serde(default)]
#[error("{message} ({reason}, code {code})")]
pub struct ApiError {
    /// HTTP status code.
    pub code: u16,
    /// One of the closed set of reasons: `NotFound`, `AlreadyExists`, `Conflict`, `Expired` …
    pub reason: String,
    /// For people.
    pub message: String,
    /// `details`, as sent: name, kind, uid, causes, retryAfterSeconds.
    pub details: Value,
}

impl ApiError {
    /// The object does not exist.
    pub fn is_not_found(&self) -> bool {
        self.reason == "NotFound"
    }

    /// The object has another revision or uid than the request named.
    pub fn is_conflict(&self) -> bool {
        self.reason == "Conflict"
    }

    /// An object of this name exists.
    pub fn is_already_exists(&self) -> bool {
        self.reason == "AlreadyExists"
    }

    /// The revision asked for is no longer kept: list again.
    pub fn is_expired(&self) -> bool {
        self.code == 410 || matches!(self.reason.as_str(), "Expired" | "Gone")
    }

    /// A budget or a rate limit says not now.
    pub fn is_too_many_requests(&self) -> bool {
        self.reason == "TooManyRequests"
    }

    /// The write came to nothing because its namespace is being deleted.
    pub fn is_namespace_terminating(&self) -> bool {
        let causes = self.details["causes"].as_array();
        let mut causes = causes.into_iter().flatten();
        self.reason == "Forbidden" && causes.any(|c| c["reason"] == "NamespaceTerminating")
    }

    /// The server failed (5xx): whether the request took effect is not known.
    pub fn is_server_error(&self) -> bool {
        self.code >= 500
    }

    /// Reads a `Status` object; anything else becomes an `InternalError` with this code.
    pub fn from_status(code: u16, body: &[u8]) -> Self {
        match serde_json::from_slice::<ApiError>(body) {
            Ok(error) if !error.reason.is_empty() || error.code != 0 => ApiError {
                code: if error.code == 0 { code } else { error.code },
                ..error
            },
            _ => ApiError::unreadable(code, &String::from_utf8_lossy(body)),
        }
    }

    fn unreadable(code: u16, what: &dyn fmt::Display) -> Self {
        ApiError {
            code,
            reason: "InternalError".to_string(),
            message: format!("the answer cannot be read: {what}"),
            details: Value::Null,
        }
    }
}

/// The body of a successful answer, or the refusal.
pub fn parse(response: &Response) -> Result<Bytes, ApiError> {
    let body = response.bytes();
    match response.is_success() {
        true => Ok(body),
        false => Err(ApiError::from_status(response.status, &body)),
    }
}

/// The object of a successful answer.
pub fn parse_object<T: DeserializeOwned>(response: &Response) -> Result<Object<T>, ApiError> {
    let body = parse(response)?;
    Object::decode(&body).map_err(|error| ApiError::unreadable(500, &error))
}

/// A list, or one page of it.
#[derive(Clone, Debug)]
pub struct List<T> {
    /// The revision at which all pages were read.
    pub revision: Revision,
    /// Where the next page begins; empty on the last.
    pub continue_token: String,
    /// The objects, in the order of their keys.
    pub items: Vec<T>,
}

/// The list of a successful answer; `decode` reads each object.
pub fn parse_list<T>(
    response: &Response,
    mut decode: impl FnMut(&[u8]) -> Result<T, serde_json::Error>,
) -> Result<List<T>, ApiError> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        metadata: ListMeta,
        #[serde(borrow, default)]
        items: Option<Vec<&'a RawValue>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct ListMeta {
        resource_version: String,
        #[serde(default)]
        r#continue: String,
    }
    let body = parse(response)?;
    let unreadable = |error: serde_json::Error| ApiError::unreadable(500, &error);
    let wire: Wire<'_> = serde_json::from_slice(&body).map_err(unreadable)?;
    let revision = wire.metadata.resource_version.parse();
    let revision = revision.map_err(|error| ApiError::unreadable(500, &error))?;
    let items = wire.items.unwrap_or_default().into_iter();
    let items = items.map(|item| decode(item.get().as_bytes()));
    Ok(List {
        revision: Revision(revision),
        continue_token: wire.metadata.r#continue,
        items: items.collect::<Result<_, _>>().map_err(unreadable)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::HeaderOnly;

    #[test]
    fn a_refusal_keeps_the_servers_words() {
        let body = r#"{"kind":"Status","status":"Failure","message":"pods \"a\" not found",
            "reason":"NotFound","details":{"name":"a","kind":"pods"},"code":404}"#;
        let error = parse(&Response::new(404, "application/json", body)).unwrap_err();
        assert!(error.is_not_found());
        assert_eq!(error.message, "pods \"a\" not found");
    }

    #[test]
    fn a_list_gives_its_revision_and_objects() {
        let body = r#"{"kind":"PodList","metadata":{"resourceVersion":"7","continue":"x"},
            "items":[{"metadata":{"name":"a","namespace":"d","resourceVersion":"3"}}]}"#;
        let list = parse_list(
            &Response::new(200, "application/json", body),
            Object::<HeaderOnly>::decode,
        )
        .unwrap();
        assert_eq!((list.revision, &*list.continue_token), (Revision(7), "x"));
        assert_eq!(&*list.items[0].meta.name, "a");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_give_a_value(body: Vec<u8>, status in 100u16..600) {
            let response = Response::new(status, "application/json", body);
            let _ = parse_list(&response, Object::<HeaderOnly>::decode);
            let _ = parse_object::<HeaderOnly>(&response);
        }
    }
}
