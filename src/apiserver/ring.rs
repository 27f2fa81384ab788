//! The recent past of one kind: a bounded list of changes, from which watches start late and lists
//! are answered at an older revision.
//!
//! 1. Every change after `oldest` is held, in order of revision; nothing before it.
//! 2. Asking for more than is held is `Expired`, never a gap (A8).
//! 3. At most [`CHANGES_MAX`] changes are held.
//!
//! Book: `book/src/control-plane/watch-cache.md`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use wavetank_api::{Guard, Guards, Revision};
use wavetank_store::Key;

use crate::object::Object;

/// How many changes of one kind are held.
pub(crate) const CHANGES_MAX: usize = 10_000;

/// One object's change, as the cache saw it.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// The revision of the transaction.
    pub revision: Revision,
    /// The new version; `None` when the object was deleted.
    pub now: Option<Arc<Object>>,
    /// The version before; `None` when the object was created.
    pub before: Option<Arc<Object>>,
}

impl Change {
    /// The object it is about: the new version, or the last one.
    pub fn object(&self) -> Option<&Arc<Object>> {
        self.now.as_ref().or(self.before.as_ref())
    }
}

/// The revision asked for is older than what is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expired {
    /// The revision asked for.
    pub asked: Revision,
    /// The oldest one that could be asked for.
    pub oldest: Revision,
}

/// Per key that has changed since, the version it had then; `None`: it did not exist.
pub(crate) type Then = BTreeMap<Key, Option<Arc<Object>>>;

/// The changes of one kind.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    changes: VecDeque<Change>,
    /// All changes after this revision are held; raised as changes fall out.
    oldest: Revision,
}

impl Ring {
    /// Forgets everything: the state is that of `revision`, however it came about.
    pub fn reset(&mut self, revision: Revision) {
        self.changes.clear();
        self.oldest = revision;
    }

    /// Adds the newest change.
    pub fn push(&mut self, change: Change) {
        if self.changes.len() >= CHANGES_MAX {
            self.drop_oldest_revision();
        }
        self.changes.push_back(change);
    }

    /// All changes of one revision go together, or half a transaction could be asked for.
    fn drop_oldest_revision(&mut self) {
        let Some(first) = self.changes.pop_front() else {
            return;
        };
        self.oldest = first.revision;
        while self
            .changes
            .front()
            .is_some_and(|next| next.revision == first.revision)
        {
            self.changes.pop_front();
        }
    }

    /// The changes after `revision`, in order.
    pub fn since(
        &self,
        revision: Revision,
        guards: Guards,
    ) -> Result<impl Iterator<Item = &Change>, Expired> {
        // M86: a watch from one before the oldest would miss that one (#49992).
        let first = if guards.on(Guard::M86) {
            self.oldest
        } else {
            Revision(self.oldest.0.saturating_sub(1))
        };
        if revision < first && guards.on(Guard::M88) {
            return Err(Expired {
                asked: revision,
                oldest: self.oldest,
            });
        }
        let from = self
            .changes
            .partition_point(|change| change.revision <= revision);
        Ok(self.changes.range(from..))
    }

    // ANCHOR: undo
    /// What was otherwise at revision `to`: per key, the version it had then, or none.
    pub fn undo(&self, to: Revision, guards: Guards) -> Result<Then, Expired> {
        let mut then = BTreeMap::new();
        for change in self.since(to, guards)? {
            if let Some(object) = change.object() {
                // The earliest change after `to` knows what was there at `to`.
                then.entry(object.kv.key.clone())
                    .or_insert_with(|| change.before.clone());
            }
        }
        Ok(then)
    }
    // ANCHOR_END: undo
}
