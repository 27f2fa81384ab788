//! Which pods go first when there are too many: those whose loss hurts least.
//!
//! Called by the ReplicaSet controller. Upstream: `ActivePodsWithRanks` in
//! `pkg/controller/controller_utils.go`.
//!
//! 1. The chosen pods come first in a total order: no pod left over would have come before one that
//!    was chosen (C3).
//!
//! Ages are compared by powers of two (KEP-2185): among pods of about the same age upstream goes by
//! uid, which is as good as chance. We put more restarts before the uid there, because a total
//! order has no other place for them.
//!
//! Book: `book/src/controllers/replicaset.md`.

use core::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use wavetank_api::{Time, Uid};
use wavetank_informer::{Guard, Object};

use super::Pods;
use crate::controller::Context;
use crate::pods;
use crate::views::{Container, ContainerStatus, Pod, ReplicaSet};

/// Where a user says what a pod's deletion costs.
const COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The `count` pods to delete.
pub(super) fn victims(
    set: &Object<ReplicaSet>,
    pods: &Pods,
    count: usize,
    cx: &Context<'_>,
) -> Pods {
    let mut ranked = pods.clone();
    if cx.guards.on(Guard::M07) && count < pods.len() {
        let neighbours = neighbours(set, cx);
        ranked.sort_by_cached_key(|pod| rank(pod, &neighbours, cx.now));
    }
    ranked.truncate(count);
    ranked
}

/// Active pods per node of all replica sets with the same controller: during a rolling update the
/// old and the new pods of a Deployment on a node are doubled up.
fn neighbours(set: &Object<ReplicaSet>, cx: &Context<'_>) -> BTreeMap<Arc<str>, usize> {
    let mut related = vec![set.meta.uid.clone()];
    if let Some(owner) = set.meta.controller() {
        let siblings = cx.world.replica_sets.cache().owned_by(&owner.uid);
        related.extend(siblings.map(|sibling| sibling.meta.uid.clone()));
    }
    related.sort();
    related.dedup();
    let mut count = BTreeMap::new();
    for uid in &related {
        let pods = cx.world.pods.cache().owned_by(uid);
        for pod in pods.filter(|pod| pods::is_active(pod)) {
            *count.entry(pod.view.spec.node_name.clone()).or_insert(0) += 1;
        }
    }
    count
}

// ANCHOR: rank
/// Lower goes first. Each field decides only among pods equal in all fields above it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    is_assigned: bool,
    phase: Phase,
    is_ready: bool,
    deletion_cost: i32,
    doubled_up: Reverse<usize>,
    ready_for: Age,
    restarts: Reverse<(u32, u32)>,
    age: Age,
    uid: Uid,
}
// ANCHOR_END: rank

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Pending,
    Unknown,
    Running,
}

/// Power of two of the nanoseconds that have passed; -1 when none have.
type Age = i64;

fn rank(pod: &Object<Pod>, neighbours: &BTreeMap<Arc<str>, usize>, now: Time) -> Rank {
    let ready_since = pods::ready_since(pod);
    let node = &pod.view.spec.node_name;
    let cost = pod.meta.annotations.get(COST);
    Rank {
        is_assigned: !node.is_empty(),
        phase: match &*pod.view.status.phase {
            "Running" => Phase::Running,
            "Unknown" => Phase::Unknown,
            _ => Phase::Pending,
        },
        is_ready: ready_since.is_some(),
        deletion_cost: cost.and_then(|cost| cost.parse().ok()).unwrap_or(0),
        doubled_up: Reverse(neighbours.get(node).copied().unwrap_or(0)),
        ready_for: ready_since.map_or(-1, |since| age(since, now)),
        restarts: Reverse(restarts(pod)),
        age: pod
            .meta
            .creation_timestamp
            .map_or(-1, |since| age(since, now)),
        uid: pod.meta.uid.clone(),
    }
}

fn age(since: Time, now: Time) -> Age {
    let nanos = now.since(since).as_nanos();
    nanos.checked_ilog2().map_or(-1, i64::from)
}

/// Most restarts of a container, and of a sidecar.
fn restarts(pod: &Object<Pod>) -> (u32, u32) {
    let most = |statuses: &mut dyn Iterator<Item = &ContainerStatus>| {
        statuses
            .map(|status| status.restart_count)
            .max()
            .unwrap_or(0)
    };
    let status = &pod.view.status;
    let sidecars: Vec<&Container> = pod
        .view
        .spec
        .init_containers
        .iter()
        .filter(|container| &*container.restart_policy == "Always")
        .collect();
    let is_sidecar =
        |status: &&ContainerStatus| sidecars.iter().any(|sidecar| sidecar.name == status.name);
    (
        most(&mut status.container_statuses.iter()),
        most(&mut status.init_container_statuses.iter().filter(is_sidecar)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(json: &str) -> Object<Pod> {
        Object::decode(json.as_bytes()).unwrap_or_else(|e| panic!("{e}: {json}"))
    }

    /// Each pod goes before the next, in the order of the documentation.
    #[test]
    fn victims_go_in_the_documented_order() {
        let ready = |since: &str| {
            let times = format!(r#""lastTransitionTime":"{since}""#);
            let ready = format!(r#"{{"type":"Ready","status":"True",{times}}}"#);
            format!(r#""phase":"Running","conditions":[{ready}]"#)
        };
        let (early, late) = (ready("2026-01-01T00:00:00Z"), ready("2026-01-01T00:59:00Z"));
        let rows = [
            ("a", "", r#""phase":"Pending""#.to_string(), ""),
            ("b", "n1", r#""phase":"Pending""#.to_string(), ""),
            ("c", "n1", r#""phase":"Running""#.to_string(), ""),
            ("d", "n1", early.clone(), "-5"),
            ("e", "n2", early.clone(), ""),
            ("f", "n1", late, ""),
            (
                "g",
                "n1",
                format!(r#"{early},"containerStatuses":[{{"restartCount":3}}]"#),
                "",
            ),
            ("h", "n1", early.clone(), ""),
            ("i", "n1", early, "7"),
        ];
        let now = Time::parse("2026-01-01T01:00:00Z").unwrap();
        let neighbours = BTreeMap::from([("n2".into(), 2), ("n1".into(), 1)]);
        let ranks: Vec<_> = rows
            .iter()
            .rev()
            .map(|(name, node, status, cost)| {
                let annotations = match cost.is_empty() {
                    true => String::new(),
                    false => format!(r#","annotations":{{"{COST}":"{cost}"}}"#),
                };
                let pod = pod(&format!(
                    r#"{{"metadata":{{"name":"{name}","uid":"{name}"{annotations}}},
                        "spec":{{"nodeName":"{node}"}},"status":{{{status}}}}}"#
                ));
                (rank(&pod, &neighbours, now), *name)
            })
            .collect();
        let mut sorted = ranks;
        sorted.sort();
        let order: String = sorted.iter().map(|(_, name)| *name).collect();
        assert_eq!(order, "abcdefghi");
    }

    #[test]
    fn a_view_reads_what_the_server_accepts() {
        let json = br#"{"spec":{"containers":[{"name":"a","ports":null}]},"status":{}}"#;
        let pod = Object::<Pod>::decode(json).unwrap();
        assert_eq!(pod.view.spec.containers.len(), 1);
    }
}
