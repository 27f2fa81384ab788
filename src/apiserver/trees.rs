//! Objects in decoded form, for a while.
//!
//! A write decodes the version that it changes, and most writes follow another to the same object:
//! a pod is created, bound, and then reported on five times within a second; a lease is renewed
//! for ever. [`Trees`] keeps the last versions that were written or decided on.
//!
//! 1. A tree is that of the bytes stored at its revision: another revision does not find it.
//! 2. At most [`TREES_MAX`] are kept; the oldest goes first.
//!
//! Book: `book/src/control-plane/watch-cache.md`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use wavetank_api::Revision;
use wavetank_store::{Key, KeyValue};

/// A pod's tree takes some 20 kB.
const TREES_MAX: usize = 2_048;

/// Decoded versions by key, one each.
#[derive(Debug, Default)]
pub(crate) struct Trees {
    held: BTreeMap<Key, (Revision, Arc<Value>)>,
    /// In the order in which they came, with the revision they had then.
    order: VecDeque<(Key, Revision)>,
}

impl Trees {
    /// The tree of this very version.
    pub fn get(&self, kv: &KeyValue) -> Option<&Arc<Value>> {
        let (revision, tree) = self.held.get(&kv.key)?;
        (*revision == kv.mod_revision).then_some(tree)
    }

    /// Keeps the tree of a version in place of an older one of its key.
    pub fn remember(&mut self, key: &Key, revision: Revision, tree: Arc<Value>) {
        if self.held.get(key).is_some_and(|(held, _)| *held > revision) {
            return;
        }
        self.held.insert(key.clone(), (revision, tree));
        self.order.push_back((key.clone(), revision));
        while self.order.len() > TREES_MAX {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((key, revision)) = self.order.pop_front() else {
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
