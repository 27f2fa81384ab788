//! API and store: what no write may do to an object's metadata, or where it may not go.
//!
//! Book: `book/src/simulator/oracles.md`.

use std::collections::BTreeSet;

use smol_str::SmolStr;
use wavetank_api::kinds::KindId;

use super::facts::Fact;
use super::{Change, Findings, Invariant, Model, Oracle};

/// A9, A11, A12, A13, A14, A17: metadata changes only as it may.
#[derive(Default)]
pub(super) struct Metadata {
    /// Uids of objects that are gone.
    gone: BTreeSet<SmolStr>,
}

impl Oracle for Metadata {
    fn changed(&mut self, change: &Change, _: &Model, found: &mut Findings) {
        match (change.before, change.after) {
            (None, Some(new)) => {
                let uid = &new.meta.uid;
                if !uid.is_empty() && self.gone.contains(uid) {
                    found.add(Invariant::A9, change.key, format!("uid {uid} comes twice"));
                }
                well_owned(change, new, found);
            }
            (Some(old), Some(new)) => {
                identity(change, old, new, found);
                deletion(change, old, new, found);
                generation(change, old, new, found);
                well_owned(change, new, found);
            }
            (Some(old), None) => {
                self.gone.insert(old.meta.uid.clone());
                if !old.meta.finalizers.is_empty() && !is_last_finalizer(change, old) {
                    let kept = &old.meta.finalizers;
                    let what = format!("removed with finalizers {kept:?}");
                    found.add(Invariant::A12, change.key, what);
                }
            }
            (None, None) => {}
        }
    }
}

/// A write that takes the last finalizer away from an object that is being deleted removes it in
/// the same transaction: the version without finalizers is never committed.
fn is_last_finalizer(change: &Change, old: &Fact) -> bool {
    let by_request = change.writer.is_some_and(|writer| {
        use wavetank_api::Method;
        matches!(writer.method, Method::Put | Method::Patch) || !writer.subresource.is_empty()
    });
    // A DELETE that finds nothing left to wait for may do the same with the ones it added itself.
    let own = ["foregroundDeletion", "orphan"];
    let only_own = old
        .meta
        .finalizers
        .iter()
        .all(|each| own.contains(&each.as_str()));
    old.is_terminating() && (by_request || only_own)
}

fn identity(change: &Change, old: &Fact, new: &Fact, found: &mut Findings) {
    let same =
        old.meta.uid == new.meta.uid && old.meta.creation_timestamp == new.meta.creation_timestamp;
    if !same {
        let what = format!("was {} and is {}", old.meta.uid, new.meta.uid);
        found.add(Invariant::A9, change.key, what);
    }
    if let (Some(before), Some(after)) = (old.workload(), new.workload())
        && before.selector_text != after.selector_text
    {
        let what = "its selector has changed".to_owned();
        found.add(Invariant::A14, change.key, what);
    }
}

fn deletion(change: &Change, old: &Fact, new: &Fact, found: &mut Findings) {
    let (before, after) = (old.meta.deletion_timestamp, new.meta.deletion_timestamp);
    if let Some(before) = before {
        if after.is_none_or(|after| after > before) {
            let what = format!("deletionTimestamp was {before:?} and is {after:?}");
            found.add(Invariant::A11, change.key, what);
        }
        // A DELETE may come with another propagation policy than the one before it.
        let is_policy = |each: &SmolStr| each == "foregroundDeletion" || each == "orphan";
        let mut added = new.meta.finalizers.iter();
        let added = added.find(|each| !old.meta.finalizers.contains(each) && !is_policy(each));
        if let Some(finalizer) = added {
            let what = format!("finalizer {finalizer} was added though it is being deleted");
            found.add(Invariant::A12, change.key, what);
        }
    }
}

fn generation(change: &Change, old: &Fact, new: &Fact, found: &mut Findings) {
    let (before, after) = (old.meta.generation, new.meta.generation);
    if after != before && after != before + 1 {
        let what = format!("generation went from {before} to {after}");
        found.add(Invariant::A13, change.key, what);
    }
    if let Some(workload) = new.workload()
        && workload.observed_generation > after
    {
        let seen = workload.observed_generation;
        let what = format!("observedGeneration {seen} is above generation {after}");
        found.add(Invariant::A13, change.key, what);
    }
}

fn well_owned(change: &Change, new: &Fact, found: &mut Findings) {
    let owners = new.meta.owner_references.iter();
    let controllers = owners
        .filter(|owner| owner.controller == Some(true))
        .count();
    if controllers > 1 {
        let what = format!("it has {controllers} controllers");
        found.add(Invariant::A17, change.key, what);
    }
}

/// A18: nothing is created in a namespace that is being deleted.
pub(super) struct Places;

impl Oracle for Places {
    fn changed(&mut self, change: &Change, model: &Model, found: &mut Findings) {
        let (None, Some(new)) = (change.before, change.after) else {
            return;
        };
        let namespace = &new.meta.namespace;
        if namespace.is_empty() || !change.kind.info().namespaced {
            return;
        }
        let home = model.object(&KindId::Namespace.key("", namespace));
        // Components write Leases and Events of what is being deleted; upstream lets admission
        // refuse those as well.
        let is_open = home.is_some_and(|home| !home.is_terminating());
        let begins = home.is_none() && change.at < crate::world::BEGINNING + ROUNDS_OF_BOOTSTRAP;
        if !is_open && !begins {
            let what = format!("created in namespace {namespace}, which is being deleted or gone");
            found.add(Invariant::A18, change.key, what);
        }
    }
}

/// The namespaces that always exist are made while the first objects in them are.
const ROUNDS_OF_BOOTSTRAP: core::time::Duration = core::time::Duration::from_secs(5);
