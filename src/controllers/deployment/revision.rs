//! Revisions: which template came when, written on the replica sets; and which are forgotten.
//!
//! `kubectl rollout history` reads these annotations, `rollout undo` copies an old template back.
//! Upstream: `pkg/controller/deployment/util/deployment_util.go`, `cleanupDeployment` in `sync.go`.
//!
//! 1. The new set's revision is higher than every other's; a revision never decreases (C8).
//! 2. A set with pods, or whose status is behind its spec, is not deleted (C7, M12).
//!
//! Book: `book/src/controllers/deployment.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use wavetank_api::{KindId, Meta};
use wavetank_informer::client::{DeleteOptions, Patch, Write};
use wavetank_informer::{Client, Guard, Guards};

use super::sets::{Set, Sets, age};

/// Revision of a set, and of the deployment's current set.
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
/// Revisions that a set had before it was rolled back to, separated by commas.
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// `spec.replicas` of the deployment when the set was last sized.
pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
/// That and the surge.
pub(super) const MAX: &str = "deployment.kubernetes.io/max-replicas";

/// Most bytes of a revision history.
const HISTORY_MAX: usize = 2000;

/// Annotations of a deployment that are its own and not its sets'.
const OWN: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    DESIRED,
    MAX,
    "deprecated.deployment.rollback.to",
];

fn revision(set: &Set) -> u64 {
    let text = set.meta.annotations.get(REVISION);
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The revision that the new set must have at least.
pub(super) fn next(sets: &Sets) -> u64 {
    sets.old.iter().map(revision).max().unwrap_or(0) + 1
}

/// The deployment's annotations that its sets carry too.
fn copied(deployment: &Meta) -> BTreeMap<Arc<str>, Arc<str>> {
    let annotations = deployment.annotations.iter();
    let copied = annotations.filter(|(name, _)| !OWN.contains(&&***name));
    copied
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The annotations that sizes leave on a set.
pub(super) fn sizes(sets: &Sets) -> Map<String, Value> {
    Map::from_iter([
        (DESIRED.to_string(), json!(sets.replicas().to_string())),
        (MAX.to_string(), json!(sets.max_replicas().to_string())),
    ])
}

/// All annotations of a set that is about to be created.
pub(super) fn of_new(sets: &Sets) -> Value {
    let mut annotations = sizes(sets);
    for (name, value) in copied(&sets.deployment.meta) {
        annotations.insert(name.to_string(), json!(&*value));
    }
    annotations.insert(REVISION.to_string(), json!(next(sets).to_string()));
    Value::Object(annotations)
}

/// The patch that brings the new set up to date with its deployment: annotations, revision, and
/// `minReadySeconds`, the one field of a set that is not in its template. `None` if it is.
fn update(sets: &Sets, new: &Set) -> Option<Value> {
    let mut annotations = Map::new();
    for (name, value) in copied(&sets.deployment.meta) {
        if new.meta.annotations.get(&name) != Some(&value) {
            annotations.insert(name.to_string(), json!(&*value));
        }
    }
    if revision(new) < next(sets) {
        annotations.insert(REVISION.to_string(), json!(next(sets).to_string()));
        if let Some(before) = new.meta.annotations.get(REVISION) {
            let history = new.meta.annotations.get(HISTORY).map(|text| &**text);
            let history = remember(history.unwrap_or(""), before);
            annotations.insert(HISTORY.to_string(), json!(history));
        }
    }
    let seconds = sets.deployment.view.spec.min_ready_seconds;
    let same_seconds = new.view.spec.min_ready_seconds == seconds;
    if annotations.is_empty() && same_seconds {
        return None;
    }
    let mut patch = json!({"metadata": locked(&new.meta)});
    if !annotations.is_empty() {
        patch["metadata"]["annotations"] = Value::Object(annotations);
    }
    if !same_seconds {
        patch["spec"]["minReadySeconds"] = json!(seconds);
    }
    Some(patch)
}

fn remember(history: &str, revision: &str) -> String {
    let mut all: Vec<&str> = history.split(',').filter(|each| !each.is_empty()).collect();
    all.push(revision);
    while all.iter().map(|each| each.len() + 1).sum::<usize>() > HISTORY_MAX {
        all.remove(0);
    }
    all.join(",")
}

/// `metadata` of a patch that is refused when the object is not the one the decision was made on.
pub(super) fn locked(meta: &Meta) -> Value {
    json!({"uid": &*meta.uid.0, "resourceVersion": meta.resource_version.to_string()})
}

/// The writes that bring the revisions of the new set and of the deployment up to date.
pub(super) fn sync(sets: &Sets, client: &Client) -> Vec<Write> {
    let Some(new) = &sets.new else {
        return Vec::new();
    };
    let mut writes = Vec::new();
    if let Some(patch) = update(sets, new) {
        let key = new.key();
        writes.push(client.patch(KindId::ReplicaSet, &key, "", Patch::Merge, &patch));
    }
    let current = revision(new).max(next(sets)).to_string();
    let known = sets.deployment.meta.annotations.get(REVISION);
    if known.map(|text| &**text) != Some(current.as_str()) {
        let uid = &sets.deployment.meta.uid;
        let patch = json!({"metadata": {"uid": &*uid.0, "annotations": {REVISION: current}}});
        let key = sets.deployment.key();
        writes.push(client.patch(KindId::Deployment, &key, "", Patch::Merge, &patch));
    }
    writes
}

// ANCHOR: forget
/// Deletes of the oldest sets beyond `revisionHistoryLimit`.
pub(super) fn forget(sets: &Sets, client: &Client, guards: Guards) -> Vec<Write> {
    let Some(limit) = sets.deployment.view.spec.revision_history_limit else {
        return Vec::new();
    };
    let alive = sets.old.iter().filter(|set| !set.meta.is_terminating());
    let mut alive: Vec<&Set> = alive.collect();
    alive.sort_by_key(|set| (revision(set), age(set)));
    let surplus = alive.len().saturating_sub(limit);
    let is_empty = |set: &&Set| {
        let (spec, status) = (&set.view.spec, &set.view.status);
        let observed = status.observed_generation >= set.meta.generation;
        let unused = observed && status.replicas == 0 && spec.replicas == 0;
        unused || !guards.on(Guard::M12)
    };
    let delete = |set: &Set| {
        // Nor if somebody has written it since: it may have been rolled back to.
        let revision = guards.on(Guard::M12).then_some(set.meta.resource_version);
        let options = DeleteOptions {
            resource_version: revision,
            ..DeleteOptions::of(&set.meta.uid)
        };
        client.delete(KindId::ReplicaSet, &set.key(), &options)
    };
    let oldest = alive.into_iter().take(surplus);
    oldest.filter(is_empty).map(delete).collect()
}
// ANCHOR_END: forget
