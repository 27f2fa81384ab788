//! Whole clusters in virtual time: one seed, one history, and what must come of it.
#![allow(clippy::unwrap_used, reason = "the panic of a test is its verdict")]

use std::time::Duration;

use wavetank_api::Time;
use wavetank_sim::explain::explain;
use wavetank_sim::world::BEGINNING;
use wavetank_sim::{Scenario, Seed, TraceHash, World};

const ROLLING_UPDATE: &str = include_str!("../scenarios/rolling-update.yaml");

/// Runs a scenario and insists on its checks.
fn clean(text: &str, seed: u64) -> (TraceHash, u64) {
    let scenario = Scenario::parse(text).unwrap();
    let mut world = World::new(&scenario, Seed(seed), false);
    world.finish(&scenario);
    let verdict = world.verdict();
    assert!(verdict.is_clean(), "seed {seed}: {:#?}", verdict.failures);
    (world.trace().hash(), world.trace().events())
}

/// How many seeds to try: `WAVETANK_SEEDS`, or a few.
fn seeds() -> u64 {
    std::env::var("WAVETANK_SEEDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(3)
}

#[test]
fn one_seed_has_one_history() {
    assert_eq!(clean(ROLLING_UPDATE, 7), clean(ROLLING_UPDATE, 7));
    assert_ne!(clean(ROLLING_UPDATE, 7).0, clean(ROLLING_UPDATE, 8).0);
}

#[test]
fn a_rolling_update_and_a_dead_node_end_well_whatever_the_seed() {
    for seed in 0..seeds() {
        clean(ROLLING_UPDATE, seed);
    }
}

#[test]
fn recording_changes_nothing_and_explains_a_pod() {
    let scenario = Scenario::parse(ROLLING_UPDATE).unwrap();
    let mut world = World::new(&scenario, Seed(7), true);
    world.finish(&scenario);
    assert_eq!(world.trace().hash(), clean(ROLLING_UPDATE, 7).0);
    let (key, story) = explain(world.trace().records(), "/registry/pods/shop/web-").unwrap();
    assert!(key.starts_with("/registry/pods/shop/web-"));
    for station in [
        "create Deployment web",
        "deployment-controller",
        "replicaset-controller",
    ] {
        assert!(story.contains(station), "{station} is not in\n{story}");
    }
}

#[test]
fn a_dead_node_loses_its_pods_and_others_take_over() {
    let text = "
cluster: { nodes: 3 }
steps:
  - at: 10s
    create:
      - apiVersion: apps/v1
        kind: Deployment
        metadata: { name: web, namespace: default }
        spec:
          replicas: 3
          selector: { matchLabels: { app: web } }
          template:
            metadata: { labels: { app: web } }
            spec: { containers: [{ name: web, image: nginx }] }
  - { at: 60s, fail: node-0 }
checks:
  - { by: 50s, object: deployments.apps/default/web, field: status.availableReplicas, equals: 3 }
  - { by: 9m, object: deployments.apps/default/web, field: status.availableReplicas, equals: 3 }
  # The pod of the dead node is being deleted until somebody deletes its Node.
  - { at: 10m, count: pods, namespace: default, equals: 4 }
  - { at: 10m, count: pods, namespace: default, field: spec.nodeName=node-0, equals: 1 }
  - { at: 30s, count: events, namespace: default, field: reason=RegisteredNode, equals: 3 }
  - { at: 10m, count: events, namespace: default, field: reason=RegisteredNode, equals: 3 }
  # One of the node, one of its pod.
  - { at: 10m, count: events, namespace: default, field: reason=NodeNotReady, equals: 2 }
  - { at: 10m, count: events, namespace: default, field: message=Node is not ready, equals: 1 }
until: 10m
";
    clean(text, 1);
}

#[test]
fn a_node_that_is_cut_off_and_healed_is_ready_again() {
    let text = "
cluster: { nodes: 2 }
steps:
  - { at: 60s, cut: node-1 }
  - { at: 3m, heal: node-1 }
checks:
  - at: 170s
    object: nodes/node-1
    field: spec.taints.0.key
    equals: node.kubernetes.io/unreachable
  - { at: 6m, object: nodes/node-1, field: spec.taints, equals: null }
until: 6m
";
    clean(text, 1);
}

#[test]
fn a_refused_step_fails_the_run() {
    let text = "
steps:
  - at: 1s
    create: [{ apiVersion: v1, kind: ConfigMap, metadata: { name: c, namespace: nosuch } }]
until: 5s
";
    let scenario = Scenario::parse(text).unwrap();
    let mut world = World::new(&scenario, Seed(1), false);
    world.finish(&scenario);
    let failures = world.verdict().failures;
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert!(
        failures[0].contains("namespaces \"nosuch\" not found"),
        "{failures:?}"
    );
}

/// How long ago an event was last seen, in seconds.
fn age(event: &wavetank_api::json::Value, now: Time) -> u64 {
    let times = [
        "/lastTimestamp",
        "/eventTime",
        "/series/lastObservedTime",
        "/metadata/creationTimestamp",
    ];
    let times = times.iter().filter_map(|at| event.pointer(at)?.as_str());
    let last = times.filter_map(Time::parse).max().unwrap();
    now.since(last).as_secs()
}

#[test]
fn in_two_hours_no_event_outlives_its_time_and_their_number_is_bounded() {
    let mut text = String::from(
        "
cluster: { nodes: 3 }
steps:
  - at: 10s
    create:
      - apiVersion: apps/v1
        kind: Deployment
        metadata: { name: web, namespace: default }
        spec:
          replicas: 3
          selector: { matchLabels: { app: web } }
          template:
            metadata: { labels: { app: web } }
            spec: { containers: [{ name: web, image: nginx }] }
",
    );
    for minute in (5..120).step_by(5) {
        text.push_str(&format!(
            "  - at: {minute}m
    patch:
      object: deployments.apps/default/web
      merge: {{ spec: {{ template: {{ metadata: {{ annotations: {{ at: '{minute}' }} }} }} }} }}
"
        ));
    }
    text.push_str("until: 2h\n");
    let scenario = Scenario::parse(&text).unwrap();
    let mut world = World::new(&scenario, Seed(7), false);
    let mut counts = Vec::new();
    for minute in 1..=120 {
        world.run_until(BEGINNING + Duration::from_secs(60 * minute));
        let events = world.range("/registry/events/");
        counts.push(events.len());
        for kv in events {
            let event = serde_json::from_slice(&kv.value).unwrap();
            // An hour, the minute for which a lease is shared, and what a write takes.
            assert!(
                age(&event, world.now()) <= 3600 + 60 + 5,
                "{}: {event}",
                kv.key
            );
        }
    }
    let in_the_first_hour = counts[59];
    assert!(in_the_first_hour > 100, "{counts:?}");
    let most = counts.iter().max().unwrap();
    assert!(*most < in_the_first_hour * 12 / 10, "{counts:?}");
}
