//! Watches nodes' heartbeats: marks silent nodes, taints unhealthy ones, tells services about it.
//!
//! Upstream: `pkg/controller/nodelifecycle`. It evicts nothing itself: it adds `NoExecute` taints,
//! zone by zone and at a limited pace, and [`crate::taint_eviction`] acts on them.
//!
//! 1. A node whose heartbeat was seen within the grace period is not marked unknown (C33).
//! 2. When all zones are lost no `NoExecute` taint is added (C32, M57).
//! 3. Per zone, nodes are tainted no faster than its pace (C34, M60).
//! 4. After this process has been deaf itself, nobody is condemned before a new grace (M59).
//!
//! Book: `book/src/controllers/nodes.md`.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use wavetank_api::{KindId, Meta, Time, Uid};
use wavetank_informer::client::{Patch, Write};
use wavetank_informer::events::EventType;
use wavetank_informer::executor::Plan;
use wavetank_informer::queue::Queue;
use wavetank_informer::{Guard, Key, Object};

use crate::controller::{Answers, Context, Controller, Step, first_error};
use crate::informers::{BY_NODE, Informers, News};
use crate::node_health::{Health, Zone, ready, zone_of, zones};
use crate::views::{Node, Pod, Taint, condition};

/// `--node-monitor-period`.
const PERIOD: Duration = Duration::from_secs(5);
/// A gap between two sweeps after which we count ourselves as deaf.
const DEAF: Duration = Duration::from_secs(20);

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Condition, the status that taints, and the `NoSchedule` taint
/// (`nodeConditionToTaintKeyStatusMap`).
const CONDITION_TAINTS: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    (
        "MemoryPressure",
        "True",
        "node.kubernetes.io/memory-pressure",
    ),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
    (
        "NetworkUnavailable",
        "True",
        "node.kubernetes.io/network-unavailable",
    ),
];

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Task {
    /// All heartbeats.
    Sweep,
    /// The `NoSchedule` taints of one node.
    Taints(Arc<str>),
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Task::Sweep => f.write_str("all nodes"),
            Task::Taints(node) => f.write_str(node),
        }
    }
}

/// See the file's header.
#[derive(Default)]
pub struct NodeLifecycle {
    health: BTreeMap<Arc<str>, Health>,
    /// When each zone's next node may be tainted; written when one is.
    next_eviction: BTreeMap<Arc<str>, Time>,
    last_sweep: Option<Time>,
    /// The nodes of the last sweep.
    known: BTreeMap<Arc<str>, Uid>,
}

impl Controller for NodeLifecycle {
    type Key = Task;
    type Memory = ();

    fn name(&self) -> &'static str {
        "node-lifecycle-controller"
    }

    fn event_source(&self) -> &'static str {
        "node-controller"
    }

    fn kind(&self) -> KindId {
        KindId::Node
    }

    fn workers(&self) -> usize {
        8
    }

    fn observe(&mut self, news: &News, _: &Informers, now: Time, keys: &mut Queue<Task>) {
        match news {
            News::Node(change) if change.is_deleted() => {
                self.health.remove(&change.object().meta.name);
            }
            News::Node(change) => {
                let node = change.object();
                self.observe_heartbeat(&node.meta.name, (None, heartbeat(node)), now);
                if no_schedule(node) != wanted_no_schedule(node) {
                    keys.add(
                        Task::Taints(node.meta.name.clone()),
                        "its conditions changed",
                    );
                }
            }
            News::Lease(change) if &*change.object().meta.namespace == "kube-node-lease" => {
                let lease = change.object();
                let renewed = lease.view.spec.renew_time;
                self.observe_heartbeat(&lease.meta.name, (renewed, None), now);
            }
            _ => {}
        }
    }

    fn start(&mut self, now: Time, keys: &mut Queue<Task>) {
        keys.add_at(Task::Sweep, now + PERIOD, "time to look");
    }

    fn reconcile(&mut self, task: &Task, cx: &mut Context<'_>) -> Step<()> {
        let plan = match task {
            Task::Sweep => self.sweep(cx),
            Task::Taints(name) => {
                let node = cx.world.nodes.cache().get(&Key::cluster(name.clone()));
                let retaint = node.and_then(|node| retaint(node, wanted_no_schedule(node), cx));
                Plan::together(retaint.into_iter().collect())
            }
        };
        match (plan.is_empty(), task) {
            (false, _) => Step::Plan(plan, ()),
            (true, Task::Sweep) => Step::After(PERIOD),
            (true, Task::Taints(_)) => Step::Done,
        }
    }

    fn resume(&mut self, task: &Task, (): (), answers: Answers, _: &mut Context<'_>) -> Step<()> {
        match (task, first_error(&answers.written())) {
            (Task::Sweep, _) => Step::After(PERIOD),
            (Task::Taints(_), None) => Step::Done,
            (Task::Taints(_), Some(error)) => Step::Retry(error),
        }
    }
}

