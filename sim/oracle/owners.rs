//! Owners and dependents: what may be collected, and who may adopt.
//!
//! Book: `book/src/simulator/oracles.md`.

use std::collections::BTreeMap;

use smol_str::SmolStr;
use wavetank_api::Time;
use wavetank_api::kinds::KindId;

use super::facts::{Fact, OwnerFact};
use super::{Change, Findings, Invariant, Model, Oracle};

/// C22, C23, C24, C35.
#[derive(Default)]
pub(super) struct Garbage {
    /// When each node that is gone was deleted.
    nodes_gone: BTreeMap<SmolStr, Time>,
    /// When each owner began to be deleted.
    ending: BTreeMap<SmolStr, Time>,
}

/// A live read may be that old when what it led to is committed.
const LIVE: core::time::Duration = core::time::Duration::from_secs(5);

impl Oracle for Garbage {
    fn changed(&mut self, change: &Change, model: &Model, found: &mut Findings) {
        self.remember(change);
        let begins = change.after.is_none_or(Fact::is_terminating);
        if let Some(old) = change.before.filter(|old| begins && !old.is_terminating()) {
            collected(change, old, model, found);
            self.pod_collected(change, old, model, found);
        }
        if let (Some(old), None) = (change.before, change.after) {
            in_the_foreground(change, old, model, found);
        }
        if let (Some(old), Some(new)) = (change.before, change.after) {
            self.adopted(change, old, new, model, found);
        }
    }
}

impl Garbage {
    fn remember(&mut self, change: &Change) {
        let ends = change.after.is_none_or(Fact::is_terminating);
        let Some(old) = change.before.or(change.after).filter(|_| ends) else {
            return;
        };
        self.ending.entry(old.meta.uid.clone()).or_insert(change.at);
        if change.kind == KindId::Node && change.after.is_none() {
            self.nodes_gone.insert(old.meta.name.clone(), change.at);
        }
    }

    /// C35.
    fn pod_collected(&self, change: &Change, old: &Fact, model: &Model, found: &mut Findings) {
        let by_it = change
            .writer
            .is_some_and(|writer| writer.is_controller("pod-garbage-collector-controller"));
        let Some(pod) = old.pod().filter(|_| by_it) else {
            return;
        };
        let node_is_there = model.object(&KindId::Node.key("", &pod.node)).is_some();
        if node_is_there && !pod.is_over() {
            let what = format!("collected though it is on {}, which is there", pod.node);
            found.add(Invariant::C35, change.key, what);
        }
    }

    /// C24.
    fn adopted(
        &self,
        change: &Change,
        old: &Fact,
        new: &Fact,
        model: &Model,
        found: &mut Findings,
    ) {
        let (None, Some(owner)) = (old.controller(), new.controller()) else {
            return;
        };
        if change.writer.is_none_or(super::Writer::is_operator) {
            return;
        }
        if old.is_terminating() {
            let what = format!("{} adopts what is being deleted", owner.name);
            found.add(Invariant::C24, change.key, what);
        }
        let ended = self.ending.get(&owner.uid);
        if ended.is_some_and(|ended| *ended + LIVE < change.at) {
            let what = format!("{} adopts it, and has been deleted itself", owner.name);
            found.add(Invariant::C24, change.key, what);
        }
        if let Some((_, fact)) = model.by_uid(&owner.uid)
            && let Some(workload) = fact.workload()
            && !workload.selector.matches(&new.meta.labels)
        {
            let what = format!("{} adopts what it does not select", owner.name);
            found.add(Invariant::C24, change.key, what);
        }
    }
}

/// C22.
fn collected(change: &Change, old: &Fact, model: &Model, found: &mut Findings) {
    let by_it = change
        .writer
        .is_some_and(|writer| writer.is_controller("garbage-collector-controller"));
    if !by_it {
        return;
    }
    let mut owners = old.meta.owner_references.iter();
    if let Some(owner) = owners.find(|owner| lives(owner, old, model)) {
        let what = format!(
            "collected though its owner {} {} lives",
            owner.kind, owner.name
        );
        found.add(Invariant::C22, change.key, what);
    }
}

/// Whether an owner exists and does not wait for its dependents to go.
fn lives(owner: &OwnerFact, dependent: &Fact, model: &Model) -> bool {
    let Some((_, fact)) = model.by_uid(&owner.uid) else {
        return false;
    };
    let is_near = fact.meta.namespace.is_empty() || fact.meta.namespace == dependent.meta.namespace;
    let mut finalizers = fact.meta.finalizers.iter();
    let waits = finalizers.any(|finalizer| finalizer == "foregroundDeletion");
    is_near && !(waits && fact.is_terminating())
}

/// C23.
fn in_the_foreground(change: &Change, old: &Fact, model: &Model, found: &mut Findings) {
    let mut finalizers = old.meta.finalizers.iter();
    let waited = finalizers.any(|finalizer| finalizer == "foregroundDeletion");
    let by_it = change
        .writer
        .is_some_and(|writer| writer.is_controller("garbage-collector-controller"));
    if !waited || !by_it {
        return;
    }
    let mut blocking = model.owned_by(&old.meta.uid).filter(|(_, fact)| {
        let mut owners = fact.meta.owner_references.iter();
        owners.any(|o| o.uid == old.meta.uid && o.block_owner_deletion == Some(true))
    });
    if let Some((key, _)) = blocking.next() {
        let what = format!("gone before its dependent {key}");
        found.add(Invariant::C23, change.key, what);
    }
}
