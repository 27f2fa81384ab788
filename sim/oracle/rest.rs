//! Liveness: what must have come about when faults have ended and time has passed.
//!
//! Book: `book/src/simulator/oracles.md`.

use wavetank_api::kinds::KindId;

use super::facts::{Body, Fact};
use super::{Findings, Invariant, Model, Oracle};

/// L2, L3, L8, L11, L12, L13: looked at once, at the end.
pub(super) struct Rest;

impl Oracle for Rest {
    fn settled(&mut self, model: &Model, found: &mut Findings) {
        for (key, fact) in model.of_kind(KindId::ReplicaSet) {
            replica_set(key, fact, model, found);
        }
        for (key, fact) in model.of_kind(KindId::Deployment) {
            deployment(key, fact, model, found);
        }
        for (key, fact) in model.of_kind(KindId::Pod) {
            pod(key, fact, model, found);
        }
        for (key, fact) in &model.objects {
            orphan(key, fact, model, found);
        }
    }
}

/// L2.
fn replica_set(key: &str, fact: &Fact, model: &Model, found: &mut Findings) {
    let Some(set) = fact.workload().filter(|_| !fact.is_terminating()) else {
        return;
    };
    let active = i64::try_from(model.active_pods_of(&fact.meta.uid)).unwrap_or(i64::MAX);
    if active != set.replicas || set.status_replicas != active {
        let what = format!(
            "asks for {}, has {active} active pods, and says {}",
            set.replicas, set.status_replicas
        );
        found.add(Invariant::L2, key, what);
    }
}

/// L3.
fn deployment(key: &str, fact: &Fact, model: &Model, found: &mut Findings) {
    let Some(wanted) = fact.workload().filter(|_| !fact.is_terminating()) else {
        return;
    };
    let owned = model.owned_by(&fact.meta.uid);
    let mut pods = owned.flat_map(|(_, set)| model.owned_by(&set.meta.uid));
    let waits_for_room = pods.any(|(_, pod)| pod.pod().is_some_and(|pod| pod.node.is_empty()));
    if wanted.paused || waits_for_room {
        return; // whether they could be bound is what L8 says
    }
    let sets = model.owned_by(&fact.meta.uid);
    let asked: i64 = sets
        .filter_map(|(_, set)| set.workload())
        .map(|set| set.replicas)
        .sum();
    let done = wanted.updated_replicas == wanted.replicas && asked == wanted.replicas;
    if !done {
        let what = format!(
            "asks for {}, its ReplicaSets for {asked}, and {} are updated",
            wanted.replicas, wanted.updated_replicas
        );
        found.add(Invariant::L3, key, what);
    }
}

/// L8, L11, L12.
fn pod(key: &str, fact: &Fact, model: &Model, found: &mut Findings) {
    let Some(pod) = fact.pod() else { return };
    let node = |name: &str| match model.object(&KindId::Node.key("", name)).map(|n| &n.body) {
        Some(Body::Node(node)) => Some(node),
        _ => None,
    };
    if fact.is_terminating() {
        if fact.meta.finalizers.is_empty() && (node(&pod.node).is_none_or(|node| node.is_ready)) {
            let what = "it is still being deleted".to_owned();
            found.add(Invariant::L12, key, what);
        }
        return;
    }
    if pod.node.is_empty() {
        let nodes = model.of_kind(KindId::Node);
        let mut fitting = nodes.filter(|(_, node)| has_room(node, fact, model));
        if let Some((_, node)) = fitting.next().filter(|_| !pod.is_gated) {
            let what = format!("not bound, though it fits {}", node.meta.name);
            found.add(Invariant::L8, key, what);
        }
    } else if pod.phase == "Pending" && node(&pod.node).is_some_and(|node| node.is_ready) {
        let what = format!("bound to {} and still pending", pod.node);
        found.add(Invariant::L11, key, what);
    }
}

fn has_room(node: &Fact, pod: &Fact, model: &Model) -> bool {
    let (Body::Node(there), Some(wanted)) = (&node.body, pod.pod()) else {
        return false;
    };
    let bound = model
        .bound_to(&node.meta.name)
        .filter_map(|(_, fact)| fact.pod());
    let (mut cpu, mut memory, mut pods) = (wanted.requests.milli_cpu, wanted.requests.memory, 1);
    for other in bound.filter(|pod| !pod.is_over()) {
        cpu += other.requests.milli_cpu;
        memory += other.requests.memory;
        pods += 1;
    }
    there.is_ready
        && !there.unschedulable
        && there.taints.is_empty()
        && cpu <= there.allocatable.milli_cpu
        && memory <= there.allocatable.memory
        && pods <= there.pods
}

/// L13.
fn orphan(key: &str, fact: &Fact, model: &Model, found: &mut Findings) {
    let owners = &fact.meta.owner_references;
    let all_gone = owners
        .iter()
        .all(|owner| model.by_uid(&owner.uid).is_none());
    if !owners.is_empty() && all_gone && fact.meta.finalizers.is_empty() {
        let what = format!("all its owners are gone: {}", owners[0].name);
        found.add(Invariant::L13, key, what);
    }
}
