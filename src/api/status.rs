//! `Status`: the one shape every refusal of an API server has, with upstream's reasons and words.
//!
//! The API server makes them, clients and controllers read them. Messages, codes and details are
//! those of `k8s.io/apimachinery/pkg/api/errors/errors.go`.
//!
//! 1. What is written reads back the same: `a_status_reads_back_as_it_was_written`.
//!
//! Left out: `NewGenericServerResponse`, which a client makes up for answers without a `Status`.
//!
//! Book: `book/src/ground/objects.md`.

use core::fmt;

use crate::json::Value;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A `meta.k8s.io/v1` (written as `v1`) Status, fields in upstream's order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    kind: StatusKind,
    api_version: V1,
    metadata: Empty,
    /// `Success` or `Failure`.
    pub status: String,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// For programs; empty on success.
    #[serde(skip_serializing_if = "Reason::is_unknown")]
    pub reason: Reason,
    /// Which object, and what was wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Box<Details>>,
    /// The HTTP code; zero on a Status that is not an answer's.
    #[serde(skip_serializing_if = "is_zero")]
    pub code: u16,
}

/// `status.details`. Empty fields are left out of the text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Details {
    /// The object's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The API group of `kind`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The resource (`deployments`), or the kind (`Deployment`) where upstream has that.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The object's UID: set on the answer to a finished delete.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// One for each thing that was wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// When to try again.
    #[serde(skip_serializing_if = "is_zero_u32")]
    pub retry_after_seconds: u32,
}

/// One cause of a failure: `{"reason":"FieldValueInvalid","message":…,"field":"spec.replicas"}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cause {
    /// `FieldValueRequired`, `FieldManagerConflict`, …
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The path of the field; empty when there is none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

/// The closed set of reasons (`metav1.StatusReason`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the words are those of the API")]
pub enum Reason {
    Unauthorized,
    Forbidden,
    NotFound,
    AlreadyExists,
    Conflict,
    Gone,
    Invalid,
    ServerTimeout,
    StoreReadError,
    Timeout,
    TooManyRequests,
    BadRequest,
    MethodNotAllowed,
    NotAcceptable,
    RequestEntityTooLarge,
    UnsupportedMediaType,
    InternalError,
    Expired,
    ServiceUnavailable,
    #[default]
    #[serde(rename = "", other)]
    Unknown,
}

impl Reason {
    fn is_unknown(&self) -> bool {
        *self == Reason::Unknown
    }
}

/// A resource or a kind with its group, as messages name it: `deployments.apps`, `pods`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named<'a> {
    /// Empty for the core group.
    pub group: &'a str,
    /// The plural in most messages, the kind in [`Status::invalid`].
    pub resource: &'a str,
}

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.resource)?;
        if self.group.is_empty() {
            Ok(())
        } else {
            write!(f, ".{}", self.group)
        }
    }
}

impl Named<'_> {
    fn details(self, name: &str) -> Details {
        Details {
            name: name.to_owned(),
            group: self.group.to_owned(),
            kind: self.resource.to_owned(),
            ..Details::default()
        }
    }
}

impl Cause {
    /// A cause with all three parts.
    pub fn new(
        reason: impl Into<String>,
        message: impl Into<String>,
        field: impl Into<String>,
    ) -> Self {
        Cause {
            reason: reason.into(),
            message: message.into(),
            field: field.into(),
        }
    }
}

/// What a conflicting write is told when the object moved on under it.
pub const MODIFIED: &str = "the object has been modified; please apply your changes to the latest \
                            version and try again";

impl Status {
    /// `{"status":"Success"}`: the answer to a delete that is done. `of` is group and resource.
    pub fn deleted(of: Named<'_>, name: &str, uid: &str) -> Self {
        let details = Details {
            uid: uid.to_owned(),
            ..of.details(name)
        };
        Status {
            status: "Success".to_owned(),
            details: Some(Box::new(details)),
            ..Status::default()
        }
    }

    /// 404 `deployments.apps "web" not found`.
    pub fn not_found(of: Named<'_>, name: &str) -> Self {
        let message = format!("{of} {} not found", quote(name));
        Status::failure(404, Reason::NotFound, message).with(of.details(name))
    }

    /// 404 for a path that no resource has.
    pub fn no_such_resource() -> Self {
        let message = "the server could not find the requested resource".to_owned();
        Status::failure(404, Reason::NotFound, message).with(Details::default())
    }

    /// 409 `pods "web-0" already exists`.
    pub fn already_exists(of: Named<'_>, name: &str) -> Self {
        let message = format!("{of} {} already exists", quote(name));
        Status::failure(409, Reason::AlreadyExists, message).with(of.details(name))
    }

