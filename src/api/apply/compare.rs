//! What differs between two objects, as three sets of fields.
//!
//! Every write is compared, so the walk goes down only where two values differ, and what two
//! versions of an object share is equal without a look; a heartbeat that moves one time stamp costs
//! one path.
//!
//! Book: `book/src/control-plane/patch.md`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::json::{Map, Text, Value, json};

use super::NOBODYS;
use super::typed::{Structure, Typed, item_element};
use crate::fields::{Node, Set, child, element, is_member};

/// Paths of the fields that differ.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    pub removed: Set,
    pub modified: Set,
    pub added: Set,
}

impl Comparison {
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.modified.is_empty() && self.added.is_empty()
    }
}

/// Compares two objects; what nobody owns and what is in `reset` counts as equal.
pub(super) fn compare(
    old: Option<&Value>,
    new: Option<&Value>,
    typed: Typed<'_>,
    reset: &Set,
) -> Comparison {
    let mut walk = Walk {
        path: Vec::new(),
        found: Comparison::default(),
    };
    let ignored = Ignored {
        server: Some(NOBODYS.root()),
        reset: Some(reset.root()),
    };
    if old != new {
        walk.compare(old, new, typed, ignored);
    }
    walk.found
}

/// What a new object of `new`'s kind has before anybody wrote to it: the structs that upstream's Go
/// types hold by value. Nobody adds them, so nobody owns them.
pub(super) fn empty_object(new: &Value) -> Value {
    static KNOWN: LazyLock<Value> = LazyLock::new(|| {
        let template = json!({"metadata": {}, "spec": {"containers": []}});
        json!({
            "metadata": {},
            "spec": {"containers": [], "strategy": {}, "template": template},
            "status": {
                "loadBalancer": {}, "nodeInfo": {}, "daemonEndpoints": {"kubeletEndpoint": {}},
            },
            "involvedObject": {}, "source": {}, "regarding": {}, "deprecatedSource": {},
        })
    });
    fn common(known: &Value, new: &Value) -> Value {
        match (known, new) {
            (Value::Object(known), Value::Object(new)) => {
                let shared = known.iter().filter_map(|(name, known)| {
                    let inner = new.get(name)?;
                    Some((name.clone(), common(known, inner)))
                });
                Value::Object(shared.collect())
            }
            (known, _) => known.clone(),
        }
    }
    common(&KNOWN, new)
}

/// Where the walk is in the tries of fields to pass over.
#[derive(Clone, Copy, Default)]
struct Ignored<'a> {
    server: Option<&'a Node>,
    reset: Option<&'a Node>,
}

impl<'a> Ignored<'a> {
    fn is_none(self) -> bool {
        self.server.is_none() && self.reset.is_none()
    }

    fn below(self, element: &str) -> Self {
        let down = |node: Option<&'a Node>| node.and_then(|node| child(node, element));
        Ignored {
            server: down(self.server),
            reset: down(self.reset),
        }
    }

    /// Whether all that lies here is passed over.
    fn covers(self) -> bool {
        self.server.is_some_and(Node::is_empty) || self.reset.is_some_and(is_member)
    }
}

struct Walk {
    path: Vec<Text>,
    found: Comparison,
}

impl Walk {
    /// Compares two values that are not equal.
    fn compare(
        &mut self,
        old: Option<&Value>,
        new: Option<&Value>,
        at: Typed<'_>,
        ignored: Ignored<'_>,
    ) {
        let of = |value: Option<&Value>| {
            value
                .filter(|value| !value.is_null())
                .map(|value| at.structure(value))
        };
        let structure = match (of(old), of(new)) {
            (Some(a), Some(b)) if a != b => Structure::Leaf,
            (_, Some(structure)) | (Some(structure), None) => structure,
            (None, None) => Structure::Leaf,
        };
        let is_leaf = match structure {
            Structure::Leaf => true,
            _ => is_empty(old) && is_empty(new),
        };
        if is_leaf {
            return self.note(old, new, true);
        }
        if structure == Structure::Fields {
            self.compare_fields(old, new, at, ignored);
        } else if !self.compare_items(old, new, at, structure) {
            return self.note(old, new, true);
        }
        self.note(old, new, false);
    }

    /// Puts the path into the set it belongs to; a node that both have belongs to none.
    fn note(&mut self, old: Option<&Value>, new: Option<&Value>, is_leaf: bool) {
        match (old, new) {
            (None, _) => self.found.added.insert(&self.path),
            (_, None) => self.found.removed.insert(&self.path),
            _ if is_leaf => self.found.modified.insert(&self.path),
            _ => {}
        }
    }

    fn compare_fields(
        &mut self,
        old: Option<&Value>,
        new: Option<&Value>,
        at: Typed<'_>,
        ignored: Ignored<'_>,
    ) {
        let none = Map::new();
        let old = old.and_then(Value::as_object).unwrap_or(&none);
        let new = new.and_then(Value::as_object).unwrap_or(&none);
        let mut visit = |name: &str, before: Option<&Value>, after: Option<&Value>| {
            // A null is an absent field, as it is once upstream has decoded it.
            let before = before.filter(|value| !value.is_null());
            let after = after.filter(|value| !value.is_null());
            if before == after {
                return;
            }
            let element = element::field(name);
            let ignored = if ignored.is_none() {
                ignored
            } else {
                ignored.below(&element)
            };
            if !ignored.covers() {
                self.path.push(element);
                self.compare(before, after, at.field(name), ignored);
                self.path.pop();
            }
        };
        for (name, before) in old {
            visit(name, Some(before), new.get(name));
        }
        for (name, after) in new.iter().filter(|(name, _)| !old.contains_key(name)) {
            visit(name, None, Some(after));
        }
    }

    /// Answers false when an item cannot be told from the others; the list is then a leaf.
    fn compare_items(
        &mut self,
        old: Option<&Value>,
        new: Option<&Value>,
        at: Typed<'_>,
        structure: Structure<'_>,
    ) -> bool {
        let mut pairs: BTreeMap<Text, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
        for item in old.and_then(Value::as_array).into_iter().flatten() {
            let Ok(element) = item_element(item, structure) else {
                return false;
            };
            pairs.entry(element).or_default().0.push(item);
        }
        for item in new.and_then(Value::as_array).into_iter().flatten() {
            let Ok(element) = item_element(item, structure) else {
                return false;
            };
            pairs.entry(element).or_default().1.push(item);
        }
        for (element, (before, after)) in pairs {
            if before == after {
                continue;
            }
            self.path.push(element);
            let inner = at.inner();
            match (before.as_slice(), after.as_slice()) {
                ([] | [_], [] | [_]) => {
                    let (before, after) = (before.first(), after.first());
                    self.compare(before.copied(), after.copied(), inner, Ignored::default());
                }
                ([_, _, ..], [_, _, ..]) => self.found.modified.insert(&self.path),
                ([_, _, ..], after) => {
                    if let Some(after) = after.first() {
                        self.compare(None, Some(after), inner, Ignored::default());
                    }
                    self.found.removed.insert(&self.path);
                }
                (before, _) => {
                    if let Some(before) = before.first() {
                        self.compare(Some(before), None, inner, Ignored::default());
                    }
                    self.found.added.insert(&self.path);
                }
            }
            self.path.pop();
        }
        true
    }
}

fn is_empty(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Object(fields)) => fields.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        _ => true,
    }
}
