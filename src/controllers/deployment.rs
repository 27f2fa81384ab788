//! Deployment: rolls a template out, by making replica sets and moving pods between them.
//!
//! It never touches a pod. Each round it looks at its sets, does one thing (make the new set, grow
//! it, shrink old ones, forget the oldest), and says in its status how far the rollout is.
//! Upstream: `pkg/controller/deployment/deployment_controller.go`.
//!
//! 1. There is at most one set per template (C6), found again after a hash collision (M10).
//! 2. Pods stay within surge and unavailability (C4, C5): `rolling.rs`, `recreate.rs`.
//! 3. A paused deployment is scaled, but not rolled out.
//! 4. In a steady state it writes nothing (I3).
//!
//! Left out: the annotation by which clients before 1.16 asked the server to roll back; kubectl
//! copies the old template itself.
//!
//! Book: `book/src/controllers/deployment.md`.

use core::time::Duration;
use std::sync::Arc;

use serde_json::{Value, json};
use wavetank_api::{KindId, Time};
use wavetank_informer::client::{Patch, Verb, Write, parse_object};
use wavetank_informer::events::EventType;
use wavetank_informer::executor::{Outcome, Plan, Written};
use wavetank_informer::queue::Queue;
use wavetank_informer::{Guard, Key, Object};

use crate::controller::{Answers, Context, Controller, Step, first_error};
use crate::informers::{Informers, News, ORPHANS};
use crate::ownership::{self, Claim};
use crate::pods;
use crate::views::{Condition, Deployment, DeploymentStatus, ReplicaSet, Template};

mod recreate;
mod revision;
mod rolling;
mod scale;
mod sets;
mod status;
mod template;

use sets::{Resize, Sets};

/// The Deployment controller. It remembers nothing.
pub struct DeploymentController;

/// What a round carries over to its answers.
pub struct Memory(Waiting);

enum Waiting {
    /// Whether the deployment may adopt is being read.
    Claiming(Arc<Object<Deployment>>, Claim<ReplicaSet>),
    /// Something was written after which everything is to be looked at anew.
    Moving,
    /// The new set is being created.
    Creating(Box<Sets>, NewSet),
    /// Another object has the new set's name; whose it is is being read.
    Colliding(Box<Sets>, NewSet),
    /// Sets are being resized or deleted.
    Resizing(Box<Sets>, Vec<Resize>, Told),
    /// The status is being written; then this.
    Reporting(Then),
}

/// The set that is being created.
struct NewSet {
    name: String,
    size: i64,
}

/// Which status ends a round.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    /// The counts.
    Counts,
    /// The counts, and whether the rollout makes progress.
    Progress,
}

/// How a round ends when its status is written.
enum Then {
    Rest(Option<Duration>),
    Again,
    Retry(String),
}

impl Controller for DeploymentController {
    type Key = Key;
    type Memory = Memory;

