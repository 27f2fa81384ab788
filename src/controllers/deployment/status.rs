//! What a deployment says of itself: counts, and whether it is available and makes progress.
//!
//! Called by the Deployment controller at the end of a round. `kubectl rollout status` reads it.
//! Upstream: `pkg/controller/deployment/progress.go`, `calculateStatus` in `sync.go`.
//!
//! 1. A status is written only when it differs (I3).
//! 2. A rollout that makes no progress for `progressDeadlineSeconds` is said to have failed, at the
//!    deadline and not before (L3); one that has completed never is.
//!
//! Book: `book/src/controllers/deployment.md`.

use core::time::Duration;

use serde_json::{Value, json};
use wavetank_api::Time;

use super::sets::{Sets, actual, wanted};
use crate::views::{Condition, DeploymentStatus, condition};

/// Types of conditions.
const PROGRESSING: &str = "Progressing";
const AVAILABLE: &str = "Available";
const FAILURE: &str = "ReplicaFailure";

/// Reasons of `Progressing`.
const COMPLETE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const PAUSED: &str = "DeploymentPaused";
const RESUMED: &str = "DeploymentResumed";

/// Upstream's way to write "no deadline".
const NO_DEADLINE: u64 = i32::MAX as u64;

/// The time a rollout has to make progress; `None` when it has all the time.
pub(super) fn deadline(sets: &Sets) -> Option<Duration> {
    let seconds = sets.deployment.view.spec.progress_deadline_seconds?;
    (seconds != NO_DEADLINE).then(|| Duration::from_secs(seconds))
}

/// The status as counted, with its conditions as they were but for `Available`.
pub(super) fn counted(sets: &Sets, now: Time) -> DeploymentStatus {
    let old = &sets.deployment.view.status;
    let available: i64 = sets
        .all()
        .map(|set| set.view.status.available_replicas)
        .sum();
    let mut status = DeploymentStatus {
        observed_generation: sets.deployment.meta.generation,
        replicas: actual(sets.all()),
        updated_replicas: actual(sets.new.iter()),
        ready_replicas: sets.all().map(|set| set.view.status.ready_replicas).sum(),
        available_replicas: available,
        unavailable_replicas: (wanted(sets.all()) - available).max(0),
        collision_count: old.collision_count,
        conditions: old.conditions.clone(),
    };
    pause(sets, &mut status, now);
    if let (Some(new), Some(_)) = (&sets.new, deadline(sets))
        && condition(&status.conditions, PROGRESSING).is_none()
    {
        set(&mut status, existence(&new.meta.name, false, now));
    }
    let enough = available >= sets.min_available();
    let (is, reason, message) = match enough {
        true => (
            "True",
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
        ),
        false => (
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        ),
    };
    set(
        &mut status,
        new_condition(AVAILABLE, is, reason, message, now),
    );
    status
}

/// The clock of a paused rollout stands still: pausing and resuming start it anew.
fn pause(sets: &Sets, status: &mut DeploymentStatus, now: Time) {
    let reason = condition(&status.conditions, PROGRESSING).map(|c| c.reason.clone());
    let reason = reason.as_deref();
    if deadline(sets).is_none() || reason == Some(TIMED_OUT) {
        return;
    }
    let paused = sets.deployment.view.spec.paused;
    let (reason, message) = match (paused, reason == Some(PAUSED)) {
        (true, false) => (PAUSED, "Deployment is paused"),
        (false, true) => (RESUMED, "Deployment is resumed"),
        _ => return,
    };
    set(
        status,
        new_condition(PROGRESSING, "Unknown", reason, message, now),
    );
}

