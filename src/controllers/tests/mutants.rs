//! Guards of the small controllers: with each the bug cannot happen, without it this schedule shows
//! it. And some promises that rest on no guard.
//!
//! Book: `book/src/controllers/reconcile.md`.

use core::time::Duration;

use serde_json::{Value, json};
use wavetank_api::{KindId, Method};
use wavetank_informer::client::Propagation;
use wavetank_informer::{Guard, Guards, Key};

use crate::harness::{Server, Tank};

const GC: &[&str] = &["garbage-collector-controller"];
const POD_GC: &[&str] = &["pod-garbage-collector-controller"];
const NODES: &[&str] = &["node-lifecycle-controller"];
const TAINTS: &[&str] = &["taint-eviction-controller"];
const NAMESPACES: &[&str] = &["namespace-controller"];
const SLICES: &[&str] = &["endpoint-slice-controller"];

/// Whether the schedule shows the bug with all guards, and without this one.
fn shows(schedule: impl Fn(Guards) -> bool, guard: Guard) -> (bool, bool) {
    (
        schedule(Guards::default()),
        schedule(Guards::without(&[guard])),
    )
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn named(namespace: &str, name: &str) -> Value {
    json!({"metadata": {"namespace": namespace, "name": name}})
}

fn is_there(server: &Server, kind: KindId, key: &Key) -> bool {
    let object = server.get(kind, key);
    object.is_some_and(|object| object["metadata"]["deletionTimestamp"].is_null())
}

// Garbage collector.

/// Puts a replica set there; its uid.
fn owner(tank: &mut Tank, namespace: &str, name: &str) -> (Key, Value) {
    let key = tank.create(KindId::ReplicaSet, named(namespace, name));
    let uid = tank.server.get(KindId::ReplicaSet, &key).unwrap()["metadata"]["uid"].clone();
    (key, uid)
}

fn reference(name: &str, uid: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": uid,
        "blockOwnerDeletion": true})
}

fn dependent(tank: &mut Tank, namespace: &str, name: &str, owner: Value) -> Key {
    let mut pod = named(namespace, name);
    pod["metadata"]["ownerReferences"] = json!([owner]);
    tank.create(KindId::Pod, pod)
}

/// The child is seen before its owner (#88097).
#[test]
fn an_owner_that_a_cache_lacks_is_asked_for() {
    let schedule = |guards| {
        let mut tank = Tank::running(GC, guards);
        tank.held.insert(KindId::ReplicaSet);
        let (_, uid) = owner(&mut tank, "default", "web");
        let child = dependent(&mut tank, "default", "child", reference("web", &uid));
        tank.settle();
        !is_there(&tank.server, KindId::Pod, &child)
    };
    assert_eq!(shows(schedule, Guard::M30), (false, true));
}

/// The owner was deleted and made again: the new one has the name and another uid.
#[test]
fn a_namesake_of_the_owner_is_not_the_owner() {
    let schedule = |guards| {
        let mut tank = Tank::running(GC, guards);
        let (web, uid) = owner(&mut tank, "default", "web");
        let child = dependent(&mut tank, "default", "child", reference("web", &uid));
        tank.settle();
        tank.server.remove(KindId::ReplicaSet, &web);
        owner(&mut tank, "default", "web");
        tank.pass(secs(600));
        is_there(&tank.server, KindId::Pod, &child)
    };
    assert_eq!(shows(schedule, Guard::M31), (false, true));
}

