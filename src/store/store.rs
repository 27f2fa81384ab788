//! The store itself: a head where transactions are staged, and what is visible of it.
//!
//! Called by `serve`'s core thread and by the simulator; calls nobody. The caller carries bytes to
//! a [`Log`](crate::Log) and says when they are there.
//!
//! 1. Compares and gets run against the head; ranges and watches show the visible revision.
//! 2. No answer, and nothing visible, depends on a transaction that is not durable.
//! 3. Answers come in the order of staging, refusals included.
//! 4. Each transaction that writes has the next revision; others spend none.
//! 5. Range and watch at any retained revision agree with the list of all transactions until then.
//!
//! Left out: undoing what was staged. A failed sync ends the process; what a disk did after it
//! reported an error cannot be known (PostgreSQL's fsync lesson of 2018).
//!
//! Book: `book/src/control-plane/store.md`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use wavetank_api::{Guard, Guards, Revision, Time};

use crate::frame::Building;
use crate::history::{Batch, History, WatchId};
use crate::index::Index;
use crate::lease::{Leases, Term};
use crate::record::Writer;
use crate::snapshot::Snapshot;
use crate::txn::{Answer, Compare, Op, Refused, Ticket, Txn, TxnResult, check};
use crate::value::{Event, Key, KeyValue, LeaseId};

/// The revision asked for is compacted away: relist and watch from there (HTTP 410 `Expired`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("required revision has been compacted; the oldest one retained is {oldest}")]
pub struct Compacted {
    /// The oldest revision that can be read.
    pub oldest: Revision,
}

/// Why a read at a revision has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It is too old.
    #[error(transparent)]
    Compacted(#[from] Compacted),
    /// It has not come yet.
    #[error("required revision is a future revision; the newest one is {newest}")]
    Future {
        /// The visible revision.
        newest: Revision,
    },
}

/// What a range holds at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// The revision it was read at.
    pub revision: Revision,
    /// In order of keys, at most as many as asked for.
    pub kvs: Vec<Arc<KeyValue>>,
    /// Whether there are more keys than were asked for.
    pub more: bool,
    /// How many keys there are, those left out included.
    pub count: usize,
}

/// A staged operation whose answer waits for the disk.
#[derive(Debug)]
struct Promise {
    ticket: Ticket,
    /// The head's revision after it, which becomes visible with the answer.
    head: Revision,
    answer: Answer,
}

// ANCHOR: store
/// All keys and their history. See the module's documentation for the order of calls.
#[derive(Debug)]
pub struct Store {
    index: Index,
    history: History,
    leases: Leases,
    /// The newest revision, staged or not; written by staging.
    head: Revision,
    /// The newest revision that readers see; written by `durable`.
    visible: Revision,
    /// The oldest revision that can be read; written by `compact`.
    compacted: Revision,
    /// Staged and not yet durable, oldest first.
    promises: VecDeque<Promise>,
    /// Records staged since the last `unsynced`.
    frame: Building,
    next_frame: u64,
    next_ticket: u64,
    /// The ticket up to which `unsynced` has handed out bytes.
    handed_out: Option<Ticket>,
    guards: Guards,
}
// ANCHOR_END: store

impl Default for Store {
    fn default() -> Self {
        Store::new()
    }
}

impl Store {
    /// An empty store at revision 1, as etcd's: 0 can then mean "does not exist".
    pub fn new() -> Self {
        Store::at_revision(Revision(1))
    }

    /// The same store with these guards.
    #[must_use]
    pub fn with_guards(self, guards: Guards) -> Self {
        Store { guards, ..self }
    }

    // ANCHOR: stage
    /// Does a transaction at the head. Its answer comes from `durable`; until then
    /// nobody but later transactions can see it.
    pub fn stage(&mut self, txn: Txn) -> Ticket {
        let answer = check(&txn).and_then(|()| {
            let succeeded = txn.compares.iter().all(|compare| self.holds(compare));
            let ops = if succeeded { txn.then } else { txn.otherwise };
            self.check_leases(&ops)?;
            Ok(self.apply(succeeded, ops))
        });
        self.promise(answer)
    }
    // ANCHOR_END: stage

