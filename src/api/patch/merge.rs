//! JSON merge patch: an object laid over the object, where null removes (RFC 7386).
//!
//! `kubectl label`, `annotate` and `scale` send it, and every patch of a custom resource.
//!
//! 1. The diff of two objects without nulls turns the one into the other:
//!    `a_computed_patch_reproduces_the_target`.
//!
//! Book: `book/src/control-plane/patch.md`.

use crate::json::{Map, Value};

use super::{decode, go_json_type};
use crate::status::Status;

/// Lays the patch in `body` over `object`; a body that is no JSON object is refused with 400.
pub fn apply(object: Value, body: &[u8]) -> Result<Value, Status> {
    let patch = decode(body).map_err(|status| {
        Status::bad_request(format!("error decoding patch: {}", status.message))
    })?;
    if !patch.is_object() {
        let found = go_json_type(&patch);
        return Err(Status::bad_request(format!(
            "error decoding patch: json: cannot unmarshal {found} into Go value of type \
             map[string]interface {{}}"
        )));
    }
    Ok(lay_over(object, patch))
}

// ANCHOR: merge
/// RFC 7386, section 2: `MergePatch(target, patch)`.
pub fn lay_over(target: Value, patch: Value) -> Value {
    let Value::Object(changes) = patch else {
        return patch;
    };
    let mut fields = match target {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    for (name, change) in changes {
        if change.is_null() {
            fields.remove(&name);
        } else {
            let before = fields.remove(&name).unwrap_or_default();
            fields.insert(name, lay_over(before, change));
        }
    }
    Value::Object(fields)
}
// ANCHOR_END: merge

/// The patch that turns `from` into `to`; both without nulls.
pub fn diff(from: &Value, to: &Value) -> Value {
    let (Value::Object(old), Value::Object(new)) = (from, to) else {
        return to.clone();
    };
    let removed = old.keys().filter(|name| !new.contains_key(name));
    let mut patch: Map = removed.map(|name| (name.clone(), Value::Null)).collect();
    for (name, value) in new {
        match old.get(name) {
            Some(before) if before == value => {}
            Some(before) => {
                patch.insert(name.clone(), diff(before, value));
            }
            None => {
                patch.insert(name.clone(), value.clone());
            }
        }
    }
    Value::Object(patch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::json;
    use proptest::prelude::*;

    /// RFC 7386, appendix A.
    #[test]
    fn the_examples_of_rfc_7386_hold() {
        let cases = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (
                json!({"a": "b"}),
                json!({"b": "c"}),
                json!({"a": "b", "b": "c"}),
            ),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (
                json!({"a": [{"b": "c"}]}),
                json!({"a": [1]}),
                json!({"a": [1]}),
            ),
            (
                json!({"e": null}),
                json!({"a": 1}),
                json!({"e": null, "a": 1}),
            ),
            (
                json!({}),
                json!({"a": {"bb": {"ccc": null}}}),
                json!({"a": {"bb": {}}}),
            ),
        ];
        for (object, patch, expected) in cases {
            assert_eq!(
                apply(object, patch.to_string().as_bytes()).unwrap(),
                expected
            );
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        let status = apply(json!({}), b"[1]").unwrap_err();
        assert!(status.code == 400 && status.message.contains("cannot unmarshal array"));
    }

    fn tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            (0..3_i64).prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 16, 3, |inner| {
            prop_oneof![
                prop::collection::btree_map("[a-c]", inner.clone(), 0..3)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
                prop::collection::vec(inner, 0..3).prop_map(Value::from),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_computed_patch_reproduces_the_target(from in tree(), to in tree()) {
            prop_assert_eq!(lay_over(from.clone(), diff(&from, &to)), to);
        }
    }
}
