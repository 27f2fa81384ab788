//! One copy of what many objects share: names of nodes, label sets, owners, parts of a template.
//!
//! A million pods come from a few thousand templates. A [`crate::Reflector`] passes what it has
//! decoded through its pool, and equal parts become one allocation.
//!
//! 1. Sharing leaves a value equal to what it was.
//! 2. What only the pool refers to is dropped once as much has come in as was kept.
//!
//! Left out: names, uids and addresses, which no other object has.
//!
//! Book: `book/src/control-plane/informers.md`.

use core::any::{Any, TypeId};
use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wavetank_api::Meta;

/// A set of shared values takes in at least so many before it looks for unused ones.
const FRESH_MIN: usize = 1024;

/// The shared values of every type. One pool serves one reflector.
#[derive(Default)]
pub struct Pool {
    /// A [`Values`] of each type, which is looked up and never iterated.
    sets: BTreeMap<TypeId, Box<dyn Any + Send>>,
}

/// What a pool can hold: any type that has an order and borrows nothing.
pub trait Shared: Ord + Send + Sync + 'static {}

impl<T: Ord + Send + Sync + ?Sized + 'static> Shared for T {}

/// The shared values of one type.
struct Values<T: ?Sized> {
    all: BTreeSet<Arc<T>>,
    /// How many may come in before the next sweep.
    room: usize,
}

impl Pool {
    // ANCHOR: share
    /// Puts a known equal value in the place of `value`, or keeps `value` for those to
    /// come.
    pub fn share<T: Shared + ?Sized>(&mut self, value: &mut Arc<T>) {
        let values = self.values::<T>();
        if let Some(known) = values.all.get(value.as_ref()) {
            value.clone_from(known);
            return;
        }
        if values.room == 0 {
            values.all.retain(|known| Arc::strong_count(known) > 1);
            values.room = FRESH_MIN.max(values.all.len());
        }
        values.room -= 1;
        values.all.insert(value.clone());
    }
    // ANCHOR_END: share

    /// The same for a list, and for the parts of each element when the list is a new one.
    pub fn share_list<T>(&mut self, list: &mut Arc<[T]>, mut parts: impl FnMut(&mut Self, &mut T))
    where
        [T]: Shared,
    {
        let is_known = self.values::<[T]>().all.contains(list.as_ref());
        if let Some(own) = Arc::get_mut(list).filter(|_| !is_known) {
            own.iter_mut().for_each(|each| parts(self, each));
        }
        self.share(list);
    }

    /// Shares what headers of several objects have in common.
    pub fn share_header(&mut self, meta: &mut Meta) {
        self.share(&mut meta.namespace);
        for map in [&mut meta.labels, &mut meta.annotations] {
            self.share_list(map.shared_mut(), |pool, (key, value)| {
                pool.share(key);
                pool.share(value);
            });
        }
        self.share_list(&mut meta.owner_references, |pool, owner| {
            pool.share(&mut owner.api_version);
            pool.share(&mut owner.kind);
        });
        self.share_list(&mut meta.finalizers, |pool, name| pool.share(name));
    }

    fn values<T: Shared + ?Sized>(&mut self) -> &mut Values<T> {
        let set = self.sets.entry(TypeId::of::<T>());
        let set = set.or_insert_with(|| Box::new(Values::<T>::default()));
        let set = set.downcast_mut();
        set.expect("the set of a type is filed under the type")
    }
}

impl<T: ?Sized> Default for Values<T> {
    fn default() -> Self {
        Values {
            all: BTreeSet::new(),
            room: FRESH_MIN,
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sharing_leaves_a_value_equal_to_what_it_was(numbers: Vec<u8>) {
            let mut pool = Pool::default();
            let texts = || numbers.iter().map(|number| Arc::<str>::from(number.to_string()));
            let mut shared: Vec<_> = texts().collect();
            shared.iter_mut().for_each(|text| pool.share(text));
            prop_assert!(shared.iter().cloned().eq(texts()));
            for (one, other) in shared.iter().zip(shared.iter().skip(1)) {
                prop_assert_eq!(one == other, Arc::ptr_eq(one, other));
            }
        }
    }

    #[test]
    fn what_only_the_pool_refers_to_is_dropped() {
        let mut pool = Pool::default();
        let mut kept: Arc<str> = "kept".into();
        pool.share(&mut kept);
        for number in 0..10 * FRESH_MIN {
            pool.share::<str>(&mut number.to_string().into());
        }
        assert!(pool.values::<str>().all.len() <= FRESH_MIN + 1);
        let mut again: Arc<str> = "kept".into();
        pool.share(&mut again);
        assert!(Arc::ptr_eq(&kept, &again));
    }

    #[test]
    fn headers_of_one_template_share_all_but_the_name() {
        let mut pool = Pool::default();
        let header = |name: &str| {
            let json = format!(
                r#"{{"name":"{name}","namespace":"default","labels":{{"app":"web"}},
                "ownerReferences":[{{"apiVersion":"apps/v1","kind":"ReplicaSet",
                "name":"web","uid":"u"}}]}}"#
            );
            serde_json::from_str::<Meta>(&json).unwrap()
        };
        let (mut one, mut other) = (header("a"), header("b"));
        pool.share_header(&mut one);
        pool.share_header(&mut other);
        assert!(Arc::ptr_eq(&one.namespace, &other.namespace));
        assert!(Arc::ptr_eq(
            one.labels.shared_mut(),
            other.labels.shared_mut()
        ));
        assert!(Arc::ptr_eq(&one.owner_references, &other.owner_references));
    }
}
