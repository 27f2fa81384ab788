//! Leases: keys that die together unless somebody keeps them alive.
//!
//! The API server hangs Events on leases, so that they are forgotten after an hour.
//!
//! 1. A lease's deadline is its last grant or keep-alive plus its time to live.
//! 2. A key is listed under a lease exactly when its version at the head names that lease.
//!
//! Grants and revocations are in the log; keep-alives are not: after recovery each lease has its
//! whole time to live again, as in etcd after a change of leader.
//!
//! Book: `book/src/control-plane/store.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wavetank_api::Time;

use crate::value::{Key, LeaseId};

#[derive(Debug)]
struct Lease {
    ttl: Duration,
    deadline: Time,
    keys: BTreeSet<Key>,
}

/// All leases of the head.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    table: BTreeMap<LeaseId, Lease>,
    /// The same deadlines, soonest first.
    deadlines: BTreeSet<(Time, LeaseId)>,
}

impl Leases {
    pub fn has(&self, id: LeaseId) -> bool {
        self.table.contains_key(&id)
    }

    /// The lowest number after all that are in use.
    pub fn unused(&self) -> LeaseId {
        let last = self.table.last_key_value().map_or(0, |(id, _)| id.0.get());
        LeaseId::new(last.wrapping_add(1)).unwrap_or(LeaseId(std::num::NonZeroU64::MIN))
    }

    pub fn grant(&mut self, id: LeaseId, ttl: Duration, now: Time) {
        let deadline = now + ttl;
        self.table.insert(
            id,
            Lease {
                ttl,
                deadline,
                keys: BTreeSet::new(),
            },
        );
        self.deadlines.insert((deadline, id));
    }

    /// The whole time to live again; `None` when there is no such lease.
    pub fn keep_alive(&mut self, id: LeaseId, now: Time) -> Option<Duration> {
        let lease = self.table.get_mut(&id)?;
        self.deadlines.remove(&(lease.deadline, id));
        lease.deadline = now + lease.ttl;
        self.deadlines.insert((lease.deadline, id));
        Some(lease.ttl)
    }

    /// Removes a lease and gives its keys in order.
    pub fn revoke(&mut self, id: LeaseId) -> Option<BTreeSet<Key>> {
        let lease = self.table.remove(&id)?;
        self.deadlines.remove(&(lease.deadline, id));
        Some(lease.keys)
    }

    /// Moves a key from the lease of its last version to that of its new one.
    pub fn attach(&mut self, key: &Key, before: Option<LeaseId>, now: Option<LeaseId>) {
        if before == now {
            return;
        }
        if let Some(lease) = before.and_then(|id| self.table.get_mut(&id)) {
            lease.keys.remove(key);
        }
        if let Some(lease) = now.and_then(|id| self.table.get_mut(&id)) {
            lease.keys.insert(key.clone());
        }
    }

    /// A lease whose deadline is at or before `now`.
    pub fn expired(&self, now: Time) -> Option<LeaseId> {
        self.deadlines
            .first()
            .filter(|(deadline, _)| *deadline <= now)
            .map(|(_, id)| *id)
    }

    pub fn next_deadline(&self) -> Option<Time> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// All leases with their times to live.
    pub fn iter(&self) -> impl Iterator<Item = (LeaseId, Duration)> {
        self.table.iter().map(|(id, lease)| (*id, lease.ttl))
    }
}
