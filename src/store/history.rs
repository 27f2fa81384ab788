//! The event history: every change since the compacted revision, in order, and who has read how
//! far.
//!
//! Staging appends; a watcher is a place in this list, nothing more, so that a slow one costs no
//! memory of its own and holds nobody up. It may fall behind a compaction, and then it is told.
//!
//! 1. Events are in order of revision; those of one transaction stand together.
//! 2. A batch never ends inside a revision.
//! 3. A watcher sees each event after its start once, in order, and none beyond the visible
//!    revision.
//!
//! Book: `book/src/control-plane/store.md`.

use std::collections::{BTreeMap, VecDeque};

use wavetank_api::Revision;

use crate::value::Event;

/// Names a watch. Not `Clone`: [`Store::cancel`](crate::Store::cancel) takes it, so that nobody
/// reads from a watch that is no more.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WatchId(u64);

/// The next events of a watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Everything up to here has been told: the revision of a bookmark.
    pub upto: Revision,
    /// In order.
    pub events: Vec<Event>,
}

/// The list and its readers.
#[derive(Debug, Default)]
pub(crate) struct History {
    events: VecDeque<Event>,
    /// How far each watch has read; written by `drain`.
    watches: BTreeMap<u64, Revision>,
    next_watch: u64,
}

impl History {
    pub fn push(&mut self, event: Event) {
        debug_assert!(
            self.events
                .back()
                .is_none_or(|last| last.revision <= event.revision)
        );
        self.events.push_back(event);
    }

    pub fn watch(&mut self, from: Revision) -> WatchId {
        let id = self.next_watch;
        self.next_watch += 1;
        self.watches.insert(id, from);
        WatchId(id)
    }

    pub fn cancel(&mut self, id: WatchId) {
        self.watches.remove(&id.0);
    }

    /// How far a watch has read.
    pub fn place(&self, id: &WatchId) -> Revision {
        let place = self.watches.get(&id.0).copied();
        assert!(place.is_some(), "a watch belongs to the store that gave it");
        place.unwrap_or_default()
    }

    // ANCHOR: drain
    /// The next events up to the visible revision: about `max`, rounded up to a whole
    /// revision.
    pub fn drain(&mut self, id: &WatchId, visible: Revision, max: usize) -> Batch {
        let from = self.place(id);
        let first = self.events.partition_point(|event| event.revision <= from);
        let mut batch = Batch {
            upto: from.max(visible),
            events: Vec::new(),
        };
        for event in self.events.range(first..) {
            if event.revision > visible {
                break;
            }
            let last = batch.events.last().map(|event: &Event| event.revision);
            if batch.events.len() >= max && last != Some(event.revision) {
                // Full: told is only what is in the batch, or nothing if `max` is 0.
                batch.upto = last.unwrap_or(from);
                break;
            }
            batch.events.push(event.clone());
        }
        self.watches.insert(id.0, batch.upto);
        batch
    }
    // ANCHOR_END: drain

    /// Removes the oldest event if it is at or before `revision`.
    pub fn forget(&mut self, revision: Revision) -> Option<Event> {
        self.events.pop_front_if(|event| event.revision <= revision)
    }

    /// Gives back memory after a compaction.
    pub fn shrink(&mut self) {
        if self.events.capacity() > 4 * self.events.len().max(1024) {
            self.events.shrink_to(2 * self.events.len());
        }
    }

    pub fn len(&self) -> usize {
        self.events.len()
    }
}
