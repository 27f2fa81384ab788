//! The patches a client can send: what each means, and the words each is refused with.
//!
//! The API server picks one by the request's content type and applies it to the current object
//! under its retry loop (`k8s.io/apiserver/pkg/endpoints/handlers/patch.go`). Server-side apply,
//! the fourth kind of patch, needs the object's owners too and is [`crate::apply`].
//!
//! | content type | module | a list in the patch |
//! |---|---|---|
//! | `application/json-patch+json` | [`json`] | is edited by position |
//! | `application/merge-patch+json` | [`merge`] | replaces the list |
//! | `application/strategic-merge-patch+json` | [`strategic`] | is merged item by item |
//!
//! 1. A refused patch changes nothing: each function takes the object by value and answers a new
//!    one or a [`Status`].
//!
//! Left out: YAML bodies, which the API server turns into JSON before it calls.
//!
//! Book: `book/src/control-plane/patch.md`.

pub mod json;
pub mod merge;
pub mod strategic;

use crate::json::{Value, text_of};

use crate::status::{Reason, Status};

/// Reads a body as JSON, or says why it is none in the words of Go's decoder.
pub fn decode(body: &[u8]) -> Result<Value, Status> {
    let text = text_of(body);
    serde_json::from_str(&text).map_err(|error| {
        if error.is_eof() {
            return Status::bad_request("unexpected end of JSON input");
        }
        let line = text
            .as_bytes()
            .split(|b| *b == b'\n')
            .nth(error.line().saturating_sub(1));
        let at = line.and_then(|line| line.get(error.column().saturating_sub(1)));
        let found = at.map_or(' ', |b| char::from(*b));
        Status::bad_request(format!(
            "invalid character '{found}' looking for beginning of value"
        ))
    })
}

/// A patch that reads well and does not fit the object: the API server hides the cause from the
/// client, as upstream does (`NewGenericServerResponse` with 422).
fn unprocessable() -> Status {
    let message = "the server rejected our request due to an error in our request";
    let status = Status::failure(422, Reason::Invalid, message.to_owned());
    status.with(crate::status::Details::default())
}

/// The name that Go's JSON decoder has for what it found.
fn go_json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