/// Between the decision and the delete somebody gives the child another owner.
#[test]
fn a_delete_lands_on_the_revision_it_was_decided_on() {
    let schedule = |guards| {
        let mut tank = Tank::running(GC, guards);
        let (web, uid) = owner(&mut tank, "default", "web");
        let (_, other) = owner(&mut tank, "default", "other");
        let child = dependent(&mut tank, "default", "child", reference("web", &uid));
        tank.settle();
        tank.server.remove(KindId::ReplicaSet, &web);
        assert!(tank.step_once(), "it asks for the owner, who is gone");
        tank.held.insert(KindId::Pod);
        tank.edit(KindId::Pod, &child, |pod| {
            let owners = pod["metadata"]["ownerReferences"].as_array_mut().unwrap();
            owners.push(reference("other", &other));
        });
        tank.settle();
        tank.held.clear();
        tank.pass(secs(60));
        !is_there(&tank.server, KindId::Pod, &child)
    };
    assert_eq!(shows(schedule, Guard::M32), (false, true));
}

/// A foreground delete, while the caches do not show the child yet.
#[test]
fn an_owner_goes_only_after_dependents_that_no_cache_shows() {
    let schedule = |guards| {
        let mut tank = Tank::running(GC, guards);
        let (web, uid) = owner(&mut tank, "default", "web");
        tank.settle();
        tank.held.insert(KindId::Pod);
        let child = dependent(&mut tank, "default", "child", reference("web", &uid));
        tank.delete(KindId::ReplicaSet, &web, Propagation::Foreground);
        tank.settle();
        let is_gone = tank.server.get(KindId::ReplicaSet, &web).is_none();
        is_gone && is_there(&tank.server, KindId::Pod, &child)
    };
    assert_eq!(shows(schedule, Guard::M33), (false, true));
}

/// Somebody copies a child into another namespace and leaves its owner reference in place (#65200).
#[test]
fn an_owner_that_is_absent_in_one_namespace_may_exist_in_another() {
    let schedule = |guards| {
        let mut tank = Tank::running(GC, guards);
        tank.held.insert(KindId::ReplicaSet);
        let (_, uid) = owner(&mut tank, "shop", "web");
        let copy = dependent(&mut tank, "default", "child", reference("web", &uid));
        tank.settle();
        assert!(!is_there(&tank.server, KindId::Pod, &copy));
        let child = dependent(&mut tank, "shop", "child", reference("web", &uid));
        tank.settle();
        !is_there(&tank.server, KindId::Pod, &child)
    };
    assert_eq!(shows(schedule, Guard::M34), (false, true));
}

#[test]
fn the_children_of_one_dead_owner_cost_few_reads() {
    let mut tank = Tank::running(GC, Guards::default());
    let dead = reference("web", &json!("dead"));
    for number in 0..200 {
        dependent(
            &mut tank,
            "default",
            &format!("child-{number}"),
            dead.clone(),
        );
    }
    tank.settle();
    assert!(tank.active_pods().is_empty());
    // As many as there are workers may ask before the first answer is there.
    assert_eq!(tank.reads, 20);
}

/// An owner that lives in namespaces cannot own what does not: nobody knows where to look for it.
#[test]
fn a_cluster_wide_child_of_a_namespaced_owner_is_left_alone() {
    let mut tank = Tank::running(GC, Guards::default());
    let mut node = json!({"metadata": {"name": "n1"}});
    node["metadata"]["ownerReferences"] = json!([reference("web", &json!("dead"))]);
    let node = tank.create(KindId::Node, node);
    tank.pass(secs(60));
    assert!(is_there(&tank.server, KindId::Node, &node));
}

// Pod garbage collector.

fn bound(name: &str, node: &str) -> Value {
    let mut pod = named("default", name);
    pod["spec"]["nodeName"] = json!(node);
    pod
}

fn plain_node(tank: &mut Tank, name: &str) {
    tank.create(KindId::Node, json!({"metadata": {"name": name}}));
}

/// A node has joined, and has a pod already; the collector's cache has only the pod.
#[test]
fn a_node_that_a_cache_lacks_costs_nobody_his_pods() {
    let schedule = |guards| {
        let mut tank = Tank::running(POD_GC, guards);
        tank.held.insert(KindId::Node);
        plain_node(&mut tank, "n1");
        let pod = tank.create(KindId::Pod, bound("web-0", "n1"));
        tank.pass(secs(120));
        !is_there(&tank.server, KindId::Pod, &pod)
    };
    assert_eq!(shows(schedule, Guard::M38), (false, true));
}

