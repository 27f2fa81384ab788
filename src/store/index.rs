//! The key index: for each key its retained versions, oldest first.
//!
//! Written at the head by staging; read at any revision that is not compacted. Versions newer than
//! the revision asked for are passed over, which is all that hides staged writes from readers.
//!
//! 1. A key's versions have strictly growing revisions.
//! 2. After compaction at `r` a read at any revision from `r` on answers as before.
//! 3. A key whose only version is a deletion at or before the compacted revision takes no space.
//!
//! Left out: a separate backend. etcd keeps values in bbolt and only revisions in memory; here the
//! values are in memory and the log alone is on disk, because a million pods fit.
//!
//! Book: `book/src/control-plane/store.md`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use wavetank_api::Revision;

use crate::value::{Key, KeyValue, LeaseId};

// ANCHOR: versions
/// What a key was from one revision on.
#[derive(Debug)]
enum Version {
    Written(Arc<KeyValue>),
    Deleted(Revision),
}

/// A key's versions. Most keys have one after a compaction, so the newest stands apart,
/// and a key without others pays one pointer for them.
#[derive(Debug)]
struct Versions {
    newest: Version,
    older: Option<Box<Older>>,
}

/// Oldest first; never empty.
#[derive(Debug)]
struct Older(Vec<Version>);
// ANCHOR_END: versions

impl Version {
    fn revision(&self) -> Revision {
        match self {
            Version::Written(value) => value.mod_revision,
            Version::Deleted(revision) => *revision,
        }
    }

    fn live(&self) -> Option<&Arc<KeyValue>> {
        match self {
            Version::Written(value) => Some(value),
            Version::Deleted(_) => None,
        }
    }
}

impl Versions {
    fn one(version: Version) -> Self {
        Versions {
            newest: version,
            older: None,
        }
    }

    fn at(&self, revision: Revision) -> Option<&Arc<KeyValue>> {
        if self.newest.revision() <= revision {
            return self.newest.live();
        }
        let Older(older) = self.older.as_deref()?;
        let newer = older.partition_point(|v| v.revision() <= revision);
        older.get(newer.checked_sub(1)?)?.live()
    }

    fn push(&mut self, version: Version) {
        debug_assert!(
            self.newest.revision() < version.revision(),
            "revisions of a key grow"
        );
        let before = std::mem::replace(&mut self.newest, version);
        match &mut self.older {
            Some(older) => older.0.push(before),
            None => self.older = Some(Box::new(Older(vec![before]))),
        }
    }

    /// Drops what no read from `revision` on can see; `false` when nothing is left to be seen.
    fn trim(&mut self, revision: Revision) -> bool {
        if self.newest.revision() <= revision {
            self.older = None;
            return self.newest.live().is_some();
        }
        let Some(Older(older)) = self.older.as_deref_mut() else {
            return true;
        };
        let seen = older.partition_point(|v| v.revision() <= revision);
        if let Some(first) = seen.checked_sub(1) {
            // The version seen at `revision` stays, unless it says that there is nothing.
            let gone = older.get(first).is_some_and(|v| v.live().is_none());
            older.drain(..if gone { seen } else { first });
            older.shrink_to_fit();
        }
        if older.is_empty() {
            self.older = None;
        }
        true
    }
}

/// All keys.
#[derive(Debug, Default)]
pub(crate) struct Index {
    keys: BTreeMap<Key, Versions>,
}

/// What a put leaves: the version written and the one it replaced.
pub(crate) struct Put {
    pub now: Arc<KeyValue>,
    pub before: Option<Arc<KeyValue>>,
}

impl Index {
    /// Writes a version at the head.
    pub fn put(
        &mut self,
        key: Key,
        value: Bytes,
        lease: Option<LeaseId>,
        revision: Revision,
    ) -> Put {
        let fresh = |key, value| {
            Arc::new(KeyValue {
                key,
                value,
                create_revision: revision,
                mod_revision: revision,
                version: 1,
                lease,
            })
        };
        match self.keys.entry(key) {
            Entry::Vacant(entry) => {
                let now = fresh(entry.key().clone(), value);
                entry.insert(Versions::one(Version::Written(now.clone())));
                Put { now, before: None }
            }
            Entry::Occupied(mut entry) => {
                let before = entry.get().newest.live().cloned();
                let key = entry.key().clone();
                let now = match &before {
                    None => fresh(key, value),
                    Some(old) => Arc::new(KeyValue {
                        key,
                        value,
                        create_revision: old.create_revision,
                        mod_revision: revision,
                        version: old.version + 1,
                        lease,
                    }),
                };
                entry.get_mut().push(Version::Written(now.clone()));
                Put { now, before }
            }
        }
    }

    /// Deletes the key at the head; `None` when it does not exist there.
    pub fn delete(&mut self, key: &str, revision: Revision) -> Option<Arc<KeyValue>> {
        let versions = self.keys.get_mut(key)?;
        let before = versions.newest.live()?.clone();
        versions.push(Version::Deleted(revision));
        Some(before)
    }

    /// Puts back a version that a snapshot holds; `false` when keys do not come in growing order.
    pub fn restore(&mut self, value: KeyValue) -> bool {
        if self
            .keys
            .last_key_value()
            .is_some_and(|(last, _)| *last >= value.key)
        {
            return false;
        }
        let key = value.key.clone();
        let version = Version::Written(Arc::new(value));
        self.keys.insert(key, Versions::one(version));
        true
    }

    /// The key at the head.
    pub fn head(&self, key: &str) -> Option<&Arc<KeyValue>> {
        self.keys.get(key)?.newest.live()
    }

    /// The revision that last wrote or deleted the key; 0 for one that is not known.
    pub fn last_write(&self, key: &str) -> Revision {
        self.keys
            .get(key)
            .map_or(Revision(0), |versions| versions.newest.revision())
    }

    /// The key at a revision.
    pub fn at(&self, key: &str, revision: Revision) -> Option<&Arc<KeyValue>> {
        self.keys.get(key)?.at(revision)
    }

    /// All that lives at the head, in order of keys.
    pub fn heads(&self) -> impl Iterator<Item = &Arc<KeyValue>> {
        self.keys
            .values()
            .filter_map(|versions| versions.newest.live())
    }

    /// What lives from `start` to before `end` at a revision, in order of keys.
    pub fn range(
        &self,
        start: &str,
        end: Option<&str>,
        revision: Revision,
    ) -> impl Iterator<Item = &Arc<KeyValue>> {
        // A BTreeMap panics on a range that ends before it starts; such a range is empty.
        let end = end.map(|end| end.max(start));
        let bounds = (
            Bound::Included(start),
            end.map_or(Bound::Unbounded, Bound::Excluded),
        );
        self.keys
            .range::<str, _>(bounds)
            .filter_map(move |(_, versions)| versions.at(revision))
    }

    /// Drops what no read of this key from `revision` on can see.
    pub fn trim(&mut self, key: &str, revision: Revision) {
        let Some(versions) = self.keys.get_mut(key) else {
            return;
        };
        if !versions.trim(revision) {
            self.keys.remove(key);
        }
    }

    /// How many keys take space, deleted ones that are not compacted included.
    pub fn len(&self) -> usize {
        self.keys.len()
    }
}