    fn name(&self) -> &'static str {
        "deployment-controller"
    }

    fn kind(&self) -> KindId {
        KindId::Deployment
    }

    fn workers(&self) -> usize {
        5 // --concurrent-deployment-syncs
    }

    fn observe(&mut self, news: &News, world: &Informers, _now: Time, keys: &mut Queue<Key>) {
        match news {
            News::Deployment(change) => keys.add(change.object().key(), "Deployment changed"),
            News::ReplicaSet(change) => {
                let old = change.old().map(|set| &**set);
                for set in old.into_iter().chain([&**change.object()]) {
                    add_owner(set, world, keys, "ReplicaSet changed");
                }
                if !change.is_deleted() && change.object().meta.controller().is_none() {
                    add_adopters(change.object(), world, keys);
                }
            }
            // Recreate waits for the last old pod.
            News::Pod(change) if change.is_deleted() => {
                let owner = change.object().meta.controller();
                let sets = world.replica_sets.cache();
                if let Some(set) = owner.and_then(|owner| sets.by_uid(&owner.uid)) {
                    add_owner(set, world, keys, "Pod deleted");
                }
            }
            _ => {}
        }
    }

    // ANCHOR: reconcile
    fn reconcile(&mut self, key: &Key, cx: &mut Context<'_>) -> Step<Memory> {
        let Some(deployment) = cx.world.deployments.cache().get(key).cloned() else {
            return Step::Done; // deleted: its sets are the garbage collector's
        };
        let sets = cx.world.replica_sets.cache();
        let claim = ownership::claim(
            &deployment.meta,
            &deployment.view.spec.selector.selector,
            sets.owned_by(&deployment.meta.uid),
            sets.indexed(ORPHANS, &key.namespace),
        );
        if claim.is_unsettled() {
            cx.note("replica sets to adopt or release");
            let owner = &deployment.meta;
            let check = claim.check(cx.client, KindId::Deployment, owner, cx.guards);
            return Step::Read(check, Memory(Waiting::Claiming(deployment, claim)));
        }
        let sets = Sets::new(deployment, claim.mine, cx.guards);
        if sets.deployment.meta.is_terminating() {
            return told(Box::new(sets), Told::Counts, cx);
        }
        let revisions = revision::sync(&sets, cx.client);
        if !revisions.is_empty() {
            cx.note("revision changed");
            return Step::Plan(Plan::together(revisions), Memory(Waiting::Moving));
        }
        if sets.deployment.view.spec.paused || scale::has_been_scaled(&sets) {
            return rescale(sets, cx);
        }
        match sets.is_rolling() {
            true => roll(sets, cx),
            false => recreate(sets, cx),
        }
    }
    // ANCHOR_END: reconcile

    fn resume(
        &mut self,
        _key: &Key,
        memory: Memory,
        answers: Answers,
        cx: &mut Context<'_>,
    ) -> Step<Memory> {
        match memory.0 {
            Waiting::Claiming(deployment, claim) => {
                if let Err(why) = ownership::may_adopt(&deployment.meta, answers.read()) {
                    return Step::Retry(why);
                }
                let owner = (KindId::Deployment, &deployment.meta);
                let patches = claim.patches(cx.client, owner, KindId::ReplicaSet, cx.guards);
                Step::Plan(Plan::together(patches), Memory(Waiting::Moving))
            }
            Waiting::Moving => match first_error(&answers.written()) {
                Some(why) => Step::Retry(why),
                None => Step::Again,
            },
            Waiting::Creating(sets, new) => created(sets, new, answers.written(), cx),
            Waiting::Colliding(sets, new) => collided(&sets, &new, answers, cx),
            Waiting::Resizing(sets, resizes, then) => {
                let written = answers.written();
                for each in &written {
                    tell(&sets, &resizes, each, cx);
                }
                match written.iter().find_map(failure) {
                    Some(why) => Step::Retry(why),
                    None => told(sets, then, cx),
                }
            }
            Waiting::Reporting(then) => match (first_error(&answers.written()), then) {
                (Some(why), _) | (None, Then::Retry(why)) => Step::Retry(why),
                (None, Then::Again) => Step::Again,
                (None, Then::Rest(Some(wait))) => Step::After(wait),
                (None, Then::Rest(None)) => Step::Done,
            },
        }
    }
}

fn add_owner(
    set: &Object<ReplicaSet>,
    world: &Informers,
    keys: &mut Queue<Key>,
    because: &'static str,
) {
    let Some(owner) = set.meta.controller() else {
        return;
    };
    let deployment = world.deployments.cache().by_uid(&owner.uid);
    if let Some(found) = deployment.filter(|each| each.meta.namespace == set.meta.namespace) {
        keys.add(found.key(), because);
    }
}

fn add_adopters(set: &Object<ReplicaSet>, world: &Informers, keys: &mut Queue<Key>) {
    for deployment in world.deployments.cache().in_namespace(&set.meta.namespace) {
        let selector = &deployment.view.spec.selector.selector;
        if selector.matches(&set.meta.labels) {
            keys.add(deployment.key(), "orphaned ReplicaSet changed");
        }
    }
}

/// A deployment that is paused, or was scaled: its sets follow in proportion.
fn rescale(sets: Sets, cx: &mut Context<'_>) -> Step<Memory> {
    let resizes = scale::proportional(&sets);
    let mut plan = resize_all(&sets, &resizes, cx);
    if sets.deployment.view.spec.paused {
        plan.then(revision::forget(&sets, cx.client, cx.guards));
    }
    if !plan.is_empty() {
        cx.note("deployment scaled");
    }
    Step::Plan(
        plan,
        Memory(Waiting::Resizing(Box::new(sets), resizes, Told::Counts)),
    )
}

// ANCHOR: roll
fn roll(sets: Sets, cx: &mut Context<'_>) -> Step<Memory> {
    let Some(new) = sets.new.clone() else {
        let size = rolling::first_size(&sets);
        return create(sets, size, cx);
    };
    let resizes = rolling::round(&sets, &new);
    finish(sets, resizes, cx)
}
// ANCHOR_END: roll

