//! A namespace that goes, and in which order what is in it goes.
#![allow(clippy::unwrap_used, reason = "the panic of a test is its verdict")]

use std::time::Duration;

use wavetank_api::json::Value;
use wavetank_sim::{BEGINNING, Scenario, Seed, World};

/// A pod that takes its time, held by a finalizer for half a minute more, and what it needs.
const SCENARIO: &str = "
cluster: { nodes: 1 }
steps:
  - { at: 5s, create: [{ apiVersion: v1, kind: Namespace, metadata: { name: shop } }] }
  - at: 10s
    create:
      - apiVersion: v1
        kind: ConfigMap
        metadata: { name: settings, namespace: shop }
      - apiVersion: v1
        kind: Pod
        metadata: { name: web, namespace: shop, finalizers: [example.org/hold] }
        spec: { containers: [{ name: web, image: nginx }] }
  - { at: 30s, delete: namespaces/shop }
  - { at: 60s, patch: { object: pods/shop/web, merge: { metadata: { finalizers: null } } } }
until: 120s
";

/// Header of `namespace.rs`, invariant 2; upstream's conformance test OrderedNamespaceDeletion,
/// "namespace deletion should delete pod first".
#[test]
fn a_namespace_deletes_its_pods_before_all_else() {
    let scenario = Scenario::parse(SCENARIO).unwrap();
    for seed in 0..8 {
        let mut world = World::new(&scenario, Seed(seed), false);
        let is_leaving = |object: &Value| !object["metadata"]["deletionTimestamp"].is_null();
        for tick in 0..1200 {
            world.run_until(BEGINNING + Duration::from_millis(100 * tick));
            let found = |key: &str| world.object(&format!("/registry/{key}"));
            if tick < 301 || found("pods/shop/web").is_none() {
                continue;
            }
            let settings = found("configmaps/shop/settings");
            let is_kept = settings.is_some_and(|settings| !is_leaving(&settings));
            assert!(is_kept, "seed {seed}, {tick}: it outlives the pod");
            if tick == 590 {
                assert!(is_leaving(&found("pods/shop/web").unwrap()));
                let namespace = found("namespaces/shop").unwrap().to_string();
                let told = "Some resources are remaining: pods. has 1 resource instances\"";
                assert!(namespace.contains(told), "seed {seed}: {namespace}");
            }
        }
        assert!(
            world.object("/registry/namespaces/shop").is_none(),
            "{seed}"
        );
    }
}
