//! Binary bodies: `k8s\0` and a protobuf envelope, decoded into the same values as JSON.
//!
//! kubectl 1.32 and later sends the bodies of its typed clients (`create deployment`, `create
//! token`, …) so, and does not fall back to JSON; answers may stay JSON. Format:
//! `apimachinery/pkg/runtime/serializer/protobuf` and `runtime/generated.proto` (`Unknown`).
//!
//! We keep no generated messages: a message is a row of field numbers ([`messages`]), and what a
//! field holds the [`crate::schema`] knows already.
//!
//! 1. A command gives the same value in both encodings: `recorded_bodies_are_the_same_in_both`.
//! 2. No bytes make it panic, and the value is no more than a constant times the bytes:
//!    `any_bytes_are_a_value_or_an_error`, `damaged_bodies_are_a_value_or_an_error`.
//!
//! Left out: encoding, `Status`, and protobuf's groups.
//!
//! Book: `book/src/ground/wire.md`.

use crate::json::{Map, Value};

use crate::kinds::{KindId, VirtualId};
use crate::schema::{Schema, TypeId};
use crate::strict;

mod messages;
mod reader;
mod values;

use reader::{Reader, Wire};

/// The content type of such bodies.
pub const CONTENT_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// What every such body begins with.
pub const MAGIC: [u8; 4] = *b"k8s\0";

/// Why a body cannot be used; the messages are upstream's where it has one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The magic is missing.
    #[error(
        "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
    )]
    NotProtobuf,
    /// The bytes end within a field.
    #[error("unexpected EOF")]
    Truncated,
    /// A variable-length number of more than 64 bits.
    #[error("proto: integer overflow")]
    Overflow,
    /// A tag that protobuf does not allow, or a group.
    #[error("proto: illegal tag {number} (wire type {wire})")]
    IllegalTag {
        /// Field number.
        number: u64,
        /// The tag's lowest three bits.
        wire: u8,
    },
    /// A known field in an encoding that its type does not have.
    #[error("proto: wrong wireType = {wire} for field {field}")]
    WrongWire {
        /// The tag's lowest three bits.
        wire: u8,
        /// The field's name in JSON.
        field: String,
    },
    /// The envelope names a kind that has no message here.
    #[error("no kind \"{kind}\" is registered for version \"{api_version}\"")]
    UnknownKind {
        /// `apiVersion` of the envelope.
        api_version: String,
        /// `kind` of the envelope.
        kind: String,
    },
    /// The envelope's content is encoded in a way that is not supported.
    #[error("unsupported content encoding of a protobuf body: {0}")]
    ContentEncoding(String),
    /// Text within the message (a quantity, a set of fields) is malformed.
    #[error(transparent)]
    Value(#[from] strict::Error),
}

/// The envelope: `runtime.Unknown`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Envelope<'a> {
    api_version: String,
    kind: String,
    raw: &'a [u8],
    content_encoding: String,
}

// ANCHOR: decode
/// Decodes a body into the value its JSON form would be, `apiVersion` and `kind`
/// included.
pub fn decode(bytes: &[u8]) -> Result<Value, Error> {
    let envelope = envelope(bytes.strip_prefix(&MAGIC).ok_or(Error::NotProtobuf)?)?;
    let schema = Schema::builtin();
    let ty = type_of(&envelope, schema).and_then(|ty| Some((ty, messages::of(ty)?)));
    let Envelope {
        api_version,
        kind,
        raw,
        ..
    } = envelope;
    let Some((ty, message)) = ty else {
        return Err(Error::UnknownKind { api_version, kind });
    };
    let mut object = Map::new();
    values::message(raw, message, &mut object)?;
    object.insert("apiVersion", api_version.into());
    object.insert("kind", kind.into());
    let mut value = Value::Object(object);
    strict::check(&mut value, ty)?;
    Ok(value)
}
// ANCHOR_END: decode

fn type_of(envelope: &Envelope, schema: &Schema) -> Option<TypeId> {
    let (api_version, kind) = (envelope.api_version.as_str(), envelope.kind.as_str());
    let stored = KindId::by_kind(api_version, kind).map(|id| schema.kind(id));
    let spoken = || VirtualId::by_kind(api_version, kind).map(|id| schema.virtual_kind(id));
    stored.or_else(spoken)
}

fn envelope(bytes: &[u8]) -> Result<Envelope<'_>, Error> {
    let mut envelope = Envelope::default();
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.tag()? {
        match (number, wire) {
            (1, Wire::Bytes(meta)) => {
                let mut reader = Reader::new(meta);
                while let Some((number, wire)) = reader.tag()? {
                    match (number, wire) {
                        (1, Wire::Bytes(text)) => envelope.api_version = text_of(text),
                        (2, Wire::Bytes(text)) => envelope.kind = text_of(text),
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(raw)) => envelope.raw = raw,
            (3, Wire::Bytes(text)) => envelope.content_encoding = text_of(text),
            _ => {}
        }
    }
    match envelope.content_encoding.as_str() {
        "" => Ok(envelope),
        _ => Err(Error::ContentEncoding(envelope.content_encoding)),
    }
}

/// Go's strings may hold any bytes; its JSON encoder replaces what is not UTF-8.
fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests;
