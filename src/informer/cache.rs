//! What one component knows of one kind: the objects by name, and indexes over them.
//!
//! Written by a [`crate::Reflector`] only; read by controllers, scheduler and kubelet. An object is
//! held once, and the sets that find it hold pointers: an index is paid for by who asks for it.
//!
//! 1. Iteration is in the order of keys, always.
//! 2. The revision never decreases (I4).
//! 3. After every change an index holds exactly the objects for which its function gives the value.
//! 4. An object that is replaced by another of the same name is told as deleted, then added.
//!
//! Book: `book/src/control-plane/informers.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use wavetank_api::{Revision, Uid};

use crate::sorted::Sorted;
use crate::view::{Cached, Key, Object};

/// What happened to one object, from this cache's point of view: several changes in the cluster may
/// arrive as one.
#[derive(Clone, Debug)]
pub enum Change<T> {
    /// A key that was not there.
    Added(Arc<T>),
    /// The same object (same uid) at a later revision.
    Modified {
        /// As it was in the cache.
        old: Arc<T>,
        /// As it is now.
        new: Arc<T>,
    },
    /// The object is gone; this is the last that was seen of it. When the delete itself was missed
    /// (the object was absent from a list), that may be an old revision.
    Deleted(Arc<T>),
}

impl<T> Change<T> {
    /// The newest known revision of the object.
    pub fn object(&self) -> &Arc<T> {
        match self {
            Change::Added(object) | Change::Deleted(object) => object,
            Change::Modified { new, .. } => new,
        }
    }

    /// The revision before, if there was one.
    pub fn old(&self) -> Option<&Arc<T>> {
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
pub type IndexFn<T> = fn(&T) -> Vec<Arc<str>>;

/// One secondary index: value to the objects that have it. It holds the objects themselves, since
/// an owner of a thousand pods goes over all of them for each change of one.
#[derive(Clone, Debug)]
struct Index<T> {
    name: &'static str,
    values: IndexFn<T>,
    objects: BTreeMap<Arc<str>, Sorted<T>>,
}

/// Name of the index by the uids of all owners.
pub const OWNERS: &str = "owners";
/// Name of the index by uid.
pub const UID: &str = "uid";

/// The values of index [`OWNERS`].
pub fn owners<V>(object: &Object<V>) -> Vec<Arc<str>> {
    let uids = object.meta.owner_references.iter();
    uids.map(|owner| owner.uid.0.clone()).collect()
}

/// The value of index [`UID`].
pub fn uid<T: Cached>(object: &T) -> Vec<Arc<str>> {
    vec![object.uid().0.clone()]
}

/// All objects of one kind that a component has seen.
#[derive(Clone, Debug)]
pub struct Cache<T> {
    objects: Sorted<T>,
    indexes: Vec<Index<T>>,
    /// Written with each list, event and bookmark: everything up to here has been seen.
    revision: Revision,
    /// Set by the first list.
    synced: bool,
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Cache {
            objects: Sorted::default(),
            indexes: Vec::new(),
            revision: Revision(0),
            synced: false,
        }
    }
}

impl<T: Cached> Cache<T> {
    /// The object of this key.
    pub fn get(&self, key: &Key) -> Option<&Arc<T>> {
        self.objects.get(key)
    }

    /// The object of this uid; nothing without index [`UID`].
    pub fn by_uid(&self, uid: &Uid) -> Option<&Arc<T>> {
        self.indexed(UID, &uid.0).next()
    }

    /// All objects in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.objects.iter()
    }

    /// The objects of one namespace in the order of their names.
    pub fn in_namespace(&self, namespace: &str) -> impl Iterator<Item = &Arc<T>> {
        let first = Key::new(namespace, "");
        let objects = self.objects.range_from(&first);
        objects.take_while(move |object| *object.namespace() == first.namespace)
    }

    /// The objects that name this uid among their owners (not only as controller); nothing without
    /// index [`OWNERS`].
    pub fn owned_by(&self, uid: &Uid) -> impl Iterator<Item = &Arc<T>> {
        self.indexed(OWNERS, &uid.0)
    }

    /// The objects that index `name` files under `value`; nothing when there is no such index.
    pub fn indexed(&self, name: &str, value: &str) -> impl Iterator<Item = &Arc<T>> {
        let index = self.indexes.iter().find(|index| index.name == name);
        let objects = index.and_then(|index| index.objects.get(value));
        objects.into_iter().flat_map(Sorted::iter)
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
        for object in self.objects.iter() {
            index.file(None, object);
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
        list: Vec<Arc<T>>,
        revision: Revision,
        keep_missing: bool,
        changes: &mut Vec<Change<T>>,
    ) {
        if !keep_missing && !self.is_empty() {
            let listed: Sorted<T> = list.iter().cloned().collect();
            let known = self.objects.iter().map(|object| Key::of(&**object));
            let missing = known.filter(|key| listed.get(key).is_none());
            for key in missing.collect::<Vec<_>>() {
                changes.extend(self.remove(&key).map(Change::Deleted));
            }
        }
        for object in list {
            self.put(object, changes);
        }
        self.synced = true;
        self.revision = revision;
    }

    // ANCHOR: put
    /// Takes in a new revision of one object.
    pub(crate) fn put(&mut self, new: Arc<T>, changes: &mut Vec<Change<T>>) {
        let old = self.objects.insert(new.clone());
        for index in &mut self.indexes {
            index.file(old.as_deref(), &new);
        }
        match old {
            Some(old) if old.revision() == new.revision() => {}
            Some(old) if old.uid() == new.uid() => {
                changes.push(Change::Modified { old, new });
            }
            Some(old) => changes.extend([Change::Deleted(old), Change::Added(new)]),
            None => changes.push(Change::Added(new)),
        }
    }
    // ANCHOR_END: put

    /// Takes an object out; the last that was known of it.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<Arc<T>> {
        let old = self.objects.remove(key)?;
        for index in &mut self.indexes {
            index.unfile(&old, &[]);
        }
        Some(old)
    }
}

impl<T: Cached> Index<T> {
    /// Files an object, in the place of the one that had its key.
    fn file(&mut self, old: Option<&T>, new: &Arc<T>) {
        let values = (self.values)(new);
        if let Some(old) = old {
            self.unfile(old, &values);
        }
        for value in values {
            self.objects.entry(value).or_default().insert(new.clone());
        }
    }

    /// Takes an object out from under all values but those in `kept`.
    fn unfile(&mut self, old: &T, kept: &[Arc<str>]) {
        let values = (self.values)(old).into_iter();
        for value in values.filter(|value| !kept.contains(value)) {
            if let Some(objects) = self.objects.get_mut(&value) {
                objects.remove(&Key::of(old));
                if objects.is_empty() {
                    self.objects.remove(&value);
                }
            }
        }
    }
}
