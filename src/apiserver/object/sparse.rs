//! Decodes of an object what a header may need, and passes over the rest.
//!
//! Every version of every object is read once by each watch cache, for its labels and selectable
//! fields. None of these lies in the ledger of field owners or in the annotations, which can be the
//! larger part of a small object.
//!
//! 1. What it gives is the object without `metadata.managedFields` and `metadata.annotations`.
//!
//! Book: `book/src/control-plane/watch-cache.md`.

use core::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

/// The fields of `metadata` that no selector can ask for.
const PASSED_OVER: [&str; 2] = ["managedFields", "annotations"];

/// An object without what lies outside every header; `None` for bytes that are no object.
pub(super) fn decode(bytes: &[u8]) -> Option<Value> {
    let Sparse(object) = serde_json::from_slice(bytes).ok()?;
    Some(Value::Object(object))
}

struct Sparse(Map<String, Value>);

struct Metadata(Map<String, Value>);

impl<'de> Deserialize<'de> for Sparse {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Fields).map(Sparse)
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(MetadataFields).map(Metadata)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let value = match name.as_str() {
                "metadata" => Value::Object(entries.next_value::<Metadata>()?.0),
                _ => entries.next_value()?,
            };
            fields.insert(name, value);
        }
        Ok(fields)
    }
}

struct MetadataFields;

impl<'de> Visitor<'de> for MetadataFields {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("metadata")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            if PASSED_OVER.contains(&name.as_str()) {
                entries.next_value::<IgnoredAny>()?;
            } else {
                fields.insert(name, entries.next_value()?);
            }
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_it_gives_is_the_object_without_ledger_and_annotations() {
        let text = r#"{"kind":"Pod","metadata":{"annotations":{"a":"b"},"labels":{"x":"y"},
            "managedFields":[{"manager":"m"}],"name":"n"},"spec":{"nodeName":"n1"}}"#;
        let expected = json!({"kind": "Pod", "metadata": {"labels": {"x": "y"}, "name": "n"},
            "spec": {"nodeName": "n1"}});
        assert_eq!(decode(text.as_bytes()), Some(expected));
        assert_eq!(decode(b"{\"metadata\":1}"), None);
    }
}
