//! Each guard of the API server: with it the bug cannot happen, without it this schedule shows it.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use wavetank_api::json::{Value, json};

use wavetank_api::http::Peer;
use wavetank_api::{Guard, Guards, Method, Request};
use wavetank_store::{Op, Txn};

use crate::step::{Input, Step};
use crate::testing::{Cluster, Ended, config_map, revision};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";
const SERVICES: &str = "/api/v1/namespaces/default/services";
const MERGE: &str = "application/merge-patch+json";

/// Whether the schedule shows the bug with all guards, and without this one.
fn shows(schedule: impl Fn(Guards) -> bool, guard: Guard) -> (bool, bool) {
    (
        schedule(Guards::default()),
        schedule(Guards::without(&[guard])),
    )
}

fn pod(name: &str, spec: Value) -> Value {
    let mut pod = json!({"metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    if let Some(fields) = spec.as_object() {
        pod["spec"].as_object_mut().unwrap().extend(fields.clone());
    }
    pod
}

/// A cluster in which pods may be made by hand.
fn cluster(guards: Guards) -> Cluster {
    let mut cluster = Cluster::guarded(guards);
    let account = json!({"metadata": {"name": "default"}});
    cluster.create("/api/v1/namespaces/default/serviceaccounts", account);
    cluster
}

/// Takes a request as far as its first transaction.
fn begin(cluster: &mut Cluster, method: Method, target: &str, body: &Value) -> Step {
    let mut request = Request::new(method, target);
    request.peer = Peer::Component("tester".into());
    let request = request.with_body("application/json", body.to_string());
    cluster.server.begin(request, cluster.now)
}

/// Carries a request to its end; whether it succeeded.
fn succeeds(cluster: &mut Cluster, step: Step) -> bool {
    matches!(cluster.finish(step), Ended::Response(response) if response.status < 300)
}

fn bind(cluster: &mut Cluster, pod: &str, node: &str) -> u16 {
    let binding = json!({"target": {"kind": "Node", "name": node}});
    let target = format!("{PODS}/{pod}/binding");
    cluster.call(Method::Post, &target, binding).0
}

/// The namespace begins to go between admission and commit.
#[test]
fn nothing_is_born_into_a_namespace_that_is_going() {
    let schedule = |guards| {
        let mut cluster = Cluster::guarded(guards);
        cluster.create("/api/v1/namespaces", json!({"metadata": {"name": "shop"}}));
        let target = "/api/v1/namespaces/shop/configmaps";
        let create = begin(&mut cluster, Method::Post, target, &config_map("late"));
        cluster.call(Method::Delete, "/api/v1/namespaces/shop", Value::Null);
        let slipped_in = succeeds(&mut cluster, create);
        let (code, _) = cluster.call(Method::Post, target, config_map("later"));
        assert_eq!(slipped_in, code == 201);
        slipped_in
    };
    assert_eq!(shows(schedule, Guard::M35), (false, true));
}

/// A controller adds its finalizer once more, late: nobody is left to take it away.
#[test]
fn an_object_that_is_being_deleted_gets_no_finalizer() {
    let schedule = |guards| {
        let mut cluster = Cluster::guarded(guards);
        let mut map = config_map("a");
        map["metadata"]["finalizers"] = json!(["example.com/mine"]);
        cluster.create(MAPS, map);
        let path = format!("{MAPS}/a");
        cluster.call(Method::Delete, &path, Value::Null);
        let add = json!({"metadata": {"finalizers": ["example.com/mine", "example.com/late"]}});
        cluster.patch(&path, MERGE, add);
        let remove = json!([{"op": "remove", "path": "/metadata/finalizers/0"}]);
        cluster.patch(&path, "application/json-patch+json", remove);
        cluster.call(Method::Get, &path, Value::Null).0 == 200
    };
    assert_eq!(shows(schedule, Guard::M41), (false, true));
}

/// Two schedulers, or one that has not seen its own binding.
#[test]
fn a_pod_is_bound_once() {
    let schedule = |guards| {
        let mut cluster = cluster(guards);
        cluster.create(PODS, pod("web", Value::Null));
        assert_eq!(bind(&mut cluster, "web", "n1"), 201);
        bind(&mut cluster, "web", "n2");
        cluster.get(&format!("{PODS}/web"))["spec"]["nodeName"] == "n2"
    };
    assert_eq!(shows(schedule, Guard::M44), (false, true));
}

#[test]
fn a_pod_that_is_going_or_gated_is_not_bound() {
    let schedule = |guards| {
        let mut cluster = cluster(guards);
        let mut going = pod("going", Value::Null);
        going["metadata"]["finalizers"] = json!(["example.com/mine"]);
        cluster.create(PODS, going);
        cluster.call(Method::Delete, &format!("{PODS}/going"), Value::Null);
        let gates = json!({"schedulingGates": [{"name": "example.com/quota"}]});
        cluster.create(PODS, pod("gated", gates));
        let codes = ["going", "gated"].map(|name| bind(&mut cluster, name, "n1"));
        assert_eq!(codes[0], codes[1]);
        codes == [201, 201]
    };
    assert_eq!(shows(schedule, Guard::M46), (false, true));
}

/// Two API servers see the address free.
#[test]
fn an_address_is_given_out_once() {
    let schedule = |guards| {
        let mut cluster = Cluster::guarded(guards);
        let service = |name: &str| {
            json!({"metadata": {"name": name},
                "spec": {"clusterIP": "10.96.0.7", "ports": [{"port": 80}]}})
        };
        let a = begin(&mut cluster, Method::Post, SERVICES, &service("a"));
        let b = begin(&mut cluster, Method::Post, SERVICES, &service("b"));
        assert!(succeeds(&mut cluster, a));
        succeeds(&mut cluster, b)
    };
    assert_eq!(shows(schedule, Guard::M76), (false, true));
}

/// A server that has just started knows the state at revision r and nothing of how it came about.
/// A client that saw r - 1 must not be told that it has missed nothing (#49992).
#[test]
fn a_watch_begins_where_the_cache_does_or_is_refused() {
    let schedule = |guards| {
        let mut cluster = Cluster::new();
        let seen = revision(&cluster.get(MAPS));
        cluster.create(MAPS, config_map("missed"));
        cluster.restart(guards);
        let target = format!("{MAPS}?watch=1&resourceVersion={seen}");
        match cluster.send(Request::new(Method::Get, &target)) {
            Ended::Stream(watch) => cluster.names(watch).is_empty(),
            _ => false,
        }
    };
    assert_eq!(shows(schedule, Guard::M86), (false, true));
}

/// A client that goes on from the revision of a DELETED event goes on from the past (#58545).
#[test]
fn a_delete_has_the_revision_of_the_delete() {
    let schedule = |guards| {
        let mut cluster = Cluster::guarded(guards);
        let watch = cluster.watch(&format!("{MAPS}?watch=1"));
        for name in ["a", "b"] {
            cluster.create(MAPS, config_map(name));
        }
        cluster.call(Method::Delete, &format!("{MAPS}/a"), Value::Null);
        let events = cluster.events(watch);
        let revisions: Vec<_> = events.iter().map(|(_, object)| revision(object)).collect();
        !revisions.is_sorted()
    };
    assert_eq!(shows(schedule, Guard::M86), (false, true));
}

/// The store has told the server its revision before the server has seen what led there. A client
/// that goes on from such a bookmark never hears of it (etcd#15220).
#[test]
fn a_bookmark_promises_only_what_has_been_told() {
    let schedule = |guards| {
        let mut cluster = Cluster::guarded(guards);
        let from = cluster.store.revision();
        let target = format!("{MAPS}?watch=1&allowWatchBookmarks=true&resourceVersion={from}");
        let watch = cluster.watch(&target);
        let key = "/registry/configmaps/default/late".into();
        let value = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "late", "namespace": "default", "uid": "u"}});
        let put = Op::Put {
            key,
            value: value.to_string().into(),
            lease: None,
        };
        let newest = cluster.commit(Txn::new(vec![put])).revision;
        let list = begin(&mut cluster, Method::Get, MAPS, &Value::Null);
        let Step::Revision(ticket) = list else {
            panic!("a consistent list asks the store for its revision");
        };
        let input = Input::Revision(newest);
        let waits = cluster.server.resume(ticket, input, cluster.now);
        assert!(matches!(waits, Step::Wait(_)));
        cluster.now = cluster.now + core::time::Duration::from_secs(60);
        cluster.server.tick(cluster.now);
        let frames = cluster.server.drain(watch, cluster.now).frames;
        frames.iter().any(|frame| {
            let frame = String::from_utf8_lossy(frame);
            frame.contains("BOOKMARK") && frame.contains(&format!("\"{newest}\""))
        })
    };
    assert_eq!(shows(schedule, Guard::M87), (false, true));
}

