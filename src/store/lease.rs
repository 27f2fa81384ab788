//! Leases: keys that die together unless somebody keeps them alive.
//!
//! The API server hangs Events on leases, so that they are forgotten after an hour.
//!
//! 1. A lease ends when its time to live has passed since its grant, on the store's own clock.
//! 2. A key is listed under a lease exactly when its version at the head names that lease.
//!
//! That clock stands still while the store is down, as etcd's does, so that nothing dies because
//! nobody could keep it alive. Each grant is logged with its reading; recovery goes on from the
//! last one, so a restart gives a lease at most the time since the last grant again.
//!
//! Left out: keep-alives. An API server grants a new lease instead.
//!
//! Book: `book/src/control-plane/store.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wavetank_api::Time;

use crate::value::{Key, LeaseId};

/// How long the store has been up, over all its lives.
pub(crate) type Uptime = Duration;

/// When a lease was granted, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Term {
    pub granted: Uptime,
    pub ttl: Duration,
}

impl Term {
    fn end(self) -> Uptime {
        self.granted.saturating_add(self.ttl)
    }
}

#[derive(Debug)]
struct Lease {
    term: Term,
    keys: BTreeSet<Key>,
}

/// All leases of the head.
#[derive(Debug)]
pub(crate) struct Leases {
    table: BTreeMap<LeaseId, Lease>,
    /// When they end, soonest first.
    ends: BTreeSet<(Uptime, LeaseId)>,
    /// A moment on the caller's clock and on the store's; written when the store opens.
    opened: (Time, Uptime),
    /// When the last lease was granted.
    last_grant: Uptime,
}

impl Default for Leases {
    fn default() -> Self {
        Leases {
            table: BTreeMap::new(),
            ends: BTreeSet::new(),
            opened: (Time::EPOCH, Uptime::ZERO),
            last_grant: Uptime::ZERO,
        }
    }
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

    // ANCHOR: uptime
    /// The store is up: its clock goes on from the last grant that is known.
    pub fn open(&mut self, now: Time) {
        self.opened = (now, self.last_grant);
    }

    /// The store's clock.
    pub fn uptime(&self, now: Time) -> Uptime {
        let (opened, before) = self.opened;
        before.saturating_add(now.since(opened))
    }
    // ANCHOR_END: uptime

    pub fn grant(&mut self, id: LeaseId, term: Term) {
        self.last_grant = self.last_grant.max(term.granted);
        let keys = BTreeSet::new();
        self.table.insert(id, Lease { term, keys });
        self.ends.insert((term.end(), id));
    }

    /// Removes a lease and gives its keys in order.
    pub fn revoke(&mut self, id: LeaseId) -> Option<BTreeSet<Key>> {
        let lease = self.table.remove(&id)?;
        self.ends.remove(&(lease.term.end(), id));
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

    /// A lease whose time is over.
    pub fn expired(&self, now: Time) -> Option<LeaseId> {
        let (end, id) = self.ends.first()?;
        (*end <= self.uptime(now)).then_some(*id)
    }

    /// When the next lease ends.
    pub fn next_deadline(&self) -> Option<Time> {
        let (end, _) = self.ends.first()?;
        Some(self.opened.0 + end.saturating_sub(self.opened.1))
    }

    /// All leases with their terms.
    pub fn iter(&self) -> impl Iterator<Item = (LeaseId, Term)> {
        self.table.iter().map(|(id, lease)| (*id, lease.term))
    }
}
