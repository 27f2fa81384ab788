//! Objects at rest: how they are written to the store and read back, and the header the cache
//! keeps.
//!
//! The watch cache holds [`Object`]s; the verbs encode with [`encode`] and hand out stored bytes
//! with the resourceVersion spliced in, never re-encoded.
//!
//! 1. Stored bytes begin with `{"apiVersion":…,"kind":…,"metadata":{`, which is the same text for
//!    all objects of a kind, so that the place of the splice is known without looking.
//! 2. Stored bytes never hold a resourceVersion: it is the revision of the key.
//! 3. `decode` after `encode` gives the same object.
//!
//! Book: `book/src/control-plane/watch-cache.md`.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use serde::de::IgnoredAny;
use wavetank_api::json::{self, Map, Value};

use wavetank_api::kinds::KINDS;
use wavetank_api::selector::{FieldSelector, LabelSelector, Labels};
use wavetank_api::{KindId, Revision};
use wavetank_store::KeyValue;

use crate::object::header::Header;
use crate::registry;

mod header;
pub(crate) mod sparse;

pub(crate) use sparse::Paths;

/// What every object of a kind begins with, up to and including the brace that opens `metadata`.
static HEADS: LazyLock<Vec<Bytes>> = LazyLock::new(|| {
    let head = |k: &wavetank_api::kinds::Kind| {
        format!(
            r#"{{"apiVersion":"{}","kind":"{}","metadata":{{"#,
            k.api_version, k.kind
        )
    };
    KINDS.iter().map(|kind| head(kind).into()).collect()
});

/// What a header is made of.
static HEADERS: LazyLock<Vec<Paths>> = LazyLock::new(|| {
    let paths = |kind| registry::strategy(kind).field_paths.iter().copied();
    let paths = |kind| Paths::new(["metadata.labels"].into_iter().chain(paths(kind)));
    KINDS.iter().map(|kind| paths(kind.id)).collect()
});

/// The selectable fields of each kind, in the order in which headers hold their values.
static FIELDS: LazyLock<Vec<Vec<&'static str>>> = LazyLock::new(|| {
    let fields = |kind| (registry::strategy(kind).fields)(&Value::Null);
    let names = |kind| fields(kind).into_iter().map(|(name, _)| name).collect();
    KINDS.iter().map(|kind| names(kind.id)).collect()
});

/// The common beginning of all stored objects of a kind.
pub(crate) fn head(kind: KindId) -> &'static Bytes {
    static NONE: Bytes = Bytes::new();
    HEADS.get(kind as usize).unwrap_or(&NONE)
}

// ANCHOR: encode
/// The bytes to store: constant head, then the rest by key, no resourceVersion.
pub(crate) fn encode(kind: KindId, object: &mut Value) -> Bytes {
    let mut out = Vec::with_capacity(1024);
    out.extend_from_slice(head(kind));
    let Some(fields) = object.as_object_mut() else {
        return out.into();
    };
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("resourceVersion");
        json::write_fields(metadata.iter(), &mut out);
    }
    out.push(b'}');
    let mut rest = fields.iter().filter(|(key, _)| !is_in_head(key)).peekable();
    if rest.peek().is_some() {
        out.push(b',');
    }
    json::write_fields(rest, &mut out);
    out.push(b'}');
    Bytes::copy_from_slice(&out) // kept as long as the version, so without room to grow
}
// ANCHOR_END: encode

fn is_in_head(key: &str) -> bool {
    matches!(key, "apiVersion" | "kind" | "metadata")
}

/// The object of these stored bytes, with its resourceVersion; `None` for bytes that are none.
pub(crate) fn decode(bytes: &[u8], revision: Revision) -> Option<Value> {
    let mut value: Value = json::read(bytes).ok()?;
    set_version(&mut value, revision)?;
    Some(value)
}

/// Gives an object the resourceVersion that `encode` took from it; `None`: it has no metadata.
pub(crate) fn set_version(object: &mut Value, revision: Revision) -> Option<()> {
    let metadata = object.get_mut("metadata")?.as_object_mut()?;
    metadata.insert("resourceVersion", revision.to_string().into());
    Some(())
}

/// `"resourceVersion":"42",`: what is spliced in behind the head. Nothing for what was never
/// written.
pub(crate) fn splice(revision: Revision) -> String {
    match revision {
        Revision(0) => String::new(),
        _ => format!(r#""resourceVersion":"{revision}","#),
    }
}

/// Stored bytes and the revision they are to be shown at.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// The kind it is stored as.
    pub kind: KindId,
    /// What [`encode`] made.
    pub bytes: Bytes,
    /// Shown as resourceVersion; 0: it has none, because it was never written (a dry run).
    pub revision: Revision,
}