    fn holds(&self, compare: &Compare) -> bool {
        let absent = Revision(0);
        match compare {
            Compare::ModRevision { key, equals } => {
                self.index
                    .head(key)
                    .map_or(absent, |value| value.mod_revision)
                    == *equals
            }
            Compare::CreateRevision { key, equals } => {
                self.index
                    .head(key)
                    .map_or(absent, |value| value.create_revision)
                    == *equals
            }
            Compare::Lease { key, equals } => {
                self.index.head(key).and_then(|value| value.lease) == *equals
            }
        }
    }

    fn check_leases(&self, ops: &[Op]) -> Result<(), Refused> {
        for op in ops {
            if let Op::Put {
                lease: Some(id), ..
            } = op
                && !self.leases.has(*id)
            {
                return Err(Refused::LeaseNotFound(*id));
            }
        }
        Ok(())
    }

    fn apply(&mut self, succeeded: bool, ops: Vec<Op>) -> TxnResult {
        let revision = Revision(self.head.0 + 1);
        let unwritten = self.frame.payload().len();
        Writer(self.frame.payload()).begin(revision);
        let mut wrote = false;
        let mut gets = Vec::new();
        for op in ops {
            match op {
                Op::Put { key, value, lease } => {
                    Writer(self.frame.payload()).put(&key, &value, lease);
                    self.put(key, value, lease, revision);
                    wrote = true;
                }
                Op::Delete { key } => {
                    if self.delete(&key, revision) {
                        Writer(self.frame.payload()).delete(&key);
                        wrote = true;
                    }
                }
                Op::Get { key } => gets.push(self.index.head(&key).cloned()),
            }
        }
        if wrote {
            Writer(self.frame.payload()).commit();
            self.head = revision;
        } else {
            self.frame.payload().truncate(unwritten);
        }
        TxnResult {
            succeeded,
            revision: self.head,
            gets,
            granted: None,
        }
    }

    /// Writes a version at the head; staging and recovery both do it here.
    pub(crate) fn put(
        &mut self,
        key: Key,
        value: Bytes,
        lease: Option<LeaseId>,
        revision: Revision,
    ) {
        let put = self.index.put(key, value, lease, revision);
        let before = put.before.as_ref().and_then(|value| value.lease);
        self.leases.attach(&put.now.key, before, lease);
        let key = put.now.key.clone();
        self.history.push(Event {
            key,
            revision,
            now: Some(put.now),
            before: put.before,
        });
    }

    /// Deletes at the head; `false` when there was nothing to delete.
    pub(crate) fn delete(&mut self, key: &str, revision: Revision) -> bool {
        let Some(before) = self.index.delete(key, revision) else {
            return false;
        };
        let key = before.key.clone();
        self.leases.attach(&key, before.lease, None);
        self.history.push(Event {
            key,
            revision,
            now: None,
            before: Some(before),
        });
        true
    }

