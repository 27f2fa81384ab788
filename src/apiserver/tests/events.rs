//! Events: found by their fields in both spellings, forgotten in time, and told as deleted.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use core::time::Duration;

use wavetank_api::json::{Value, json};

use wavetank_api::http::Peer;
use wavetank_api::{Method, Request};

use crate::step::{Input, Step, Ticket, Unavailable};
use crate::testing::{Cluster, Ended};

const EVENTS: &str = "/api/v1/namespaces/default/events";
const MERGE: &str = "application/merge-patch+json";

fn event(name: &str) -> Value {
    json!({"metadata": {"name": name}, "reason": "Tried", "type": "Normal", "count": 1,
           "involvedObject": {"kind": "Pod", "namespace": "default", "name": "web-0"}})
}

fn minutes(number: u64) -> Duration {
    Duration::from_secs(number * 60)
}

#[test]
fn an_event_is_forgotten_an_hour_after_its_last_change_and_watchers_are_told() {
    let mut cluster = Cluster::new();
    let watch = cluster.watch(&format!("{EVENTS}?watch=1"));
    for name in ["a", "b"] {
        cluster.create(EVENTS, event(name));
    }
    cluster.pass(minutes(30));
    cluster.patch(&format!("{EVENTS}/b"), MERGE, json!({"count": 2}));
    cluster.pass(minutes(30));
    assert_eq!(cluster.names(watch), ["ADDED a", "ADDED b", "MODIFIED b"]);
    cluster.pass(minutes(1));
    assert_eq!(cluster.names(watch), ["DELETED a"], "a minute is shared");
    cluster.pass(minutes(30));
    assert_eq!(cluster.names(watch), ["DELETED b"]);
    assert_eq!(cluster.get(EVENTS)["items"], json!([]));
}

#[test]
fn events_of_a_minute_go_together_and_an_event_that_is_deleted_goes_at_once() {
    let mut cluster = Cluster::new();
    for name in ["a", "b", "c"] {
        cluster.create(EVENTS, event(name));
        cluster.pass(Duration::from_secs(20));
    }
    let (code, _) = cluster.call(Method::Delete, &format!("{EVENTS}/b"), Value::Null);
    assert_eq!(code, 200);
    cluster.pass(minutes(59));
    assert_eq!(cluster.get(EVENTS)["items"].as_array().unwrap().len(), 2);
    let before = cluster.store.revision();
    cluster.pass(minutes(1));
    cluster.observe();
    assert_eq!(cluster.get(EVENTS)["items"], json!([]));
    assert_eq!(
        cluster.store.revision().0,
        before.0 + 1,
        "one lease, one revision"
    );
}

/// Creates of Events that come before the store has answered any.
fn creates(cluster: &mut Cluster, count: usize) -> Vec<Step> {
    let create = |n: usize| {
        let request = Request::new(Method::Post, EVENTS);
        let event = event(&format!("e{n}")).to_string();
        let mut request = request.with_body("application/json", event);
        request.peer = Peer::Component("tester".into());
        request
    };
    let now = cluster.now;
    (0..count)
        .map(|n| cluster.server.begin(create(n), now))
        .collect()
}

/// The tickets of those that ask the store for a lease, and of those that wait.
fn asking(steps: &[Step]) -> (Vec<(Ticket, Duration)>, usize) {
    let asks = steps.iter().filter_map(|step| match step {
        Step::Grant(ticket, ttl) => Some((*ticket, *ttl)),
        _ => None,
    });
    let waits = steps.iter().filter(|step| matches!(step, Step::Wait(_)));
    (asks.collect(), waits.count())
}

fn is_created(cluster: &mut Cluster, step: Step) -> bool {
    matches!(cluster.finish(step), Ended::Response(response) if response.status == 201)
}

