//! Volumes, as a program finds them.
//!
//! Book: `book/src/node/volumes.md`.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::rig::Rig;

fn pod(volumes: Value, mounts: Value) -> Value {
    let container = json!({"name": "web", "image": "i:1", "volumeMounts": mounts});
    json!({"containers": [container], "volumes": volumes})
}

/// A pod with one volume at `/v`.
fn one(volume: &str, source: Value) -> Value {
    pod(
        json!([{"name": "v", volume: source}]),
        json!([{"name": "v", "mountPath": "/v"}]),
    )
}

/// What a command prints in pod `p`, standard error too.
fn run(rig: &Rig, command: &str) -> String {
    let id = rig.runtime.find(&rig.uid("p"), "web", false).unwrap();
    let argv: Vec<Arc<str>> = command.split(' ').map(Arc::from).collect();
    let answer = rig.runtime.exec(&id, &argv, rig.now).unwrap();
    answer.stdout + &answer.stderr
}

#[test]
fn each_kind_of_volume_is_there_as_files() {
    let mut rig = Rig::new(1);
    rig.put_source("configmaps/c", json!({"color": "blue", "level": "3"}));
    rig.put_source("secrets/s", json!({"pass": "czNjcmV0"}));
    let name = json!({"path": "name", "fieldRef": {"fieldPath": "metadata.name"}});
    let volumes = json!([
        {"name": "all", "configMap": {"name": "c"}},
        {"name": "some", "configMap": {"name": "c", "items": [{"key": "color", "path": "a/b"}]}},
        {"name": "hidden", "secret": {"secretName": "s"}},
        {"name": "self", "downwardAPI": {"items": [name]}},
        {"name": "mixed", "projected": {"sources": [
            {"secret": {"name": "s"}},
            {"configMap": {"name": "absent", "optional": true}},
            {"downwardAPI": {"items": [name]}},
        ]}},
        {"name": "scratch", "emptyDir": {}},
    ]);
    let mount = |name: &str, path: &str| json!({"name": name, "mountPath": path});
    let mounts = json!([
        mount("all", "/etc/all"), mount("some", "/etc/some"), mount("hidden", "/run/hidden"),
        mount("self", "/self"), mount("mixed", "/mixed"), mount("scratch", "/scratch"),
        {"name": "all", "mountPath": "/etc/level", "subPath": "level"},
    ]);
    rig.create("p", pod(volumes, mounts), json!({}));
    rig.run_secs(10);
    for (command, output) in [
        ("ls /etc/all", "color\nlevel\n"),
        ("cat /etc/all/color", "blue"),
        ("ls /etc/some/a", "b\n"),
        ("cat /etc/some/a/b", "blue"),
        ("cat /run/hidden/pass", "s3cret"),
        ("cat /self/name", "p"),
        ("ls /mixed/", "name\npass\n"),
        ("ls /scratch", ""),
        ("cat /etc/level", "3"),
        ("ls /etc", "all\nhostname\nhosts\nlevel\nos-release\nsome\n"),
        ("cat /etc/all", "cat: read error: Is a directory\n"),
        (
            "cat /etc/all/x",
            "cat: can't open '/etc/all/x': No such file or directory\n",
        ),
    ] {
        assert_eq!(run(&rig, command), output, "{command}");
    }
    rig.delete("p", 1);
    rig.run_secs(5);
    assert_eq!(rig.runtime.volumes().count(), 0);
}

#[test]
fn a_pod_waits_for_its_volumes_and_says_for_which() {
    let missing = [
        (
            "configMap",
            json!({"name": "c"}),
            "configmap \"c\" not found",
        ),
        (
            "secret",
            json!({"secretName": "s"}),
            "secret \"s\" not found",
        ),
        (
            "configMap",
            json!({"name": "there", "items": [{"key": "no", "path": "x"}]}),
            "configmap references non-existent config key: no",
        ),
        (
            "secret",
            json!({"secretName": "there", "items": [{"key": "no", "path": "x"}]}),
            "references non-existent secret key: no",
        ),
        (
            "projected",
            json!({"sources": [{"secret": {"name": "s"}}, {"configMap": {"name": "c"}}]}),
            "[secret \"s\" not found, configmap \"c\" not found]",
        ),
        (
            "projected",
            json!({"sources": [{"secret": {"name": "s"}}, {"secret": {"name": "s"}}]}),
            "secret \"s\" not found",
        ),
        (
            "hostPath",
            json!({"path": "/data", "type": "Directory"}),
            "hostPath type check failed: /data is not a directory",
        ),
    ];
    for (kind, source, why) in missing {
        let mut rig = Rig::new(1);
        rig.put_source("configmaps/there", json!({"yes": "1"}));
        rig.put_source("secrets/there", json!({"yes": "MQ=="}));
        rig.create("p", one(kind, source), json!({}));
        rig.run_secs(30);
        let text = format!("MountVolume.SetUp failed for volume \"v\" : {why}");
        assert_eq!(rig.events("FailedMount"), [text]);
        let waiting = &rig.status("p")["containerStatuses"][0]["state"]["waiting"];
        assert_eq!(waiting["reason"], "ContainerCreating");
        assert_eq!(rig.runtime.pod_ips().count(), 0, "it has no sandbox yet");
    }
}

