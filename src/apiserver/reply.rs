//! Answers: what a verb decided, turned into status line, headers and chunks.
//!
//! 1. An object in its own form goes out as the bytes that are stored, in three chunks.
//! 2. A list of stored objects copies none of them.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use wavetank_api::{KindId, Response, Revision, Status, Time};

use crate::call::Call;
use crate::negotiate::{JSON, YAML};
use crate::object::{Object, Stored, head, splice};
use crate::present::{Form, Representation, partial};
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
    /// The kind as the client speaks of it.
    pub kind: KindId,
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

    /// The whole response.
    pub fn respond(self, call: &Call, now: Time) -> Response {
        let kind = call.kind();
        let form = Representation {
            kind,
            form: call.accept.form,
        };
        let mut response = match self {
            Answer::Status(status) => {
                let code = if status.code == 0 { 200 } else { status.code };
                let mut response = Response::new(code, JSON, status.to_bytes());
                let wait = status.details.as_ref().map_or(0, |d| d.retry_after_seconds);
                if wait > 0 {
                    response.headers.push("retry-after", wait.to_string());
                }
                response
            }
            Answer::Stored(code, stored) => {
                let mut response = Response::new(code, JSON, Bytes::new());
                response.body = form.chunks(&stored, now);
                response
            }
            Answer::Value(code, value) => {
                let name = value.get("kind").and_then(Value::as_str);
                let value = match (name, form.form) {
                    (Some("Scale"), Form::Table { beta, .. }) => scale::table(&value, beta, now),
                    (Some(name), _) if name == kind.info().kind => form.of_value(value, now),
                    _ => value,
                };
                Response::new(code, JSON, value.to_string())
            }
            Answer::List(list) => {
                let mut response = Response::new(200, JSON, Bytes::new());
                response.body = list.chunks(form, now);
                response
            }
            Answer::Plain(response) => response,
        };
        rewrite(&mut response, call);
        finish_headers(&mut response, call);
        response
    }
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

impl List {
    fn chunks(&self, form: Representation, now: Time) -> Vec<Bytes> {
        match form.form {
            Form::Table { beta: _, .. } => {
                let rows = self
                    .objects
                    .iter()
                    .map(|object| form.row(object.value(), now));
                vec![
                    form.table(self.metadata(), rows.collect())
                        .to_string()
                        .into(),
                ]
            }
            Form::Metadata => {
                let items: Vec<Value> = self
                    .objects
                    .iter()
                    .map(|object| partial(&object.value()))
                    .collect();
                let list = json!({"kind": "PartialObjectMetadataList",
                    "apiVersion": "meta.k8s.io/v1", "metadata": self.metadata(), "items": items});
                vec![list.to_string().into()]
            }
            Form::Object => self.items(form, now),
        }
    }

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

    // ANCHOR: items
    /// `{"kind":"PodList",…,"items":[…]}` without copying an object: what stands between two
    /// objects is written into one buffer, and the chunks are slices of it and of stored bytes.
    /// Items carry no `kind` and `apiVersion` of their own, as upstream's typed lists do not.
    fn items(&self, form: Representation, now: Time) -> Vec<Bytes> {
        let info = self.kind.info();
        let mut between = Vec::with_capacity(64 * (self.objects.len() + 4));
        // Writing to a Vec cannot fail.
        let _ = write!(
            between,
            r#"{{"kind":"{}List","apiVersion":"{}","metadata":{},"items":["#,
            info.kind,
            info.api_version,
            self.metadata()
        );
        if form.kind.stored_as() != form.kind {
            for (at, object) in self.objects.iter().enumerate() {
                between.extend_from_slice(if at > 0 { b"," } else { b"" });
                form.write(&mut between, &object.stored(), now);
            }
            between.extend_from_slice(b"]}");
            return vec![between.into()];
        }
        let mut cuts = Vec::with_capacity(self.objects.len() + 1);
        for (at, object) in self.objects.iter().enumerate() {
            between.extend_from_slice(if at > 0 { b"," } else { b"" });
            let _ = write!(between, r#"{{"metadata":{{{}"#, splice(object.revision()));
            cuts.push(between.len());
        }
        between.extend_from_slice(b"]}");
        let (between, head_len) = (Bytes::from(between), head(self.kind).len());
        let mut chunks = Vec::with_capacity(2 * self.objects.len() + 1);
        let mut from = 0;
        for (object, upto) in self.objects.iter().zip(cuts) {
            chunks.push(between.slice(from..upto));
            chunks.push(object.kv.value.slice(head_len.min(object.kv.value.len())..));
            from = upto;
        }
        chunks.push(between.slice(from..));
        chunks
    }
    // ANCHOR_END: items
}