impl NodeLifecycle {
    /// Either half of a heartbeat; the other half stays as it was.
    fn observe_heartbeat(
        &mut self,
        node: &Arc<str>,
        seen: (Option<Time>, Option<Time>),
        now: Time,
    ) {
        match self.health.get_mut(node) {
            Some(health) => health.observe(seen, now),
            None => {
                self.health.insert(node.clone(), Health::new(seen, now));
            }
        }
    }

    /// Tells of the nodes that came and went since the last sweep (`classifyNodes`).
    fn tell_of_comings(&mut self, cx: &mut Context<'_>) {
        let nodes = cx.world.nodes.cache();
        let mut news = Vec::new();
        for node in nodes.iter() {
            if self.known.get(&node.meta.name) != Some(&node.meta.uid) {
                let (name, uid) = (node.meta.name.clone(), node.meta.uid.clone());
                let text = format!("Registered Node {name} in Controller");
                news.push(("RegisteredNode", name.clone(), uid.clone(), text));
                self.known.insert(name, uid);
            }
        }
        if nodes.len() < self.known.len() {
            self.known.retain(|name, uid| {
                let is_there = nodes.get(&Key::cluster(name.clone())).is_some();
                if !is_there {
                    let text = format!("Removing Node {name} from Controller");
                    news.push(("RemovingNode", name.clone(), uid.clone(), text));
                }
                is_there
            });
        }
        for (reason, name, uid, text) in news {
            let message = format!("Node {name} event: {text}");
            let meta = Meta {
                name,
                uid,
                ..Meta::default()
            };
            cx.event((KindId::Node, &meta), EventType::Normal, reason, message);
        }
    }

    /// One look at all nodes: conditions first, then taints as the zones allow.
    fn sweep(&mut self, cx: &mut Context<'_>) -> Plan {
        let deaf = self
            .last_sweep
            .is_some_and(|last| cx.now.since(last) > DEAF);
        if deaf && cx.guards.on(Guard::M59) {
            self.health
                .values_mut()
                .for_each(|health| health.excuse(cx.now));
        }
        self.last_sweep = Some(cx.now);
        self.tell_of_comings(cx);
        let nodes = || cx.world.nodes.cache().iter();
        let zones = zones(nodes());
        let all_lost = !zones.is_empty() && zones.values().all(|zone| *zone == Zone::Lost);
        let may_evict = !(all_lost && cx.guards.on(Guard::M57));
        let mut writes = Vec::new();
        let mut silent = Vec::new();
        for node in nodes() {
            if self.is_silent(node, cx) && ready(node) != "Unknown" {
                silent.push(node.clone());
                continue;
            }
            let zone = zone_of(node);
            let state = zones.get(&zone).copied().unwrap_or(Zone::Normal);
            writes.extend(self.execute(node, &zone, state, may_evict, cx));
        }
        for node in silent {
            cx.note("no heartbeat within the grace period");
            writes.extend(self.mark_unknown(&node, cx));
        }
        Plan::together(writes)
    }