/// The status of a rollout that may go on: counted, and judged by its progress.
pub(super) fn of_rollout(sets: &Sets, now: Time) -> DeploymentStatus {
    let mut status = counted(sets, now);
    match deadline(sets) {
        None => status
            .conditions
            .retain(|each| &*each.r#type != PROGRESSING),
        Some(deadline) => judge(sets, &mut status, deadline, now),
    }
    let mut failed = sets.new.iter().chain(sets.all());
    let failure = failed.find_map(|set| condition(&set.view.status.conditions, FAILURE).cloned());
    match failure {
        Some(failure) => {
            let failure = Condition {
                last_update_time: failure.last_transition_time,
                ..failure
            };
            set(&mut status, failure);
        }
        None => status.conditions.retain(|each| &*each.r#type != FAILURE),
    }
    status
}

// ANCHOR: judge
fn judge(sets: &Sets, status: &mut DeploymentStatus, deadline: Duration, now: Time) {
    let current = condition(&status.conditions, PROGRESSING).cloned();
    let was_complete = current.as_ref().is_some_and(|c| &*c.reason == COMPLETE);
    if status.replicas == status.updated_replicas && was_complete {
        return; // finished long ago: pods that come and go are not a rollout
    }
    let who = match &sets.new {
        Some(new) => format!("ReplicaSet \"{}\"", new.meta.name),
        None => format!("Deployment \"{}\"", sets.deployment.meta.name),
    };
    let verdict = |is, reason, what| {
        let message = format!("{who} {what}");
        new_condition(PROGRESSING, is, reason, &message, now)
    };
    if is_complete(sets, status) {
        set(
            status,
            verdict("True", COMPLETE, "has successfully progressed."),
        );
    } else if has_progressed(&sets.deployment.view.status, status) {
        let mut moved = verdict("True", "ReplicaSetUpdated", "is progressing.");
        if let Some(current) = current.filter(|c| &*c.status == "True") {
            moved.last_transition_time = current.last_transition_time;
        }
        // Written even if it says the same: its time of update is the deadline's clock.
        status
            .conditions
            .retain(|each| &*each.r#type != PROGRESSING);
        status.conditions.push(moved);
    } else if has_timed_out(current.as_ref(), deadline, now) {
        set(
            status,
            verdict("False", TIMED_OUT, "has timed out progressing."),
        );
    }
}
// ANCHOR_END: judge

/// Whether all pods are of the current template and available, and none are left of others.
pub(super) fn is_complete(sets: &Sets, status: &DeploymentStatus) -> bool {
    let counts = [
        status.updated_replicas,
        status.replicas,
        status.available_replicas,
    ];
    counts == [sets.replicas(); 3] && status.observed_generation >= sets.deployment.meta.generation
}

fn has_progressed(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let left = |status: &DeploymentStatus| status.replicas - status.updated_replicas;
    new.updated_replicas > old.updated_replicas
        || left(new) < left(old)
        || new.ready_replicas > old.ready_replicas
        || new.available_replicas > old.available_replicas
}

fn has_timed_out(current: Option<&Condition>, deadline: Duration, now: Time) -> bool {
    match current {
        None => false,
        Some(current) => match &*current.reason {
            COMPLETE => false,
            TIMED_OUT => true,
            _ => current.last_update_time.unwrap_or(now) + deadline < now,
        },
    }
}

/// How long until the deadline must be looked at, if nothing happens before.
pub(super) fn next_check(sets: &Sets, status: &DeploymentStatus, now: Time) -> Option<Duration> {
    let deadline = deadline(sets)?;
    let current = condition(&status.conditions, PROGRESSING)?;
    if is_complete(sets, status) || matches!(&*current.reason, TIMED_OUT | COMPLETE | PAUSED) {
        return None;
    }
    let at = current.last_update_time? + deadline;
    Some(at.since(now) + Duration::from_secs(1))
}

/// A condition that begins now.
pub(super) fn new_condition(
    r#type: &str,
    status: &str,
    reason: &str,
    message: &str,
    now: Time,
) -> Condition {
    Condition {
        r#type: r#type.into(),
        status: status.into(),
        last_update_time: Some(now.cut_to_seconds()),
        last_transition_time: Some(now.cut_to_seconds()),
        last_heartbeat_time: None,
        reason: reason.into(),
        message: message.into(),
    }
}

/// Puts a condition in place of the one of its type. Says the same: nothing changes. Same status:
/// the time of its transition stays (`SetDeploymentCondition`).
pub(super) fn set(status: &mut DeploymentStatus, mut new: Condition) {
    if let Some(current) = condition(&status.conditions, &new.r#type) {
        if current.status == new.status && current.reason == new.reason {
            return;
        }
        if current.status == new.status {
            new.last_transition_time = current.last_transition_time;
        }
    }
    status.conditions.retain(|each| each.r#type != new.r#type);
    status.conditions.push(new);
}

/// The merge patch that makes the deployment's status so; `None` when it is so already.
pub(super) fn patch(sets: &Sets, status: &DeploymentStatus) -> Option<Value> {
    // What is zero is left out of a stored status, as upstream's `omitempty`; null removes it.
    let number = |number: i64| match number {
        0 => Value::Null,
        number => json!(number),
    };
    let conditions = match status.conditions.is_empty() {
        true => Value::Null,
        false => json!(status.conditions),
    };
    (*status != sets.deployment.view.status).then(|| {
        json!({
            "metadata": {"uid": &*sets.deployment.meta.uid.0},
            "status": {
                "observedGeneration": number(status.observed_generation),
                "replicas": number(status.replicas),
                "updatedReplicas": number(status.updated_replicas),
                "readyReplicas": number(status.ready_replicas),
                "availableReplicas": number(status.available_replicas),
                "unavailableReplicas": number(status.unavailable_replicas),
                "collisionCount": status.collision_count,
                "conditions": conditions,
            },
        })
    })
}

/// The failure of a set's creation as a condition.
pub(super) fn creation_failed(message: &str, now: Time) -> Condition {
    new_condition(PROGRESSING, "False", "ReplicaSetCreateError", message, now)
}

/// Progress that a new or a found set makes by existing.
pub(super) fn existence(set: &str, created: bool, now: Time) -> Condition {
    let (reason, what) = match created {
        true => ("NewReplicaSetCreated", "Created new replica set"),
        false => ("FoundNewReplicaSet", "Found new replica set"),
    };
    let message = format!("{what} \"{set}\"");
    new_condition(PROGRESSING, "True", reason, &message, now)
}