impl Stored {
    /// The object, decoded, with its resourceVersion; null for bytes that are none.
    pub fn value(&self) -> Value {
        decode(&self.bytes, self.revision).unwrap_or_default()
    }

    /// What lies on these paths; `None` for bytes that are no object.
    pub fn sparse(&self, paths: &Paths) -> Option<Value> {
        sparse::decode(&self.bytes, paths)
    }

    /// Where `metadata` ends, its brace included.
    pub fn metadata_end(&self) -> usize {
        let opens = head(self.kind).len().saturating_sub(1);
        let rest = self.bytes.get(opens..).unwrap_or_default();
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
        match values.next() {
            Some(Ok(_)) => opens + values.byte_offset(),
            _ => self.bytes.len(),
        }
    }
}

/// One version of one object, as the watch cache holds it.
#[derive(Debug)]
pub(crate) struct Object {
    /// The store's version: key, bytes, revisions.
    pub kv: Arc<KeyValue>,
    /// The kind it is stored as.
    pub kind: KindId,
    /// `metadata.labels`, and the selectable fields beyond name and namespace.
    header: Header,
}

impl Object {
    /// Reads the header of a version; `None` when the bytes are no object of this kind.
    pub fn read(kind: KindId, kv: Arc<KeyValue>) -> Option<Self> {
        if !kv.value.starts_with(head(kind)) {
            return None;
        }
        let value = sparse::decode(&kv.value, HEADERS.get(kind as usize)?)?;
        Some(Object::from_value(kind, kv, &value))
    }

    /// The same for an object that is at hand in decoded form too.
    pub fn from_value(kind: KindId, kv: Arc<KeyValue>, value: &Value) -> Self {
        let none = Map::new();
        let labels = value.pointer("/metadata/labels").and_then(Value::as_object);
        let labels = labels.unwrap_or(&none).iter();
        let labels = labels.map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()));
        let fields = (registry::strategy(kind).fields)(value);
        let fields = fields.iter().map(|(_, value)| value.as_str());
        let header = Header::new(labels, fields);
        Object { kv, kind, header }
    }

    /// The revision that wrote this version.
    pub fn revision(&self) -> Revision {
        self.kv.mod_revision
    }

    /// The namespace; empty for cluster-scoped kinds.
    pub fn namespace(&self) -> &str {
        KindId::of_key(&self.kv.key).map_or("", |(_, namespace, _)| namespace)
    }

    /// The name.
    pub fn name(&self) -> &str {
        KindId::of_key(&self.kv.key).map_or("", |(_, _, name)| name)
    }

    /// Its bytes, at its revision.
    pub fn stored(&self) -> Stored {
        self.stored_at(self.revision())
    }

    /// Its bytes, shown at a later revision: that of its deletion.
    pub fn stored_at(&self, revision: Revision) -> Stored {
        Stored {
            kind: self.kind,
            bytes: self.kv.value.clone(),
            revision,
        }
    }

    /// The object, decoded, with its resourceVersion.
    pub fn value(&self) -> Value {
        self.stored().value()
    }

    /// The value of a selectable field; empty when it has none.
    pub fn field(&self, name: &str) -> &str {
        match name {
            "metadata.name" => self.name(),
            "metadata.namespace" => self.namespace(),
            _ => self.selectable(name).unwrap_or_default(),
        }
    }

    fn selectable(&self, name: &str) -> Option<&str> {
        let names = FIELDS.get(self.kind as usize)?;
        let at = names.iter().position(|known| *known == name)?;
        self.header.field(at)
    }

    /// Whether both selectors mean it.
    pub fn is_selected(&self, labels: &LabelSelector, fields: &FieldSelector) -> bool {
        labels.matches(self) && fields.matches(|name| self.field(name))
    }
}

impl Labels for Object {
    fn label(&self, key: &str) -> Option<&str> {
        self.header.label(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wavetank_api::json::json;

    #[test]
    fn decode_after_encode_gives_the_same_object() {
        let mut object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "\"metadata\":{"},
            "metadata": {"name": "a", "labels": {"x": "y"}, "resourceVersion": "7"},
        });
        let bytes = encode(KindId::ConfigMap, &mut object);
        let head = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"#;
        let rest = r#""labels":{"x":"y"},"name":"a"},"data":{"a":"\"metadata\":{"}}"#;
        assert_eq!(bytes, format!("{head}{rest}"));
        object["metadata"]["resourceVersion"] = "9".into();
        assert_eq!(decode(&bytes, Revision(9)), Some(object));
    }
}