    fn is_silent(&self, node: &Object<Node>, cx: &Context<'_>) -> bool {
        let health = self.health.get(&node.meta.name);
        health.is_some_and(|health| health.is_silent(cx.now, !cx.guards.on(Guard::M58)))
    }

    /// Adds or removes the `NoExecute` taint of a node, if its zone may do so now.
    fn execute(
        &mut self,
        node: &Arc<Object<Node>>,
        zone: &Arc<str>,
        state: Zone,
        may_evict: bool,
        cx: &Context<'_>,
    ) -> Option<Write> {
        let wanted = match ready(node) {
            "True" => None,
            "False" => Some(NOT_READY),
            _ => Some(UNREACHABLE),
        };
        // ANCHOR: execute
        let taints = &node.view.spec.taints;
        let ours = |taint: &&Taint| {
            let key = matches!(&*taint.key, NOT_READY | UNREACHABLE);
            key && &*taint.effect == "NoExecute"
        };
        let has = taints.iter().find(ours).map(|taint| &*taint.key);
        if has == wanted {
            return None;
        }
        if has.is_none() {
            let next = self.next_eviction.get(zone);
            let due = next.is_none_or(|next| *next <= cx.now);
            let paced = cx.guards.on(Guard::M60);
            let pace = state.pace();
            if !may_evict || (paced && (pace.is_none() || !due)) {
                return None;
            }
            self.next_eviction
                .insert(zone.clone(), cx.now + pace.unwrap_or_default());
        }
        let mut kept = taints.clone();
        kept.retain(|taint| !ours(&taint));
        kept.extend(wanted.map(|key| Taint {
            key: key.into(),
            value: "".into(),
            effect: "NoExecute".into(),
            time_added: Some(cx.now),
        }));
        Some(set_taints(node, &kept, cx))
        // ANCHOR_END: execute
    }

    /// The node's conditions become unknown, and its pods count as not ready.
    fn mark_unknown(&self, node: &Arc<Object<Node>>, cx: &mut Context<'_>) -> Vec<Write> {
        let ever = self
            .health
            .get(&node.meta.name)
            .is_some_and(Health::ever_heard);
        let (reason, message) = match ever {
            true => ("NodeStatusUnknown", "Kubelet stopped posting node status."),
            false => (
                "NodeStatusNeverUpdated",
                "Kubelet never posted node status.",
            ),
        };
        let now = cx.now.to_rfc3339();
        let types = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];
        let conditions = types.map(|r#type| {
            let old = condition(&node.view.status.conditions, r#type);
            let heartbeat = old.and_then(|old| old.last_heartbeat_time);
            let heartbeat = heartbeat.map_or_else(|| now.clone(), Time::to_rfc3339);
            json!({
                "type": r#type, "status": "Unknown", "reason": reason, "message": message,
                "lastHeartbeatTime": heartbeat, "lastTransitionTime": now,
            })
        });
        let key = node.key();
        let patch = json!({
            "metadata": { "uid": &*node.meta.uid.0 },
            "status": { "conditions": conditions },
        });
        let mut writes =
            vec![
                cx.client
                    .patch(KindId::Node, &key, "status", Patch::Strategic, &patch),
            ];
        if ready(node) == "True" {
            let about = (KindId::Node, &node.meta);
            let message = format!("Node {} status is now: NodeNotReady", node.meta.name);
            cx.event(about, EventType::Normal, "NodeNotReady", message);
        }
        for pod in ready_pods(node, cx) {
            let about = (KindId::Pod, &pod.meta);
            cx.event(
                about,
                EventType::Warning,
                "NodeNotReady",
                "Node is not ready".into(),
            );
            writes.push(not_ready(&pod, cx));
        }
        writes
    }
}

