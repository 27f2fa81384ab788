//! Read your writes: a key is not worked on again until the caches have seen what was done for it.
//!
//! A controller that decides on a cache which does not show its own last writes creates the same
//! pods twice. client-go's controllers count what they expect to see and give up counting after
//! five minutes ([`expectations`]); here the answer to a write says exactly what to wait for.
//!
//! 1. After a create or update, the key waits for a cache revision of the written kind that is not
//!    below the answer's revision (M01, M03).
//! 2. After a delete, it waits until the cache shows that uid terminating or not at all.
//! 3. After a write of unknown outcome, it waits until the write can no longer commit, then asks
//!    the server for its revision by a consistent list, and waits for that.
//! 4. It never waits for a clock alone once the caches have caught up (L22), nor for what was
//!    refused (M05).
//!
//! Status writes of unknown outcome are not waited for: they only say again what is observed.
//!
//! Book: `book/src/control-plane/informers.md`.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wavetank_api::{Guard, Guards, KindId, Revision, Time, Uid};

use crate::client::{Client, Selection, Verb, parse_list};
use crate::component::{CallId, CallIds, Input, Output};
use crate::executor::{Outcome, Written};
use crate::expectations;
use crate::view::{HeaderOnly, Key, Object};

/// How long after it was sent a request may still commit. The API server ends every request that
/// is not a watch after 60 s (`--request-timeout`); the rest is for the way.
pub const COMMIT_BOUND: Duration = Duration::from_secs(65);

/// A question that was not answered is asked again after this.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What a barrier needs to know of a component's caches.
pub trait Caches {
    /// How far the cache of a kind has come; `None` when the component has no such cache.
    fn revision(&self, kind: KindId) -> Option<Revision>;
    /// Whether the cache shows an object of this key and uid that is not terminating.
    fn shows(&self, kind: KindId, key: &Key, uid: &Uid) -> bool;
}

/// What one key waits for.
#[derive(Clone, Debug, Default)]
struct Awaited {
    /// Per kind, the highest revision written.
    revisions: BTreeMap<KindId, Revision>,
    /// Deleted objects.
    deletes: Vec<(KindId, Key, Uid)>,
    /// Writes of unknown outcome: per kind and namespace, what is being done about it.
    unknown: BTreeMap<(KindId, Arc<str>), Question>,
    /// When the last of the writes was sent.
    since: Time,
}

/// Finding out the revision by which a lost write has either committed or never will.
#[derive(Clone, Copy, Debug)]
enum Question {
    AskAt(Time),
    Asked(CallId),
}

impl Awaited {
    fn is_empty(&self) -> bool {
        self.revisions.is_empty() && self.deletes.is_empty() && self.unknown.is_empty()
    }
}

/// What all keys of one controller wait for.
#[derive(Clone, Debug)]
pub struct Barrier<K> {
    guards: Guards,
    /// The guard that it is to its controller.
    name: Guard,
    awaited: BTreeMap<K, Awaited>,
    /// The keys with a write of unknown outcome: few or none, while thousands may wait for a
    /// revision. Only these are looked at with every input; one that was given up is passed over.
    in_doubt: BTreeSet<K>,
}

impl<K: Clone + Ord> Barrier<K> {
    /// Nothing is waited for. The barrier is this guard to its controller: without it, it holds
    /// nobody back.
    pub fn new(guards: Guards, name: Guard) -> Self {
        Barrier {
            guards,
            name,
            awaited: BTreeMap::new(),
            in_doubt: BTreeSet::new(),
        }
    }

    /// Notes what was written for `key`.
    pub fn expect(&mut self, key: &K, written: &[Written]) {
        let mut awaited = self.awaited.remove(key).unwrap_or_default();
        for done in written {
            expect_one(&mut awaited, done, self.guards);
        }
        if !awaited.unknown.is_empty() {
            self.in_doubt.insert(key.clone());
        }
        if !awaited.is_empty() {
            self.awaited.insert(key.clone(), awaited);
        }
    }

    // ANCHOR: is_clear
    /// Whether the caches show all that was written for `key`: it may be worked on.
    pub fn is_clear(&mut self, key: &K, caches: &impl Caches, now: Time) -> bool {
        let Some(awaited) = self.awaited.get_mut(key) else {
            return true;
        };
        // A kind without a cache cannot mislead its controller.
        awaited.revisions.retain(|kind, wanted| {
            let seen = caches.revision(*kind);
            seen.is_some_and(|seen| seen < *wanted)
        });
        awaited
            .deletes
            .retain(|(kind, object, uid)| caches.shows(*kind, object, uid));
        let expired = now.since(awaited.since) > expectations::TIMEOUT;
        let give_up = expired && !self.guards.on(Guard::M03);
        if awaited.is_empty() || give_up || !self.guards.on(self.name) {
            self.awaited.remove(key);
            return true;
        }
        false
    }
    // ANCHOR_END: is_clear