fn recreate(sets: Sets, cx: &mut Context<'_>) -> Step<Memory> {
    let resizes = match (recreate::round(&sets, cx.world), &sets.new) {
        (recreate::Round::Shrink(resizes), _) => resizes,
        (recreate::Round::Wait, _) => Vec::new(),
        (recreate::Round::Grow, Some(new)) if new.view.spec.replicas != sets.replicas() => {
            vec![Resize {
                set: new.clone(),
                to: sets.replicas(),
            }]
        }
        (recreate::Round::Grow, Some(_)) => Vec::new(),
        (recreate::Round::Grow, None) => {
            let size = sets.replicas();
            return create(sets, size, cx);
        }
    };
    finish(sets, resizes, cx)
}

/// Resizes; or, when there is nothing to resize and the rollout is complete, forgets old sets.
fn finish(sets: Sets, resizes: Vec<Resize>, cx: &mut Context<'_>) -> Step<Memory> {
    let mut plan = resize_all(&sets, &resizes, cx);
    if !plan.is_empty() {
        cx.note("rollout moves on");
    } else if status::is_complete(&sets, &sets.deployment.view.status) {
        plan = Plan::together(revision::forget(&sets, cx.client, cx.guards));
    }
    Step::Plan(
        plan,
        Memory(Waiting::Resizing(Box::new(sets), resizes, Told::Progress)),
    )
}

fn resize_all(sets: &Sets, resizes: &[Resize], cx: &Context<'_>) -> Plan {
    let write = |resize: &Resize| {
        let mut metadata = revision::locked(&resize.set.meta);
        metadata["annotations"] = Value::Object(revision::sizes(sets));
        let patch = json!({"metadata": metadata, "spec": {"replicas": resize.to}});
        let key = resize.set.key();
        cx.client
            .patch(KindId::ReplicaSet, &key, "", Patch::Merge, &patch)
    };
    Plan::together(resizes.iter().map(write).collect())
}

/// Makes the set of the current template. Its name is the template's hash, so that making it twice
/// is refused.
fn create(sets: Sets, size: i64, cx: &mut Context<'_>) -> Step<Memory> {
    cx.note("no replica set of this template");
    let meta = &sets.deployment.meta;
    let spec = &sets.deployment.view.spec;
    let hash = template::hash(&spec.template, sets.deployment.view.status.collision_count);
    let name = format!("{}-{hash}", meta.name);
    let mut template = (*spec.template.0).clone();
    template["metadata"]["labels"][template::HASH_LABEL] = json!(hash);
    let mut selector = (*spec.selector.json).clone();
    selector["matchLabels"][template::HASH_LABEL] = json!(hash);
    let object = json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "namespace": &*meta.namespace,
            "name": name,
            "labels": template["metadata"]["labels"],
            "annotations": revision::of_new(&sets),
            "ownerReferences": [pods::controller_reference(KindId::Deployment, meta)],
        },
        "spec": {
            "replicas": size,
            "minReadySeconds": spec.min_ready_seconds,
            "selector": selector,
            "template": template,
        },
    });
    let write = cx
        .client
        .create(KindId::ReplicaSet, &meta.namespace, &object);
    let new = NewSet { name, size };
    Step::Plan(
        Plan::one(write),
        Memory(Waiting::Creating(Box::new(sets), new)),
    )
}

fn created(
    sets: Box<Sets>,
    new: NewSet,
    written: Vec<Written>,
    cx: &mut Context<'_>,
) -> Step<Memory> {
    let about = (KindId::Deployment, &sets.deployment.meta);
    let name = &new.name;
    match written.into_iter().next().map(|each| each.outcome) {
        Some(Outcome::Done(_)) => {
            if new.size > 0 {
                let message = format!("Scaled up replica set {name} from 0 to {}", new.size);
                cx.event(about, EventType::Normal, "ScalingReplicaSet", message);
            }
            let condition = status::existence(name, true, cx.now);
            with_condition(&sets, condition, Then::Again, cx)
        }
        Some(Outcome::Refused(error)) if error.is_already_exists() => {
            let key = Key::new(sets.deployment.meta.namespace.clone(), name.as_str());
            let read = cx.client.get(KindId::ReplicaSet, &key);
            Step::Read(vec![read], Memory(Waiting::Colliding(sets, new)))
        }
        Some(Outcome::Refused(error)) if error.is_namespace_terminating() => Step::Done,
        Some(Outcome::Refused(error)) => {
            let message = format!(
                "Failed to create new replica set \"{name}\": {}",
                error.message
            );
            cx.event(
                about,
                EventType::Warning,
                "ReplicaSetCreateError",
                message.clone(),
            );
            let condition = status::creation_failed(&message, cx.now);
            with_condition(&sets, condition, Then::Retry(message), cx)
        }
        _ => Step::Retry(format!("whether {name} was created is not known")),
    }
}

