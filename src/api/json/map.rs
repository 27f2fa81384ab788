//! The fields of an object: pairs in the order of their keys, shared until they change.
//!
//! Objects of the API have a dozen fields, seldom fifty: a search in one piece of memory beats a
//! tree, and to copy the pairs is to copy that piece.
//!
//! Book: `book/src/ground/trees.md`.

use core::fmt;

use ecow::EcoVec;

use super::{Text, Value};

/// Up to so many keys are looked at one by one.
const FEW: usize = 24;

/// The fields of a JSON object, by key.
#[derive(Clone, Default, Eq)]
pub struct Map(EcoVec<(Text, Value)>);

impl Map {
    /// No fields.
    pub const fn new() -> Self {
        Map(EcoVec::new())
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether both are one piece of memory.
    pub fn is_same(&self, other: &Map) -> bool {
        self.0.len() == other.0.len() && self.0.as_ptr() == other.0.as_ptr()
    }

    /// Where the key is, or would be.
    fn place(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(held, _)| held.as_str().cmp(key))
    }

    /// Where the key is. (Among few keys, most are passed over by their length.)
    fn find(&self, key: &str) -> Option<usize> {
        if self.len() > FEW {
            return self.place(key).ok();
        }
        self.0.iter().position(|(held, _)| held.as_str() == key)
    }

    /// The field of this name.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let at = self.find(key)?;
        self.0.get(at).map(|(_, value)| value)
    }

    /// The field of this name, to change.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        let at = self.find(key)?;
        self.at_mut(at)
    }

    fn at_mut(&mut self, at: usize) -> Option<&mut Value> {
        self.0.make_mut().get_mut(at).map(|(_, value)| value)
    }

    /// Whether there is a field of this name.
    pub fn contains_key(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    // ANCHOR: insert
    /// Sets a field, and gives back what it was.
    pub fn insert(&mut self, key: impl Into<Text>, value: Value) -> Option<Value> {
        let key = key.into();
        if self.0.last().is_none_or(|(last, _)| *last < key) {
            self.0.push((key, value));
            return None;
        }
        match self.place(&key) {
            Ok(at) => self.at_mut(at).map(|held| core::mem::replace(held, value)),
            Err(at) => {
                self.0.insert(at, (key, value));
                None
            }
        }
    }
    // ANCHOR_END: insert

    /// Takes a field out.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let at = self.find(key)?;
        Some(self.0.remove(at).1)
    }

    /// Takes a field out, with its key.
    pub fn remove_entry(&mut self, key: &str) -> Option<(Text, Value)> {
        let at = self.find(key)?;
        Some(self.0.remove(at))
    }

    /// Takes all fields out.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The place of a field that may not be there yet.
    pub fn entry(&mut self, key: impl Into<Text>) -> Entry<'_> {
        let key = key.into();
        let place = self.place(&key);
        Entry {
            map: self,
            key,
            place,
        }
    }

    /// Keeps the fields for which `keep` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&Text, &mut Value) -> bool) {
        self.0.retain(|(key, value)| keep(key, value));
    }

    /// The fields in the order of their keys.
    pub fn iter(&self) -> Iter<'_> {
        self.0.iter().map(as_pair)
    }

    /// The fields, to change.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&Text, &mut Value)> {
        let pairs = self.0.make_mut().iter_mut();
        pairs.map(|(key, value)| (&*key, value))
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &Text> + ExactSizeIterator + Clone {
        self.0.iter().map(|(key, _)| key)
    }

    /// The values, in the order of their keys.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &Value> + ExactSizeIterator + Clone {
        self.0.iter().map(|(_, value)| value)
    }

    /// The values, to change.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Value> {
        self.0.make_mut().iter_mut().map(|(_, value)| value)
    }
}

/// The pairs of a map, in order.
pub type Iter<'a> =
    core::iter::Map<core::slice::Iter<'a, (Text, Value)>, fn(&(Text, Value)) -> (&Text, &Value)>;

fn as_pair((key, value): &(Text, Value)) -> (&Text, &Value) {
    (key, value)
}

/// The place of one field in a map.
#[derive(Debug)]
pub struct Entry<'a> {
    map: &'a mut Map,
    key: Text,
    place: Result<usize, usize>,
}

impl<'a> Entry<'a> {
    /// The field, first set to this if it is not there.
    pub fn or_insert(self, value: Value) -> &'a mut Value {
        self.or_insert_with(|| value)
    }

    /// The field, first made if it is not there.
    pub fn or_insert_with(self, make: impl FnOnce() -> Value) -> &'a mut Value {
        let at = match self.place {
            Ok(at) => at,
            Err(at) => {
                self.map.0.insert(at, (self.key, make()));
                at
            }
        };
        // The place was just found or filled.
        &mut self.map.0.make_mut()[at].1
    }
}

impl PartialEq for Map {
    fn eq(&self, other: &Map) -> bool {
        self.is_same(other) || self.0 == other.0
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Into<Text>> FromIterator<(K, Value)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, Value)>>(pairs: I) -> Self {
        let mut map = Map::new();
        map.extend(pairs);
        map
    }
}

impl<K: Into<Text>> Extend<(K, Value)> for Map {
    fn extend<I: IntoIterator<Item = (K, Value)>>(&mut self, pairs: I) {
        for (key, value) in pairs {
            self.insert(key, value);
        }
    }
}

impl IntoIterator for Map {
    type Item = (Text, Value);
    type IntoIter = ecow::vec::IntoIter<(Text, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Map {
    type Item = (&'a Text, &'a Value);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
