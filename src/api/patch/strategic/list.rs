//! Lists in a strategic merge patch: merged by key or by value, then put in order.
//!
//! Called by [`super::merge_object`] for lists whose strategy is `merge`.
//!
//! The order of a result: items the patch names come in the patch's order (or in that of
//! `$setElementOrder`), items it does not name keep theirs, and the two are zipped by the old
//! order.
//!
//! Book: `book/src/control-plane/patch.md`.

use crate::json::{Text, Value};

use super::{DIRECTIVE, Error, Fields, Place, SET_ORDER, go_type, merge_object, print};
use super::{unknown_directive, without_directives};

/// The field that tells the items of a list apart; `None` for primitives.
type Key<'a> = Option<&'a str>;

/// The list that a directive such as `$setElementOrder/containers` is about.
pub(super) fn target<'a>(name: &'a str, prefix: &str, otherwise: Error) -> Result<&'a str, Error> {
    name.strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('/'))
        .ok_or(otherwise)
}

/// Merges and orders each list that has a `$setElementOrder` directive, and takes both out of
/// `patch`.
pub(super) fn set_orders(
    original: &mut Fields,
    patch: &mut Fields,
    at: Place,
) -> Result<(), Error> {
    let directives: Vec<Text> = patch
        .keys()
        .filter(|name| name.starts_with(SET_ORDER))
        .cloned()
        .collect();
    for directive in directives {
        let order = patch.remove(&directive).unwrap_or_default();
        let order = as_list(order)?;
        let name = target(&directive, SET_ORDER, Error::SetOrderFormat)?;
        // The patch may delete from a list of primitives and order what is left in one go.
        let (inside, strategy) = at.field(name);
        let change = patch.remove(name).map(as_list).transpose()?;
        let old = original.remove(name).map(as_list).transpose()?;
        check_order(change.as_deref().unwrap_or_default(), &order, strategy.key)?;
        let before = old.clone().unwrap_or_default();
        let merged = match (old, change) {
            (Some(old), Some(change)) if strategy.merge => {
                merge(old, change, strategy.key, inside)?
            }
            (_, Some(change)) => change.into_iter().filter_map(without_directives).collect(),
            (Some(old), None) => old,
            (None, None) => continue,
        };
        check_items(&merged, strategy.key)?;
        let ordered = in_order(merged, &order, &before, strategy.key);
        original.insert(name, ordered.into());
    }
    Ok(())
}

fn as_list(value: Value) -> Result<Vec<Value>, Error> {
    match value {
        Value::Array(items) => Ok(items.into_iter().collect()),
        other => Err(wrong_type("[]interface {}", &other)),
    }
}

fn wrong_type(expected: &str, actual: &Value) -> Error {
    Error::Other(format!(
        "expected a {expected}, but received a {}",
        go_type(actual)
    ))
}

fn no_merge_key(item: &Value, key: &str) -> Error {
    let item = print(item);
    Error::Other(format!(
        "map: {item} does not contain declared merge key: {key}"
    ))
}

/// What an item is known by: the value of its key, or itself.
fn identity<'a>(item: &'a Value, key: Key<'_>) -> Option<&'a Value> {
    match key {
        Some(key) => item.get(key),
        None => Some(item),
    }
}

fn position(items: &[Value], item: &Value, key: Key) -> Option<usize> {
    let wanted = identity(item, key)?;
    items
        .iter()
        .position(|other| identity(other, key) == Some(wanted))
}

/// Every item must be an object with the key, where there is one.
fn check_items(items: &[Value], key: Key) -> Result<(), Error> {
    let Some(key) = key else { return Ok(()) };
    for item in items {
        if !item.is_object() {
            return Err(wrong_type("map[string]interface {}", item));
        }
        if item.get(key).is_none() {
            return Err(no_merge_key(item, key));
        }
    }
    Ok(())
}

/// The items of the patch must be a subsequence of the order it asks for.
fn check_order(change: &[Value], order: &[Value], key: Key) -> Result<(), Error> {
    if order.is_empty() {
        return Ok(());
    }
    check_items(order, key)?;
    let mut wanted = order.iter();
    for item in change.iter().filter(|item| item.get(DIRECTIVE).is_none()) {
        check_items(core::slice::from_ref(item), key)?;
        let id = identity(item, key);
        if !wanted.any(|other| identity(other, key) == id) {
            let list = |items: &[Value]| print(&items.into());
            return Err(Error::Other(format!(
                "The order in patch list:\n{}\n doesn't match {SET_ORDER} list:\n{}\n",
                list(change),
                list(order)
            )));
        }
    }
    Ok(())
}

