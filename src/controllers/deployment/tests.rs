//! Rollouts against a server that lags, with both controllers at work.
//!
//! Book: `book/src/controllers/deployment.md`.

use core::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use wavetank_api::KindId;
use wavetank_informer::{Guard, Guards, Key};

use crate::harness::Tank;

fn deployment(replicas: i64) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"namespace": "default", "name": "web"},
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "v1"}]},
            },
        },
    })
}

/// A tank with a deployment that has settled.
fn tank(replicas: i64, guards: Guards) -> (Tank, Key) {
    let mut tank = Tank::new(guards);
    let web = tank.create(KindId::Deployment, deployment(replicas));
    tank.converge();
    (tank, web)
}

fn set_image(tank: &mut Tank, web: &Key, image: &str) {
    tank.edit(KindId::Deployment, web, |d| {
        d["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
    });
}

fn scale(tank: &mut Tank, web: &Key, replicas: i64) {
    tank.edit(KindId::Deployment, web, |d| {
        d["spec"]["replicas"] = json!(replicas)
    });
}

fn sets(tank: &Tank) -> Vec<(String, i64, String)> {
    let row = |set: &Value| {
        let image = &set["spec"]["template"]["spec"]["containers"][0]["image"];
        let revision = &set["metadata"]["annotations"]["deployment.kubernetes.io/revision"];
        let text = |value: &Value| value.as_str().unwrap_or("-").to_string();
        (
            text(image),
            set["spec"]["replicas"].as_i64().unwrap(),
            text(revision),
        )
    };
    let mut rows: Vec<_> = tank.server.list(KindId::ReplicaSet).map(row).collect();
    rows.sort();
    rows
}

fn row(image: &str, replicas: i64, revision: &str) -> (String, i64, String) {
    (image.to_string(), replicas, revision.to_string())
}

fn status(tank: &Tank, web: &Key) -> Value {
    tank.server.get(KindId::Deployment, web).unwrap()["status"].clone()
}

fn condition(tank: &Tank, web: &Key, r#type: &str) -> (String, String, String) {
    let status = status(tank, web);
    let all = status["conditions"].as_array().unwrap();
    let found = all
        .iter()
        .find(|c| c["type"] == r#type)
        .cloned()
        .unwrap_or_default();
    let text = |field: &str| found[field].as_str().unwrap_or("").to_string();
    (text("status"), text("reason"), text("message"))
}

#[test]
fn a_new_deployment_makes_one_set_of_all_its_pods() {
    let (tank, web) = tank(3, Guards::default());
    assert_eq!(sets(&tank), [row("v1", 3, "1")]);
    let set = tank.server.list(KindId::ReplicaSet).next().unwrap();
    let hash = set["metadata"]["labels"]["pod-template-hash"]
        .as_str()
        .unwrap();
    assert_eq!(set["metadata"]["name"], format!("web-{hash}"));
    assert_eq!(
        set["spec"]["selector"]["matchLabels"]["pod-template-hash"],
        hash
    );
    assert_eq!(
        set["spec"]["template"]["metadata"]["labels"]["pod-template-hash"],
        hash
    );
    let status = status(&tank, &web);
    for field in [
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
    ] {
        assert_eq!(status[field], 3, "{field}");
    }
    let name = format!("web-{hash}");
    let available = "Deployment has minimum availability.";
    let complete = format!("ReplicaSet \"{name}\" has successfully progressed.");
    let text = |a: &str, b: &str, c: &str| (a.to_string(), b.to_string(), c.to_string());
    let expected = text("True", "MinimumReplicasAvailable", available);
    assert_eq!(condition(&tank, &web, "Available"), expected);
    let expected = text("True", "NewReplicaSetAvailable", &complete);
    assert_eq!(condition(&tank, &web, "Progressing"), expected);
    let event = format!("Scaled up replica set {name} from 0 to 3");
    assert_eq!(tank.events("ScalingReplicaSet"), [event]);
    let annotations =
        &tank.server.get(KindId::Deployment, &web).unwrap()["metadata"]["annotations"];
    assert_eq!(annotations["deployment.kubernetes.io/revision"], "1");
}

/// Invariant 4, and I3.
#[test]
fn in_a_steady_state_it_writes_nothing() {
    let (mut tank, web) = tank(3, Guards::default());
    set_image(&mut tank, &web, "v2");
    tank.converge();
    tank.writes.clear();
    tank.pass(Duration::from_secs(24 * 3600));
    assert_eq!(tank.writes, []);
}

/// Invariant 2 at every message of a rollout, and the order of its steps.
#[test]
fn a_rolling_update_stays_within_surge_and_unavailability() {
    let (mut tank, web) = tank(4, Guards::default());
    set_image(&mut tank, &web, "v2");
    for _ in 0..200 {
        while tank.step_once() {
            let pods = tank.active_pods();
            assert!(pods.len() <= 5, "{} pods", pods.len());
            let ready = pods.iter().filter(|pod| !pod["status"]["phase"].is_null());
            assert!(ready.count() >= 3);
        }
        tank.run_pods();
        tank.pass(Duration::from_secs(1));
    }
    assert_eq!(sets(&tank), [row("v1", 0, "1"), row("v2", 4, "2")]);
    assert_eq!(
        condition(&tank, &web, "Progressing").1,
        "NewReplicaSetAvailable"
    );
}

#[test]
fn undo_takes_the_old_set_up_again_under_a_new_revision() {
    let (mut tank, web) = tank(2, Guards::default());
    set_image(&mut tank, &web, "v2");
    tank.converge();
    set_image(&mut tank, &web, "v1");
    tank.converge();
    assert_eq!(sets(&tank), [row("v1", 2, "3"), row("v2", 0, "2")]);
    let sets: Vec<_> = tank.server.list(KindId::ReplicaSet).collect();
    let history = "deployment.kubernetes.io/revision-history";
    assert!(
        sets.iter()
            .any(|set| set["metadata"]["annotations"][history] == "1")
    );
}

#[test]
fn history_is_cut_to_its_limit() {
    let (mut tank, web) = tank(1, Guards::default());
    tank.edit(KindId::Deployment, &web, |d| {
        d["spec"]["revisionHistoryLimit"] = json!(2)
    });
    for version in 2..7 {
        set_image(&mut tank, &web, &format!("v{version}"));
        tank.converge();
    }
    assert_eq!(
        sets(&tank),
        [row("v4", 0, "4"), row("v5", 0, "5"), row("v6", 1, "6")]
    );
}

#[test]
fn recreate_waits_until_the_last_old_pod_is_gone() {
    let (mut tank, web) = tank(3, Guards::default());
    tank.edit(KindId::Deployment, &web, |d| {
        d["spec"]["strategy"] = json!({"type": "Recreate"})
    });
    tank.converge();
    set_image(&mut tank, &web, "v2");
    tank.pass(Duration::from_secs(60));
    assert_eq!(
        sets(&tank),
        [row("v1", 0, "1")],
        "terminating pods still run"
    );
    tank.converge();
    assert_eq!(sets(&tank), [row("v1", 0, "1"), row("v2", 3, "2")]);
    assert_eq!(
        condition(&tank, &web, "Progressing").1,
        "NewReplicaSetAvailable"
    );
}

/// Invariant 3.
#[test]
fn a_paused_deployment_is_scaled_but_not_rolled_out() {
    let (mut tank, web) = tank(2, Guards::default());
    tank.edit(KindId::Deployment, &web, |d| {
        d["spec"]["paused"] = json!(true)
    });
    set_image(&mut tank, &web, "v2");
    scale(&mut tank, &web, 5);
    tank.converge();
    assert_eq!(sets(&tank), [row("v1", 5, "1")]);
    assert_eq!(condition(&tank, &web, "Progressing").1, "DeploymentPaused");
    tank.edit(KindId::Deployment, &web, |d| {
        d["spec"]["paused"] = json!(false)
    });
    tank.converge();
    assert_eq!(sets(&tank), [row("v1", 0, "1"), row("v2", 5, "2")]);
}

/// Ten pods, surge 3: a rollout stuck at 5 new and 8 old of 13; scaled to 15 it becomes 18 in the
/// same proportion (the example of the Kubernetes documentation).
#[test]
fn scaling_during_a_rollout_is_proportional() {
    let (mut tank, web) = tank(10, Guards::default());
    let rolling = json!({"maxSurge": 3, "maxUnavailable": 2});
    tank.edit(KindId::Deployment, &web, |d| {
        d["spec"]["strategy"]["rollingUpdate"] = rolling
    });
    tank.converge();
    set_image(&mut tank, &web, "broken");
    tank.pass(Duration::from_secs(5)); // new pods are made, and none becomes ready
    assert_eq!(sets(&tank), [row("broken", 5, "2"), row("v1", 8, "1")]);
    scale(&mut tank, &web, 15);
    tank.pass(Duration::from_secs(5));
    assert_eq!(sets(&tank), [row("broken", 7, "2"), row("v1", 11, "1")]);
}

#[test]
fn a_rollout_that_makes_no_progress_is_said_to_have_failed_at_its_deadline() {
    let (mut tank, web) = tank(2, Guards::default());
    set_image(&mut tank, &web, "broken");
    tank.pass(Duration::from_secs(590));
    assert_eq!(condition(&tank, &web, "Progressing").1, "ReplicaSetUpdated");
    tank.pass(Duration::from_secs(20));
    let (is, reason, message) = condition(&tank, &web, "Progressing");
    assert_eq!((&*is, &*reason), ("False", "ProgressDeadlineExceeded"));
    assert!(message.ends_with("has timed out progressing."), "{message}");
}

/// M10: a set of that name exists, of another owner.
#[test]
fn a_hash_collision_is_counted_and_passed() {
    for (guards, passes) in [
        (Guards::default(), true),
        (Guards::without(&[Guard::M10]), false),
    ] {
        let (mut tank, web) = tank(1, guards);
        let set = tank.server.list(KindId::ReplicaSet).next().unwrap().clone();
        let (name, uid) = (
            set["metadata"]["name"].clone(),
            set["metadata"]["uid"].clone(),
        );
        tank.server.remove(KindId::Deployment, &web);
        for pod in tank.active_pods().into_iter().cloned().collect::<Vec<_>>() {
            tank.server
                .remove(KindId::Pod, &crate::harness::key_of(&pod));
        }
        tank.edit(
            KindId::ReplicaSet,
            &Key::new("default", name.as_str().unwrap()),
            |set| {
                set["spec"]["template"]["spec"]["containers"][0]["image"] = json!("other");
                set["metadata"]["labels"] = json!({"app": "other"});
                set["metadata"]["ownerReferences"][0]["uid"] = json!("somebody");
                set["spec"]["selector"]["matchLabels"] = json!({"app": "other"});
                set["spec"]["replicas"] = json!(0);
            },
        );
        assert!(!uid.is_null());
        let web = tank.create(KindId::Deployment, deployment(1));
        for _ in 0..20 {
            tank.run_pods();
            tank.pass(Duration::from_secs(1));
        }
        let count = tank.server.list(KindId::ReplicaSet).count();
        assert_eq!(count == 2, passes);
        assert_eq!(status(&tank, &web)["collisionCount"] == 1, passes);
    }
}

/// M13: both round to zero.
#[test]
fn percentages_of_one_pod_do_not_stop_a_rollout() {
    for (guards, done) in [
        (Guards::default(), true),
        (Guards::without(&[Guard::M13]), false),
    ] {
        let (mut tank, web) = tank(1, guards);
        let rolling = json!({"maxSurge": "0%", "maxUnavailable": "25%"});
        tank.edit(KindId::Deployment, &web, |d| {
            d["spec"]["strategy"]["rollingUpdate"] = rolling
        });
        set_image(&mut tank, &web, "v2");
        tank.converge();
        assert_eq!(sets(&tank).contains(&row("v2", 1, "2")), done);
    }
}

/// A deployment of four with a new set and an old one, whose status is of generation `observed`.
fn two_sets(old_size: i64, available: i64, observed: i64, guards: Guards) -> super::Sets {
    let mut wish = deployment(4);
    wish["spec"]["revisionHistoryLimit"] = json!(0);
    let set = |name: &str, image: &str, size: i64, available: i64, observed: i64| {
        let mut template = wish["spec"]["template"].clone();
        template["spec"]["containers"][0]["image"] = json!(image);
        let counts = json!({"replicas": available, "availableReplicas": available,
            "observedGeneration": observed});
        let set = json!({
            "metadata": {"namespace": "default", "name": name, "uid": name, "generation": 2},
            "spec": {"replicas": size, "template": template}, "status": counts,
        });
        super::Object::decode(set.to_string().as_bytes())
            .unwrap()
            .into()
    };
    let sets = vec![
        set("new", "v1", 2, 2, 2),
        set("old", "v0", old_size, available, observed),
    ];
    let deployment = super::Object::decode(wish.to_string().as_bytes()).unwrap();
    super::Sets::new(deployment.into(), sets, guards)
}

/// M11: the old set was shrunk from four to three and still reports four.
#[test]
fn a_report_about_an_earlier_size_is_not_believed() {
    for (guards, observed, resizes) in [
        (Guards::default(), 1, 0),
        (Guards::default(), 2, 1),
        (Guards::without(&[Guard::M11]), 1, 1),
    ] {
        let sets = two_sets(3, 4, observed, guards);
        let new = sets.new.clone().unwrap();
        assert_eq!(super::rolling::round(&sets, &new).len(), resizes);
    }
}

/// M12: a set that still has a pod, or whose status is behind, is not forgotten.
#[test]
fn a_set_in_use_is_not_forgotten() {
    let client = wavetank_informer::Client::new("test", "test");
    for (guards, pods, observed, deletes) in [
        (Guards::default(), 0, 2, 1),
        (Guards::default(), 1, 2, 0),
        (Guards::default(), 0, 1, 0),
        (Guards::without(&[Guard::M12]), 1, 1, 1),
    ] {
        let sets = two_sets(0, pods, observed, guards);
        let writes = super::revision::forget(&sets, &client, guards);
        assert_eq!(writes.len(), deletes, "{pods} pods, status of {observed}");
    }
}

#[derive(Clone, Debug)]
enum Act {
    Image(u8),
    Scale(i64),
    Pause(bool),
    Hold(usize),
    Release(usize),
    Steps(u8),
    RunPods,
    Pass(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => (0..4u8).prop_map(Act::Image),
        1 => (0..7i64).prop_map(Act::Scale),
        1 => any::<bool>().prop_map(Act::Pause),
        2 => (0..3usize).prop_map(Act::Hold),
        2 => (0..3usize).prop_map(Act::Release),
        4 => (1..20u8).prop_map(Act::Steps),
        4 => Just(Act::RunPods),
        2 => (0..200u64).prop_map(Act::Pass),
    ]
}

const HELD: [KindId; 3] = [KindId::Pod, KindId::ReplicaSet, KindId::Deployment];

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(100)
    })]

    /// Whatever is edited, and however late events come: one set per template, revisions of sets
    /// differ, and the deployment settles on its template and size (C6, C8, L3).
    #[test]
    fn a_deployment_settles_on_its_template(acts in prop::collection::vec(act(), 1..40)) {
        let (mut tank, web) = tank(3, Guards::default());
        let (mut image, mut replicas) = ("v1".to_string(), 3);
        for act in acts {
            match act {
                Act::Image(version) => {
                    image = format!("v{version}");
                    set_image(&mut tank, &web, &image);
                }
                Act::Scale(to) => {
                    replicas = to;
                    scale(&mut tank, &web, to);
                }
                Act::Pause(paused) => {
                    tank.edit(KindId::Deployment, &web, |d| d["spec"]["paused"] = json!(paused));
                }
                Act::Hold(kind) => _ = tank.held.insert(HELD[kind]),
                Act::Release(kind) => _ = tank.held.remove(&HELD[kind]),
                Act::Steps(steps) => (0..steps).for_each(|_| _ = tank.step_once()),
                Act::RunPods => tank.run_pods(),
                Act::Pass(seconds) => tank.pass(Duration::from_secs(seconds)),
            }
            let all = sets(&tank);
            let mut images: Vec<_> = all.iter().map(|row| &row.0).collect();
            images.dedup();
            prop_assert_eq!(images.len(), all.len(), "two sets of one template: {:?}", all);
        }
        tank.held.clear();
        tank.edit(KindId::Deployment, &web, |d| d["spec"]["paused"] = json!(false));
        tank.converge();
        tank.pass(Duration::from_secs(1200));
        tank.converge();
        let all = sets(&tank);
        let mut revisions: Vec<_> = all.iter().map(|row| &row.2).collect();
        revisions.sort();
        revisions.dedup();
        prop_assert_eq!(revisions.len(), all.len(), "{:?}", &all);
        for (of, size, _) in &all {
            prop_assert_eq!(*size, if *of == image { replicas } else { 0 }, "{:?}", &all);
        }
        prop_assert_eq!(tank.active_pods().len() as i64, replicas);
        prop_assert_eq!(condition(&tank, &web, "Progressing").1, "NewReplicaSetAvailable");
    }
}
