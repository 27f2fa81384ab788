//! ReplicaSet: keeps a number of pods of one template.
//!
//! Counts the active pods it owns, creates what is missing, deletes what is too much, and says in
//! its status what it saw. Upstream: `pkg/controller/replicaset/replica_set.go`.
//!
//! 1. Active pods owned never exceed `spec.replicas`, however late its caches are (C1).
//! 2. It never deletes below `spec.replicas` (C2), and the least useful pods first (C3).
//! 3. It adopts and releases pods as its selector says (`ownership.rs`), before it counts.
//! 4. In a steady state it writes nothing (I3).
//!
//! Left out: `status.terminatingReplicas` (alpha in 1.33, off by default).
//!
//! Book: `book/src/controllers/replicaset.md`.

use std::sync::Arc;

use wavetank_api::{KindId, Time};
use wavetank_informer::client::{DeleteOptions, Verb, Write};
use wavetank_informer::events::EventType;
use wavetank_informer::executor::{Outcome, Plan, Written};
use wavetank_informer::expectations::Seen;
use wavetank_informer::queue::Queue;
use wavetank_informer::{Change, Guard, Key, Object};

use crate::controller::{Answers, Context, Controller, Step, first_error};
use crate::informers::{Informers, News, ORPHANS};
use crate::ownership::{self, Claim};
use crate::pods;
use crate::views::{Pod, ReplicaSet};

mod ranking;
mod status;

/// Most pods created or deleted in one go.
const BURST: usize = 500;

type Pods = Vec<Arc<Object<Pod>>>;

/// The ReplicaSet controller. It remembers nothing.
pub struct ReplicaSetController;

/// What a reconcile carries over to its answers.
pub enum Memory {
    /// Whether the owner may adopt is being read.
    Claiming(Arc<Object<ReplicaSet>>, Claim<Pod>),
    /// Pods are being adopted and released.
    Claimed,
    /// Pods are being created or deleted; the pods that were counted.
    Scaling(Arc<Object<ReplicaSet>>, Pods),
    /// The status is being written; what went wrong before, and what to do next.
    Reporting(Option<String>, Option<core::time::Duration>),
}

impl Controller for ReplicaSetController {
    type Key = Key;
    type Memory = Memory;

    fn name(&self) -> &'static str {
        "replicaset-controller"
    }

    fn kind(&self) -> KindId {
        KindId::ReplicaSet
    }

    fn workers(&self) -> usize {
        5 // --concurrent-replicaset-syncs
    }

    fn observe(&mut self, news: &News, world: &Informers, _now: Time, keys: &mut Queue<Key>) {
        match news {
            News::ReplicaSet(change) => keys.add(change.object().key(), "ReplicaSet changed"),
            // Of the five updates in a pod's start two matter here; each would go over all pods.
            News::Pod(Change::Modified { old, new }) if pods::count_alike(old, new) => {}
            News::Pod(change) => {
                let old = change.old().map(|pod| &**pod);
                for pod in old.into_iter().chain([&**change.object()]) {
                    add_owner(pod, world, keys);
                }
                if !change.is_deleted() && change.object().meta.controller().is_none() {
                    add_adopters(change.object(), world, keys);
                }
            }
            _ => {}
        }
    }

    // ANCHOR: shown
    fn shown(&self, news: &News, world: &Informers) -> Option<(Key, Seen)> {
        let change = match news {
            News::ReplicaSet(Change::Deleted(set)) => {
                return Some((set.key(), Seen::Forgotten));
            }
            News::Pod(change) => change,
            _ => return None,
        };
        let pod = change.object();
        let seen = match change {
            _ if change.is_deleted() || pod.meta.is_terminating() => {
                Seen::Deleted(pod.meta.uid.clone())
            }
            Change::Added(_) => Seen::Created,
            _ => return None,
        };
        Some((owner(pod, world)?.key(), seen))
    }
    // ANCHOR_END: shown

    // ANCHOR: reconcile
    fn reconcile(&mut self, key: &Key, cx: &mut Context<'_>) -> Step<Memory> {
        let Some(set) = cx.world.replica_sets.cache().get(key).cloned() else {
            return Step::Done; // deleted: its pods are the garbage collector's
        };
        let pods = cx.world.pods.cache();
        let owned = pods.owned_by(&set.meta.uid);
        let orphans = pods.indexed(ORPHANS, &key.namespace);
        let all = !cx.guards.on(Guard::M06);
        let counts = |pod: &&Arc<Object<Pod>>| pods::is_active(pod) || all;
        let claim = ownership::claim(
            &set.meta,
            &set.view.spec.selector,
            owned.filter(counts),
            orphans.filter(counts),
        );
        if claim.is_unsettled() {
            cx.note("pods to adopt or release");
            let kind = KindId::ReplicaSet;
            let check = claim.check(cx.client, kind, &set.meta, cx.guards);
            return Step::Read(check, Memory::Claiming(set, claim));
        }
        let plan = scale(&set, &claim.mine, cx);
        Step::Plan(plan, Memory::Scaling(set, claim.mine))
    }
    // ANCHOR_END: reconcile

    fn resume(
        &mut self,
        _key: &Key,
        memory: Memory,
        answers: Answers,
        cx: &mut Context<'_>,
    ) -> Step<Memory> {
        match memory {
            Memory::Claiming(set, claim) => {
                if let Err(why) = ownership::may_adopt(&set.meta, answers.read()) {
                    return Step::Retry(why);
                }
                let owner = (KindId::ReplicaSet, &set.meta);
                let patches = claim.patches(cx.client, owner, KindId::Pod, cx.guards);
                Step::Plan(Plan::together(patches), Memory::Claimed)
            }
            Memory::Claimed => match first_error(&answers.written()) {
                Some(why) => Step::Retry(why),
                // The watch tells of the patches, and that brings the key back.
                None => Step::Done,
            },
            Memory::Scaling(set, pods) => report(&set, &pods, &answers.written(), cx),
            Memory::Reporting(failed_before, next) => {
                let failed = first_error(&answers.written());
                match (failed_before.or(failed), next) {
                    (Some(why), _) => Step::Retry(why),
                    (None, Some(wait)) => Step::After(wait),
                    (None, None) => Step::Done,
                }
            }
        }
    }
}

