//! What one component knows of one kind: the objects by name, and indexes over them.
//!
//! Written by a [`crate::Reflector`] only; read by controllers, scheduler and kubelet.
//!
//! 1. Iteration is in the order of keys, always.
//! 2. The revision never decreases (I4).
//! 3. After every change an index holds exactly the objects for which its function gives the value.
//! 4. An object that is replaced by another of the same name is told as deleted, then added.
//!
//! Book: `book/src/control-plane/informers.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use wavetank_api::{Revision, Uid};

use crate::view::{Key, Object};

/// What happened to one object, from this cache's point of view: several changes in the cluster may
/// arrive as one.
#[derive(Clone, Debug)]
pub enum Change<T> {
    /// A key that was not there.
    Added(Arc<Object<T>>),
    /// The same object (same uid) at a later revision.
    Modified {
        /// As it was in the cache.
        old: Arc<Object<T>>,
        /// As it is now.
        new: Arc<Object<T>>,
    },
    /// The object is gone; this is the last that was seen of it. When the delete itself was missed
    /// (the object was absent from a list), that may be an old revision.
    Deleted(Arc<Object<T>>),
}

impl<T> Change<T> {
    /// The newest known revision of the object.
    pub fn object(&self) -> &Arc<Object<T>> {
        match self {
            Change::Added(object) | Change::Deleted(object) => object,
            Change::Modified { new, .. } => new,
        }
    }

    /// The revision before, if there was one.
    pub fn old(&self) -> Option<&Arc<Object<T>>> {
        match self {
            Change::Added(_) => None,
            Change::Modified { old, .. } => Some(old),
            Change::Deleted(last) => Some(last),
        }
    }

    /// Whether the object is gone.
    pub fn is_deleted(&self) -> bool {
        matches!(self, Change::Deleted(_))
    }
}

/// The values under which an index files an object: none, one or several.
pub type IndexFn<T> = fn(&Object<T>) -> Vec<Arc<str>>;

/// One secondary index: value to the objects that have it. It holds the objects themselves, since
/// an owner of a thousand pods goes over all of them for each change of one.
#[derive(Clone, Debug)]
struct Index<T> {
    name: &'static str,
    values: IndexFn<T>,
    objects: BTreeMap<Arc<str>, BTreeMap<Key, Arc<Object<T>>>>,
}

/// Name of the index every cache has: uids of all owners.
const OWNER: &str = "owner";

/// All objects of one kind that a component has seen.
#[derive(Clone, Debug)]
pub struct Cache<T> {
    objects: BTreeMap<Key, Arc<Object<T>>>,
    by_uid: BTreeMap<Uid, Key>,
    indexes: Vec<Index<T>>,
    /// Written with each list, event and bookmark: everything up to here has been seen.
    revision: Revision,
    /// Set by the first list.
    synced: bool,
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Cache {
            objects: BTreeMap::new(),
            by_uid: BTreeMap::new(),
            indexes: vec![Index {
                name: OWNER,
                values: owners,
                objects: BTreeMap::new(),
            }],
            revision: Revision(0),
            synced: false,
        }
    }
}

fn owners<T>(object: &Object<T>) -> Vec<Arc<str>> {
    let uids = object.meta.owner_references.iter();
    uids.map(|owner| owner.uid.0.clone()).collect()
}

impl<T> Cache<T> {
    /// The object of this key.
    pub fn get(&self, key: &Key) -> Option<&Arc<Object<T>>> {
        self.objects.get(key)
    }

    /// The object of this uid.
    pub fn by_uid(&self, uid: &Uid) -> Option<&Arc<Object<T>>> {
        self.objects.get(self.by_uid.get(uid)?)
    }

