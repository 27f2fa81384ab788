//! From staged transactions to what everybody sees: the disk, the leases, the store's watch.
//!
//! Called by the loop of the world when a group is synced, a lease ends, or history is to be
//! forgotten.
//!
//! Book: `book/src/simulator/world.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use wavetank_api::Revision;
use wavetank_store::{Batch, Event as StoreEvent};

use crate::disk::Released;
use crate::trace::{Act, EventId, Mark, What};
use crate::world::{COMPACTION, Event, World};

/// How many versions one call of `sweep` forgets.
const SWEPT: usize = 10_000;

impl World {
    /// Begins to write staged transactions to disk, unless a write is under way.
    pub(crate) fn start_sync(&mut self, cause: EventId) {
        if self.disk.start_sync() {
            let at = self.network.synced(self.now);
            self.agenda.add(at, cause, Event::Synced);
        }
    }

    /// Sets the alarm for the lease that ends next.
    pub(crate) fn wait_for_expiry(&mut self) {
        if let Some(at) = self.disk.set_alarm() {
            self.agenda
                .add(at.max(self.now), self.current, Event::Expire);
        }
    }

    /// The keys of leases that are over go.
    pub(crate) fn expire(&mut self, cause: EventId) {
        if !self.disk.expire(self.now) {
            return;
        }
        self.mark(cause, b'e', 0, 0, &[]);
        self.wait_for_expiry();
        self.start_sync(self.current);
    }

    pub(crate) fn synced(&mut self, cause: EventId) {
        let released = self.disk.synced();
        let revision = self.disk.store.revision();
        self.mark(cause, b's', 0, revision.0, &[]);
        let synced = self.current;
        let commits = self.feed(&released, synced);
        self.show_commits(&released);
        for answer in released {
            let commit = answer.made().and_then(|revision| commits.get(&revision));
            let cause = commit.copied().unwrap_or(answer.waiter.cause);
            self.current = cause;
            if commit.is_some() {
                self.crash_after_write(&answer);
            }
            self.happen(Event::Released { answer }, cause);
        }
        self.start_sync(synced);
    }

    /// Sends what is new in the store on its way to each API server's cache; the numbers of the
    /// commits' records.
    fn feed(&mut self, released: &[Released], synced: EventId) -> BTreeMap<Revision, EventId> {
        let mut commits = BTreeMap::new();
        for server in 0..self.servers.len() {
            let Some(watch) = &self.servers[server].watch else {
                continue; // it is down, and will start with a watch of its own
            };
            let Ok(batch) = self.disk.store.drain(watch, usize::MAX) else {
                continue;
            };
            if batch.events.is_empty() {
                continue;
            }
            if commits.is_empty() {
                commits = self.record_commits(&batch, released, synced);
            }
            let host = &mut self.servers[server];
            if self.faults.held_servers.contains(&server) {
                host.held.push_back(batch);
                continue;
            }
            host.last_batch = self.network.observed(server, self.now, host.last_batch);
            let cause = commits.values().next_back().copied().unwrap_or(synced);
            let server = (server, host.incarnation);
            let event = Event::Observe { server, batch };
            self.agenda.add(host.last_batch, cause, event);
        }
        commits
    }

    /// One record a revision, caused by the request that staged it.
    fn record_commits(
        &mut self,
        batch: &Batch,
        released: &[Released],
        synced: EventId,
    ) -> BTreeMap<Revision, EventId> {
        let made = released
            .iter()
            .filter_map(|answer| Some((answer.made()?, answer.waiter.cause)));
        let causes: BTreeMap<Revision, EventId> = made.collect();
        let mut commits = BTreeMap::new();
        for events in batch.events.chunk_by(|a, b| a.revision == b.revision) {
            let Some(first) = events.first() else {
                continue;
            };
            let revision = first.revision;
            let mark = Mark {
                tag: b'c',
                who: 0,
                which: revision.0,
                bytes: first.key.as_bytes(),
            };
            let cause = causes.get(&revision).copied().unwrap_or(synced);
            let commit = self.trace.event(self.now, cause, &mark);
            self.trace.record(commit, cause, self.now, || What::Commit {
                revision,
                writes: events.iter().map(written).collect(),
            });
            commits.insert(revision, commit);
        }
        commits
    }

    /// Forgets what is older than this revision.
    pub(crate) fn forget_revisions(&mut self, at: Revision) {
        // Refused only when there is nothing to compact yet.
        let _ = self.disk.store.compact(at);
        while self.disk.store.sweep(SWEPT) {}
    }

    pub(crate) fn compact(&mut self, at: Revision, cause: EventId) {
        self.mark(cause, b'k', 0, at.0, &[]);
        self.forget_revisions(at);
        let next = Event::Compact {
            at: self.disk.store.revision(),
        };
        self.agenda.add(self.now + COMPACTION, self.current, next);
    }
}

fn written(event: &StoreEvent) -> (Arc<str>, Act) {
    let act = match (&event.before, &event.now) {
        (None, _) => Act::Create,
        (Some(_), Some(_)) => Act::Change,
        (Some(_), None) => Act::Delete,
    };
    (event.key.clone(), act)
}
