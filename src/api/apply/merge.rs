//! Lays an applied object over the live one: what it names wins, what it does not name stays.
//!
//! Book: `book/src/control-plane/patch.md`.

use std::collections::{BTreeMap, BTreeSet};

use crate::json::{Map, Text, Value};

use super::typed::{Structure, Typed, item_element};

/// `live` with what `applied` names; the error names a list's item that has no key.
pub(super) fn merge(live: &Value, applied: &Value, at: Typed<'_>) -> Result<Value, String> {
    let structure = at.structure(applied);
    match (live, applied) {
        (Value::Object(live), Value::Object(applied)) if structure == Structure::Fields => {
            merge_fields(live, applied, at).map(Value::Object)
        }
        (Value::Array(live), Value::Array(applied)) if structure != Structure::Leaf => {
            merge_items(live, applied, at, structure).map(Value::from)
        }
        (_, applied) => Ok(without_nulls(applied)),
    }
}

fn merge_fields(live: &Map, applied: &Map, at: Typed<'_>) -> Result<Map, String> {
    let mut merged = live.clone();
    for (name, value) in applied {
        if value.is_null() {
            merged.remove(name);
            continue;
        }
        let value = match merged.remove(name) {
            Some(before) => merge(&before, value, at.field(name))?,
            None => without_nulls(value),
        };
        merged.insert(name.clone(), value);
    }
    Ok(merged)
}

/// A list that was not there before is taken as it is, but for nulls, which stand for nothing.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(_, value)| !value.is_null());
            fields
                .map(|(name, value)| (name.clone(), without_nulls(value)))
                .collect()
        }
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}
/// Merges lists by key. The applied order holds for what is applied; an item that only the live
/// list has stays behind the item it stood behind (`visitListItems`).
fn merge_items(
    live: &[Value],
    applied: &[Value],
    at: Typed<'_>,
    structure: Structure<'_>,
) -> Result<Vec<Value>, String> {
    let (live, in_live) = keyed(live, structure)?;
    let (applied, in_applied) = keyed(applied, structure)?;
    let mut shared = applied
        .iter()
        .filter(|(key, _)| in_live.contains_key(key))
        .peekable();
    let mut merged = Vec::with_capacity(live.len().max(applied.len()));
    let mut taken = BTreeSet::new();
    let (mut left, mut right) = (live.iter().peekable(), applied.iter().peekable());
    loop {
        let next = (
            left.peek().map(|(key, _)| key),
            right.peek().map(|(key, _)| key),
        );
        match next {
            (None, None) => return Ok(merged),
            (Some(key), _) if !in_applied.contains_key(key) => {
                merged.extend(left.next().map(|(_, item)| (*item).clone()));
                continue;
            }
            (Some(key), Some(wanted)) if key == wanted => drop(left.next()),
            (Some(key), _) => {
                // Its turn is over, or another shared item comes first in the applied order.
                let is_next = shared.peek().is_none_or(|(next, _)| next == key);
                if taken.contains(key) || !is_next {
                    left.next();
                    continue;
                }
            }
            (None, Some(_)) => {}
        }
        let Some((key, item)) = right.next() else {
            return Ok(merged);
        };
        merged.push(match in_live.get(key) {
            Some(before) => merge(before, item, at.inner())?,
            None => without_nulls(item),
        });
        taken.insert(key);
        shared.next_if(|(next, _)| next == key);
    }
}

type Items<'a> = Vec<(Text, &'a Value)>;

/// The items with their path elements, in order and by element.
fn keyed<'a>(
    items: &'a [Value],
    structure: Structure<'_>,
) -> Result<(Items<'a>, BTreeMap<Text, &'a Value>), String> {
    let keyed = items.iter().enumerate().map(|(index, item)| {
        let element = item_element(item, structure);
        element
            .map(|key| (key, item))
            .map_err(|why| format!("element {index}: {why}"))
    });
    let keyed = keyed.collect::<Result<Items<'a>, String>>()?;
    let by_key = keyed.iter().cloned().collect();
    Ok((keyed, by_key))
}
