//! Owners and dependents in a cluster: what nobody may hold for ever.
#![allow(clippy::unwrap_used, reason = "the panic of a test is its verdict")]

use std::time::Duration;

use wavetank_sim::{BEGINNING, Scenario, Seed, World};

/// ConfigMaps `c0`, `c1` and so on; each owns the next, and the last owns the first. Then
/// some are deleted in the foreground.
fn circle(size: usize, deleted: &[usize], uids: &[String]) -> String {
    let mut text = "cluster: { nodes: 1 }\nsteps:\n".to_owned();
    for number in 0..size {
        text.push_str(&format!(
            "  - at: 5s
    create:
      - apiVersion: v1
        kind: ConfigMap
        metadata: {{ name: c{number}, namespace: default, finalizers: [foregroundDeletion] }}
"
        ));
    }
    for (number, uid) in uids.iter().enumerate() {
        let dependent = (number + 1) % size;
        text.push_str(&format!(
            "  - at: 20s
    patch:
      object: configmaps/default/c{dependent}
      merge:
        metadata:
          ownerReferences:
            - apiVersion: v1
              kind: ConfigMap
              name: c{number}
              uid: {uid}
              blockOwnerDeletion: true
"
        ));
    }
    for number in deleted {
        text.push_str(&format!(
            "  - {{ at: 30s, delete: configmaps/default/c{number} }}\n"
        ));
    }
    text.push_str("checks:\n  - { at: 29s, count: configmaps, namespace: default, equals: ");
    // The root CA's is in each namespace.
    text.push_str(&format!("{} }}\n", size + 1));
    text.push_str(
        "  - { by: 90s, count: configmaps, namespace: default, equals: 1 }\nuntil: 90s\n",
    );
    text
}

/// The UIDs that the first steps give.
fn uids(size: usize, seed: u64) -> Vec<String> {
    let scenario = Scenario::parse(&circle(size, &[], &[])).unwrap();
    let mut world = World::new(&scenario, Seed(seed), false);
    world.run_until(BEGINNING + Duration::from_secs(10));
    let uid = |number| {
        let object = world.object(&format!("/registry/configmaps/default/c{number}"));
        object.unwrap()["metadata"]["uid"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    (0..size).map(uid).collect()
}

#[test]
fn a_circle_of_foreground_deletions_goes() {
    for (size, deleted) in [
        (2, vec![0]),
        (2, vec![0, 1]),
        (3, vec![0]),
        (3, vec![0, 1, 2]),
        (4, vec![2, 0]),
    ] {
        for seed in 0..3 {
            let scenario = circle(size, &deleted, &uids(size, seed));
            let scenario = Scenario::parse(&scenario).unwrap();
            let mut world = World::new(&scenario, Seed(seed), false);
            world.finish(&scenario);
            let failures = world.verdict().failures;
            assert!(
                failures.is_empty(),
                "{size} {deleted:?}, seed {seed}: {failures:#?}"
            );
        }
    }
}
