//! The store's leases, on which objects hang that are to be forgotten in time.
//!
//! A write that needs a lease asks here first, and the store only when there is none to share.
//! Upstream: `k8s.io/apiserver/pkg/storage/etcd3/lease_manager.go`.
//!
//! 1. An object on a lease lives at least as long as it was to, and at most the time longer for
//!    which leases are shared.
//!
//! Left out: waiting for a grant that another request has asked for. Writes that come at the same
//! moment may each be granted a lease, and those that nobody then shares end empty.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use core::time::Duration;
use std::collections::BTreeMap;

use wavetank_api::Time;
use wavetank_store::LeaseId;

/// Longest time for which a lease is shared (`defaultLeaseReuseDurationSeconds`).
const SHARED_MAX: Duration = Duration::from_secs(60);
/// Most writes on one lease, so that its end is no avalanche (`defaultLeaseMaxObjectCount`).
const WRITES_MAX: u32 = 1000;

/// The last lease of each time to live.
#[derive(Debug, Default)]
pub(crate) struct Lifetimes(BTreeMap<Duration, Shared>);

#[derive(Clone, Copy, Debug)]
struct Shared {
    id: LeaseId,
    /// Not later than its end on the store's clock.
    ends: Time,
    writes: u32,
}

// ANCHOR: lend
impl Lifetimes {
    /// How long a lease is to be for objects that live this long: a little longer, so
    /// that others can share it. Whole seconds, as upstream's.
    pub fn whole(ttl: Duration) -> Duration {
        ttl + Duration::from_secs(ttl.as_secs() / 20).min(SHARED_MAX)
    }

    /// A lease that lasts this long from now, if there is one to share.
    pub fn lend(&mut self, ttl: Duration, now: Time) -> Option<LeaseId> {
        let shared = self.0.get_mut(&ttl)?;
        if now + ttl >= shared.ends || shared.writes >= WRITES_MAX {
            return None;
        }
        shared.writes += 1;
        Some(shared.id)
    }

    /// The store has granted a lease of [`Lifetimes::whole`], asked for at this time;
    /// the asker's write is the first on it.
    pub fn granted(&mut self, ttl: Duration, id: LeaseId, asked: Time) {
        let ends = asked + Lifetimes::whole(ttl);
        self.0.insert(
            ttl,
            Shared {
                id,
                ends,
                writes: 1,
            },
        );
    }
}
// ANCHOR_END: lend

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_object_on_a_lease_lives_as_long_as_it_was_to_and_hardly_longer(
            ttl in 1..5_000_u64,
            waits in prop::collection::vec(0..40_u64, 1..200),
        ) {
            let (ttl, mut now) = (Duration::from_secs(ttl), Time::EPOCH);
            let slack = SHARED_MAX.min(ttl / 20);
            let mut lifetimes = Lifetimes::default();
            let mut ends = Vec::new();
            for wait in waits {
                now = now + Duration::from_secs(wait);
                let id = lifetimes.lend(ttl, now).unwrap_or_else(|| {
                    ends.push(now + Lifetimes::whole(ttl));
                    let id = LeaseId::new(ends.len() as u64).unwrap();
                    lifetimes.granted(ttl, id, now);
                    id
                });
                let end = ends[usize::try_from(id.0.get()).unwrap() - 1];
                prop_assert!(end >= now + ttl, "not before its time");
                prop_assert!(end <= now + ttl + slack, "and hardly after it");
            }
        }
    }

    #[test]
    fn a_lease_is_shared_for_a_minute_and_by_a_thousand() {
        let hour = Duration::from_secs(3600);
        let id = LeaseId(NonZeroU64::MIN);
        let mut lifetimes = Lifetimes::default();
        assert_eq!(Lifetimes::whole(hour), hour + Duration::from_secs(60));
        assert_eq!(lifetimes.lend(hour, Time::EPOCH), None);
        lifetimes.granted(hour, id, Time::EPOCH);
        let almost = Time::from_secs(59);
        assert_eq!(lifetimes.lend(hour, almost), Some(id));
        assert_eq!(lifetimes.lend(hour, Time::from_secs(60)), None);
        assert_eq!(lifetimes.lend(hour / 2, almost), None, "of another length");
        let lent = (0..2000).filter(|_| lifetimes.lend(hour, almost).is_some());
        assert_eq!(lent.count(), 998);
    }
}