/// `WaitForAttachAndMount` tells of a volume that has no plugin, and only of that: a volume that
/// does not come has events of its own.
#[test]
fn a_kind_of_volume_that_is_not_known_is_refused() {
    let mut rig = Rig::new(1);
    let nfs = |name: &str| json!({"name": name, "nfs": {"server": "s", "path": "/"}});
    let absent = json!({"name": "late", "secret": {"secretName": "s"}});
    let mount = |name: &str| json!({"name": name, "mountPath": format!("/{name}")});
    let volumes = json!([nfs("v"), absent, nfs("data"), {"name": "tmp", "emptyDir": {}}]);
    let mounts = json!([mount("v"), mount("late"), mount("data"), mount("tmp")]);
    rig.create("p", pod(volumes, mounts), json!({}));
    rig.run_secs(30);
    let text = "Unable to attach or mount volumes: unmounted volumes=[data late v], unattached \
                volumes=[], failed to process volumes=[data v]: failed to get Plugin from \
                volumeSpec for volume \"data\" err=no volume plugin matched; failed to get Plugin \
                from volumeSpec for volume \"v\" err=no volume plugin matched";
    let missing = "MountVolume.SetUp failed for volume \"late\" : secret \"s\" not found";
    assert_eq!(rig.events("FailedMount"), [missing, text]);
    assert!(rig.running().is_empty());
}

/// `processPodVolumes`: "Volume is not used in the pod, ignore it".
#[test]
fn a_volume_that_no_container_uses_is_ignored() {
    let mut rig = Rig::new(1);
    let volumes = json!([{"name": "v", "configMap": {"name": "c"}}]);
    rig.create("p", pod(volumes, json!([])), json!({}));
    rig.run_secs(10);
    assert_eq!(rig.running(), ["web"]);
    assert!(rig.events("FailedMount").is_empty());
}

/// `nestedpendingoperations` keeps a back-off for each volume of each pod.
#[test]
fn a_volume_that_fails_holds_no_other_back() {
    let mut rig = Rig::new(1);
    rig.put_source("configmaps/a", json!({"k": "old"}));
    rig.put_source("configmaps/b", json!({"k": "old"}));
    let volume = |name: &str| json!({"name": name, "configMap": {"name": name}});
    let mount = |name: &str| json!({"name": name, "mountPath": format!("/{name}")});
    let volumes = json!([volume("a"), volume("b")]);
    rig.create(
        "p",
        pod(volumes, json!([mount("a"), mount("b")])),
        json!({}),
    );
    rig.run_secs(10);
    rig.drop_source("configmaps/a");
    rig.run_secs(100); // the next try is due after 127 s
    rig.put_source("configmaps/a", json!({"k": "new"}));
    rig.put_source("configmaps/b", json!({"k": "new"}));
    rig.run_secs(5);
    assert_eq!(run(&rig, "cat /b/k"), "new");
    assert_eq!(run(&rig, "cat /a/k"), "old");
    rig.run_secs(30);
    assert_eq!(run(&rig, "cat /a/k"), "new");
}

#[test]
fn files_follow_their_source_and_stay_when_it_goes() {
    let mut rig = Rig::new(1);
    rig.put_source("configmaps/c", json!({"k": "old"}));
    rig.create("p", one("configMap", json!({"name": "c"})), json!({}));
    rig.run_secs(10);
    assert_eq!(run(&rig, "cat /v/k"), "old");
    rig.put_source("configmaps/c", json!({"k": "new"}));
    rig.run_secs(2);
    assert_eq!(run(&rig, "cat /v/k"), "new");
    rig.restart_kubelet();
    rig.run_secs(5);
    assert_eq!(run(&rig, "cat /v/k"), "new");
    rig.drop_source("configmaps/c");
    rig.run_secs(5);
    assert_eq!(run(&rig, "cat /v/k"), "new");
    let text = "MountVolume.SetUp failed for volume \"v\" : configmap \"c\" not found";
    assert_eq!(rig.events("FailedMount"), [text]);
    assert_eq!(rig.running(), ["web"]);
}

#[test]
fn volumes_of_a_pod_that_went_unseen_are_removed() {
    let mut rig = Rig::new(1);
    rig.put_source("configmaps/c", json!({"k": "v"}));
    rig.create("p", one("configMap", json!({"name": "c"})), json!({}));
    rig.run_secs(10);
    assert_eq!(rig.runtime.volumes().count(), 1);
    rig.api.pods.remove("p");
    rig.restart_kubelet();
    rig.run_secs(60);
    assert!(rig.running().is_empty());
    assert_eq!(rig.runtime.volumes().count(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whether and when the source comes, and whether the kubelet dies meanwhile.
    #[test]
    fn no_container_runs_before_its_volumes_are_there(
        seed: u64, optional: bool, comes_after in prop::option::of(0u64..60),
        dies_after in prop::option::of(0u64..60)
    ) {
        let mut rig = Rig::new(seed);
        let source = json!({"secretName": "s", "optional": optional});
        rig.create("p", one("secret", source), json!({}));
        for second in 0..60 {
            if comes_after == Some(second) {
                rig.put_source("secrets/s", json!({"k": "dg=="}));
            }
            if dies_after == Some(second) {
                rig.restart_kubelet();
            }
            rig.run_secs(1);
            let has_come = comes_after.is_some_and(|at| at <= second);
            prop_assert!(optional || has_come || rig.running().is_empty());
        }
        rig.run_secs(130); // the longest wait between two tries
        prop_assert_eq!(rig.running() == ["web"], optional || comes_after.is_some());
        if comes_after.is_some() {
            prop_assert_eq!(run(&rig, "cat /v/k"), "v");
        }
    }
}
