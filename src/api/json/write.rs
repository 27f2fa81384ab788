//! Values as text, and into any format that serde writes.
//!
//! Book: `book/src/ground/trees.md`.

use serde::ser::{Serialize, Serializer};

use super::{Map, Value};

impl Value {
    /// Appends it as compact JSON: the text that [`Serialize`] gives, without serde's detours.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Value::Null => out.extend_from_slice(b"null"),
            Value::Bool(true) => out.extend_from_slice(b"true"),
            Value::Bool(false) => out.extend_from_slice(b"false"),
            // Writing to a vector cannot fail.
            Value::Number(number) => drop(serde_json::to_writer(out, number)),
            Value::String(text) => write_text(text, out),
            Value::Array(items) => {
                out.push(b'[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    item.write(out);
                }
                out.push(b']');
            }
            Value::Object(fields) => {
                out.push(b'{');
                write_fields(fields.iter(), out);
                out.push(b'}');
            }
        }
    }
}

/// Appends pairs with commas between them, without braces.
pub fn write_fields<'a, K: AsRef<str>>(
    pairs: impl Iterator<Item = (K, &'a Value)>,
    out: &mut Vec<u8>,
) {
    for (at, (key, value)) in pairs.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_text(key.as_ref(), out);
        out.push(b':');
        value.write(out);
    }
}

/// The bytes that a string does not hold as they are.
const ESCAPED: [bool; 256] = {
    let mut escaped = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        escaped[byte] = true;
        byte += 1;
    }
    escaped[b'"' as usize] = true;
    escaped[b'\\' as usize] = true;
    escaped
};

fn write_text(text: &str, out: &mut Vec<u8>) {
    let is_escaped = |byte: u8| ESCAPED[usize::from(byte)];
    if text.bytes().fold(false, |any, byte| any | is_escaped(byte)) {
        // Writing to a vector cannot fail.
        return drop(serde_json::to_writer(out, text));
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => to.serialize_unit(),
            Value::Bool(value) => to.serialize_bool(*value),
            Value::Number(number) => number.serialize(to),
            Value::String(text) => to.serialize_str(text),
            Value::Array(items) => to.collect_seq(items),
            Value::Object(fields) => fields.serialize(to),
        }
    }
}

impl Serialize for Map {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.iter().map(|(key, value)| (key.as_str(), value)))
    }
}
