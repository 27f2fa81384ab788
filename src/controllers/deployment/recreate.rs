//! Recreate: all old pods are gone before the first new one comes.
//!
//! Called by the Deployment controller. Upstream: `pkg/controller/deployment/recreate.go`.
//!
//! 1. No pod of the new template is asked for while a pod of an old one may run, terminating ones
//!    included.
//!
//! Book: `book/src/controllers/deployment.md`.

use super::sets::{Resize, Sets, actual};
use crate::informers::Informers;
use crate::pods;

/// What the strategy wants next.
pub(super) enum Round {
    /// Old sets go to zero.
    Shrink(Vec<Resize>),
    /// Old pods still run.
    Wait,
    /// The new set may be made, or grown to full size.
    Grow,
}

/// The next move.
pub(super) fn round(sets: &Sets, world: &Informers) -> Round {
    let shrink: Vec<Resize> = sets
        .old_active()
        .map(|set| Resize {
            set: set.clone(),
            to: 0,
        })
        .collect();
    if !shrink.is_empty() {
        return Round::Shrink(shrink);
    }
    match old_pods_run(sets, world) {
        true => Round::Wait,
        false => Round::Grow,
    }
}

fn old_pods_run(sets: &Sets, world: &Informers) -> bool {
    let may_run = |set: &super::sets::Set| {
        let mut pods = world.pods.cache().owned_by(&set.meta.uid);
        pods.any(|pod| !pods::is_finished(pod))
    };
    actual(sets.old.iter()) > 0 || sets.old.iter().any(may_run)
}
