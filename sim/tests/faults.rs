//! Faults, one by one: what each does to a cluster, and that nothing of it is left in the end.
#![allow(clippy::unwrap_used, reason = "the panic of a test is its verdict")]

use std::time::Duration;

use wavetank_api::KindId;
use wavetank_sim::{BEGINNING, Scenario, Seed, World, chaos, trial};

/// A pod that is created at 20 s in a cluster of one node, and one fault.
fn with(fault: &str) -> Scenario {
    let text = format!(
        "
cluster: {{ nodes: 1, apiservers: 2 }}
steps:
  - at: 20s
    create:
      - apiVersion: v1
        kind: Pod
        metadata: {{ name: web, namespace: default }}
        spec: {{ containers: [{{ name: c, image: i }}] }}
  - {fault}
until: 5m
"
    );
    Scenario::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The second at which the pod runs; nothing when it does not within the run.
fn runs_after(scenario: &Scenario) -> Option<u64> {
    let mut world = World::new(scenario, Seed(3), false);
    world.watch_invariants();
    for second in 0..300 {
        world.run_until(BEGINNING + Duration::from_secs(second));
        let pod = world.object("/registry/pods/default/web");
        if pod.is_some_and(|pod| pod["status"]["phase"] == "Running") {
            return Some(second);
        }
    }
    None
}

#[test]
fn each_fault_delays_a_pod_by_what_it_is() {
    let cases = [
        ("{ at: 0s, compact: {} }", 20..25),
        ("{ at: 19s, for: 30s, pause: scheduler }", 49..55),
        ("{ at: 19s, for: 30s, pause: node-0 }", 49..55),
        (
            "{ at: 19s, for: 30s, hold: { of: scheduler, resource: pods } }",
            49..55,
        ),
        ("{ at: 19s, for: 30s, hold: { of: node-0 } }", 49..55),
        // The scheduler is told at once that its connection is gone, and comes back.
        ("{ at: 19s, break: { of: scheduler } }", 20..25),
        ("{ at: 19s, restart: scheduler }", 20..25),
        ("{ at: 19s, for: 20s, fail: scheduler }", 39..45),
        // A refused binding is tried again; one whose answer is lost has taken effect.
        (
            "{ at: 19s, refuse: { of: scheduler, resource: pods/binding, times: 2 } }",
            22..32,
        ),
        (
            "{ at: 19s, lose: { of: scheduler, resource: pods/binding } }",
            20..25,
        ),
        ("{ at: 19s, crash: { of: scheduler, writes: 1 } }", 20..25),
        ("{ at: 19s, power-cut: {} }", 20..40),
        // What is cut off notices after 45 seconds.
        ("{ at: 19s, for: 1s, cut: scheduler }", 64..80),
        (
            "{ at: 19s, for: 60s, slow: { of: node-0, by: 2s } }",
            26..60,
        ),
    ];
    for (fault, expected) in cases {
        let after = runs_after(&with(fault));
        let after = after.unwrap_or_else(|| panic!("{fault}: never"));
        assert!(expected.contains(&after), "{fault}: after {after}s");
    }
}

#[test]
fn a_program_that_is_ended_is_started_again() {
    let scenario = with("{ at: 40s, exit: { pod: default/web, code: 137 } }");
    let mut world = World::new(&scenario, Seed(3), false);
    world.finish(&scenario);
    let pod = world.object("/registry/pods/default/web").unwrap();
    let status = &pod["status"]["containerStatuses"][0];
    assert_eq!(status["restartCount"], 1);
    assert_eq!(status["lastState"]["terminated"]["reason"], "OOMKilled");
}

#[test]
fn a_clock_that_is_wrong_shows_in_what_its_machine_writes() {
    let scenario = with("{ at: 10s, clock: { of: node-0, ahead: 1h } }");
    let mut world = World::new(&scenario, Seed(3), false);
    world.finish(&scenario);
    let lease = world.object("/registry/leases.coordination.k8s.io/kube-node-lease/node-0");
    let renewed = lease.unwrap()["spec"]["renewTime"].to_string();
    assert!(renewed.contains("T01:0"), "{renewed}");
}

#[test]
fn what_was_acknowledged_survives_a_power_cut() {
    for seed in 0..20 {
        let scenario = with("{ at: 20s, power-cut: {} }");
        let mut world = World::new(&scenario, Seed(seed), false);
        world.watch_invariants();
        world.finish(&scenario);
        assert_eq!(world.violations(), []);
    }
}

#[test]
fn nothing_is_left_after_the_calm() {
    for profile in chaos::profiles() {
        for seed in (0..10).map(Seed) {
            let scenario = chaos::scenario(profile, seed);
            let mut world = World::new(&scenario, seed, false);
            let calm = scenario.calm.unwrap().0;
            // The last thing that is lost is a connection, and that is noticed within 45 seconds.
            world.run_until(BEGINNING + calm + Duration::from_secs(60));
            let left = world.faults_left();
            assert!(
                left.is_empty(),
                "{} seed {}: {left:?}",
                profile.name,
                seed.0
            );
        }
    }
}

#[test]
fn oracles_change_nothing_of_what_happens() {
    let profile = chaos::profile("everything").unwrap();
    for seed in (0..5).map(Seed) {
        let scenario = chaos::scenario(profile, seed);
        let outcome = trial::run(&scenario, seed);
        let mut blind = World::new(&scenario, seed, false);
        blind.run_until(BEGINNING + outcome.lasted);
        assert_eq!(blind.trace().hash(), outcome.hash);
    }
}

/// The model is kept up to date by changes; a scan of the store must say the same.
#[test]
fn the_model_is_the_store() {
    let profile = chaos::profile("everything").unwrap();
    for seed in (0..10).map(Seed) {
        let scenario = chaos::scenario(profile, seed);
        let mut world = World::new(&scenario, seed, false);
        world.watch_invariants();
        for second in 0..100 {
            world.run_until(BEGINNING + Duration::from_secs(second));
            let model = world.model().unwrap();
            model.check_indexes().unwrap();
            for kind in [
                KindId::Pod,
                KindId::Node,
                KindId::ReplicaSet,
                KindId::Deployment,
            ] {
                let stored = world.range(kind.storage_prefix());
                let stored = stored
                    .iter()
                    .map(|kv| (kv.key.to_string(), kv.mod_revision));
                let modelled = model.of_kind(kind);
                let modelled = modelled.map(|(key, fact)| (key.to_string(), fact.revision));
                assert_eq!(stored.collect::<Vec<_>>(), modelled.collect::<Vec<_>>());
            }
        }
    }
}