    fn promise(&mut self, answer: Answer) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.promises.push_back(Promise {
            ticket,
            head: self.head,
            answer,
        });
        ticket
    }

    /// Everything staged since the last call: the bytes to append to the log as one write, and the
    /// ticket to call `durable` with once they are synced. The bytes are empty when nothing was
    /// written; then there is nothing to sync, but the frames handed out before still go first.
    pub fn unsynced(&mut self) -> Option<(Ticket, Bytes)> {
        let last = Ticket(self.next_ticket.checked_sub(1)?);
        if self.handed_out == Some(last) {
            return None;
        }
        self.handed_out = Some(last);
        if self.frame.is_empty() {
            return Some((last, Bytes::new()));
        }
        let number = self.next_frame;
        self.next_frame += 1;
        let next = self.frame.another();
        let full = std::mem::replace(&mut self.frame, next);
        Some((last, full.seal(number).into()))
    }

    // ANCHOR: durable
    /// The log is synced up to this ticket: makes its transactions visible and gives
    /// their answers.
    pub fn durable(&mut self, upto: Ticket) -> Vec<(Ticket, Answer)> {
        assert!(
            Some(upto) <= self.handed_out,
            "only what was handed out can be on disk"
        );
        let mut answers = Vec::new();
        while let Some(promise) = self.promises.pop_front_if(|p| p.ticket <= upto) {
            self.visible = promise.head;
            answers.push((promise.ticket, promise.answer));
        }
        answers
    }
    // ANCHOR_END: durable

    /// The visible revision.
    pub fn revision(&self) -> Revision {
        self.visible
    }

    /// The oldest revision that can be read.
    pub fn compacted(&self) -> Revision {
        self.compacted
    }

    /// How many keys take space (deleted ones that are not compacted included).
    pub fn keys(&self) -> usize {
        self.index.len()
    }

    /// How many events are retained.
    pub fn events(&self) -> usize {
        self.history.len()
    }

    /// The keys from `start` to before `end` (`None`: to the last) at a revision (`None`: the
    /// visible one); at most `limit` of them, 0 for all.
    pub fn range(
        &self,
        start: &str,
        end: Option<&str>,
        at: Option<Revision>,
        limit: usize,
    ) -> Result<Range, ReadError> {
        let revision = self.readable(at)?;
        let mut range = Range {
            revision,
            ..Range::default()
        };
        for value in self.index.range(start, end, revision) {
            range.count += 1;
            if limit == 0 || range.kvs.len() < limit {
                range.kvs.push(value.clone());
            }
        }
        range.more = range.count > range.kvs.len();
        Ok(range)
    }

    /// One key at a revision (`None`: the visible one).
    pub fn get(&self, key: &str, at: Option<Revision>) -> Result<Option<Arc<KeyValue>>, ReadError> {
        let revision = self.readable(at)?;
        Ok(self.index.at(key, revision).cloned())
    }

    fn readable(&self, at: Option<Revision>) -> Result<Revision, ReadError> {
        let at = at.unwrap_or(self.visible);
        if at > self.visible {
            return Err(ReadError::Future {
                newest: self.visible,
            });
        }
        self.retained(at)?;
        Ok(at)
    }

    fn retained(&self, at: Revision) -> Result<(), Compacted> {
        if at < self.compacted {
            Err(Compacted {
                oldest: self.compacted,
            })
        } else {
            Ok(())
        }
    }

    /// Whether all that came after this revision can still be told.
    fn watchable(&self, from: Revision) -> Result<(), Compacted> {
        match self.guards.on(Guard::M88) {
            true => self.retained(from),
            false => Ok(()),
        }
    }

    /// Watches all keys: events with a revision after `from`, which may lie in the future.
    pub fn watch(&mut self, from: Revision) -> Result<WatchId, Compacted> {
        self.watchable(from)?;
        Ok(self.history.watch(from))
    }

    /// The next visible events of a watch, about `max` of them. Says `Compacted` when the watch is
    /// so far behind that events it has not seen are gone; it will say so again.
    pub fn drain(&mut self, watch: &WatchId, max: usize) -> Result<Batch, Compacted> {
        self.watchable(self.history.place(watch))?;
        Ok(self.history.drain(watch, self.visible, max))
    }

    /// Ends a watch.
    pub fn cancel(&mut self, watch: WatchId) {
        self.history.cancel(watch);
    }

    // ANCHOR: compact
    /// Forgets what only reads before `at` could see: they are refused from now on, and
    /// `sweep` gives the memory back. Compaction is about memory; the log forgets by
    /// snapshots.
    pub fn compact(&mut self, at: Revision) -> Result<(), ReadError> {
        self.readable(Some(at))?;
        self.compacted = at;
        Ok(())
    }

    /// Drops at most `max` events that are compacted, and the versions they replaced;
    /// says whether there are more. Its cost is in events and not in keys, so the
    /// caller decides how long others have to wait.
    pub fn sweep(&mut self, max: usize) -> bool {
        for _ in 0..max {
            let Some(event) = self.history.forget(self.compacted) else {
                self.history.shrink();
                return false;
            };
            self.index.trim(&event.key, self.compacted);
        }
        true
    }
    // ANCHOR_END: compact

    /// Grants a lease for `ttl`: then it is over, and its keys with it. `None` lets the store
    /// choose the number. Answered like a transaction.
    pub fn grant(&mut self, id: Option<LeaseId>, ttl: Duration, now: Time) -> (LeaseId, Ticket) {
        let id = id.unwrap_or_else(|| self.leases.unused());
        let answer = if self.leases.has(id) {
            Err(Refused::LeaseExists(id))
        } else {
            let granted = self.leases.uptime(now);
            let term = Term { granted, ttl };
            Writer(self.frame.payload()).grant(id, term);
            self.leases.grant(id, term);
            Ok(self.done(Some(id)))
        };
        (id, self.promise(answer))
    }

    /// Ends a lease and deletes its keys at one revision. Answered like a transaction.
    pub fn revoke(&mut self, id: LeaseId) -> Ticket {
        let answer = if self.end_lease(id) {
            Writer(self.frame.payload()).revoke(id);
            Ok(self.done(None))
        } else {
            Err(Refused::LeaseNotFound(id))
        };
        self.promise(answer)
    }

    /// Revokes all leases whose time is over.
    pub fn expire(&mut self, now: Time) -> Vec<Ticket> {
        let mut tickets = Vec::new();
        while let Some(id) = self.leases.expired(now) {
            tickets.push(self.revoke(id));
        }
        tickets
    }

    /// When the next lease is over.
    pub fn next_expiry(&self) -> Option<Time> {
        self.leases.next_deadline()
    }

    /// Removes a lease and its keys at the head; staging and recovery both do it here.
    pub(crate) fn end_lease(&mut self, id: LeaseId) -> bool {
        let Some(keys) = self.leases.revoke(id) else {
            return false;
        };
        let revision = Revision(self.head.0 + 1);
        for key in keys {
            if self.delete(&key, revision) {
                self.head = revision;
            }
        }
        true
    }

    fn done(&self, granted: Option<LeaseId>) -> TxnResult {
        TxnResult {
            succeeded: true,
            revision: self.head,
            gets: Vec::new(),
            granted,
        }
    }

    /// All that lives at the head. To be called right after `unsynced`, because a snapshot stands
    /// between two frames; to be published only when its ticket is durable.
    pub fn snapshot(&self) -> Snapshot {
        assert!(
            self.frame.is_empty(),
            "a snapshot stands between two frames"
        );
        Snapshot {
            covers: self.next_frame,
            after: Ticket(self.next_ticket.saturating_sub(1)),
            revision: self.head,
            values: self.index.heads().cloned().collect(),
            leases: self.leases.iter().collect(),
        }
    }

    /// A store as a snapshot's first records describe it, still without values.
    pub(crate) fn at_revision(revision: Revision) -> Self {
        Store {
            index: Index::default(),
            history: History::default(),
            leases: Leases::default(),
            head: revision,
            visible: revision,
            compacted: revision,
            promises: VecDeque::new(),
            frame: Building::default(),
            next_frame: 0,
            next_ticket: 0,
            handed_out: None,
            guards: Guards::default(),
        }
    }

    /// Puts back one value of a snapshot; `false` when it cannot stand in this state.
    pub(crate) fn restore(&mut self, value: KeyValue) -> bool {
        let lease = value.lease;
        let known = lease.is_none_or(|id| self.leases.has(id));
        let sound = known && value.mod_revision <= self.head && value.create_revision.0 > 0;
        self.leases.attach(&value.key, None, lease);
        sound && self.index.restore(value)
    }

    /// Puts back a lease.
    pub(crate) fn restore_lease(&mut self, id: LeaseId, term: Term) -> bool {
        let new = !self.leases.has(id);
        if new {
            self.leases.grant(id, term);
        }
        new
    }

    /// The newest revision, staged or not.
    pub(crate) fn head(&self) -> Revision {
        self.head
    }

    /// A replayed transaction is complete: it is on disk, so it is visible.
    pub(crate) fn replayed(&mut self, head: Revision) {
        self.head = head;
        self.visible = head;
    }

    /// Recovery is over: the next frame has this number, and the leases' time goes on.
    pub(crate) fn continue_at(&mut self, frame: u64, now: Time) {
        self.next_frame = frame;
        self.leases.open(now);
    }

    /// The number of the next frame.
    pub(crate) fn next_frame(&self) -> u64 {
        self.next_frame
    }

    /// The revision that last wrote or deleted a key; 0 for one that is not known.
    pub(crate) fn last_write(&self, key: &str) -> Revision {
        self.index.last_write(key)
    }

    /// Whether a lease exists at the head.
    pub(crate) fn has_lease(&self, id: LeaseId) -> bool {
        self.leases.has(id)
    }
}