/// The pods of a silent node count as not ready, so that services stop sending to them
/// (`MarkPodsNotReady`).
fn ready_pods(node: &Object<Node>, cx: &Context<'_>) -> Vec<Arc<Object<Pod>>> {
    let is_ready = |pod: &&Arc<Object<Pod>>| pod.view.status.ready.is_ready;
    let pods = cx.world.pods.cache().indexed(BY_NODE, &node.meta.name);
    pods.filter(is_ready).cloned().collect()
}

fn not_ready(pod: &Object<Pod>, cx: &Context<'_>) -> Write {
    let patch = json!({
        "metadata": { "uid": &*pod.meta.uid.0 },
        "status": { "conditions": [{
            "type": "Ready",
            "status": "False",
            "lastTransitionTime": cx.now.to_rfc3339(),
        }]},
    });
    cx.client
        .patch(KindId::Pod, &pod.key(), "status", Patch::Strategic, &patch)
}

fn heartbeat(node: &Object<Node>) -> Option<Time> {
    condition(&node.view.status.conditions, "Ready")?.last_heartbeat_time
}

/// The `NoSchedule` taints that say how a node is.
fn is_condition_taint(taint: &Taint) -> bool {
    let keys = CONDITION_TAINTS
        .iter()
        .map(|(_, _, key)| *key)
        .chain([UNSCHEDULABLE]);
    &*taint.effect == "NoSchedule" && keys.into_iter().any(|key| key == &*taint.key)
}

fn no_schedule(node: &Object<Node>) -> Vec<Arc<str>> {
    let taints = node
        .view
        .spec
        .taints
        .iter()
        .filter(|taint| is_condition_taint(taint));
    let mut keys: Vec<Arc<str>> = taints.map(|taint| taint.key.clone()).collect();
    keys.sort();
    keys
}

fn wanted_no_schedule(node: &Object<Node>) -> Vec<Arc<str>> {
    let mut keys: Vec<Arc<str>> = Vec::new();
    for (r#type, status, key) in CONDITION_TAINTS {
        let found = condition(&node.view.status.conditions, r#type);
        if found.is_some_and(|condition| &*condition.status == status) {
            keys.push(key.into());
        }
    }
    // A node that has said nothing yet keeps the taint that admission gave it.
    if condition(&node.view.status.conditions, "Ready").is_none() {
        keys.push(NOT_READY.into());
    }
    if node.view.spec.unschedulable {
        keys.push(UNSCHEDULABLE.into());
    }
    keys.sort();
    keys
}

fn retaint(node: &Arc<Object<Node>>, wanted: Vec<Arc<str>>, cx: &Context<'_>) -> Option<Write> {
    if no_schedule(node) == wanted {
        return None;
    }
    let taints = &node.view.spec.taints;
    let mut kept: Vec<Taint> = taints
        .iter()
        .filter(|taint| !is_condition_taint(taint))
        .cloned()
        .collect();
    for key in wanted {
        let old = taints
            .iter()
            .find(|taint| is_condition_taint(taint) && taint.key == key);
        kept.push(old.cloned().unwrap_or_else(|| Taint {
            key,
            value: "".into(),
            effect: "NoSchedule".into(),
            time_added: Some(cx.now),
        }));
    }
    Some(set_taints(node, &kept, cx))
}

/// Replaces all taints, unless somebody else has changed the node since.
fn set_taints(node: &Arc<Object<Node>>, taints: &[Taint], cx: &Context<'_>) -> Write {
    let taints = if taints.is_empty() {
        Value::Null
    } else {
        json!(taints)
    };
    let patch = json!({
        "metadata": {
            "uid": &*node.meta.uid.0,
            "resourceVersion": node.meta.resource_version.to_string(),
        },
        "spec": { "taints": taints },
    });
    cx.client
        .patch(KindId::Node, &node.key(), "", Patch::Merge, &patch)
}
