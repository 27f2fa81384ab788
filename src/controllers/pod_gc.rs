//! Removes pods that nobody else will: on nodes that are gone, or finished and too many.
//!
//! Upstream: `pkg/controller/podgc/gc_controller.go`. A sweep every twenty seconds, as there; a
//! node that is missing from the cache is first waited for, then asked for live, because a cache
//! that lags would otherwise cost a new node its pods.
//!
//! 1. A pod of a missing node is deleted only when the node was missing for the whole quarantine
//!    and a live read says that it does not exist (C35, M38).
//! 2. Every delete carries the uid it was decided on (I1, M39).
//! 3. A pod that cannot be removed keeps no other from being removed.
//!
//! Left out: pods on nodes with the taint `node.kubernetes.io/out-of-service` (no volumes yet).
//!
//! Book: `book/src/controllers/small.md`.

use core::fmt;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;

use wavetank_api::{KindId, Time};
use wavetank_informer::client::{DeleteOptions, Patch};
use wavetank_informer::executor::Plan;
use wavetank_informer::queue::Queue;
use wavetank_informer::{Guard, Key, Object};

use crate::controller::{Answers, Context, Controller, Step};
use crate::informers::{Informers, News};
use crate::pods::is_finished;
use crate::views::Pod;

/// `gcCheckPeriod`.
const PERIOD: Duration = Duration::from_secs(20);
/// `quarantineTime`.
const QUARANTINE: Duration = Duration::from_secs(40);
/// `--terminated-pod-gc-threshold`.
const TERMINATED_AT_MOST: usize = 12_500;

/// The one key: a sweep over all pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sweep;

impl fmt::Display for Sweep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("all pods")
    }
}

/// See the file's header.
#[derive(Default)]
pub struct PodGc {
    /// When each missing node was first missed; written by each sweep.
    missing: BTreeMap<Arc<str>, Time>,
}

/// What the answers under way are about.
#[derive(Debug)]
pub enum Stage {
    /// Live reads of these nodes, in order.
    Nodes(Vec<Arc<str>>),
    /// A pod is being removed; these come after it, the last one first.
    Removing(Vec<Arc<Object<Pod>>>),
}

impl Controller for PodGc {
    type Key = Sweep;
    type Memory = Stage;

    fn name(&self) -> &'static str {
        "pod-garbage-collector-controller"
    }

    fn kind(&self) -> KindId {
        KindId::Pod
    }

    fn workers(&self) -> usize {
        1
    }

    fn observe(&mut self, _: &News, _: &Informers, _: Time, _: &mut Queue<Sweep>) {}

    fn start(&mut self, now: Time, keys: &mut Queue<Sweep>) {
        keys.add_at(Sweep, now + PERIOD, "time to sweep");
    }

    fn reconcile(&mut self, _: &Sweep, cx: &mut Context<'_>) -> Step<Stage> {
        let suspects = self.quarantined(cx);
        let reads = suspects
            .iter()
            .map(|node| cx.client.get(KindId::Node, &Key::cluster(node.clone())));
        Step::Read(reads.collect(), Stage::Nodes(suspects))
    }

    fn resume(
        &mut self,
        _: &Sweep,
        stage: Stage,
        answers: Answers,
        cx: &mut Context<'_>,
    ) -> Step<Stage> {
        let suspects = match stage {
            Stage::Nodes(suspects) => suspects,
            Stage::Removing(rest) => return next(rest, cx),
        };
        let live = answers.read();
        let gone: BTreeSet<Arc<str>> = suspects
            .into_iter()
            .zip(live)
            .filter(|(_, answer)| {
                let not_found = answer.as_ref().is_ok_and(|response| response.status == 404);
                not_found || !cx.guards.on(Guard::M38)
            })
            .map(|(node, _)| node)
            .collect();
        let mut found: Vec<_> = victims(&gone, cx).into_iter().cloned().collect();
        found.reverse();
        if !found.is_empty() {
            cx.note("pods that nobody else removes");
        }
        next(found, cx)
    }
}

/// Removes one pod after the other, from the last on: one that cannot be removed keeps no other.
fn next(mut victims: Vec<Arc<Object<Pod>>>, cx: &Context<'_>) -> Step<Stage> {
    match victims.pop() {
        Some(pod) => Step::Plan(removal(&pod, cx), Stage::Removing(victims)),
        None => Step::After(PERIOD),
    }
}

impl PodGc {
    // ANCHOR: quarantined
    /// Nodes with pods bound to them that were missing for the whole quarantine.
    fn quarantined(&mut self, cx: &Context<'_>) -> Vec<Arc<str>> {
        let nodes = cx.world.nodes.cache();
        let bound = cx
            .world
            .pods
            .cache()
            .iter()
            .map(|pod| &pod.view.spec.node_name);
        let missing: BTreeSet<Arc<str>> = bound
            .filter(|node| !node.is_empty())
            .filter(|node| nodes.get(&Key::cluster((*node).clone())).is_none())
            .cloned()
            .collect();
        self.missing.retain(|node, _| missing.contains(node));
        for node in missing {
            self.missing.entry(node).or_insert(cx.now);
        }
        let guarded = cx.guards.on(Guard::M38);
        let waited = |since: &Time| !guarded || cx.now.since(*since) >= QUARANTINE;
        let due = self.missing.iter().filter(|(_, since)| waited(since));
        due.map(|(node, _)| node.clone()).collect()
    }
    // ANCHOR_END: quarantined
}

/// Pods of missing nodes, deleted pods that no node ever got, and the oldest of too many finished.
fn victims<'a>(gone: &BTreeSet<Arc<str>>, cx: &Context<'a>) -> Vec<&'a Arc<Object<Pod>>> {
    let pods = || cx.world.pods.cache().iter();
    let mut found: Vec<&Arc<Object<Pod>>> = pods()
        .filter(|pod| {
            let node = &pod.view.spec.node_name;
            let unscheduled = node.is_empty() && pod.meta.is_terminating();
            gone.contains(node) || unscheduled
        })
        .collect();
    let mut finished: Vec<&Arc<Object<Pod>>> = pods()
        .filter(|pod| is_finished(pod) && !pod.meta.is_terminating())
        .collect();
    if finished.len() > TERMINATED_AT_MOST {
        finished.sort_by_key(|pod| (pod.meta.creation_timestamp, pod.key()));
        finished.truncate(finished.len() - TERMINATED_AT_MOST);
        found.extend(finished);
    }
    found
}

/// The writes that remove a pod: its status says why unless it is finished, then it goes at once.
fn removal(pod: &Object<Pod>, cx: &Context<'_>) -> Plan {
    let key = pod.key();
    let uid = cx.guards.on(Guard::M39).then(|| pod.meta.uid.clone());
    let mark = (!is_finished(pod)).then(|| {
        let mut patch = json!({
            "status": {
                "phase": "Failed",
                "conditions": [{
                    "type": "DisruptionTarget",
                    "status": "True",
                    "reason": "DeletionByPodGC",
                    "message": "PodGC: node no longer exists",
                    "lastTransitionTime": cx.now.to_rfc3339(),
                }],
            },
        });
        if let Some(uid) = &uid {
            patch["metadata"]["uid"] = json!(&*uid.0);
        }
        cx.client
            .patch(KindId::Pod, &key, "status", Patch::Strategic, &patch)
    });
    let options = DeleteOptions {
        uid,
        grace_period_seconds: Some(0),
        ..DeleteOptions::default()
    };
    let mut plan = Plan::together(mark.into_iter().collect());
    plan.then(vec![cx.client.delete(KindId::Pod, &key, &options)]);
    plan
}