/// What happened while nobody was looking is not held: the client must list again.
#[test]
fn a_watch_from_a_forgotten_past_is_refused() {
    let schedule = |guards| {
        let mut cluster = Cluster::new();
        let seen = revision(&cluster.create(MAPS, config_map("gone")));
        cluster.call(Method::Delete, &format!("{MAPS}/gone"), Value::Null);
        cluster.create(MAPS, config_map("missed"));
        cluster.restart(guards);
        let target = format!("{MAPS}?watch=1&resourceVersion={seen}");
        match cluster.send(Request::new(Method::Get, &target)) {
            Ended::Stream(watch) => {
                cluster.create(MAPS, config_map("next"));
                cluster.names(watch) == ["ADDED next"]
            }
            _ => false,
        }
    };
    assert_eq!(shows(schedule, Guard::M88), (false, true));
}

/// Two clients read, both write: the second has not seen what the first did.
#[test]
fn a_write_on_an_old_revision_is_a_conflict() {
    let schedule = |guards| {
        let mut cluster = Cluster::guarded(guards);
        let read = cluster.create(MAPS, config_map("a"));
        let path = format!("{MAPS}/a");
        let with = |field: &str| {
            let mut map = read.clone();
            map["data"][field] = "1".into();
            map
        };
        assert_eq!(cluster.call(Method::Put, &path, with("first")).0, 200);
        cluster.call(Method::Put, &path, with("second"));
        cluster.get(&path)["data"]["first"].is_null()
    };
    assert_eq!(shows(schedule, Guard::M89), (false, true));
}

/// A kubelet that writes a status carries the spec it has in its cache along; a user who replaces a
/// pod carries a status along.
#[test]
fn spec_and_status_are_written_apart() {
    let schedule = |guards| {
        let mut cluster = cluster(guards);
        let mut read = cluster.create(PODS, pod("web", Value::Null));
        let path = format!("{PODS}/web");
        let patch = json!([{"op": "replace", "path": "/spec/containers/0/image", "value": "new"}]);
        cluster.patch(&path, "application/json-patch+json", patch);
        read["metadata"]["resourceVersion"] = Value::Null;
        read["status"]["phase"] = "Running".into();
        let (code, _) = cluster.call(Method::Put, &format!("{path}/status"), read.clone());
        assert_eq!(code, 200);
        let image_lost = cluster.get(&path)["spec"]["containers"][0]["image"] == "i";
        read["status"]["phase"] = "Succeeded".into();
        assert_eq!(cluster.call(Method::Put, &path, read).0, 200);
        let status_forged = cluster.get(&path)["status"]["phase"] == "Succeeded";
        assert_eq!(image_lost, status_forged);
        image_lost
    };
    assert_eq!(shows(schedule, Guard::M90), (false, true));
}
