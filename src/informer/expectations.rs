//! Expectations: the other way to read your own writes, by counting.
//!
//! "I am about to create three pods; until three ADDED have come, I do nothing." It is how
//! client-go's controllers have done it since 2015, kept here beside the [barrier](crate::barrier)
//! to be compared with it. Upstream: `ControllerExpectations` and
//! `UIDTrackingControllerExpectations` in `pkg/controller/controller_utils.go`.
//!
//! 1. Expectations are set before the first write is sent, lowered by what the caches tell, and
//!    for a create that failed or was skipped (M05): nobody will tell of that one.
//! 2. A delete is expected by uid, so that its two events (terminating, gone) count once (M04).
//! 3. A key may be worked on when all it expects has been seen, or five minutes after; but after
//!    five minutes only if the caches have come to its last write (M03, KEP-5647).
//! 4. New expectations of a key take the place of its old ones.
//!
//! Left out, as upstream: updates and patches are not waited for, and a write whose answer was lost
//! counts as one that failed.
//!
//! Book: `book/src/control-plane/expectations.md`.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use wavetank_api::{Guard, Guards, KindId, Revision, Time, Uid};

use crate::barrier::Caches;
use crate::client::Verb;
use crate::executor::{Outcome, Plan, Written};

/// After this, what has not been seen is no longer waited for (`ExpectationsTimeout`).
pub const TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// What the caches tell that a key may have expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// An object of the key has appeared.
    Created,
    /// An object of the key is terminating, or gone.
    Deleted(Uid),
    /// The key's own object is gone: what comes under its name is another.
    Forgotten,
}

/// What one key expects.
#[derive(Clone, Debug)]
struct Expected {
    /// Creates not yet seen; below 0 when others created too.
    adds: i64,
    /// Deletes not yet seen.
    deletes: i64,
    /// Which objects those are.
    uids: BTreeSet<Uid>,
    /// When they were set.
    since: Time,
    /// Per kind, the highest revision written.
    revisions: BTreeMap<KindId, Revision>,
}

impl Expected {
    fn since(now: Time) -> Self {
        Expected {
            adds: 0,
            deletes: 0,
            uids: BTreeSet::new(),
            since: now,
            revisions: BTreeMap::new(),
        }
    }

    fn is_fulfilled(&self) -> bool {
        self.adds <= 0 && self.deletes <= 0
    }

    fn saw_delete(&mut self, uid: &Uid, guards: Guards) {
        if self.uids.remove(uid) || !guards.on(Guard::M04) {
            self.deletes -= 1;
        }
    }
}

/// What all keys of one controller expect.
#[derive(Clone, Debug)]
pub struct Expectations<K> {
    guards: Guards,
    /// The guard of the controller whose keys they are.
    gate: Guard,
    expected: BTreeMap<K, Expected>,
}

impl<K: Clone + Ord> Expectations<K> {
    /// Nothing is expected. Without `gate` nothing ever is.
    pub fn new(guards: Guards, gate: Guard) -> Self {
        Expectations {
            guards,
            gate,
            expected: BTreeMap::new(),
        }
    }

    // ANCHOR: begin
    /// A plan of `key` is about to be carried out: its creates and deletes are awaited.
    pub fn begin(&mut self, key: &K, plan: &Plan, now: Time) {
        let mut expected = Expected::since(now);
        for write in plan.writes() {
            match (write.verb, &write.uid) {
                (Verb::Create, _) => expected.adds += 1,
                (Verb::Delete, Some(uid)) if expected.uids.insert(uid.clone()) => {
                    expected.deletes += 1;
                }
                _ => {}
            }
        }
        if !expected.is_fulfilled() {
            self.expected.insert(key.clone(), expected);
        }
    }
    // ANCHOR_END: begin

    /// What became of the plan.
    pub fn ended(&mut self, key: &K, written: &[Written]) {
        let Some(expected) = self.expected.get_mut(key) else {
            return;
        };
        for done in written {
            let write = &done.write;
            match (&done.outcome, write.verb) {
                (Outcome::Done(_), _) => {
                    if let Some(meta) = done.outcome.meta() {
                        let last = expected.revisions.entry(write.kind).or_default();
                        *last = (*last).max(meta.resource_version);
                    }
                }
                (_, Verb::Create) if self.guards.on(Guard::M05) => expected.adds -= 1,
                (_, Verb::Delete) => {
                    let uid = write.uid.as_ref();
                    let was_expected = uid.is_some_and(|uid| expected.uids.remove(uid));
                    expected.deletes -= i64::from(was_expected);
                }
                _ => {}
            }
        }
    }

    /// The caches tell something that concerns `key`.
    pub fn saw(&mut self, key: &K, seen: &Seen) {
        if *seen == Seen::Forgotten {
            self.expected.remove(key);
        }
        let Some(expected) = self.expected.get_mut(key) else {
            return;
        };
        match seen {
            Seen::Created => expected.adds -= 1,
            Seen::Deleted(uid) => expected.saw_delete(uid, self.guards),
            Seen::Forgotten => {}
        }
    }

    // ANCHOR: is_clear
    /// Whether all that `key` expects has been seen, or is no longer waited for.
    pub fn is_clear(&mut self, key: &K, caches: &impl Caches, now: Time) -> bool {
        let Some(expected) = self.expected.get(key) else {
            return true;
        };
        // What a write made can be missed for ever: made and deleted between two lists.
        let is_late = now.since(expected.since) > TIMEOUT;
        let is_shown = || {
            let shows = |(kind, last): (&KindId, &Revision)| {
                caches.revision(*kind).is_none_or(|seen| seen >= *last)
            };
            expected.revisions.iter().all(shows) || !self.guards.on(Guard::M03)
        };
        let is_clear = expected.is_fulfilled() || (is_late && is_shown());
        if is_clear || !self.guards.on(self.gate) {
            self.expected.remove(key);
            return true;
        }
        false
    }
    // ANCHOR_END: is_clear
}

#[cfg(test)]
mod tests;
