//! Small hands for changing JSON in place: defaulting and preparing write with these.
//!
//! Used by every kind's file. Upstream needs none of it because Go's structs have zero values; here
//! a missing field, `null` and the empty text are the same, and these functions say so once.
//!
//! 1. None of them panics or changes the type of a value that is there.
//!
//! Book: `book/src/control-plane/kinds.md`.

use wavetank_api::json::{List, Map, Value};

/// Sets `key` when it is absent or `null`.
pub(crate) fn default_to(object: &mut Value, key: &str, value: impl Into<Value>) {
    if let Some(map) = object.as_object_mut()
        && map.get(key).is_none_or(Value::is_null)
    {
        map.insert(key, value.into());
    }
}

/// Sets `key` when it is absent, `null` or the empty text.
pub(crate) fn default_text(object: &mut Value, key: &str, text: &str) {
    if object.get(key).and_then(Value::as_str) == Some("") {
        remove(object, key);
    }
    default_to(object, key, text);
}

/// Sets `key` when it is absent, `null` or 0.
pub(crate) fn default_number(object: &mut Value, key: &str, number: i64) {
    if object.get(key).and_then(Value::as_i64) == Some(0) {
        remove(object, key);
    }
    default_to(object, key, number);
}

/// Sets `key`, whatever it was. Nothing happens when `object` is not an object.
pub(crate) fn set(object: &mut Value, key: &str, value: impl Into<Value>) {
    if let Some(map) = object.as_object_mut() {
        map.insert(key, value.into());
    }
}

/// Removes `key` and answers what it held.
pub(crate) fn remove(object: &mut Value, key: &str) -> Option<Value> {
    object.as_object_mut()?.remove(key)
}

/// Sets `key` to a copy of what `from` has there, or removes it when `from` has nothing.
pub(crate) fn copy(object: &mut Value, key: &str, from: &Value) {
    match from.get(key) {
        // To see that nothing has changed is cheaper than to make it so.
        Some(value) if object.get(key) == Some(value) => {}
        Some(value) => set(object, key, value.clone()),
        None => drop(remove(object, key)),
    }
}

/// The object under `key`, made when absent or `null`; `None` when something else is there.
pub(crate) fn object<'a>(parent: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    default_to(parent, key, Map::new());
    parent.get_mut(key).filter(|value| value.is_object())
}

/// The items of the list under `key`; none when there is no list.
pub(crate) fn items<'a>(
    parent: &'a mut Value,
    key: &str,
) -> impl Iterator<Item = &'a mut Value> + use<'a> {
    let list = parent.get_mut(key).map(Value::items_mut);
    list.into_iter().flatten()
}

/// The text at the end of a path of keys; empty when there is none.
pub(crate) fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    at(value, path).and_then(Value::as_str).unwrap_or_default()
}

/// The whole number at the end of a path of keys; 0 when there is none.
pub(crate) fn number(value: &Value, path: &[&str]) -> i64 {
    at(value, path).and_then(Value::as_i64).unwrap_or_default()
}

/// The truth value at the end of a path of keys; false when there is none.
pub(crate) fn flag(value: &Value, path: &[&str]) -> bool {
    at(value, path).and_then(Value::as_bool).unwrap_or_default()
}

/// The list at the end of a path of keys; empty when there is none.
pub(crate) fn list<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    at(value, path)
        .and_then(Value::as_array)
        .map(List::as_slice)
        .unwrap_or_default()
}

/// The value at the end of a path of keys; `null` counts as absent.
pub(crate) fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter()
        .try_fold(value, |value, key| value.get(key))
        .filter(|value| !value.is_null())
}

/// Adds an item to the list under `key`, made when absent or `null`.
pub(crate) fn append(object: &mut Value, key: &str, item: Value) {
    default_to(object, key, List::new());
    if let Some(list) = object.get_mut(key).and_then(Value::as_array_mut) {
        list.push(item);
    }
}

/// Fields that Go holds as plain values, so that their zero is the same as nothing. (The user 0 is
/// not: that field is a pointer.)
const ZERO_IS_NOTHING: [&str; 9] = [
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "hostPort",
    "initialDelaySeconds",
    "readOnly",
    "stdin",
    "stdinOnce",
    "tty",
];

/// Whether two values mean the same to a typed client, which leaves out what is empty when it
/// writes back what it has read (`apimachinery`'s `equality.Semantic`).
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            let mut keys = x.keys().chain(y.keys());
            keys.all(|key| same_field(key, x.get(key), y.get(key)))
        }
        (Value::Array(x), Value::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y))
        }
        _ => a == b || (is_nothing(a) && is_nothing(b)),
    }
}

fn same_field(key: &str, a: Option<&Value>, b: Option<&Value>) -> bool {
    let plain = |value: &&Value| {
        let zero = value.as_bool() == Some(false) || value.as_i64() == Some(0);
        !(zero && ZERO_IS_NOTHING.contains(&key))
    };
    let (a, b) = (a.filter(plain), b.filter(plain));
    same(a.unwrap_or(&Value::Null), b.unwrap_or(&Value::Null))
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.values().all(is_nothing),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wavetank_api::json::json;

    #[test]
    fn what_a_typed_client_leaves_out_is_no_difference() {
        let stored = json!({"hostNetwork": false, "nodeName": "", "volumes": [], "a": {"b": null},
            "containers": [{"name": "web", "tty": false, "ports": [{"hostPort": 0}]}]});
        let read_back = json!({"containers": [{"name": "web", "ports": [{}]}]});
        assert!(same(&stored, &read_back) && same(&read_back, &stored));
        for (a, b) in [
            (json!({"runAsUser": 0}), json!({})),
            (json!({"runAsNonRoot": false}), json!({})),
            (json!({"hostNetwork": true}), json!({"hostNetwork": false})),
            (json!([1]), json!([1, 2])),
        ] {
            assert!(!same(&a, &b) && !same(&b, &a));
        }
    }
}
