//! Bodies to values: what does not fit its type is refused, what has no field is reported and
//! dropped, in upstream's words.
//!
//! The API server decodes every JSON and YAML body here (binary ones: [`crate::protobuf`]), so the
//! rest of the server meets only values that fit their type. Upstream does this with Go's typed
//! structs (`sigs.k8s.io/json`, `apimachinery/pkg/runtime/serializer`); we walk a
//! [`crate::json::Value`] beside its [`crate::schema`].
//!
//! 1. A value that passed fits its type, and passes again unchanged:
//!    `what_passed_fits_and_passes_unchanged`.
//! 2. No bytes make it panic: `any_bytes_are_a_value_or_an_error`.
//!
//! As Go does, a `null` is an absent field, quantities and times become canonical, and the last of
//! duplicate keys wins. Left out: Go's matching of field names without regard to case (upstream
//! switched it off), and aliases in YAML.
//!
//! Book: `book/src/ground/wire.md`.

use crate::json::Value;

use crate::kinds::{KindId, VirtualId};
use crate::schema::{Schema, TypeId};

mod check;
mod parse;

/// Upstream reports no more unknown and duplicate fields than this
/// (`sigs.k8s.io/json/internal/golang/encoding/json`, `maxStrictErrors`).
const COMPLAINTS_MAX: usize = 100;

/// What to do about unknown and duplicate fields: the query parameter `fieldValidation`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Say nothing.
    Ignore,
    /// A `Warning` header for each; what the server does when not asked.
    #[default]
    Warn,
    /// Refuse the request.
    Strict,
}

impl FieldValidation {
    /// The value of the query parameter; empty for the default, `None` for what is not supported.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" | "Warn" => Some(FieldValidation::Warn),
            "Ignore" => Some(FieldValidation::Ignore),
            "Strict" => Some(FieldValidation::Strict),
            _ => None,
        }
    }
}

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// RFC 8259.
    Json,
    /// YAML as kubectl reads it: 1.1's booleans and octal numbers, one document.
    Yaml,
}

/// Why a body cannot be used at all; the messages are upstream's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is neither JSON nor YAML.
    #[error("couldn't get version/kind; json parse error: {0}")]
    Syntax(String),
    /// It is JSON or YAML, but not of the kind's type.
    #[error("{0}")]
    Type(String),
}

/// A body that fits its type.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The value without unknown fields.
    pub value: Value,
    /// `duplicate field "spec.x"`, `unknown field "spec.y"`, in order.
    pub complaints: Vec<String>,
}

impl Decoded {
    /// What [`FieldValidation::Strict`] answers, if there is anything to complain about.
    pub fn strict_error(&self) -> Option<String> {
        strict_error(&self.complaints)
    }
}

/// `strict decoding error: unknown field "spec.y"`; `None` without complaints.
pub fn strict_error(complaints: &[String]) -> Option<String> {
    (!complaints.is_empty()).then(|| format!("strict decoding error: {}", complaints.join(", ")))
}

/// The message around a decoding error in a `Status` of reason `BadRequest`: `Deployment in version
/// "v1" cannot be handled as a Deployment: …` (`apiserver/pkg/endpoints/handlers/rest.go`).
/// `version` is without its group.
pub fn message(kind: &str, version: &str, error: &str) -> String {
    format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {error}")
}

/// Decodes an object of a kind.
pub fn decode(bytes: &[u8], encoding: Encoding, kind: KindId) -> Result<Decoded, Error> {
    decode_as(bytes, encoding, Schema::builtin().kind(kind))
}

/// Decodes a body of a virtual kind.
pub fn decode_virtual(bytes: &[u8], encoding: Encoding, kind: VirtualId) -> Result<Decoded, Error> {
    decode_as(bytes, encoding, Schema::builtin().virtual_kind(kind))
}

/// Decodes a body of a type: parse, then compare with the schema.
pub fn decode_as(bytes: &[u8], encoding: Encoding, ty: TypeId) -> Result<Decoded, Error> {
    let (mut value, mut complaints) = parse(bytes, encoding)?;
    complaints.append(&mut check(&mut value, ty)?);
    complaints.truncate(COMPLAINTS_MAX);
    Ok(Decoded { value, complaints })
}

/// Reads a body without a type; the complaints are of duplicate keys, of which the last wins.
pub fn parse(bytes: &[u8], encoding: Encoding) -> Result<(Value, Vec<String>), Error> {
    match encoding {
        Encoding::Json => parse::json(bytes),
        Encoding::Yaml => parse::yaml(bytes),
    }
}

/// Compares a value with a type of the built-in schema: an error when it does not fit; else drops
/// and reports unknown fields, drops nulls and optional lists and maps that are empty, and makes
/// quantities and times canonical.
pub fn check(value: &mut Value, ty: TypeId) -> Result<Vec<String>, Error> {
    check::run(Schema::builtin(), value, None, ty)
}

/// The same for a value that was made from one that has been checked: what they share is passed
/// over.
pub fn check_change(value: &mut Value, old: &Value, ty: TypeId) -> Result<Vec<String>, Error> {
    check::run(Schema::builtin(), value, Some(old), ty)
}

#[cfg(test)]
mod tests;
