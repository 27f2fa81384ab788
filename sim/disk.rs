//! The store of a simulated cluster and the disk below it.
//!
//! Transactions are staged as they come; while one group is being synced the next collects, as a
//! real log does. When the sync is done, the answers of the group are released in order. Leases end
//! at the world's time, as transactions of nobody. When the log has grown, a snapshot takes its
//! place: an hour of a large cluster would not fit in memory otherwise.
//!
//! 1. No answer is released before the records it depends on are synced.
//! 2. What is on the disk always gives the store that was synced last:
//!    `the_disk_gives_the_store_back_and_stays_small`.
//!
//! Book: `book/src/simulator/world.md`.

use core::time::Duration;
use std::collections::BTreeMap;

use wavetank_api::{Guards, Revision, Time};
use wavetank_apiserver::Ticket as RequestTicket;
use wavetank_store::{
    FileKind, Log, LogError, Loss, MemoryLog, Op, Refused, Snapshot, Store, Ticket, Txn, TxnResult,
    prune, rotate,
};

use crate::trace::EventId;

/// So many bytes of log since the last snapshot make the next one worth its while.
const SNAPSHOT_AFTER_BYTES: usize = 64 * 1024 * 1024;

/// One life of an API server: its number, and how often it had crashed before.
pub(crate) type ServerLife = (usize, u32);

/// Who waits for a transaction or a grant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiter {
    pub(crate) server: ServerLife,
    pub(crate) ticket: RequestTicket,
    /// Whether success means a revision of its own.
    pub(crate) writes: bool,
    /// The event during which the transaction was staged.
    pub(crate) cause: EventId,
}

/// A released answer.
pub(crate) struct Released {
    pub(crate) waiter: Waiter,
    pub(crate) result: Result<TxnResult, Refused>,
}

pub(crate) struct Disk {
    pub(crate) store: Store,
    guards: Guards,
    log: MemoryLog,
    waiting: BTreeMap<Ticket, Waiter>,
    /// The group that is being synced.
    syncing: Option<Ticket>,
    /// Bytes of log that the last snapshot does not cover, and how many there may be.
    grown: usize,
    snapshot_after: usize,
    /// Shows what the group being synced ends with.
    snapshot: Option<Snapshot>,
    /// When leases are looked at next.
    alarm: Option<Time>,
}

impl Released {
    /// The revision that the transaction made, if it made one.
    pub(crate) fn made(&self) -> Option<Revision> {
        let result = self.result.as_ref().ok()?;
        (result.succeeded && self.waiter.writes).then_some(result.revision)
    }
}

impl Disk {
    /// An empty store on an empty disk.
    pub(crate) fn new(now: Time, guards: Guards) -> Self {
        let mut log = MemoryLog::new();
        // An empty memory log has nothing that could be damaged.
        let store = wavetank_store::open(&mut log, now).unwrap_or_default();
        Disk {
            store: store.with_guards(guards),
            guards,
            log,
            waiting: BTreeMap::new(),
            syncing: None,
            grown: 0,
            snapshot_after: SNAPSHOT_AFTER_BYTES,
            snapshot: None,
            alarm: None,
        }
    }

    /// Stages a transaction.
    pub(crate) fn stage(&mut self, txn: Txn, mut waiter: Waiter) {
        let mut ops = txn.then.iter();
        waiter.writes = ops.any(|op| !matches!(op, Op::Get { .. }));
        let ticket = self.store.stage(txn);
        self.waiting.insert(ticket, waiter);
    }

    /// Stages the grant of a lease.
    pub(crate) fn grant(&mut self, ttl: Duration, now: Time, waiter: Waiter) {
        let (_, ticket) = self.store.grant(None, ttl, now);
        self.waiting.insert(ticket, waiter);
    }

    /// The power goes and comes back: the store has what was synced, and perhaps more.
    pub(crate) fn power_cut(&mut self, loss: Loss, now: Time) {
        self.log.crash(loss);
        let back = wavetank_store::open(&mut self.log, now);
        debug_assert!(back.is_ok(), "unsynced bytes are no damage");
        self.store = back.unwrap_or_default().with_guards(self.guards);
        self.waiting.clear();
        self.syncing = None;
        self.snapshot = None;
        self.alarm = None;
    }

    /// When the next lease ends, unless the alarm is set for that time or before.
    pub(crate) fn set_alarm(&mut self) -> Option<Time> {
        let next = self.store.next_expiry()?;
        if self.alarm.is_some_and(|set| set <= next) {
            return None;
        }
        self.alarm = Some(next);
        self.alarm
    }

    /// Ends the leases that are over; false when the alarm is set for another time.
    pub(crate) fn expire(&mut self, now: Time) -> bool {
        if self.alarm != Some(now) {
            return false;
        }
        self.alarm = None;
        self.store.expire(now);
        true
    }

    /// Starts to sync what has collected; false when there is nothing, or a sync is under way.
    pub(crate) fn start_sync(&mut self) -> bool {
        if self.syncing.is_some() {
            return false;
        }
        let Some((upto, bytes)) = self.store.unsynced() else {
            return false;
        };
        // A memory log takes what it is given; faults are asked for, and are the next part's.
        let appended = self.log.append(&bytes);
        debug_assert!(appended.is_ok(), "a memory log without faults appends");
        self.syncing = Some(upto);
        self.grown += bytes.len();
        if self.grown > self.snapshot_after {
            self.snapshot = Some(self.store.snapshot());
        }
        true
    }

    /// The sync is done: releases the answers of its group.
    pub(crate) fn synced(&mut self) -> Vec<Released> {
        let Some(upto) = self.syncing.take() else {
            return Vec::new();
        };
        let synced = self.log.sync();
        debug_assert!(synced.is_ok(), "a memory log without faults syncs");
        if let Some(snapshot) = self.snapshot.take() {
            let published = self.publish(&snapshot);
            debug_assert!(published.is_ok(), "a memory log without faults publishes");
        }
        let released = self.store.durable(upto);
        let mut answers = Vec::with_capacity(released.len());
        for (ticket, result) in released {
            if let Some(waiter) = self.waiting.remove(&ticket) {
                answers.push(Released { waiter, result });
            }
        }
        answers
    }

    /// Puts a snapshot in the place of the log before it.
    fn publish(&mut self, snapshot: &Snapshot) -> Result<(), LogError> {
        let covers = snapshot.covers();
        rotate(&mut self.log, covers)?;
        self.log
            .publish(FileKind::Snapshot { covers }, &mut snapshot.parts())?;
        prune(&mut self.log, covers)?;
        self.grown = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wavetank_store::open;

    #[test]
    fn the_disk_gives_the_store_back_and_stays_small() {
        let now = Time::from_secs(0);
        let mut disk = Disk::new(now, Guards::default());
        disk.snapshot_after = 10_000;
        for round in 0..200 {
            let put = Op::Put {
                key: format!("/registry/x/{}", round % 5).into(),
                value: vec![b'v'; 500].into(),
                lease: None,
            };
            disk.store.stage(Txn::new(vec![put]));
            assert!(disk.start_sync());
            disk.synced();
        }
        assert!(disk.log.len() < 20_000, "{} bytes", disk.log.len());
        let back = open(&mut disk.log.clone(), now).unwrap();
        assert_eq!(back.revision(), disk.store.revision());
        let all = |store: &Store| store.range("/", Some("0"), None, 0).unwrap().kvs;
        assert_eq!(all(&back).len(), 5);
        assert_eq!(all(&back), all(&disk.store));
    }
}