/// The pod of the lost node was made again elsewhere, under the same name.
#[test]
fn a_forced_delete_lands_on_the_pod_it_was_decided_on() {
    let schedule = |guards| {
        let mut tank = Tank::running(POD_GC, guards);
        plain_node(&mut tank, "n1");
        let pod = tank.create(KindId::Pod, bound("web-0", "lost"));
        tank.settle();
        tank.held.insert(KindId::Pod);
        tank.server.remove(KindId::Pod, &pod);
        tank.create(KindId::Pod, bound("web-0", "n1"));
        tank.pass(secs(120));
        !is_there(&tank.server, KindId::Pod, &pod)
    };
    assert_eq!(shows(schedule, Guard::M39), (false, true));
}

#[test]
fn a_pod_that_cannot_be_removed_keeps_no_other() {
    let mut tank = Tank::running(POD_GC, Guards::default());
    let pods = ["web-0", "web-1"].map(|name| tank.create(KindId::Pod, bound(name, "lost")));
    tank.server.broken = Some(|request| request.target.contains("/web-0/"));
    tank.pass(secs(120));
    let there = pods.map(|pod| is_there(&tank.server, KindId::Pod, &pod));
    assert_eq!(there, [true, false]);
}

// Node lifecycle.

fn lease(node: usize) -> Key {
    Key::new("kube-node-lease", format!("n{node}"))
}

/// Ready nodes `n0`, `n1` and so on, with leases.
fn nodes(tank: &mut Tank, count: usize) {
    let now = tank.now.to_rfc3339();
    for number in 0..count {
        let ready = json!({"type": "Ready", "status": "True", "lastHeartbeatTime": now});
        let node = json!({"metadata": {"name": format!("n{number}")},
            "status": {"conditions": [ready]}});
        tank.create(KindId::Node, node);
        let mut object = named("kube-node-lease", &format!("n{number}"));
        object["spec"]["renewTime"] = json!(now);
        tank.create(KindId::Lease, object);
    }
}

/// These nodes renew their leases; their clocks are behind by `behind`.
fn renew(tank: &mut Tank, nodes: core::ops::Range<usize>, behind: Duration) {
    let time = (tank.now - behind).to_rfc3339();
    for number in nodes {
        tank.edit(KindId::Lease, &lease(number), |lease| {
            lease["spec"]["renewTime"] = json!(time);
        });
    }
}

