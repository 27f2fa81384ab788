//! Pod templates: when two are the same, and the short hash that names a replica set after one.
//!
//! 1. Equality and hash ignore the label that carries the hash itself.
//! 2. Equal templates have equal hashes; the collision count changes the hash.
//!
//! Upstream hashes Go's printed form of the template, so its hashes differ from ours; both are
//! opaque. Upstream: `ComputeHash` in `pkg/controller/controller_utils.go`.
//!
//! Book: `book/src/controllers/deployment.md`.

use serde_json::{Map, Value};

use crate::views::Template;

/// The label by which a replica set's pods differ from its siblings'.
pub(super) const HASH_LABEL: &str = "pod-template-hash";

/// Whether two templates make the same pods.
pub(super) fn equal_but_for_hash(a: &Template, b: &Template) -> bool {
    normal(&a.0) == normal(&b.0)
}

// ANCHOR: hash
/// Names a template: FNV-1a over its JSON and the collision count, in letters that spell
/// no words.
pub(super) fn hash(template: &Template, collisions: Option<u32>) -> String {
    let mut hash: u32 = 0x811c_9dc5;
    let mut eat = |byte: u8| hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    normal(&template.0).to_string().bytes().for_each(&mut eat);
    if let Some(collisions) = collisions {
        u64::from(collisions)
            .to_le_bytes()
            .into_iter()
            .for_each(eat);
    }
    safe_text(&hash.to_string())
}
// ANCHOR_END: hash

/// `rand.SafeEncodeString`: no vowels, no 0, 1 and 3.
fn safe_text(digits: &str) -> String {
    const SAFE: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let letter = |byte: u8| SAFE.get(usize::from(byte) % SAFE.len()).copied();
    digits.bytes().filter_map(letter).map(char::from).collect()
}

/// The template without the hash label, nulls and what is empty: a client may or may not send them.
fn normal(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.remove(HASH_LABEL);
    }
    prune(template)
}

fn prune(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (name, prune(value)));
            Value::Object(
                fields
                    .filter(|(_, value)| !is_empty(value))
                    .collect::<Map<_, _>>(),
            )
        }
        Value::Array(items) => Value::Array(items.into_iter().map(prune).collect()),
        other => other,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn template(value: Value) -> Template {
        Template(value.into())
    }

    #[test]
    fn equal_templates_have_equal_hashes_and_the_hash_label_does_not_count() {
        let spec = json!({"containers": [{"name": "c", "image": "i"}]});
        let a = template(json!({"metadata": {"labels": {"app": "web"}}, "spec": spec}));
        let b = template(json!({
            "metadata": {"creationTimestamp": null, "labels": {"app": "web", HASH_LABEL: "x"}},
            "spec": spec,
        }));
        assert!(equal_but_for_hash(&a, &b));
        assert_eq!(hash(&a, None), hash(&b, None));
        assert_ne!(hash(&a, None), hash(&a, Some(1)));
        let c =
            template(json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}));
        assert!(!equal_but_for_hash(&a, &c));
        assert!(
            hash(&a, None)
                .bytes()
                .all(|b| b"bcdfghjklmnpqrstvwxz2456789".contains(&b))
        );
    }
}
