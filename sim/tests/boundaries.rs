//! A crash after every write: no component may need two of its writes to happen together.
#![allow(clippy::unwrap_used, reason = "the panic of a test is its verdict")]

use wavetank_sim::scenario::{Action, Crash, Span, Step};
use wavetank_sim::{Scenario, Seed, World, story, trial};

/// Something for every controller to do: a rollout behind a Service, a ReplicaSet that is scaled
/// and orphaned, owners deleted in each way, a namespace that goes, a node that dies.
const LIFE: &str = "
cluster: { nodes: 2, cpu: '4' }
steps:
  - at: 9s
    create:
      - apiVersion: v1
        kind: Namespace
        metadata: { name: shop }
      - apiVersion: v1
        kind: Service
        metadata: { name: web, namespace: default }
        spec: { selector: { app: web }, ports: [{ port: 80 }] }
      - &web
        apiVersion: apps/v1
        kind: Deployment
        metadata: { name: web, namespace: default }
        spec:
          replicas: 2
          revisionHistoryLimit: 0
          selector: { matchLabels: { app: web } }
          template:
            metadata: { labels: { app: web } }
            spec:
              terminationGracePeriodSeconds: 1
              containers: [{ name: c, image: 'web:1' }]
      - apiVersion: apps/v1
        kind: ReplicaSet
        metadata: { name: api, namespace: default }
        spec:
          replicas: 2
          selector: { matchLabels: { app: api } }
          template:
            metadata: { labels: { app: api } }
            spec:
              terminationGracePeriodSeconds: 1
              containers: [{ name: c, image: 'api:1' }]
  - at: 10s
    create:
      - apiVersion: v1
        kind: Pod
        metadata: { name: till, namespace: shop }
        spec:
          terminationGracePeriodSeconds: 1
          containers: [{ name: c, image: i }]
  - { at: 16s, patch: { object: replicasets.apps/default/api, merge: { spec: { replicas: 1 } } } }
  - at: 18s
    patch:
      object: deployments.apps/default/web
      merge: { spec: { template: { spec: { containers: [{ name: c, image: 'web:2' }] } } } }
  - { at: 30s, delete: { object: namespaces/shop } }
  - { at: 31s, delete: { object: replicasets.apps/default/api, propagation: Orphan } }
  - { at: 34s, delete: { object: deployments.apps/default/web, propagation: Foreground } }
calm: 50s
until: 20m
";

fn with_crash(of: &str, writes: u32) -> Scenario {
    let mut scenario = Scenario::parse(LIFE).unwrap();
    let action = Action::Crash(Crash {
        of: of.to_owned(),
        writes,
    });
    scenario.steps.push(Step {
        at: Span::default(),
        lasting: None,
        action,
    });
    scenario
}

/// How many writes a process commits when nothing goes wrong, until the calm.
fn writes_of(name: &str, seed: Seed) -> u32 {
    let scenario = Scenario::parse(LIFE).unwrap();
    let mut world = World::new(&scenario, seed, false);
    trial::play(&mut world, &scenario);
    assert_eq!(world.violations(), []);
    world.writes_of(name)
}

/// All boundaries with `WAVETANK_BOUNDARIES=all`, as in `.ci/run --full`; else each seventh.
#[test]
fn a_crash_after_any_write_breaks_nothing() {
    let seed = Seed(5);
    let all = std::env::var("WAVETANK_BOUNDARIES").is_ok_and(|text| text == "all");
    for name in ["controller-manager", "scheduler", "node-0"] {
        let writes = writes_of(name, seed);
        assert!(writes >= 5, "{name} writes {writes} times");
        for after in (1..=writes).step_by(if all { 1 } else { 7 }) {
            let scenario = with_crash(name, after);
            let outcome = trial::run(&scenario, seed);
            assert!(
                outcome.is_clean(),
                "{name} after {after} of {writes}: {:#?}\n{}",
                outcome.violations,
                story::tell(&scenario, seed)
            );
        }
    }
}
