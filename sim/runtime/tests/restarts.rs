//! A kubelet that starts anew, and containers that are made anew.
//!
//! Book: `book/src/node/pod-lifecycle.md`.

use core::time::Duration;

use serde_json::json;

use wavetank_cri::ContainerId;

use super::rig::{Rig, nginx, none};

#[test]
fn containers_survive_a_restart_of_the_kubelet() {
    let mut rig = Rig::new(11);
    rig.create("web-0", nginx(), none());
    rig.run_secs(10);
    let before = rig.status("web-0").clone();
    let patches = rig.api.status_patches;
    rig.restart_kubelet();
    rig.run_secs(10);
    assert_eq!(rig.status("web-0"), &before);
    assert!(rig.api.status_patches <= patches + 1);
    assert_eq!(rig.running(), ["web"]);
    rig.restart_kubelet();
    rig.delete("web-0", 30);
    rig.run_secs(3);
    assert!(rig.api.pods.is_empty());
}

/// Restarts the kubelet when a container was made and before it is started; the container's id.
fn die_before_the_start(rig: &mut Rig, name: &str) -> ContainerId {
    loop {
        rig.run(Duration::from_millis(1));
        if let Some(id) = rig.runtime.find(&rig.uid("p"), name, false) {
            rig.restart_kubelet();
            rig.run_secs(20);
            assert_eq!(rig.runtime.instance(&id).unwrap().started_at, None);
            return id;
        }
    }
}

/// `ShouldContainerBeRestarted`: "Always restart container in the unknown, or in the created
/// state"; `computeInitContainerActions` says the same of init containers.
#[test]
fn a_container_left_created_is_made_anew_under_every_policy() {
    for (policy, kind, running) in [
        ("Always", "containers", "c"),
        ("OnFailure", "containers", "c"),
        ("Never", "containers", "c"),
        ("Never", "initContainers", "web"),
    ] {
        let mut rig = Rig::new(1);
        let mut spec = json!({"containers": [{"name": "web", "image": "nginx:1"}]});
        spec["restartPolicy"] = policy.into();
        spec[kind] = json!([{"name": "c", "image": "nginx:1"}]);
        rig.create("p", spec, none());
        let left = die_before_the_start(&mut rig, "c");
        let made = rig.runtime.find(&rig.uid("p"), "c", false).unwrap();
        assert_ne!(made, left, "{policy}, {kind}");
        let attempt = rig.runtime.instance(&made).unwrap().config.metadata.attempt;
        assert_eq!((rig.running(), attempt), (vec![running.to_owned()], 1));
    }
}

/// `computePodActions`: "Ephemeral Containers are never restarted".
#[test]
fn an_ephemeral_container_left_created_is_left_alone() {
    let mut rig = Rig::new(1);
    let mut spec = nginx();
    spec["ephemeralContainers"] = json!([{"name": "debug", "image": "nginx:1"}]);
    rig.create("p", spec, none());
    let left = die_before_the_start(&mut rig, "debug");
    assert_eq!(rig.runtime.find(&rig.uid("p"), "debug", false), Some(left));
    assert_eq!(rig.running(), ["web"]);
}

/// `computePodActions`: "Restart regardless of the restart policy because the container spec
/// changed".
#[test]
fn a_container_whose_definition_changed_is_restarted_under_every_policy() {
    for policy in ["Always", "OnFailure", "Never"] {
        let mut rig = Rig::new(1);
        let mut spec = nginx();
        spec["restartPolicy"] = policy.into();
        rig.create("p", spec, none());
        rig.run_secs(10);
        rig.edit("p", |pod| {
            pod["spec"]["containers"][0]["image"] = "nginx:1.26".into()
        });
        rig.run_secs(60);
        let status = &rig.status("p")["containerStatuses"][0];
        assert_eq!(
            (&status["restartCount"], &status["image"]),
            (&1.into(), &"nginx:1.26".into())
        );
        assert_eq!(rig.running(), ["web"], "{policy}");
        let words = "Container web definition changed, will be restarted";
        assert_eq!(rig.events("Killing"), [words]);
    }
}

/// A program that ends well when it is told to is restarted nevertheless, but under `Never`.
#[test]
fn a_container_that_fails_its_liveness_probe_is_restarted_however_it_ends() {
    for (policy, restarts) in [("Always", 1), ("OnFailure", 1), ("Never", 0)] {
        let mut rig = Rig::new(1);
        let mut spec = nginx();
        spec["restartPolicy"] = policy.into();
        spec["containers"][0]["livenessProbe"] = json!({
            "httpGet": {"path": "/", "port": 80}, "periodSeconds": 5, "failureThreshold": 1,
        });
        rig.create("p", spec, json!({"sim.wavetank.dev/hung-after": "10s"}));
        rig.run_secs(25);
        let first = rig
            .runtime
            .find(&rig.uid("p"), "web", restarts > 0)
            .unwrap();
        let (_, end) = rig.runtime.instance(&first).unwrap().ended.unwrap();
        let status = &rig.status("p")["containerStatuses"][0];
        assert_eq!(
            (end.code, &status["restartCount"]),
            (0, &restarts.into()),
            "{policy}"
        );
    }
}
