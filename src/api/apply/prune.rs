//! Takes out of a merged object what its manager applied last time and does not apply now.
//!
//! Book: `book/src/control-plane/patch.md`.

use crate::json::{List, Value};

use super::extent::fields_of;
use super::managers::Entry;
use super::typed::{Structure, Typed, item_element};
use crate::fields::{Node, Set, child, children, is_member};
/// Removes from `merged` what is in `last`, the set of the same manager's last apply, unless some
/// entry (its own new one included) has it still (`Updater.prune`).
pub(super) fn prune(merged: Value, last: &Set, entries: &[Entry], at: Typed<'_>) -> Value {
    if last.is_empty() {
        return merged;
    }
    let named = |set: &Set| Set::from_root(with_named_fields(set.root(), at));
    let last = named(last);
    let mut all = named(&fields_of(&merged, at));
    let pruned = without(&merged, &last, at);
    // That took more than it may: what any entry owns comes back, with what leads to it.
    let mut kept = named(&fields_of(&pruned, at));
    for entry in entries {
        kept.unite(&named(&entry.fields));
    }
    let mut gone = all.clone();
    gone.subtract(&kept);
    let pruned = without(&merged, &gone, at);
    // And so does what the last apply never named, though it lay in an item that went.
    all.subtract(&named(&fields_of(&pruned, at)));
    all.intersect(&last);
    without(&merged, &all, at)
}

/// `node` with the declared fields that lead to members as members (`EnsureNamedFieldsAreMembers`):
/// a struct's field needs no owner to exist, but goes when all below it goes.
fn with_named_fields(node: &Node, at: Typed<'_>) -> Node {
    let mut set = Set::default();
    let mut root = Node::new();
    for (element, inner) in children(node) {
        let name = element.strip_prefix("f:");
        let inner_type = name.map_or(at.inner(), |name| at.field(name));
        let below = with_named_fields(inner, inner_type);
        let is_declared = name.is_some_and(|name| at.declares(name));
        if is_member(inner) || is_declared {
            set.insert(&[element]);
        }
        if !below.is_empty() {
            root.insert(element, Value::Object(below));
        }
    }
    let mut joined = Set::from_root(root);
    joined.unite(&set);
    match joined.into_value() {
        Value::Object(node) => node,
        _ => Node::new(),
    }
}

/// `object` without the members of `gone` and what is below them.
fn without(object: &Value, gone: &Set, at: Typed<'_>) -> Value {
    remove(object, gone.root(), at).unwrap_or(Value::Object(Node::new()))
}

/// `None` when nothing is left of a value that held something.
fn remove(value: &Value, gone: &Node, at: Typed<'_>) -> Option<Value> {
    let structure = at.structure(value);
    let keep = |element: &str, value: &Value, at: Typed<'_>| match child(gone, element) {
        None => Some(value.clone()),
        Some(node) if is_member(node) => None,
        Some(node) => remove(value, node, at),
    };
    match value {
        Value::Object(fields) if structure == Structure::Fields && !fields.is_empty() => {
            let kept = fields.iter().filter_map(|(name, value)| {
                let element = crate::fields::element::field(name);
                Some((name.clone(), keep(&element, value, at.field(name))?))
            });
            let kept: Node = kept.collect();
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        Value::Array(items) if structure != Structure::Leaf && !items.is_empty() => {
            let kept = items
                .iter()
                .filter_map(|item| match item_element(item, structure) {
                    Ok(element) => keep(&element, item, at.inner()),
                    Err(_) => Some(item.clone()),
                });
            let kept: List = kept.collect();
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
        other => Some(other.clone()),
    }
}