    /// 409 for a `generateName` that ran out of tries.
    pub fn no_unique_name(of: Named<'_>, name: &str, retry_after_seconds: u32) -> Self {
        let message = format!(
            "{of} {} already exists, the server was not able to generate a unique name for the \
             object",
            quote(name)
        );
        let details = Details {
            retry_after_seconds,
            ..of.details(name)
        };
        Status::failure(409, Reason::AlreadyExists, message).with(details)
    }

    /// 401; without a reason upstream says `not authorized`, its authentication `Unauthorized`.
    pub fn unauthorized(reason: &str) -> Self {
        let message = if reason.is_empty() {
            "not authorized"
        } else {
            reason
        };
        Status::failure(401, Reason::Unauthorized, message.to_owned())
    }

    /// 403 `pods "web-0" is forbidden: <why>`; without a name, about the resource as a whole.
    pub fn forbidden(of: Named<'_>, name: &str, why: &str) -> Self {
        let message = match (of.resource, name) {
            ("", _) => format!("forbidden: {why}"),
            (_, "") => format!("{of} is forbidden: {why}"),
            _ => format!("{of} {} is forbidden: {why}", quote(name)),
        };
        Status::failure(403, Reason::Forbidden, message).with(of.details(name))
    }

    /// 409 `Operation cannot be fulfilled on pods "web-0": <why>`.
    pub fn conflict(of: Named<'_>, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {of} {}: {why}",
            quote(name)
        );
        Status::failure(409, Reason::Conflict, message).with(of.details(name))
    }

    /// 409 for an update from an old resourceVersion: [`Status::conflict`] with [`MODIFIED`].
    pub fn modified(of: Named<'_>, name: &str) -> Self {
        Status::conflict(of, name, MODIFIED)
    }

    /// 409 of server-side apply: the fields other managers own.
    pub fn apply_conflict(causes: Vec<Cause>, message: String) -> Self {
        let details = Details {
            causes,
            ..Details::default()
        };
        Status::failure(409, Reason::Conflict, message).with(details)
    }

    /// 410 with reason Gone.
    pub fn gone(message: impl Into<String>) -> Self {
        Status::failure(410, Reason::Gone, message.into())
    }

    /// 410 with reason Expired: the revision asked for has been compacted.
    pub fn expired(message: impl Into<String>) -> Self {
        Status::failure(410, Reason::Expired, message.into())
    }

    // ANCHOR: invalid
    /// 422 `Deployment.apps "web" is invalid: spec.replicas: Invalid value: -1: …`.
    /// `of` is group and *kind*; each cause's message is what follows the field.
    pub fn invalid(of: Named<'_>, name: &str, causes: Vec<Cause>) -> Self {
        let mut each: Vec<String> = Vec::new();
        for cause in &causes {
            let line = format!("{}: {}", cause.field, cause.message);
            if !each.contains(&line) {
                each.push(line);
            }
        }
        let head = format!("{of} {} is invalid", quote(name));
        let message = match each.as_slice() {
            [] => head,
            [only] => format!("{head}: {only}"),
            _ => format!("{head}: [{}]", each.join(", ")),
        };
        let details = Details {
            causes,
            ..of.details(name)
        };
        Status::failure(422, Reason::Invalid, message).with(details)
    }
    // ANCHOR_END: invalid

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Status::failure(400, Reason::BadRequest, message.into())
    }

    /// 429, as evictions and priority levels answer.
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        let details = Details {
            retry_after_seconds,
            ..Details::default()
        };
        Status::failure(429, Reason::TooManyRequests, message.into()).with(details)
    }

    /// 503.
    pub fn service_unavailable(message: impl Into<String>) -> Self {
        Status::failure(503, Reason::ServiceUnavailable, message.into())
    }

    /// 405 `patch is not supported on resources of kind "pods"`.
    pub fn method_not_supported(of: Named<'_>, action: &str) -> Self {
        let kind = quote(&of.to_string());
        let message = format!("{action} is not supported on resources of kind {kind}");
        Status::failure(405, Reason::MethodNotAllowed, message).with(of.details(""))
    }

    /// 406, naming the media types the server can write.
    pub fn not_acceptable(accepted: &[&str]) -> Self {
        let message = format!(
            "only the following media types are accepted: {}",
            accepted.join(", ")
        );
        Status::failure(406, Reason::NotAcceptable, message)
    }

    /// 415, naming the media types the server can read.
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Status::failure(415, Reason::UnsupportedMediaType, message)
    }

    /// 413 `Request entity too large: limit is 3145728`.
    pub fn request_entity_too_large(message: &str) -> Self {
        let message = format!("Request entity too large: {message}");
        Status::failure(413, Reason::RequestEntityTooLarge, message)
    }

    /// 500 with reason ServerTimeout: nothing was done, try again.
    pub fn server_timeout(of: Named<'_>, operation: &str, retry_after_seconds: u32) -> Self {
        let message = format!(
            "The {operation} operation against {of} could not be completed at this time, please \
             try again."
        );
        let details = Details {
            retry_after_seconds,
            ..of.details(operation)
        };
        Status::failure(500, Reason::ServerTimeout, message).with(details)
    }

    /// 504 `Timeout: <message>`: it is unknown what was done.
    pub fn timeout(message: &str, retry_after_seconds: u32) -> Self {
        let details = Details {
            retry_after_seconds,
            ..Details::default()
        };
        Status::failure(504, Reason::Timeout, format!("Timeout: {message}")).with(details)
    }

    /// 500 `Internal error occurred: <message>`.
    pub fn internal_error(message: &str) -> Self {
        let causes = vec![Cause::new("", message, "")];
        let details = Details {
            causes,
            ..Details::default()
        };
        let message = format!("Internal error occurred: {message}");
        Status::failure(500, Reason::InternalError, message).with(details)
    }

    /// Any failure: for codes and reasons that have no constructor here.
    pub fn failure(code: u16, reason: Reason, message: String) -> Self {
        Status {
            status: "Failure".to_owned(),
            message,
            reason,
            code,
            ..Status::default()
        }
    }

    /// The same with other details.
    pub fn with(mut self, details: Details) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    /// The same with one more cause.
    pub fn and_cause(mut self, cause: Cause) -> Self {
        self.details.get_or_insert_default().causes.push(cause);
        self
    }

    /// Whether it stands for something that was done.
    pub fn is_success(&self) -> bool {
        self.status == "Success"
    }

    /// The wire form, fields in upstream's order.
    pub fn to_bytes(&self) -> Bytes {
        Bytes::from(serde_json::to_vec(self).unwrap_or_default())
    }

    /// The same as a JSON value.
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default().into()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl core::error::Error for Status {}

