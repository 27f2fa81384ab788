//! An OpenAPI v2 document as protobuf, in which alone kubectl takes it.
//!
//! Which number is which field: `openapiv2/OpenAPIv2.proto` of github.com/google/gnostic-models.
//! What a document of ours never says has no line here.
//!
//! Book: `book/src/ground/wire.md`.

use crate::json::Value;

/// A message that is being written.
#[derive(Default)]
struct Message(Vec<u8>);

/// Wire type of a number.
const VARINT: u64 = 0;
/// Wire type of bytes.
const BYTES: u64 = 2;

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            // The low seven bits, and the mark that more follow.
            self.0.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn bytes(&mut self, number: u64, bytes: &[u8]) {
        self.varint(number << 3 | BYTES);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn message(&mut self, number: u64, message: &Message) {
        self.bytes(number, &message.0);
    }

    /// A text, unless it is not there.
    fn text(&mut self, number: u64, of: &Value, name: &str) {
        if let Some(text) = of.get(name).and_then(Value::as_str) {
            self.bytes(number, text.as_bytes());
        }
    }

    fn texts(&mut self, number: u64, of: &Value, name: &str) {
        for text in items(of, name).filter_map(Value::as_str) {
            self.bytes(number, text.as_bytes());
        }
    }

    fn boolean(&mut self, number: u64, of: &Value, name: &str) {
        if of.get(name).and_then(Value::as_bool) == Some(true) {
            self.varint(number << 3 | VARINT);
            self.varint(1);
        }
    }

    /// One `Named…` message for each entry of a map.
    fn named(&mut self, number: u64, of: &Value, each: fn(&Value) -> Message) {
        for (name, value) in of.as_object().into_iter().flatten() {
            let mut named = Message::default();
            named.bytes(1, name.as_bytes());
            named.message(2, &each(value));
            self.message(number, &named);
        }
    }

    /// `x-…`: `NamedAny`, whose values are texts of YAML; JSON is one.
    fn extensions(&mut self, number: u64, of: &Value) {
        let all = of.as_object().into_iter().flatten();
        for (name, value) in all.filter(|(name, _)| name.starts_with("x-")) {
            let mut any = Message::default();
            any.bytes(2, value.to_string().as_bytes());
            let mut named = Message::default();
            named.bytes(1, name.as_bytes());
            named.message(2, &any);
            self.message(number, &named);
        }
    }
}

fn items<'a>(of: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    of.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// A message with one field.
fn only(number: u64, message: &Message) -> Message {
    let mut outer = Message::default();
    outer.message(number, message);
    outer
}

/// `Document`.
pub(super) fn encode(document: &Value) -> Vec<u8> {
    let mut message = Message::default();
    message.text(1, document, "swagger");
    let mut info = Message::default();
    if let Some(of) = document.get("info") {
        info.text(1, of, "title");
        info.text(2, of, "version");
    }
    message.message(2, &info);
    let mut paths = Message::default();
    paths.named(2, &document["paths"], path_item);
    message.message(8, &paths);
    let mut definitions = Message::default();
    definitions.named(1, &document["definitions"], schema);
    message.message(9, &definitions);
    message.0
}

fn path_item(of: &Value) -> Message {
    let mut message = Message::default();
    let methods = [
        ("get", 2),
        ("put", 3),
        ("post", 4),
        ("delete", 5),
        ("patch", 8),
    ];
    for (method, number) in methods {
        if let Some(of) = of.get(method) {
            message.message(number, &operation(of));
        }
    }
    for of in items(of, "parameters") {
        message.message(9, &parameter(of));
    }
    message
}

fn operation(of: &Value) -> Message {
    let mut message = Message::default();
    message.texts(1, of, "tags");
    message.text(5, of, "operationId");
    message.texts(6, of, "produces");
    message.texts(7, of, "consumes");
    for of in items(of, "parameters") {
        message.message(8, &parameter(of));
    }
    let mut responses = Message::default();
    responses.named(1, &of["responses"], |of| {
        let mut response = Message::default();
        response.text(1, of, "description");
        if let Some(of) = of.get("schema") {
            response.message(2, &only(1, &schema(of)));
        }
        only(1, &response)
    });
    message.message(9, &responses);
    message.extensions(13, of);
    message
}

/// `ParametersItem`, around `Parameter`, around what kind of parameter it is.
fn parameter(of: &Value) -> Message {
    let mut message = Message::default();
    let place = of.get("in").and_then(Value::as_str).unwrap_or_default();
    if place == "body" {
        message.text(2, of, "name");
        message.text(3, of, "in");
        message.boolean(4, of, "required");
        message.message(5, &schema(&of["schema"]));
        return only(1, &only(1, &message));
    }
    message.boolean(1, of, "required");
    message.text(2, of, "in");
    message.text(3, of, "description");
    message.text(4, of, "name");
    let (kind, of_type, unique) = match place {
        "path" => (4, 5, 18),
        _ => (3, 6, 20),
    };
    message.text(of_type, of, "type");
    message.boolean(unique, of, "uniqueItems");
    only(1, &only(2, &only(kind, &message)))
}

fn schema(of: &Value) -> Message {
    let mut message = Message::default();
    message.text(1, of, "$ref");
    message.text(2, of, "format");
    message.text(4, of, "description");
    message.texts(19, of, "required");
    if let Some(of) = of.get("additionalProperties") {
        message.message(21, &only(1, &schema(of)));
    }
    if of.get("type").is_some() {
        let mut kind = Message::default();
        kind.text(1, of, "type");
        message.message(22, &kind);
    }
    if let Some(of) = of.get("items") {
        message.message(23, &only(1, &schema(of)));
    }
    if let Some(of) = of.get("properties") {
        let mut properties = Message::default();
        properties.named(1, of, schema);
        message.message(25, &properties);
    }
    message.extensions(31, of);
    message
}
