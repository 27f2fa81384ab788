//! Objects sorted by key, without a copy of their keys: a set of pointers.
//!
//! The cache of a kind and each value of its indexes is one. A map from keys would hold two more
//! pointers and two lengths for every object, in each of them; here an entry takes eight bytes.
//!
//! 1. Iteration is in the order of keys.
//! 2. No two objects have the same key.
//!
//! Book: `book/src/control-plane/informers.md`.

use core::borrow::Borrow;
use core::cmp::Ordering;
use core::ops::Bound;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::view::{Cached, Key};

/// The set.
#[derive(Clone, Debug)]
pub(crate) struct Sorted<T>(BTreeSet<ByKey<T>>);

/// An object in the place of its key.
#[derive(Debug)]
struct ByKey<T>(Arc<T>);

/// What entries are sorted by, and found by though the set holds no keys.
trait Named {
    fn names(&self) -> (&str, &str);
}

impl<T: Cached> Sorted<T> {
    /// The object of this key.
    pub fn get(&self, key: &Key) -> Option<&Arc<T>> {
        let entry = self.0.get(key as &dyn Named);
        entry.map(|ByKey(object)| object)
    }

    /// All objects.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.0.iter().map(|ByKey(object)| object)
    }

    /// The objects from this key on.
    pub fn range_from<'a>(&'a self, key: &Key) -> impl Iterator<Item = &'a Arc<T>> + use<'a, T> {
        let first = Bound::Included(key as &dyn Named);
        let entries = self.0.range::<dyn Named, _>((first, Bound::Unbounded));
        entries.map(|ByKey(object)| object)
    }

    /// Puts an object in; the one that had its key before.
    pub fn insert(&mut self, object: Arc<T>) -> Option<Arc<T>> {
        let before = self.0.replace(ByKey(object));
        before.map(|ByKey(object)| object)
    }

    /// Takes the object of this key out.
    pub fn remove(&mut self, key: &Key) -> Option<Arc<T>> {
        let entry = self.0.take(key as &dyn Named);
        entry.map(|ByKey(object)| object)
    }

    /// Number of objects.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> Default for Sorted<T> {
    fn default() -> Self {
        Sorted(BTreeSet::new())
    }
}

impl<T: Cached> FromIterator<Arc<T>> for Sorted<T> {
    fn from_iter<I: IntoIterator<Item = Arc<T>>>(objects: I) -> Self {
        Sorted(objects.into_iter().map(ByKey).collect())
    }
}

impl Named for Key {
    fn names(&self) -> (&str, &str) {
        (&self.namespace, &self.name)
    }
}

impl<T: Cached> Named for ByKey<T> {
    fn names(&self) -> (&str, &str) {
        (self.0.namespace(), self.0.name())
    }
}

impl<'a, T: Cached + 'a> Borrow<dyn Named + 'a> for ByKey<T> {
    fn borrow(&self) -> &(dyn Named + 'a) {
        self
    }
}

impl Ord for dyn Named + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        self.names().cmp(&other.names())
    }
}

impl PartialOrd for dyn Named + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn Named + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.names() == other.names()
    }
}

impl Eq for dyn Named + '_ {}

impl<T: Cached> Ord for ByKey<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.names().cmp(&other.names())
    }
}

impl<T: Cached> PartialOrd for ByKey<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Cached> PartialEq for ByKey<T> {
    fn eq(&self, other: &Self) -> bool {
        self.names() == other.names()
    }
}

impl<T: Cached> Eq for ByKey<T> {}

impl<T> Clone for ByKey<T> {
    fn clone(&self) -> Self {
        ByKey(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::view::{HeaderOnly, Object};

    fn object(key: &Key) -> Arc<Object<HeaderOnly>> {
        let json = format!(
            r#"{{"metadata":{{"namespace":"{}","name":"{}"}}}}"#,
            key.namespace, key.name
        );
        Object::decode(json.as_bytes()).unwrap().into()
    }

    proptest! {
        #[test]
        fn it_is_the_map_from_keys_to_objects(
            steps in proptest::collection::vec(("[ab]{0,2}", "[ab]{0,2}", any::<bool>()), 0..40),
        ) {
            let (mut sorted, mut model) = (Sorted::default(), BTreeMap::new());
            for (namespace, name, is_put) in steps {
                let key = Key::new(namespace, name);
                let (object, keyed) = (object(&key), |o: Arc<Object<_>>| o.key());
                let before = match is_put {
                    true => (sorted.insert(object.clone()), model.insert(key.clone(), object)),
                    false => (sorted.remove(&key), model.remove(&key)),
                };
                prop_assert_eq!(before.0.map(keyed), before.1.map(keyed));
                prop_assert_eq!(sorted.get(&key), model.get(&key));
                prop_assert!(sorted.iter().eq(model.values()));
                let later = model.range(key.clone()..).map(|(_, object)| object);
                prop_assert!(sorted.range_from(&key).eq(later));
                prop_assert_eq!((sorted.len(), sorted.is_empty()), (model.len(), model.is_empty()));
            }
        }
    }
}