#[test]
fn events_that_come_together_are_granted_one_lease() {
    let mut cluster = Cluster::new();
    let (mut steps, mut grants, mut created) = (creates(&mut cluster, 2500), 0, 0);
    loop {
        let (asked, waiting) = asking(&steps);
        created += steps.len() - asked.len() - waiting;
        for step in steps.drain(..) {
            if matches!(step, Step::Txn(..)) {
                assert!(is_created(&mut cluster, step));
            }
        }
        let [(ticket, ttl)] = asked[..] else {
            assert_eq!((asked.len(), waiting), (0, 0), "never two at a time");
            break;
        };
        grants += 1;
        let granted = Input::Txn(Ok(cluster.grant(ttl)));
        steps.push(cluster.server.resume(ticket, granted, cluster.now));
        let woken = cluster.server.woken(cluster.now);
        steps.extend(woken.into_iter().map(|(_, step)| step));
    }
    assert_eq!(created, 2500);
    assert_eq!(grants, 3, "one for a thousand");
}

#[test]
fn who_waits_for_a_grant_that_fails_asks_for_another() {
    let mut cluster = Cluster::new();
    let now = cluster.now;
    let steps = creates(&mut cluster, 4);
    let (asked, waiting) = asking(&steps);
    assert_eq!(waiting, 3);
    assert!(
        cluster.server.woken(now).is_empty(),
        "not before the answer"
    );
    let lost = Input::Txn(Err(Unavailable::Unknown));
    let step = cluster.server.resume(asked[0].0, lost, now);
    assert!(!is_created(&mut cluster, step), "its outcome is unknown");

    let woken = cluster.server.woken(now);
    let [(_, Step::Grant(ticket, _))] = woken[..] else {
        panic!("the next asks: {woken:?}");
    };
    cluster.server.abandon(ticket);
    let mut woken = cluster.server.woken(now);
    let (_, step) = woken.pop().unwrap();
    assert!(woken.is_empty() && matches!(step, Step::Grant(..)));
    assert!(is_created(&mut cluster, step));
    let (_, step) = cluster.server.woken(now).pop().unwrap();
    assert!(is_created(&mut cluster, step), "the last shares its lease");
}

#[test]
fn an_event_that_is_only_tried_takes_no_lease() {
    let mut cluster = Cluster::new();
    let path = format!("{EVENTS}?dryRun=All");
    cluster.create(&path, event("a"));
    let (code, _) = cluster.call(Method::Post, EVENTS, json!({"metadata": {"name": "A"}}));
    assert_eq!(code, 422);
    assert_eq!(cluster.store.next_expiry(), None);
}

#[test]
fn other_objects_hang_on_no_lease() {
    let mut cluster = Cluster::new();
    cluster.create(
        "/api/v1/namespaces/default/configmaps",
        crate::testing::config_map("a"),
    );
    assert_eq!(cluster.store.next_expiry(), None);
}

#[test]
fn each_spelling_selects_by_its_own_field_names() {
    let mut cluster = Cluster::new();
    for (name, about) in [("a", "web-0"), ("b", "web-1")] {
        let mut event = event(name);
        event["involvedObject"]["name"] = about.into();
        event["source"] = json!({"component": "kubelet"});
        cluster.create(EVENTS, event);
    }
    let newer = "/apis/events.k8s.io/v1/namespaces/default/events";
    let mut found = |path: &str, selector: &str| {
        let target = format!("{path}?fieldSelector={selector}");
        let (code, list) = cluster.call(Method::Get, &target, Value::Null);
        let names = list["items"].as_array().into_iter().flatten();
        let names: Vec<_> = names.map(|item| item["metadata"]["name"].clone()).collect();
        (code, json!(names), list["message"].clone())
    };
    let b = (200, json!(["b"]), Value::Null);
    for selector in [
        "involvedObject.name%3Dweb-1",
        "involvedObject.name%21%3Dweb-0,reason%3DTried",
    ] {
        assert_eq!(found(EVENTS, selector), b);
    }
    for selector in [
        "regarding.name%3Dweb-1",
        "regarding.kind%3DPod,metadata.name%3Db",
    ] {
        assert_eq!(found(newer, selector), b);
    }
    assert_eq!(
        found(EVENTS, "source%3Dkubelet,type%3DNormal").1,
        json!(["a", "b"])
    );
    let refused = |field: &str| {
        let words = format!("field label not supported: {field}");
        (400, json!([]), Value::from(words))
    };
    assert_eq!(
        found(EVENTS, "regarding.name%3Dx"),
        refused("regarding.name")
    );
    for field in ["involvedObject.name", "source", "regarding.nosuch"] {
        assert_eq!(found(newer, &format!("{field}%3Dx")), refused(field));
    }
}