    /// All objects in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Object<T>>> {
        self.objects.values()
    }

    /// The objects of one namespace in the order of their names.
    pub fn in_namespace(&self, namespace: &str) -> impl Iterator<Item = &Arc<Object<T>>> {
        let first = Key::new(namespace, "");
        let objects = self
            .objects
            .range((Bound::Included(first), Bound::Unbounded));
        let wanted: Arc<str> = namespace.into();
        objects
            .take_while(move |(key, _)| key.namespace == wanted)
            .map(|(_, object)| object)
    }

    /// The objects that name this uid among their owners (not only as controller).
    pub fn owned_by(&self, uid: &Uid) -> impl Iterator<Item = &Arc<Object<T>>> {
        self.indexed(OWNER, &uid.0)
    }

    /// The objects that index `name` files under `value`; nothing when there is no such index.
    pub fn indexed(&self, name: &str, value: &str) -> impl Iterator<Item = &Arc<Object<T>>> {
        let index = self.indexes.iter().find(|index| index.name == name);
        let objects = index.and_then(|index| index.objects.get(value));
        objects.into_iter().flat_map(BTreeMap::values)
    }

    /// Number of objects.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Everything that was committed up to this revision has been seen.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Whether the first list has been taken in; before, absence means nothing.
    pub fn is_synced(&self) -> bool {
        self.synced
    }

    /// Adds an index; objects already there are filed.
    pub fn add_index(&mut self, name: &'static str, values: IndexFn<T>) {
        let mut index = Index {
            name,
            values,
            objects: BTreeMap::new(),
        };
        for object in self.objects.values() {
            index.file(object);
        }
        self.indexes.push(index);
    }

    /// Marks everything up to `revision` as seen.
    pub(crate) fn advance(&mut self, revision: Revision) {
        self.revision = self.revision.max(revision);
    }

    /// Takes in a whole list read at `revision`, which the caller has compared with the cache's
    /// own. Objects that it lacks have been deleted while
    /// nobody watched: they are told as deleted (unless `keep_missing`, which is a bug to try out).
    pub(crate) fn replace(
        &mut self,
        list: Vec<Object<T>>,
        revision: Revision,
        keep_missing: bool,
        changes: &mut Vec<Change<T>>,
    ) {
        let listed: BTreeSet<Key> = list.iter().map(Object::key).collect();
        if !keep_missing {
            let missing = self.objects.keys().filter(|key| !listed.contains(key));
            for key in missing.cloned().collect::<Vec<_>>() {
                changes.extend(self.remove(&key).map(Change::Deleted));
            }
        }
        for object in list {
            self.put(object, changes);
        }
        self.synced = true;
        self.revision = revision;
    }

    /// Takes in a new revision of one object.
    pub(crate) fn put(&mut self, object: Object<T>, changes: &mut Vec<Change<T>>) {
        let key = object.key();
        let new = Arc::new(object);
        match self.remove(&key) {
            Some(old) if old.meta.resource_version == new.meta.resource_version => {}
            Some(old) if old.meta.uid == new.meta.uid => changes.push(Change::Modified {
                old,
                new: new.clone(),
            }),
            Some(old) => {
                changes.push(Change::Deleted(old));
                changes.push(Change::Added(new.clone()));
            }
            None => changes.push(Change::Added(new.clone())),
        }
        for index in &mut self.indexes {
            index.file(&new);
        }
        self.by_uid.insert(new.meta.uid.clone(), key.clone());
        self.objects.insert(key, new);
    }

    /// Takes an object out; the last that was known of it.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<Arc<Object<T>>> {
        let old = self.objects.remove(key)?;
        self.by_uid.remove(&old.meta.uid);
        for index in &mut self.indexes {
            index.unfile(&old);
        }
        Some(old)
    }
}

impl<T> Index<T> {
    fn file(&mut self, object: &Arc<Object<T>>) {
        for value in (self.values)(object) {
            let objects = self.objects.entry(value).or_default();
            objects.insert(object.key(), object.clone());
        }
    }

    fn unfile(&mut self, object: &Object<T>) {
        for value in (self.values)(object) {
            if let Some(objects) = self.objects.get_mut(&value) {
                objects.remove(&object.key());
                if objects.is_empty() {
                    self.objects.remove(&value);
                }
            }
        }
    }
}