/// `text` as Go's `%q` prints it: in double quotes, with escapes for what is not printable.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if c.is_control() && (c as u32) < 0x80 => {
                out.push_str(&format!("\\x{:02x}", c as u32))
            }
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum StatusKind {
    #[default]
    Status,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum V1 {
    #[default]
    #[serde(rename = "v1", alias = "meta.k8s.io/v1")]
    V1,
}

/// `"metadata":{}`, which upstream always writes; what others put there is not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Empty {}

fn is_zero(code: &u16) -> bool {
    *code == 0
}

fn is_zero_u32(seconds: &u32) -> bool {
    *seconds == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DEPLOYMENTS: Named<'_> = Named {
        group: "apps",
        resource: "deployments",
    };

    #[test]
    fn messages_and_bytes_are_upstreams() {
        let status = Status::not_found(DEPLOYMENTS, "web");
        assert_eq!(
            status.to_bytes(),
            concat!(
                r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","#,
                r#""message":"deployments.apps \"web\" not found","reason":"NotFound","#,
                r#""details":{"name":"web","group":"apps","kind":"deployments"},"code":404}"#
            )
        );
        let pods = Named {
            group: "",
            resource: "pods",
        };
        assert_eq!(
            Status::modified(pods, "web-0").message,
            "Operation cannot be fulfilled on pods \"web-0\": the object has been modified; \
             please apply your changes to the latest version and try again"
        );
        let deployment = Named {
            group: "apps",
            resource: "Deployment",
        };
        let cause = Cause::new(
            "FieldValueInvalid",
            "Invalid value: -1: too small",
            "spec.replicas",
        );
        assert_eq!(
            Status::invalid(deployment, "web", vec![cause.clone(), cause]).message,
            "Deployment.apps \"web\" is invalid: spec.replicas: Invalid value: -1: too small"
        );
        assert_eq!(quote("a\"b\\c\u{1}\n"), r#""a\"b\\c\x01\n""#);
    }

    proptest! {
        #[test]
        fn a_status_reads_back_as_it_was_written(
            name in "\\PC{0,8}", message in "\\PC{0,20}", code in 0..600_u16,
        ) {
            let status = Status::failure(code, Reason::Invalid, message.clone())
                .with(DEPLOYMENTS.details(&name))
                .and_cause(Cause::new("x", message, name));
            let again: Status = serde_json::from_slice(&status.to_bytes()).unwrap();
            prop_assert_eq!(again, status);
        }
    }
}
