//! Two API servers on one store: who is named, and what lagging caches may not break.
#![allow(clippy::unwrap_used, reason = "the panic of a test is its verdict")]

use std::time::Duration;

use wavetank_api::json::Value;

use wavetank_sim::{BEGINNING, Scenario, Seed, World};

const LAGGING: &str = include_str!("../scenarios/lagging-servers.yaml");

fn seconds(number: u64) -> wavetank_api::Time {
    BEGINNING + Duration::from_secs(number)
}

/// The addresses in the Endpoints of the Service `kubernetes`.
fn named(world: &World) -> Vec<String> {
    let endpoints = world.object("/registry/endpoints/default/kubernetes");
    let addresses = endpoints.and_then(|e| e.pointer("/subsets/0/addresses").cloned());
    let addresses = addresses.unwrap_or_default();
    let each = addresses.as_array().into_iter().flatten();
    each.filter_map(|a| Some(a.get("ip")?.as_str()?.to_owned()))
        .collect()
}

fn sliced(world: &World) -> usize {
    let slice = world.object("/registry/endpointslices.discovery.k8s.io/default/kubernetes");
    slice.unwrap()["endpoints"].as_array().unwrap().len()
}

#[test]
fn an_api_server_that_stops_is_no_longer_named_and_one_that_comes_back_is() {
    let scenario = "
cluster: { nodes: 2, apiservers: 2 }
steps:
  - { at: 60s, fail: apiserver-1 }
  - at: 70s
    create:
      - apiVersion: v1
        kind: Pod
        metadata: { name: late, namespace: default }
        spec: { containers: [{ name: c, image: i }] }
  - { at: 3m, recover: apiserver-1 }
  - { at: 4m, fail: apiserver-0 }
checks:
  - { by: 2m, object: pods/default/late, field: status.phase, equals: Running }
  - { at: 6m, count: nodes, equals: 2 }
  - { at: 6m, object: nodes/node-1, field: spec.taints, equals: null }
until: 6m
";
    let scenario = Scenario::parse(scenario).unwrap();
    for seed in 0..5 {
        let mut world = World::new(&scenario, Seed(seed), false);
        let (both, first) = (["192.168.0.1", "192.168.0.2"], ["192.168.0.1"]);
        world.run_until(seconds(25));
        assert_eq!(named(&world), both);
        world.run_until(seconds(60));
        assert_eq!(named(&world), both);
        // A lease of 15 s, and the other's next look after 10 s at most.
        world.run_until(seconds(60 + 15 + 10 + 1));
        assert_eq!(
            (named(&world), sliced(&world)),
            (vec![first[0].to_owned()], 1)
        );
        world.run_until(seconds(180));
        assert_eq!(named(&world), first);
        world.run_until(seconds(180 + 10 + 1));
        assert_eq!((named(&world).len(), sliced(&world)), (2, 2));
        world.run_until(seconds(240 + 26));
        assert_eq!(named(&world), ["192.168.0.2"]);
        world.finish(&scenario);
        let verdict = world.verdict();
        assert!(verdict.is_clean(), "seed {seed}: {:#?}", verdict.failures);
    }
}

/// Pods of the Deployment that are not on their way out, and those of them that are ready.
fn pods(world: &World) -> (usize, usize) {
    let all = world.range("/registry/pods/default/");
    let pods = all
        .iter()
        .map(|kv| serde_json::from_slice::<Value>(&kv.value).unwrap());
    let living = |pod: &Value| pod["metadata"]["deletionTimestamp"].is_null();
    let living: Vec<_> = pods.filter(living).collect();
    let is_ready = |pod: &&Value| {
        let conditions = pod["status"]["conditions"].as_array();
        let mut all = conditions.into_iter().flatten();
        all.any(|c| c["type"] == "Ready" && c["status"] == "True")
    };
    (living.len(), living.iter().filter(is_ready).count())
}

#[test]
fn a_deployment_rolls_within_its_bounds_though_both_servers_lag() {
    let scenario = Scenario::parse(LAGGING).unwrap();
    for seed in 0..5 {
        let mut world = World::new(&scenario, Seed(seed), false);
        for half in 0..(8 * 60 * 2) {
            world.run_until(BEGINNING + Duration::from_millis(500 * half));
            let (living, ready) = pods(&world);
            assert!(
                living <= 6 + 2,
                "seed {seed}, after {half} halves: {living} pods"
            );
            let is_rolling = half > 120 * 2;
            assert!(
                !is_rolling || ready >= 6 - 1,
                "seed {seed}, after {half}: {ready} ready"
            );
        }
        world.finish(&scenario);
        let verdict = world.verdict();
        assert!(verdict.is_clean(), "seed {seed}: {:#?}", verdict.failures);
    }
}
