//! The store's leases, on which objects hang that are to be forgotten in time.
//!
//! A write that needs a lease asks here first, and the store only when there is none to share.
//! Upstream: `k8s.io/apiserver/pkg/storage/etcd3/lease_manager.go`.
//!
//! 1. An object on a lease lives at least as long as it was to, and at most the time longer for
//!    which leases are shared.
//! 2. At most one grant is with the store: who else needs a lease waits for its outcome, and then
//!    asks here again: `events_that_come_together_are_granted_one_lease`.
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
pub(crate) struct Lifetimes {
    shared: BTreeMap<Duration, Shared>,
    /// A grant is with the store; written by [`Lifetimes::lend`] and [`Lifetimes::answered`].
    is_asked: bool,
}

/// How a write comes to its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lend {
    /// This one is to be shared.
    Shared(LeaseId),
    /// There is none to share: the write asks the store, and nobody else does until it has been
    /// answered.
    Ask,
    /// Another write has asked: wait until it has been answered, and come again.
    Wait,
}

#[derive(Clone, Copy, Debug)]
struct Shared {
    id: LeaseId,
    /// Not later than its end on the store's clock.
    ends: Time,
    writes: u32,
}

impl Lifetimes {
    /// How long a lease is to be for objects that live this long: a little longer, so
    /// that others can share it. Whole seconds, as upstream's.
    pub fn whole(ttl: Duration) -> Duration {
        ttl + Duration::from_secs(ttl.as_secs() / 20).min(SHARED_MAX)
    }

    // ANCHOR: lend
    /// A lease that lasts this long from now, or how to come to one.
    pub fn lend(&mut self, ttl: Duration, now: Time) -> Lend {
        if let Some(shared) = self.shared.get_mut(&ttl)
            && now + ttl < shared.ends
            && shared.writes < WRITES_MAX
        {
            shared.writes += 1;
            return Lend::Shared(shared.id);
        }
        if self.is_asked {
            return Lend::Wait;
        }
        self.is_asked = true;
        Lend::Ask
    }

    /// The store has granted a lease of [`Lifetimes::whole`], asked for at this time;
    /// the asker's write is the first on it.
    pub fn granted(&mut self, ttl: Duration, id: LeaseId, asked: Time) {
        let ends = asked + Lifetimes::whole(ttl);
        let writes = 1;
        self.shared.insert(ttl, Shared { id, ends, writes });
    }
    // ANCHOR_END: lend

    /// Whether a grant is with the store.
    pub fn is_asked(&self) -> bool {
        self.is_asked
    }

    /// The write that asked was answered, whatever it was told, or has gone away.
    pub fn answered(&mut self) {
        self.is_asked = false;
    }
}

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
                let lent = lifetimes.lend(ttl, now);
                let Lend::Shared(id) = lent else {
                    prop_assert_eq!(lent, Lend::Ask);
                    ends.push(now + Lifetimes::whole(ttl));
                    lifetimes.answered();
                    lifetimes.granted(ttl, LeaseId::new(ends.len() as u64).unwrap(), now);
                    continue;
                };
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
        let lend = |lifetimes: &mut Lifetimes, ttl, seconds| {
            let lent = lifetimes.lend(ttl, Time::from_secs(seconds));
            lifetimes.answered();
            lent
        };
        assert_eq!(Lifetimes::whole(hour), hour + Duration::from_secs(60));
        assert_eq!(lend(&mut lifetimes, hour, 0), Lend::Ask);
        lifetimes.granted(hour, id, Time::EPOCH);
        assert_eq!(lend(&mut lifetimes, hour, 59), Lend::Shared(id));
        assert_eq!(lend(&mut lifetimes, hour, 60), Lend::Ask);
        assert_eq!(
            lend(&mut lifetimes, hour / 2, 59),
            Lend::Ask,
            "of another length"
        );
        let lent = (0..2000).filter(|_| lend(&mut lifetimes, hour, 59) == Lend::Shared(id));
        assert_eq!(lent.count(), 998);
    }
}