/// Merges `change` into `old`: objects by `key`, primitives by value.
pub(super) fn merge(
    old: Vec<Value>,
    change: Vec<Value>,
    key: Key,
    inside: Place,
) -> Result<Vec<Value>, Error> {
    let Some(first) = old.first().or(change.first()) else {
        return Ok(old);
    };
    if first.is_array() {
        return Err(Error::ListOfLists);
    }
    let kind = core::mem::discriminant(first);
    if old
        .iter()
        .chain(&change)
        .any(|item| core::mem::discriminant(item) != kind)
    {
        let lists = print(&[Value::from(old), change.into()].into_iter().collect());
        return Err(Error::Other(format!(
            "list element types are not identical: {lists}"
        )));
    }
    if !first.is_object() {
        let mut merged = Vec::new();
        for item in old.iter().chain(&change) {
            if !merged.contains(item) {
                merged.push(item.clone());
            }
        }
        return Ok(in_order(merged, &change, &old, None));
    }
    let Some(key) = key else {
        let name = inside.name();
        return Err(Error::Other(format!(
            "cannot merge lists without merge key for {name}"
        )));
    };
    merge_objects(old, change, key, inside)
}

// ANCHOR: objects
/// Merges lists of objects: items with `$patch` first, then the others by key.
fn merge_objects(
    mut old: Vec<Value>,
    change: Vec<Value>,
    key: &str,
    inside: Place,
) -> Result<Vec<Value>, Error> {
    let (mut items, mut replace) = (Vec::new(), false);
    for item in change {
        match item.get(DIRECTIVE).map(|directive| directive.as_str()) {
            None => items.push(item),
            Some(Some("delete")) => {
                let gone = item.get(key).ok_or_else(|| no_merge_key(&item, key))?;
                old.retain(|other| other.get(key) != Some(gone));
            }
            Some(Some("replace")) => replace = true,
            Some(Some("merge")) => {
                let why = "merging lists cannot yet be specified in the patch";
                return Err(Error::Other(why.to_owned()));
            }
            Some(_) => return Err(bad_item(item)),
        }
    }
    if replace {
        check_items(&items, Some(key))?;
        return Ok(items);
    }
    check_items(&old, Some(key))?;
    check_items(&items, Some(key))?;
    merge_by_key(old, items, key, inside)
}
// ANCHOR_END: objects

fn merge_by_key(
    old: Vec<Value>,
    items: Vec<Value>,
    key: &str,
    inside: Place,
) -> Result<Vec<Value>, Error> {
    let order = items.clone();
    let mut merged = old.clone();
    for item in items {
        match (position(&merged, &item, Some(key)), item) {
            (Some(at), Value::Object(item)) => {
                let before = merged.get_mut(at).map(Value::take);
                let before = before.and_then(into_object).unwrap_or_default();
                let after = merge_object(before, item, inside)?;
                merged.splice(at..=at, [Value::Object(after)]);
            }
            (_, item) => merged.push(item),
        }
    }
    Ok(in_order(merged, &order, &old, Some(key)))
}

fn into_object(value: Value) -> Option<Fields> {
    match value {
        Value::Object(fields) => Some(fields),
        _ => None,
    }
}

fn bad_item(item: Value) -> Error {
    let mut fields = into_object(item).unwrap_or_default();
    let directive = fields.remove(DIRECTIVE).unwrap_or_default();
    unknown_directive(directive, fields)
}

// ANCHOR: order
/// Puts `items` in order: those that `order` names as it names them, the others as they
/// were in `old`; and of two that `old` knows, the one that came first stays first.
fn in_order(items: Vec<Value>, order: &[Value], old: &[Value], key: Key) -> Vec<Value> {
    // Each item with its place in the order and in the old list.
    let placed = items.into_iter().map(|item| {
        let (place, before) = (position(order, &item, key), position(old, &item, key));
        (place, before, item)
    });
    let is_named = |(at, ..): &(Option<usize>, _, _)| at.is_some();
    let (mut named, mut others): (Vec<_>, Vec<_>) = placed.partition(is_named);
    named.sort_by_key(|(at, ..)| *at);
    others.sort_by_key(|(_, before, _)| before.unwrap_or(usize::MAX));
    let mut result = Vec::with_capacity(named.len() + others.len());
    let mut named = named.into_iter().peekable();
    let mut others = others.into_iter().peekable();
    while let (Some((_, a, _)), Some((_, b, _))) = (others.peek(), named.peek()) {
        let other_first = matches!((a, b), (Some(a), Some(b)) if a < b);
        result.extend(if other_first {
            others.next()
        } else {
            named.next()
        });
    }
    result.extend(named);
    result.extend(others);
    result.into_iter().map(|(.., item)| item).collect()
}
// ANCHOR_END: order
