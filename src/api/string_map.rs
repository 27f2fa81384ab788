//! Text by text, for reading: the labels and annotations of an object in a cache.
//!
//! A sorted list in one allocation, which may be shared: ten thousand pods of one ReplicaSet have
//! the same labels. A BTreeMap of two labels takes 400 bytes, and is never shared.
//!
//! 1. Keys are sorted, and none stands twice.
//!
//! Book: `book/src/ground/objects.md`.

use core::fmt;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A key and its value.
pub type Entry = (Arc<str>, Arc<str>);

/// An immutable map.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct StringMap(Arc<[Entry]>);

impl StringMap {
    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Arc<str>> {
        let at = self.0.binary_search_by(|(known, _)| (**known).cmp(key));
        self.0.get(at.ok()?).map(|(_, value)| value)
    }

    /// Whether `key` has a value.
    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// All entries in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// A map that can be changed.
    pub fn to_map(&self) -> BTreeMap<Arc<str>, Arc<str>> {
        self.0.iter().cloned().collect()
    }

    /// Whether both are one allocation, and so equal.
    pub fn is_shared_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The allocation, for a pool that puts an equal one in its place.
    pub fn shared_mut(&mut self) -> &mut Arc<[Entry]> {
        &mut self.0
    }
}

/// Of several values of one key the last stays, as in JSON.
impl FromIterator<Entry> for StringMap {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Self {
        let mut entries: Vec<Entry> = entries.into_iter().collect();
        entries.reverse();
        entries.sort_by(|(one, _), (other, _)| one.cmp(other)); // stable: the last is the first
        entries.dedup_by(|(later, _), (kept, _)| later == kept);
        StringMap(entries.into())
    }
}

impl Serialize for StringMap {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for StringMap {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Entries)
    }
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = StringMap;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<StringMap, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(entries.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn it_is_the_map_of_the_same_entries(entries: Vec<(u8, u8)>, wanted: u8) {
            let text = |number: u8| Arc::<str>::from(number.to_string());
            let entries = entries.into_iter().map(|(key, value)| (text(key), text(value)));
            let model: BTreeMap<_, _> = entries.clone().collect();
            let map: StringMap = entries.collect();
            proptest::prop_assert_eq!(&map.to_map(), &model);
            proptest::prop_assert!(map.iter().eq(&model));
            let wanted = text(wanted);
            proptest::prop_assert_eq!(map.get(&wanted), model.get(&wanted));
            let json = serde_json::to_string(&map).unwrap();
            proptest::prop_assert_eq!(&json, &serde_json::to_string(&model).unwrap());
            proptest::prop_assert_eq!(serde_json::from_str::<StringMap>(&json).unwrap(), map);
        }
    }
}
