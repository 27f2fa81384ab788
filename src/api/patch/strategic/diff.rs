//! The strategic merge patch that turns one object into another.
//!
//! Controllers and the kubelet send such patches for a node's taints or a pod's status, so that two
//! writers of one list do not undo each other (`CreateTwoWayMergePatch`).
//!
//! Book: `book/src/control-plane/patch.md`.

use crate::json::{Map, Text, Value, json};

use super::{DELETE_FROM_LIST, DIRECTIVE, Fields, Place, RETAIN_KEYS, SET_ORDER};
use crate::schema::{Patch, Schema, TypeId};

/// The patch from `old` to `new`, two objects of type `ty`; `{}` when they are equal.
///
/// Nulls in `new`, and two items of one key in a list that merges by key, have no patch.
pub fn diff(old: &Value, new: &Value, schema: &Schema, ty: TypeId) -> Value {
    let place = Place {
        schema,
        ty: Some(ty),
    };
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            Value::Object(diff_objects(old, new, place, false))
        }
        _ => new.clone(),
    }
}

fn diff_objects(old: &Fields, new: &Fields, at: Place, retain_keys: bool) -> Fields {
    let mut patch = Map::new();
    for (name, value) in new {
        let (inside, strategy) = at.field(name);
        match (old.get(name), value) {
            (Some(before), value) if before == value => {}
            (Some(Value::Object(before)), Value::Object(value)) => {
                let inner = diff_objects(before, value, inside, strategy.retain_keys);
                patch.insert(name.clone(), Value::Object(inner));
            }
            (Some(Value::Array(before)), Value::Array(value)) if strategy.merge => {
                diff_lists(name, before, value, inside, strategy, &mut patch);
            }
            (_, value) => {
                patch.insert(name.clone(), value.clone());
            }
        }
    }
    for name in old.keys().filter(|name| !new.contains_key(name)) {
        patch.insert(name.clone(), Value::Null);
    }
    if retain_keys && !patch.is_empty() {
        let kept: Vec<&Text> = new.keys().collect();
        patch.insert(RETAIN_KEYS.to_owned(), json!(kept));
    }
    patch
}

fn diff_lists(
    name: &str,
    old: &[Value],
    new: &[Value],
    inside: Place,
    strategy: Patch,
    patch: &mut Fields,
) {
    let order = format!("{SET_ORDER}/{name}");
    let Some(key) = strategy.key else {
        let only_in = |these: &[Value], those: &[Value]| -> Vec<Value> {
            these
                .iter()
                .filter(|item| !those.contains(item))
                .cloned()
                .collect()
        };
        let (gone, added) = (only_in(old, new), only_in(new, old));
        if !gone.is_empty() {
            patch.insert(format!("{DELETE_FROM_LIST}/{name}"), gone.into());
        }
        if !added.is_empty() {
            patch.insert(name, added.into());
        }
        patch.insert(order, new.into());
        return;
    };
    let find = |items: &[Value], item: &Value| -> Option<Value> {
        items
            .iter()
            .find(|other| other.get(key) == item.get(key))
            .cloned()
    };
    let mut changes: Vec<Value> = Vec::new();
    for item in new {
        match (find(old, item), item) {
            (Some(Value::Object(before)), Value::Object(after)) => {
                let mut change = diff_objects(&before, after, inside, strategy.retain_keys);
                if !change.is_empty() {
                    change.extend(after.get(key).map(|id| (key.to_owned(), id.clone())));
                    changes.push(Value::Object(change));
                }
            }
            _ => changes.push(item.clone()),
        }
    }
    let gone = old.iter().filter(|item| find(new, item).is_none());
    let gone = gone.filter_map(|item| item.get(key));
    changes.extend(gone.map(|id| json!({key: id, DIRECTIVE: "delete"})));
    if !changes.is_empty() {
        patch.insert(name, changes.into());
    }
    let ids = new.iter().map(|item| json!({key: item.get(key)}));
    patch.insert(order, ids.collect());
}
