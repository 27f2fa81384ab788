//! Decodes of an object the fields that somebody looks at, and passes over the rest.
//!
//! Every version of every object is read once by each watch cache, for its labels and selectable
//! fields; every row of a table looks at a dozen fields of hundreds. Neither looks at the ledger of
//! field owners, which is the larger part of a small object.
//!
//! 1. What it gives is the object without the fields that lie on none of the paths:
//!    `what_it_gives_is_what_lies_on_the_paths`.
//!
//! Book: `book/src/control-plane/watch-cache.md`.

use core::fmt;
use std::collections::BTreeMap;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny};
use serde::de::{MapAccess, SeqAccess, Visitor};
use wavetank_api::json::{Map, Value};

/// Fields by name, and below each the paths that go on; where none does, all is taken.
#[derive(Debug, Default)]
pub(crate) struct Paths(BTreeMap<&'static str, Paths>);

impl Paths {
    /// Paths of names with dots between them, none of them the beginning of another. A path leads
    /// through all items of a list.
    pub fn new(paths: impl IntoIterator<Item = &'static str>) -> Self {
        let mut root = Paths::default();
        for path in paths {
            let names = path.split('.');
            names.fold(&mut root, |at, name| at.0.entry(name).or_default());
        }
        root
    }
}

// ANCHOR: sparse
/// The object of these bytes as far as it lies on the paths; `None` for bytes that are
/// no object.
pub(crate) fn decode(bytes: &[u8], paths: &Paths) -> Option<Value> {
    let text = core::str::from_utf8(bytes).ok()?;
    let mut json = serde_json::Deserializer::from_str(text);
    let object = paths.deserialize(&mut json).ok()?;
    json.end().ok()?;
    Some(object).filter(Value::is_object)
}

impl<'de> DeserializeSeed<'de> for &Paths {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        if self.0.is_empty() {
            Value::deserialize(from)
        } else {
            from.deserialize_any(self)
        }
    }
}

impl<'de> Visitor<'de> for &Paths {
    type Value = Value;

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(known) = entries.next_key_seed(Name(self))? {
            match known {
                Some((name, below)) => {
                    fields.insert(name, entries.next_value_seed(below)?);
                }
                None => {
                    entries.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(fields.into())
    }
    // ANCHOR_END: sparse

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
}

/// Reads a field's name, and gives what is known of it.
struct Name<'a>(&'a Paths);

impl<'a, 'de> DeserializeSeed<'de> for Name<'a> {
    type Value = Option<(&'static str, &'a Paths)>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Name<'a> {
    type Value = Option<(&'static str, &'a Paths)>;

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        let known = self.0.0.get_key_value(name);
        Ok(known.map(|(name, below)| (*name, below)))
    }

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wavetank_api::json::json;

    #[test]
    fn what_it_gives_is_what_lies_on_the_paths() {
        let paths = Paths::new([
            "metadata.labels",
            "spec.containers.name",
            "spec.containers.ports.port",
            "spec.replicas",
        ]);
        let text = r#"{"kind":"Pod","metadata":{"annotations":{"a\n":"b"},"labels":{"x":"y"},
            "managedFields":[{"manager":"m"}],"name":"n"},"spec":{"replicas":null,"containers":[
            {"name":"a","image":"i","ports":[]},{"name":"b","ports":[{"port":1,"name":"p"}]},7]}}"#;
        let expected = json!({"metadata": {"labels": {"x": "y"}}, "spec": {"replicas": null,
            "containers": [{"name": "a", "ports": []}, {"name": "b", "ports": [{"port": 1}]}, 7]}});
        assert_eq!(decode(text.as_bytes(), &paths), Some(expected));
        assert_eq!(decode(b"[]", &paths), None);
        assert_eq!(decode(b"{} {}", &paths), None);
    }
}