/// The controller of a pod, if it is a replica set that exists with that uid.
fn owner<'a>(pod: &Object<Pod>, world: &'a Informers) -> Option<&'a Arc<Object<ReplicaSet>>> {
    let owner = pod.meta.controller()?;
    let set = world.replica_sets.cache().by_uid(&owner.uid);
    set.filter(|set| set.meta.namespace == pod.meta.namespace)
}

fn add_owner(pod: &Object<Pod>, world: &Informers, keys: &mut Queue<Key>) {
    if let Some(set) = owner(pod, world) {
        keys.add(set.key(), "Pod changed");
    }
}

/// All replica sets that an orphan could belong to.
fn add_adopters(pod: &Object<Pod>, world: &Informers, keys: &mut Queue<Key>) {
    for set in world.replica_sets.cache().in_namespace(&pod.meta.namespace) {
        if set.view.spec.selector.matches(&pod.meta.labels) {
            keys.add(set.key(), "orphaned Pod changed");
        }
    }
}

// ANCHOR: scale
/// The creates or deletes that bring the number of pods to `spec.replicas`.
fn scale(set: &Object<ReplicaSet>, pods: &Pods, cx: &mut Context<'_>) -> Plan {
    let wanted = usize::try_from(set.view.spec.replicas).unwrap_or(0);
    if set.meta.is_terminating() || wanted == pods.len() {
        return Plan::default();
    }
    if let Some(missing) = wanted.checked_sub(pods.len()) {
        cx.note("too few replicas");
        let template = &set.view.spec.template;
        let pod = pods::from_template(template, KindId::ReplicaSet, &set.meta);
        let create = cx.client.create(KindId::Pod, &set.meta.namespace, &pod);
        return Plan::slow_start(vec![create; missing.min(BURST)]);
    }
    cx.note("too many replicas");
    let surplus = (pods.len() - wanted).min(BURST);
    let delete = |pod: &Arc<Object<Pod>>| {
        let options = DeleteOptions::of(&pod.meta.uid);
        cx.client.delete(KindId::Pod, &pod.key(), &options)
    };
    let victims = ranking::victims(set, pods, surplus, cx);
    Plan::together(victims.iter().map(delete).collect())
}
// ANCHOR_END: scale

/// Tells what was done, and writes the status if it differs.
fn report(
    set: &Arc<Object<ReplicaSet>>,
    pods: &Pods,
    written: &[Written],
    cx: &mut Context<'_>,
) -> Step<Memory> {
    for each in written {
        tell(set, each, cx);
    }
    let failure = failure(written);
    let status = status::of(set, pods, failure.as_deref(), cx.now);
    let next = status::next_check(set, pods, cx.now);
    let patch = status::patch(set, &status);
    let writes: Vec<Write> = patch
        .map(|patch| status::write(cx.client, set, &patch))
        .into_iter()
        .collect();
    Step::Plan(Plan::together(writes), Memory::Reporting(failure, next))
}

/// What went wrong while scaling. A namespace that is being deleted is not an error: the replica
/// set will follow. A pod that is gone already is what was wanted.
fn failure(written: &[Written]) -> Option<String> {
    let wrong = written.iter().find(|each| match &each.outcome {
        Outcome::Done(_) | Outcome::Skipped => false,
        Outcome::Refused(error) if each.write.verb == Verb::Delete => !error.is_not_found(),
        Outcome::Refused(error) => !error.is_namespace_terminating(),
        Outcome::Unknown(_) => true,
    });
    wrong.and_then(|each| each.outcome.error())
}

fn tell(set: &Object<ReplicaSet>, written: &Written, cx: &mut Context<'_>) {
    let about = (KindId::ReplicaSet, &set.meta);
    let name = match written.outcome.meta() {
        Some(meta) if written.write.verb == Verb::Create => meta.name,
        _ => written.write.key.name.clone(),
    };
    let (warning, normal) = (EventType::Warning, EventType::Normal);
    match (written.write.verb, &written.outcome) {
        (_, Outcome::Skipped) => {}
        (Verb::Create, Outcome::Done(_)) => {
            cx.event(
                about,
                normal,
                "SuccessfulCreate",
                format!("Created pod: {name}"),
            );
        }
        (Verb::Delete, Outcome::Done(_)) => {
            cx.event(
                about,
                normal,
                "SuccessfulDelete",
                format!("Deleted pod: {name}"),
            );
        }
        (Verb::Delete, Outcome::Refused(error)) if error.is_not_found() => {}
        (Verb::Create, Outcome::Refused(error)) if error.is_namespace_terminating() => {}
        (verb, outcome) => {
            let why = outcome.error().unwrap_or_default();
            let (reason, doing) = match verb {
                Verb::Create => ("FailedCreate", "Error creating"),
                _ => ("FailedDelete", "Error deleting"),
            };
            cx.event(about, warning, reason, format!("{doing}: {why}"));
        }
    }
}

#[cfg(test)]
mod tests;