/// How many nodes have a `NoExecute` taint.
fn executing(tank: &Tank) -> usize {
    let taints = |node: &Value| {
        node["spec"]["taints"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    };
    let executes = |node: &&Value| {
        taints(node)
            .iter()
            .any(|taint| taint["effect"] == "NoExecute")
    };
    tank.server.list(KindId::Node).filter(executes).count()
}

/// How many nodes are held for silent.
fn unknown(tank: &Tank) -> usize {
    let is_unknown = |node: &&Value| {
        let conditions = node["status"]["conditions"].as_array().unwrap();
        let ready = conditions
            .iter()
            .find(|condition| condition["type"] == "Ready");
        ready.unwrap()["status"] == "Unknown"
    };
    tank.server.list(KindId::Node).filter(is_unknown).count()
}

/// No node is heard of any more: it is we who are cut off (#24597).
#[test]
fn when_all_fall_silent_nobody_is_evicted() {
    let schedule = |guards| {
        let mut tank = Tank::running(NODES, guards);
        nodes(&mut tank, 3);
        tank.pass(secs(600));
        assert_eq!(unknown(&tank), 3);
        executing(&tank) > 0
    };
    assert_eq!(shows(schedule, Guard::M57), (false, true));
}

/// A kubelet whose clock is an hour behind renews its lease every ten seconds.
#[test]
fn a_node_whose_clock_is_wrong_is_heard_all_the_same() {
    let schedule = |guards| {
        let mut tank = Tank::running(NODES, guards);
        nodes(&mut tank, 1);
        for _ in 0..12 {
            tank.pass(secs(10));
            renew(&mut tank, 0..1, secs(3600));
        }
        unknown(&tank) > 0
    };
    assert_eq!(shows(schedule, Guard::M58), (false, true));
}

/// The controller stands still for two minutes, then its clock is the first thing it sees.
#[test]
fn who_was_deaf_himself_blames_nobody() {
    let schedule = |guards| {
        let mut tank = Tank::running(NODES, guards);
        nodes(&mut tank, 3);
        tank.pass(secs(10));
        tank.held.insert(KindId::Lease);
        tank.now = tank.now + secs(120);
        renew(&mut tank, 0..3, Duration::ZERO);
        tank.pass(secs(1));
        unknown(&tank) > 0
    };
    assert_eq!(shows(schedule, Guard::M59), (false, true));
}

/// Three of ten nodes fall silent at once; how fast their pods are driven out is limited.
#[test]
fn nodes_of_a_zone_are_tainted_one_after_the_other() {
    let schedule = |guards| {
        let mut tank = Tank::running(NODES, guards);
        nodes(&mut tank, 10);
        let (mut tainted, mut at_once) = (0, 0);
        for _ in 0..30 {
            tank.pass(secs(5));
            renew(&mut tank, 3..10, Duration::ZERO);
            let now = executing(&tank);
            at_once = at_once.max(now - tainted);
            tainted = now;
        }
        assert_eq!(tainted, 3);
        at_once > 1
    };
    assert_eq!(shows(schedule, Guard::M60), (false, true));
}

// Taint eviction.

fn taint(tank: &mut Tank, node: &str, keys: &[&str]) {
    let now = tank.now.to_rfc3339();
    let taints: Vec<Value> = keys
        .iter()
        .map(|key| json!({"key": key, "effect": "NoExecute", "timeAdded": now}))
        .collect();
    let key = Key::cluster(node);
    tank.edit(KindId::Node, &key, |node| {
        node["spec"]["taints"] = json!(taints)
    });
}

/// A pod on `n1` that tolerates taint `a` for 30 s, and `b` for ever.
fn patient_pod(tank: &mut Tank) -> Key {
    let mut pod = bound("web-0", "n1");
    pod["spec"]["tolerations"] = json!([
        {"key": "a", "operator": "Exists", "tolerationSeconds": 30},
        {"key": "b", "operator": "Exists"},
    ]);
    plain_node(tank, "n1");
    tank.create(KindId::Pod, pod)
}

/// The taint that the pod does not like goes in time, another stays (#90794).
#[test]
fn an_eviction_ends_with_the_taint_it_was_for() {
    let schedule = |guards| {
        let mut tank = Tank::running(TAINTS, guards);
        let pod = patient_pod(&mut tank);
        taint(&mut tank, "n1", &["a", "b"]);
        tank.pass(secs(20));
        taint(&mut tank, "n1", &["b"]);
        tank.pass(secs(60));
        !is_there(&tank.server, KindId::Pod, &pod)
    };
    assert_eq!(shows(schedule, Guard::M61), (false, true));
}

/// Before its time is up the pod is made again, on a healthy node.
#[test]
fn an_eviction_lands_on_the_pod_it_was_decided_on() {
    let schedule = |guards| {
        let mut tank = Tank::running(TAINTS, guards);
        let pod = patient_pod(&mut tank);
        taint(&mut tank, "n1", &["a"]);
        tank.pass(secs(20));
        tank.held.insert(KindId::Pod);
        tank.server.remove(KindId::Pod, &pod);
        tank.create(KindId::Pod, bound("web-0", "n2"));
        tank.pass(secs(60));
        !is_there(&tank.server, KindId::Pod, &pod)
    };
    assert_eq!(shows(schedule, Guard::M62), (false, true));
}

/// The server fails once; nothing else happens.
#[test]
fn an_eviction_that_failed_is_tried_again() {
    let schedule = |guards| {
        let mut tank = Tank::running(TAINTS, guards);
        let pod = patient_pod(&mut tank);
        tank.settle();
        tank.server.broken = Some(|request| request.method == Method::Delete);
        taint(&mut tank, "n1", &["unbearable"]);
        tank.settle();
        tank.server.broken = None;
        // A write of unknown outcome is waited for until it can no longer commit.
        tank.pass(secs(120));
        tank.bookmark();
        tank.pass(secs(60));
        is_there(&tank.server, KindId::Pod, &pod)
    };
    assert_eq!(shows(schedule, Guard::M63), (false, true));
}

// Namespaces.

/// One kind can neither be emptied nor listed for a while.
#[test]
fn a_namespace_goes_only_when_every_kind_was_seen_empty() {
    let schedule = |guards| {
        let mut tank = Tank::running(NAMESPACES, guards);
        let shop = json!({"metadata": {"name": "shop"}, "spec": {"finalizers": ["kubernetes"]}});
        let shop = tank.create(KindId::Namespace, shop);
        let map = tank.create(KindId::ConfigMap, named("shop", "stranded"));
        tank.settle();
        tank.server.broken = Some(|request| request.target.contains("shop/configmaps"));
        tank.delete(KindId::Namespace, &shop, Propagation::Background);
        tank.pass(secs(60));
        let is_gone = tank.server.get(KindId::Namespace, &shop).is_none();
        is_gone && is_there(&tank.server, KindId::ConfigMap, &map)
    };
    assert_eq!(shows(schedule, Guard::M36), (false, true));
}

// Endpoint slices.

fn backend(tank: &mut Tank) -> Key {
    let mut service = named("default", "web");
    service["spec"] = json!({"selector": {"app": "web"}, "ports": [{"port": 80}]});
    tank.create(KindId::Service, service);
    let mut pod = bound("web-0", "n1");
    pod["metadata"]["labels"] = json!({"app": "web"});
    pod["status"] = json!({"phase": "Running", "podIP": "10.244.0.7"});
    tank.create(KindId::Pod, pod)
}

/// All endpoints of all slices.
fn endpoints(tank: &Tank) -> Vec<Value> {
    let slices = tank.server.list(KindId::EndpointSlice);
    slices
        .flat_map(|slice| slice["endpoints"].as_array().cloned().unwrap_or_default())
        .collect()
}

/// Two changes come before the first slice is seen (#100033).
#[test]
fn no_endpoint_is_published_twice() {
    let schedule = |guards| {
        let mut tank = Tank::running(SLICES, guards);
        tank.held.insert(KindId::EndpointSlice);
        let pod = backend(&mut tank);
        tank.settle();
        let ready = json!([{"type": "Ready", "status": "True"}]);
        tank.edit(KindId::Pod, &pod, |pod| pod["status"]["conditions"] = ready);
        tank.settle();
        endpoints(&tank).len() > 1
    };
    assert_eq!(shows(schedule, Guard::M74), (false, true));
}

/// A pod has finished and is kept; its address may be another pod's by now.
#[test]
fn a_finished_pod_is_no_endpoint() {
    let schedule = |guards| {
        let mut tank = Tank::running(SLICES, guards);
        let pod = backend(&mut tank);
        tank.settle();
        assert_eq!(endpoints(&tank).len(), 1);
        tank.edit(KindId::Pod, &pod, |pod| {
            pod["status"]["phase"] = json!("Succeeded")
        });
        tank.settle();
        !endpoints(&tank).is_empty()
    };
    assert_eq!(shows(schedule, Guard::M75), (false, true));
}