// ANCHOR: collided
/// The name is taken. If by a set of ours with our template, the cache is about to show
/// it; else two templates have one hash, and the next try counts the collision in.
fn collided(
    sets: &Sets,
    new: &NewSet,
    answers: Answers, // to the read of that name
    cx: &mut Context<'_>,
) -> Step<Memory> {
    let answer = answers.read().into_iter().next().and_then(Result::ok);
    let found = answer.and_then(|response| parse_object::<ReplicaSet>(&response).ok());
    let wanted = &sets.deployment.view.spec.template;
    let is_ours = |set: &Object<ReplicaSet>| {
        let same = |theirs: &Template| template::equal_but_for_hash(wanted, theirs);
        set.is_controlled_by(&sets.deployment.meta.uid) && same(&set.view.spec.template)
    };
    match found {
        Some(set) if !is_ours(&set) && cx.guards.on(Guard::M10) => {}
        _ => return Step::Retry(format!("{} exists, but is not seen yet", new.name)),
    }
    cx.note("hash collision");
    let count = sets.deployment.view.status.collision_count.unwrap_or(0) + 1;
    let patch = json!({
        "metadata": revision::locked(&sets.deployment.meta),
        "status": {"collisionCount": count},
    });
    let write = write_status(sets, &patch, cx);
    Step::Plan(Plan::one(write), Memory(Waiting::Moving))
}
// ANCHOR_END: collided

/// Writes the counts and one condition, if the deployment has a progress deadline.
fn with_condition(
    sets: &Sets,
    condition: Condition,
    then: Then,
    cx: &mut Context<'_>,
) -> Step<Memory> {
    let mut status = status::counted(sets, cx.now);
    if status::deadline(sets).is_some() {
        status::set(&mut status, condition);
    }
    report(sets, &status, then, cx)
}

/// Ends a round with a status.
fn told(sets: Box<Sets>, what: Told, cx: &mut Context<'_>) -> Step<Memory> {
    let (status, next) = match what {
        Told::Counts => (status::counted(&sets, cx.now), None),
        Told::Progress => {
            let status = status::of_rollout(&sets, cx.now);
            let next = status::next_check(&sets, &status, cx.now);
            (status, next)
        }
    };
    report(&sets, &status, Then::Rest(next), cx)
}

fn report(
    sets: &Sets,
    status: &DeploymentStatus,
    then: Then,
    cx: &mut Context<'_>,
) -> Step<Memory> {
    let patch = status::patch(sets, status);
    let writes = patch.map(|patch| write_status(sets, &patch, cx));
    let plan = Plan::together(writes.into_iter().collect());
    Step::Plan(plan, Memory(Waiting::Reporting(then)))
}

fn write_status(sets: &Sets, patch: &Value, cx: &Context<'_>) -> Write {
    let key = sets.deployment.key();
    cx.client
        .patch(KindId::Deployment, &key, "status", Patch::Merge, patch)
}

/// What went wrong with a resize or a cleanup; a set that is gone already is no error.
fn failure(written: &Written) -> Option<String> {
    match &written.outcome {
        Outcome::Refused(error) if error.is_not_found() => None,
        outcome => outcome.error(),
    }
}

fn tell(sets: &Sets, resizes: &[Resize], written: &Written, cx: &mut Context<'_>) {
    if written.write.verb != Verb::Patch || !written.outcome.is_done() {
        return;
    }
    let name = &written.write.key.name;
    let resize = resizes.iter().find(|resize| resize.set.meta.name == *name);
    let Some((from, to)) = resize.map(|r| (r.set.view.spec.replicas, r.to)) else {
        return;
    };
    let direction = if to > from { "up" } else { "down" };
    if to != from {
        let message = format!("Scaled {direction} replica set {name} from {from} to {to}");
        let about = (KindId::Deployment, &sets.deployment.meta);
        cx.event(about, EventType::Normal, "ScalingReplicaSet", message);
    }
}

#[cfg(test)]
mod tests;