    /// Asks about lost writes whose time has come, and takes the answers.
    pub fn handle<O, E>(
        &mut self,
        input: &Input<O>,
        now: Time,
        client: &Client,
        ids: &mut CallIds,
        out: &mut Vec<Output<E>>,
    ) {
        if self.in_doubt.is_empty() {
            return;
        }
        match input {
            Input::Response(call, response) => {
                let revision =
                    || parse_list(response, Object::<HeaderOnly>::decode).map(|list| list.revision);
                self.answered(*call, || revision().ok(), now);
            }
            Input::Failed(call, _) => self.answered(*call, || None, now),
            _ => {}
        }
        for key in &self.in_doubt {
            let unknown = self
                .awaited
                .get_mut(key)
                .map(|awaited| &mut awaited.unknown);
            for ((kind, namespace), question) in unknown.into_iter().flatten() {
                if matches!(question, Question::AskAt(at) if *at <= now) {
                    let of = Selection {
                        namespace: namespace.to_string(),
                        ..Selection::default()
                    };
                    let call = ids.fresh();
                    out.push(Output::Call(call, client.list(*kind, &of, None, 1, "")));
                    *question = Question::Asked(call);
                }
            }
        }
    }

    /// When a question about a lost write is due.
    pub fn next_wake(&self) -> Option<Time> {
        let doubtful = self.in_doubt.iter().filter_map(|key| self.awaited.get(key));
        let questions = doubtful.flat_map(|awaited| awaited.unknown.values());
        let times = questions.filter_map(|question| match question {
            Question::AskAt(at) => Some(*at),
            Question::Asked(_) => None,
        });
        times.min()
    }

    /// Takes an answer, if it is one to a question of ours; `revision` reads it.
    fn answered(&mut self, call: CallId, revision: impl Fn() -> Option<Revision>, now: Time) {
        let mut settled = None;
        for key in &self.in_doubt {
            let Some(awaited) = self.awaited.get_mut(key) else {
                continue;
            };
            let mine = |question: &Question| matches!(question, Question::Asked(id) if *id == call);
            let found = awaited.unknown.iter_mut().find(|(_, q)| mine(q));
            let Some((about, question)) = found else {
                continue;
            };
            let about = about.clone();
            match revision() {
                None => *question = Question::AskAt(now + ASK_AGAIN),
                Some(revision) => {
                    awaited.unknown.remove(&about);
                    raise(&mut awaited.revisions, about.0, revision);
                }
            }
            settled = awaited.unknown.is_empty().then(|| key.clone());
            break;
        }
        if let Some(key) = settled {
            self.in_doubt.remove(&key);
        }
    }
}

fn raise(revisions: &mut BTreeMap<KindId, Revision>, kind: KindId, to: Revision) {
    let known = revisions.entry(kind).or_default();
    *known = (*known).max(to);
}

fn expect_one(awaited: &mut Awaited, done: &Written, guards: Guards) {
    let write = &done.write;
    match (&done.outcome, write.verb) {
        // M05: else it waits for what will never be seen.
        (Outcome::Skipped | Outcome::Refused(_), Verb::Create) if !guards.on(Guard::M05) => {
            raise(&mut awaited.revisions, write.kind, Revision(u64::MAX));
        }
        (Outcome::Skipped, _) => return,
        (Outcome::Unknown(_), _) => {
            if write.subresource == "status" {
                return;
            }
            let at = done.sent + COMMIT_BOUND;
            let about = (write.kind, write.key.namespace.clone());
            awaited.unknown.insert(about, Question::AskAt(at));
        }
        // Gone already, or another object has its name: either way the cache will lose that uid. A
        // delete of one revision is in conflict with any change: the object may well live on.
        (Outcome::Refused(error), Verb::Delete | Verb::Evict) => {
            if error.is_not_found() || (error.is_conflict() && write.revision.is_none()) {
                expect_delete(awaited, done);
            }
        }
        (Outcome::Refused(_), _) => return,
        (Outcome::Done(_), Verb::Delete | Verb::Evict) => expect_delete(awaited, done),
        (Outcome::Done(_), _) => {
            if let Some(meta) = done.outcome.meta() {
                raise(&mut awaited.revisions, write.kind, meta.resource_version);
            }
        }
    }
    awaited.since = awaited.since.max(done.sent);
}

fn expect_delete(awaited: &mut Awaited, done: &Written) {
    if let Some(uid) = &done.write.uid {
        let delete = (done.write.kind, done.write.key.clone(), uid.clone());
        awaited.deletes.push(delete);
    }
}

#[cfg(test)]
mod tests;
