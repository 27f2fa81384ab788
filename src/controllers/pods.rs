//! Pods as controllers see them: active, ready, available; and how one is made from a template.
//!
//! Used by every controller that owns pods. Upstream: `pkg/controller/controller_utils.go` and
//! `pkg/api/v1/pod/util.go`.
//!
//! Book: `book/src/controllers/replicaset.md`.

use core::time::Duration;

use serde_json::{Value, json};
use wavetank_api::{KindId, Meta, Time};
use wavetank_informer::Object;

use crate::views::{Pod, Template};

/// Whether a pod counts as running or about to run: not finished, not being deleted.
pub fn is_active(pod: &Object<Pod>) -> bool {
    !is_finished(pod) && !pod.meta.is_terminating()
}

/// Whether a pod has reached a terminal phase.
pub fn is_finished(pod: &Object<Pod>) -> bool {
    matches!(&*pod.view.status.phase, "Succeeded" | "Failed")
}

/// Whether two revisions of a pod are one and the same to an owner that claims and counts its pods.
/// (Upstream takes an owner up at every update of a pod, `updatePod`.)
pub fn count_alike(a: &Object<Pod>, b: &Object<Pod>) -> bool {
    a.meta.labels == b.meta.labels
        && a.meta.owner_references == b.meta.owner_references
        && is_active(a) == is_active(b)
        && ready_since(a) == ready_since(b)
}

/// Since when a pod has been ready; `None` when it is not.
pub fn ready_since(pod: &Object<Pod>) -> Option<Time> {
    let ready = pod.view.status.ready;
    ready.is_ready.then(|| ready.since.unwrap_or(Time::EPOCH))
}

/// Whether a pod has been ready for `min_ready_seconds`; if it is ready but not for so long, how
/// much longer.
pub fn availability(pod: &Object<Pod>, min_ready_seconds: u64, now: Time) -> Availability {
    let Some(since) = ready_since(pod) else {
        return Availability::NotReady;
    };
    let from = since + Duration::from_secs(min_ready_seconds);
    match from <= now {
        true => Availability::Available,
        false => Availability::ReadyFor(from.since(now)),
    }
}

/// See [`availability`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// Not ready.
    NotReady,
    /// Ready, and available if it stays so for this long.
    ReadyFor(Duration),
    /// Available.
    Available,
}

/// A new pod for the owner of this header: labels, annotations, finalizers and spec of the
/// template, a name to be generated, and the owner as controller.
pub fn from_template(template: &Template, owner_kind: KindId, owner: &Meta) -> Value {
    let metadata = &template.0["metadata"];
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": format!("{}-", owner.name),
            "namespace": &*owner.namespace,
            "ownerReferences": [controller_reference(owner_kind, owner)],
        },
        "spec": template.0["spec"],
    });
    for field in ["labels", "annotations", "finalizers"] {
        if !metadata[field].is_null() {
            pod["metadata"][field] = metadata[field].clone();
        }
    }
    pod
}

/// The owner reference of a controller (`metav1.NewControllerRef`).
pub fn controller_reference(kind: KindId, owner: &Meta) -> Value {
    let info = kind.info();
    json!({
        "apiVersion": info.api_version,
        "kind": info.kind,
        "name": &*owner.name,
        "uid": &*owner.uid.0,
        "controller": true,
        "blockOwnerDeletion": true,
    })
}
