//! Answers: what a verb decided, turned into status line, headers and chunks.
//!
//! 1. What is written depends on what was decided alone, on whichever thread and whenever.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use wavetank_api::json::{Value, json};

use wavetank_api::{KindId, Response, Revision, Status, Time};

use crate::call::Call;
use crate::negotiate::{JSON, YAML};
use crate::object::{Object, Stored};
use crate::present::{Form, Representation};
use crate::rope::Rope;
use crate::subresources::scale;

/// A refusal; boxed, because it is large and rare.
pub(crate) type Refusal = Box<Status>;

/// Bodies longer than this are compressed for clients that ask (upstream's
/// `defaultGzipThresholdBytes`).
const GZIP_FROM: usize = 128 * 1024;

/// What a verb answers.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A refusal, or the success of a delete.
    Status(Refusal),
    /// A stored object.
    Stored(u16, Stored),
    /// An object that is not stored (a Scale, the result of a dry run).
    Value(u16, Value),
    /// A list.
    List(List),
    /// Anything else, ready made.
    Plain(Response),
}

/// A list to be answered.
#[derive(Debug)]
pub(crate) struct List {
    /// The revision that it shows.
    pub revision: Revision,
    /// In order of keys.
    pub objects: Vec<Arc<Object>>,
    /// Where to go on; empty at the end.
    pub next: String,
    /// How many are left, when that is known.
    pub remaining: Option<usize>,
}

impl From<Refusal> for Answer {
    fn from(status: Refusal) -> Self {
        Answer::Status(status)
    }
}

impl Answer {
    /// 500, for what cannot happen.
    pub fn internal(message: &str) -> Self {
        Answer::Status(Status::internal_error(message).into())
    }

    /// The status code.
    pub fn code(&self) -> u16 {
        match self {
            Answer::Status(status) if status.code == 0 => 200,
            Answer::Status(status) => status.code,
            Answer::Stored(code, _) | Answer::Value(code, _) => *code,
            Answer::List(_) => 200,
            Answer::Plain(response) => response.status,
        }
    }
}

// ANCHOR: decided
/// A request that is decided: what the answer says is known, its bytes are still to be
/// written.
///
/// Writing is most of the work of a large list, and needs nothing of the server: the
/// shell does it on the thread of the client's connection, while the server goes on.
#[derive(Debug)]
pub struct Decided {
    pub(crate) answer: Answer,
    /// How the client wants it; none when no request waited for what the shell brought.
    pub(crate) call: Option<Box<Call>>,
    /// The time at which it was decided: ages in tables are measured to it.
    pub(crate) now: Time,
}
// ANCHOR_END: decided

impl Decided {
    /// The status code of the answer.
    pub fn code(&self) -> u16 {
        self.answer.code()
    }

    /// Writes the whole response.
    pub fn response(self) -> Response {
        let code = self.code();
        let call = self.call.as_deref();
        let form = Representation {
            kind: call.map_or(KindId::Namespace, Call::kind),
            form: call.map_or(Form::Object, |call| call.accept.form),
        };
        let mut response = match self.answer {
            Answer::Status(status) => refusal(code, &status),
            Answer::Stored(_, stored) => {
                let mut out = Rope::default();
                form.write(&mut out, &stored, self.now);
                json(code, out)
            }
            Answer::Value(_, value) => {
                let is_scale = value.get("kind").and_then(Value::as_str) == Some("Scale");
                let value = match form.form {
                    Form::Table { beta, .. } if is_scale => scale::table(&value, beta, self.now),
                    _ => value,
                };
                Response::new(code, JSON, value.to_string())
            }
            Answer::List(list) => json(code, list.write(form, self.now)),
            Answer::Plain(response) => response,
        };
        if let Some(call) = call {
            rewrite(&mut response, call);
            finish_headers(&mut response, call);
        }
        response
    }
}

fn refusal(code: u16, status: &Status) -> Response {
    let mut response = Response::new(code, JSON, status.to_bytes());
    let wait = status.details.as_ref().map_or(0, |d| d.retry_after_seconds);
    if wait > 0 {
        response.headers.push("retry-after", wait.to_string());
    }
    response
}

/// YAML and `pretty=true`: forms for people, made from the finished JSON.
fn rewrite(response: &mut Response, call: &Call) {
    let is_json = response.headers.value("content-type") == Some(JSON);
    if !is_json || !(call.accept.yaml || call.pretty) {
        return;
    }
    let Ok(value) = serde_json::from_slice::<Value>(&response.bytes()) else {
        return;
    };
    if call.accept.yaml {
        if let Ok(text) = serde_saphyr::to_string(&value) {
            *response = Response::new(response.status, YAML, text);
        }
    } else {
        let text = serde_json::to_string_pretty(&value).unwrap_or_default() + "\n";
        response.body = vec![text.into()];
    }
}

fn finish_headers(response: &mut Response, call: &Call) {
    let length: usize = response.body.iter().map(Bytes::len).sum();
    let is_plain = response.headers.value("content-encoding").is_none();
    if call.gzip
        && is_plain
        && length > GZIP_FROM
        && let Some(body) = compress(&response.body)
    {
        response.body = vec![body];
        response.headers.push("content-encoding", "gzip");
        response.headers.push("vary", "Accept-Encoding");
    }
    add_common_headers(response, call);
    if call.is_head {
        response.body = Vec::new();
    }
}

/// The headers of every answer, streams included.
pub(crate) fn add_common_headers(response: &mut Response, call: &Call) {
    response.headers.push("audit-id", call.audit_id.clone());
    response.headers.push("cache-control", "no-cache, private");
    for warning in &call.warnings {
        let text = warning.replace('\\', "\\\\").replace('"', "\\\"");
        let text: String = text.chars().filter(|c| !c.is_control()).collect();
        response
            .headers
            .push("warning", format!("299 - \"{text}\""));
    }
}

fn compress(chunks: &[Bytes]) -> Option<Bytes> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(1));
    for chunk in chunks {
        encoder.write_all(chunk).ok()?;
    }
    encoder.finish().ok().map(Bytes::from)
}

fn json(code: u16, out: Rope) -> Response {
    let mut response = Response::new(code, JSON, Bytes::new());
    response.body = out.chunks();
    response
}

impl List {
    // ANCHOR: list
    fn write(&self, form: Representation, now: Time) -> Rope {
        let mut out = Rope::default();
        form.open_list(&mut out, &self.metadata());
        for (at, object) in self.objects.iter().enumerate() {
            out.text(if at > 0 { "," } else { "" });
            form.write_item(&mut out, &object.stored(), now);
        }
        out.text("]}");
        out
    }
    // ANCHOR_END: list

    fn metadata(&self) -> Value {
        let mut metadata = json!({"resourceVersion": self.revision.to_string()});
        if !self.next.is_empty() {
            metadata["continue"] = self.next.as_str().into();
        }
        if let Some(remaining) = self.remaining.filter(|_| !self.next.is_empty()) {
            metadata["remainingItemCount"] = remaining.into();
        }
        metadata
    }
}
