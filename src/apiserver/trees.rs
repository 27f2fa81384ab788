//! Objects in decoded form, for a while.
//!
//! A write decodes the version that it changes, and most writes follow another to the same object:
//! a pod is created, bound, and then reported on five times within a second; a lease is renewed
//! every ten. [`Trees`] keeps what has been written or decided on for half a minute.
//!
//! 1. A tree is that of the bytes stored at its revision: another revision does not find it.
//! 2. At most [`TREES_MAX`] are kept, none much longer than [`KEPT`]; the oldest goes first.
//!
//! Book: `book/src/control-plane/watch-cache.md`.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use wavetank_api::json::Value;
use wavetank_api::{Revision, Time};
use wavetank_store::{Key, KeyValue};

/// A pod's tree takes some 10 kB, and shares most of them with the version before.
const TREES_MAX: usize = 16_384;

/// How long a tree waits for the next write.
const KEPT: Duration = Duration::from_secs(30);

/// Decoded versions by key, one each.
#[derive(Debug, Default)]
pub(crate) struct Trees {
    held: BTreeMap<Key, (Revision, Arc<Value>)>,
    /// In the order in which they came, with when and with the revision they had then.
    order: VecDeque<(Time, Key, Revision)>,
    /// The time of the last write.
    now: Time,
}

impl Trees {
    /// The tree of this very version.
    pub fn get(&self, kv: &KeyValue) -> Option<&Arc<Value>> {
        let (revision, tree) = self.held.get(&kv.key)?;
        (*revision == kv.mod_revision).then_some(tree)
    }

    /// Lets the time of a write be known, and forgets what has waited for too long.
    pub fn pass(&mut self, now: Time) {
        self.now = self.now.max(now);
        while let Some((since, ..)) = self.order.front()
            && *since + KEPT < self.now
        {
            self.forget_oldest();
        }
    }

    /// Keeps the tree of a version in place of an older one of its key.
    pub fn remember(&mut self, key: &Key, revision: Revision, tree: Arc<Value>) {
        if self.held.get(key).is_some_and(|(held, _)| *held > revision) {
            return;
        }
        self.held.insert(key.clone(), (revision, tree));
        self.order.push_back((self.now, key.clone(), revision));
        while self.held.len() > TREES_MAX {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((_, key, revision)) = self.order.pop_front() else {
            return;
        };
        // Another version may have come since; it has its own place in the order.
        if self
            .held
            .get(&key)
            .is_some_and(|(held, _)| *held == revision)
        {
            self.held.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wavetank_api::json::json;

    fn version(key: &str, revision: u64) -> KeyValue {
        let revision = Revision(revision);
        KeyValue {
            key: key.into(),
            value: bytes::Bytes::new(),
            create_revision: revision,
            mod_revision: revision,
            version: 1,
            lease: None,
        }
    }

    #[test]
    fn only_the_very_version_is_found() {
        let mut trees = Trees::default();
        let keep = |trees: &mut Trees, at: u64| {
            trees.remember(&"/a".into(), Revision(at), Arc::new(json!(at)));
        };
        keep(&mut trees, 7);
        keep(&mut trees, 5); // late
        assert_eq!(
            trees.get(&version("/a", 7)).map(|tree| &**tree),
            Some(&json!(7))
        );
        assert!(trees.get(&version("/a", 5)).is_none());
        assert!(trees.get(&version("/b", 7)).is_none());
    }

    #[test]
    fn a_tree_waits_half_a_minute_for_the_next_write() {
        let mut trees = Trees::default();
        let tree = Arc::new(Value::Null);
        trees.pass(Time::from_secs(100));
        trees.remember(&"/a".into(), Revision(7), tree.clone());
        trees.remember(&"/b".into(), Revision(8), tree.clone());
        trees.pass(Time::from_secs(120));
        trees.remember(&"/b".into(), Revision(9), tree);
        trees.pass(Time::from_secs(110)); // late
        trees.pass(Time::from_secs(140));
        assert!(trees.get(&version("/a", 7)).is_none());
        assert!(trees.get(&version("/b", 9)).is_some());
        trees.pass(Time::from_secs(151));
        assert!(trees.held.is_empty() && trees.order.is_empty());
    }

    #[test]
    fn the_oldest_go_and_what_is_written_again_stays() {
        let mut trees = Trees::default();
        let tree = Arc::new(Value::Null);
        for at in 0..TREES_MAX as u64 {
            trees.remember(&format!("/{at}").into(), Revision(at), tree.clone());
        }
        trees.remember(&"/0".into(), Revision(9_999), tree.clone());
        trees.remember(&"/new".into(), Revision(10_000), tree);
        assert!(trees.get(&version("/0", 9_999)).is_some());
        assert!(trees.get(&version("/1", 1)).is_none());
        assert!(trees.get(&version("/new", 10_000)).is_some());
        assert_eq!(trees.held.len(), TREES_MAX);
    }
}
