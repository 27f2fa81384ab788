//! Scaling while a rollout is under way or paused: every set grows or shrinks in proportion.
//!
//! Called by the Deployment controller. Upstream: `scale` in `pkg/controller/deployment/sync.go`.
//!
//! 1. After it, the sets together want `replicas + maxSurge` pods, if more than one is active.
//! 2. No set goes below zero.
//!
//! Book: `book/src/controllers/deployment.md`.

use core::cmp::Reverse;

use super::revision::{DESIRED, MAX};
use super::sets::{Resize, Set, Sets, age, wanted};

/// The resizes that bring the sets to the deployment's size, without moving the rollout on.
pub(super) fn proportional(sets: &Sets) -> Vec<Resize> {
    if let Some(only) = active_or_latest(sets) {
        let mut resizes = vec![Resize {
            set: only.clone(),
            to: sets.replicas(),
        }];
        resizes.retain(|resize| is_due(sets, resize));
        return resizes;
    }
    if is_saturated(sets) {
        let to_zero = |set: &Set| Resize {
            set: set.clone(),
            to: 0,
        };
        return sets.old_active().map(to_zero).collect();
    }
    match sets.is_rolling() {
        true => spread(sets),
        false => Vec::new(),
    }
}

/// Whether the deployment has been scaled since its sets were last sized.
pub(super) fn has_been_scaled(sets: &Sets) -> bool {
    let active = sets.all().filter(|set| set.view.spec.replicas > 0);
    let mut sizes = active.filter_map(|set| annotated(set, DESIRED));
    sizes.any(|desired| desired != sets.replicas())
}

/// The one set that counts: the only active one; the newest when none is; none when several are.
fn active_or_latest(sets: &Sets) -> Option<&Set> {
    let mut active = sets.all().filter(|set| set.view.spec.replicas > 0);
    match (active.next(), active.next()) {
        (None, _) => sets.new.as_ref().or(sets.old.last()),
        (Some(only), None) => Some(only),
        (Some(_), Some(_)) => None,
    }
}

fn is_saturated(sets: &Sets) -> bool {
    let full = Some(sets.replicas());
    sets.new.as_ref().is_some_and(|new| {
        Some(new.view.spec.replicas) == full
            && annotated(new, DESIRED) == full
            && sets.available(new) == full
    })
}

// ANCHOR: spread
/// Hands out what is to be added (or taken) by the share each set had before; the largest
/// set gets what rounding leaves over.
fn spread(sets: &Sets) -> Vec<Resize> {
    let mut active: Vec<&Set> = sets
        .all()
        .filter(|set| set.view.spec.replicas > 0)
        .collect();
    let allowed = match sets.replicas() {
        0 => 0,
        _ => sets.max_replicas(),
    };
    let to_add = allowed - wanted(active.iter().copied());
    active.sort_by_key(|set| (Reverse(set.view.spec.replicas), age(set)));
    if to_add > 0 {
        // Of equal sets the newer grows first; when shrinking, the older shrinks first.
        active.sort_by_key(|set| (Reverse(set.view.spec.replicas), Reverse(age(set))));
    }
    let mut left = to_add;
    let mut resizes = Vec::new();
    for set in active {
        let share = match left {
            0 => 0,
            1.. => share(sets, set).min(left),
            _ => share(sets, set).max(left),
        };
        left -= share;
        resizes.push(Resize {
            set: set.clone(),
            to: set.view.spec.replicas + share,
        });
    }
    if let Some(largest) = resizes.first_mut() {
        largest.to = (largest.to + left).max(0);
    }
    resizes.retain(|resize| is_due(sets, resize));
    resizes
}
// ANCHOR_END: spread

/// Whether a set has another size, or remembers another size of the deployment: what it remembers
/// must follow even if its own size does not change, or the scaling would never be over.
fn is_due(sets: &Sets, resize: &Resize) -> bool {
    let set = &resize.set;
    let remembers = annotated(set, DESIRED) == Some(sets.replicas())
        && annotated(set, MAX) == Some(sets.max_replicas());
    set.view.spec.replicas != resize.to || !remembers
}

/// By how much a set would change if it kept its share of the whole.
fn share(sets: &Sets, set: &Set) -> i64 {
    let size = set.view.spec.replicas;
    if sets.replicas() == 0 {
        return -size;
    }
    let before = annotated(set, MAX).filter(|before| *before != 0);
    let before = before.unwrap_or(sets.deployment.view.status.replicas);
    if before <= 0 {
        return 0;
    }
    // Rounded to the nearest, halves up: sizes are not negative.
    let doubled = 2 * size * sets.max_replicas();
    (doubled + before).div_euclid(2 * before) - size
}

fn annotated(set: &Set, name: &str) -> Option<i64> {
    let number: i64 = set.meta.annotations.get(name)?.parse().ok()?;
    (number >= 0).then_some(number)
}
