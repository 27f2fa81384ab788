//! Sets of fields, kept as `FieldsV1`: who owns what of an object.
//!
//! Each entry of `metadata.managedFields` holds one; [`crate::apply`] computes with them. A set is
//! a trie whose edges are path elements, and here it *is* the JSON tree of the wire form, so that
//! the sets of a stored object are read and written without a conversion:
//!
//! ```text
//! {"f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:image": {}}}}}
//! ```
//!
//! A node that is empty or holds `.` is a member; a node that is neither only leads to members.
//! (`sigs.k8s.io/structured-merge-diff/v4/fieldpath`; its `Members` and `Children` in one map.)
//!
//! 1. Union, intersection and difference are those of the sets of paths: `sets_obey_the_laws`.
//! 2. What is printed parses to the same set: `a_set_reads_back_as_it_was_written`.
//! 3. No JSON makes the parser panic: `any_json_is_a_set_or_an_error`.
//!
//! Left out: HTML escapes in keys (`\u003c` for `<`), which Go writes; both texts are read.
//!
//! Book: `book/src/control-plane/patch.md`.

pub mod element;

use crate::json::{Map, Value};

/// A node of the trie: its member mark and its children by path element.
pub(crate) type Node = Map;

/// Marks a node with children as a member.
const SELF: &str = ".";

/// Why a JSON value is no set of fields.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A node that is no object.
    #[error("expected an object of fields, found {0}")]
    NotAnObject(String),
    /// A key that is no path element.
    #[error("parsing key as path element: {0}")]
    Element(String),
}

/// A set of paths in an object, none of them empty. Paths are slices of path elements in their text
/// form, such as `["f:spec", "f:replicas"]` ([`element`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set(Node);

impl Set {
    /// Reads `FieldsV1` that somebody else wrote; null is the empty set. Keys of kinds that are not
    /// known are passed over, as upstream does.
    pub fn parse(value: &Value) -> Result<Set, Error> {
        Ok(Set(read(value, true)?))
    }

    /// Takes `FieldsV1` that [`Set::into_value`] wrote; anything else gives a set whose answers are
    /// wrong, but no panic.
    pub fn trusted(value: Value) -> Set {
        match value {
            Value::Object(node) => Set(node),
            _ => Set::default(),
        }
    }

    /// The wire form.
    pub fn into_value(self) -> Value {
        Value::Object(self.0)
    }

    /// Whether it has no member.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `path` is a member.
    pub fn contains(&self, path: &[impl AsRef<str>]) -> bool {
        let mut node = &self.0;
        for element in path {
            match node.get(element.as_ref()) {
                Some(Value::Object(child)) => node = child,
                _ => return false,
            }
        }
        !path.is_empty() && is_member(node)
    }

    /// Adds `path`; the empty path is passed over.
    pub fn insert(&mut self, path: &[impl AsRef<str>]) {
        insert(&mut self.0, path);
    }

    /// Adds the members of `other`.
    pub fn unite(&mut self, other: &Set) {
        unite(&mut self.0, &other.0);
    }

    /// Removes the members of `other`; what lies below them stays.
    pub fn subtract(&mut self, other: &Set) {
        subtract(&mut self.0, &other.0, false);
    }

    /// Removes the members of `other` and all that lies below them.
    pub fn subtract_deep(&mut self, other: &Set) {
        subtract(&mut self.0, &other.0, true);
    }

    /// Keeps the members that `other` has too.
    pub fn intersect(&mut self, other: &Set) {
        intersect(&mut self.0, &other.0);
    }

    /// Whether the two have a member in common.
    pub fn meets(&self, other: &Set) -> bool {
        meets(&self.0, &other.0)
    }

    /// The members as a person reads them, `.spec.containers[name="web"].image`, in upstream's
    /// order: those of a node before those of its children.
    pub fn paths(&self) -> Vec<String> {
        let mut found = Vec::new();
        list(&self.0, "", &mut found);
        found
    }

    /// The root, for walks along an object.
    pub(crate) fn root(&self) -> &Node {
        &self.0
    }

    /// The set with this root.
    pub(crate) fn from_root(root: Node) -> Set {
        Set(root)
    }
}

