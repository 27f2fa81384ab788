//! What a replica set says of itself.
//!
//! Called by the ReplicaSet controller after it has scaled. Upstream:
//! `pkg/controller/replicaset/replica_set_utils.go`.
//!
//! 1. It counts the pods that were decided on, not those just created: they will be seen.
//! 2. The status is written only when it differs (I3).
//!
//! Book: `book/src/controllers/replicaset.md`.

use core::time::Duration;

use serde_json::{Value, json};
use wavetank_api::selector::LabelSelector;
use wavetank_api::{KindId, Time};
use wavetank_informer::client::{Patch, Write};
use wavetank_informer::{Client, Object};

use super::Pods;
use crate::pods::{Availability, availability, ready_since};
use crate::views::{Condition, Pod, ReplicaSet, ReplicaSetStatus, condition};

/// The condition that says that pods cannot be created or deleted.
const FAILURE: &str = "ReplicaFailure";

/// The status after a reconcile that counted `pods`, and in which `failure` went wrong.
pub(super) fn of(
    set: &Object<ReplicaSet>,
    pods: &Pods,
    failure: Option<&str>,
    now: Time,
) -> ReplicaSetStatus {
    let spec = &set.view.spec;
    let template = LabelSelector::from_map(&spec.template.labels());
    let mut is_template = template.matcher();
    let available = |pod: &Object<Pod>| {
        availability(pod, spec.min_ready_seconds, now) == Availability::Available
    };
    let mut conditions = set.view.status.conditions.clone();
    match (failure, condition(&conditions, FAILURE)) {
        (Some(message), None) => conditions.push(Condition {
            r#type: FAILURE.into(),
            status: "True".into(),
            last_transition_time: Some(now),
            reason: match (pods.len() as i64) < spec.replicas {
                true => "FailedCreate".into(),
                false => "FailedDelete".into(),
            },
            message: message.into(),
            ..Condition::default()
        }),
        (None, Some(_)) => conditions.retain(|each| &*each.r#type != FAILURE),
        _ => {}
    }
    ReplicaSetStatus {
        replicas: pods.len() as i64,
        fully_labeled_replicas: count(pods, |pod| is_template(&pod.meta.labels)),
        ready_replicas: count(pods, |pod| ready_since(pod).is_some()),
        available_replicas: count(pods, available),
        observed_generation: set.meta.generation,
        conditions,
    }
}

fn count<'a>(pods: &'a Pods, mut which: impl FnMut(&'a Object<Pod>) -> bool) -> i64 {
    pods.iter().filter(|pod| which(pod)).count() as i64
}

/// When the next pod that is ready becomes available.
pub(super) fn next_check(set: &Object<ReplicaSet>, pods: &Pods, now: Time) -> Option<Duration> {
    let seconds = set.view.spec.min_ready_seconds;
    let waits = pods
        .iter()
        .filter_map(|pod| match availability(pod, seconds, now) {
            Availability::ReadyFor(wait) => Some(wait),
            _ => None,
        });
    waits.min()
}

/// The merge patch that makes the status so; `None` when it is so already.
pub(super) fn patch(set: &Object<ReplicaSet>, status: &ReplicaSetStatus) -> Option<Value> {
    // What is zero is left out of a stored status, as upstream's `omitempty`; null removes it.
    let number = |number: i64| match number {
        0 => Value::Null,
        number => json!(number),
    };
    let conditions = match status.conditions.is_empty() {
        true => Value::Null,
        false => json!(status.conditions),
    };
    (*status != set.view.status).then(|| {
        json!({
            "metadata": {"uid": &*set.meta.uid.0},
            "status": {
                "replicas": status.replicas,
                "fullyLabeledReplicas": number(status.fully_labeled_replicas),
                "readyReplicas": number(status.ready_replicas),
                "availableReplicas": number(status.available_replicas),
                "observedGeneration": number(status.observed_generation),
                "conditions": conditions,
            },
        })
    })
}

/// The write of such a patch.
pub(super) fn write(client: &Client, set: &Object<ReplicaSet>, patch: &Value) -> Write {
    client.patch(
        KindId::ReplicaSet,
        &set.key(),
        "status",
        Patch::Merge,
        patch,
    )
}
