//! RollingUpdate: new pods before old ones go, within surge and unavailability.
//!
//! Called by the Deployment controller. Upstream: `pkg/controller/deployment/rolling.go`.
//!
//! 1. All sets together want at most `replicas + maxSurge` pods (C4).
//! 2. Old sets are not scaled down below what keeps `replicas - maxUnavailable` pods available
//!    (C5).
//! 3. One round grows the new set or shrinks old ones, never both: each sees what the one before
//!    did.
//!
//! Book: `book/src/controllers/deployment.md`.

use super::sets::{Resize, Set, Sets, wanted};

/// The resizes of one round; empty when there is nothing to move.
pub(super) fn round(sets: &Sets, new: &Set) -> Vec<Resize> {
    let grown = new_size(sets, new);
    if grown != new.view.spec.replicas {
        return vec![Resize {
            set: new.clone(),
            to: grown,
        }];
    }
    shrink_old(sets, new)
}

// ANCHOR: new_size
/// The size of the new set: as large as the surge allows, and no larger than asked for.
fn new_size(sets: &Sets, new: &Set) -> i64 {
    let now = new.view.spec.replicas;
    if now >= sets.replicas() {
        return sets.replicas();
    }
    let room = sets.max_replicas() - wanted(sets.all());
    now + room.clamp(0, sets.replicas() - now)
}
// ANCHOR_END: new_size

/// The size of a new set that is about to be created.
pub(super) fn first_size(sets: &Sets) -> i64 {
    let room = sets.max_replicas() - wanted(sets.all());
    room.clamp(0, sets.replicas().max(0))
}

// ANCHOR: shrink_old
/// How far old sets may go down: first the pods that are not available anyway, then as
/// many as the available ones exceed the minimum.
fn shrink_old(sets: &Sets, new: &Set) -> Vec<Resize> {
    let new_unavailable = new.view.spec.replicas - sets.available(new).unwrap_or(0);
    let most = wanted(sets.all()) - sets.min_available() - new_unavailable;
    if most <= 0 {
        return Vec::new();
    }
    let mut sizes: Vec<(Set, i64)> = sets
        .old_active()
        .map(|set| (set.clone(), set.view.spec.replicas))
        .collect();
    drop_unhealthy(sets, &mut sizes, most);
    drop_available(sets, &mut sizes);
    let moved = |(set, to): (Set, i64)| {
        let resize = set.view.spec.replicas != to;
        resize.then_some(Resize { set, to })
    };
    sizes.into_iter().filter_map(moved).collect()
}
// ANCHOR_END: shrink_old

/// Takes pods that are not available away, oldest set first. A set whose status is behind its spec
/// is left alone: its pods may be healthy for all we know.
fn drop_unhealthy(sets: &Sets, sizes: &mut [(Set, i64)], mut most: i64) {
    for (set, size) in sizes {
        let Some(available) = sets.available(set) else {
            continue;
        };
        let unhealthy = (*size - available).clamp(0, most);
        *size -= unhealthy;
        most -= unhealthy;
    }
}

fn drop_available(sets: &Sets, sizes: &mut [(Set, i64)]) {
    let available = |set: &Set| sets.available(set).unwrap_or(0);
    let all: i64 = sets.all().map(available).sum();
    let mut surplus = (all - sets.min_available()).max(0);
    for (_, size) in sizes {
        let less = (*size).min(surplus);
        *size -= less;
        surplus -= less;
    }
}