pub(crate) fn is_member(node: &Node) -> bool {
    node.is_empty() || node.contains_key(SELF)
}

/// The nodes below `node`, with the path element that leads to each.
pub(crate) fn children(node: &Node) -> impl Iterator<Item = (&str, &Node)> {
    node.iter().filter_map(|(element, child)| match child {
        Value::Object(child) if element != SELF => Some((element.as_str(), child)),
        _ => None,
    })
}

pub(crate) fn child<'a>(node: &'a Node, element: &str) -> Option<&'a Node> {
    node.get(element)?.as_object()
}

// ANCHOR: settle
/// Marks `node` as a member or not, in the one canonical way: `.` only beside children.
/// Answers whether anything is left of it; a node of which nothing is left must be
/// removed, because an empty one is a member.
fn settle(node: &mut Node, member: bool) -> bool {
    let is_marked = node.contains_key(SELF);
    if node.len() == usize::from(is_marked) {
        node.clear();
        return member;
    }
    match (is_marked, member) {
        (false, true) => drop(node.insert(SELF, Value::Object(Node::new()))),
        (true, false) => drop(node.remove(SELF)),
        _ => {}
    }
    true
}

fn subtract(node: &mut Node, other: &Node, deep: bool) {
    for (element, theirs) in children(other) {
        let Some(Value::Object(mine)) = node.get_mut(element) else {
            continue;
        };
        let member = is_member(mine) && !is_member(theirs);
        if deep && is_member(theirs) {
            mine.clear();
        } else {
            subtract(mine, theirs, deep);
        }
        if !settle(mine, member) {
            node.remove(element);
        }
    }
}
// ANCHOR_END: settle

fn insert(node: &mut Node, path: &[impl AsRef<str>]) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    let Some(Value::Object(child)) = node.get_mut(first.as_ref()) else {
        let mut child = Node::new();
        insert(&mut child, rest);
        node.insert(first.as_ref(), Value::Object(child));
        return;
    };
    let member = rest.is_empty() || is_member(child);
    insert(child, rest);
    settle(child, member);
}

fn unite(node: &mut Node, other: &Node) {
    for (element, theirs) in children(other) {
        let Some(Value::Object(mine)) = node.get_mut(element) else {
            node.insert(element, Value::Object(theirs.clone()));
            continue;
        };
        let member = is_member(mine) || is_member(theirs);
        unite(mine, theirs);
        settle(mine, member);
    }
}

fn intersect(node: &mut Node, other: &Node) {
    node.retain(|element, mine| match (mine, child(other, element)) {
        (Value::Object(mine), Some(theirs)) if element != SELF => {
            let member = is_member(mine) && is_member(theirs);
            intersect(mine, theirs);
            settle(mine, member)
        }
        _ => false,
    });
}

fn meets(node: &Node, other: &Node) -> bool {
    children(other).any(|(element, theirs)| {
        child(node, element)
            .is_some_and(|mine| (is_member(mine) && is_member(theirs)) || meets(mine, theirs))
    })
}

fn list(node: &Node, prefix: &str, found: &mut Vec<String>) {
    let path = |element: &str| format!("{prefix}{}", element::display(element));
    let members = children(node).filter(|(_, child)| is_member(child));
    found.extend(members.map(|(element, _)| path(element)));
    for (element, child) in children(node) {
        list(child, &path(element), found);
    }
}

fn read(value: &Value, is_root: bool) -> Result<Node, Error> {
    let fields = match value {
        Value::Object(fields) => fields,
        Value::Null => return Ok(Node::new()),
        other => return Err(Error::NotAnObject(other.to_string())),
    };
    let mut node = Node::new();
    for (key, value) in fields.iter().filter(|(key, _)| *key != SELF) {
        let Some(element) = element::parse(key).map_err(Error::Element)? else {
            continue;
        };
        let child = read(value, false)?;
        unite(
            &mut node,
            &Node::from_iter([(element, Value::Object(child))]),
        );
    }
    settle(&mut node, !is_root && fields.contains_key(SELF));
    Ok(node)
}

#[cfg(test)]
mod tests;
