//! Scenarios and properties of the ReplicaSet controller against a server that lags.
//!
//! Book: `book/src/controllers/replicaset.md`.

use core::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use wavetank_api::{KindId, Method};
use wavetank_informer::own_writes::ReadYourWrites;
use wavetank_informer::{Guard, Guards, Key};

use crate::harness::{Tank, key_of};

mod own_writes;

fn replica_set(name: &str, replicas: i64) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"namespace": "default", "name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            },
        },
    })
}

fn scale(tank: &mut Tank, key: &Key, replicas: i64) {
    tank.edit(KindId::ReplicaSet, key, |set| {
        set["spec"]["replicas"] = json!(replicas)
    });
}

#[test]
fn pods_are_created_from_the_template_and_owned() {
    let mut tank = Tank::new(Guards::default());
    let web = tank.create(KindId::ReplicaSet, replica_set("web", 3));
    tank.converge();
    let pods = tank.active_pods();
    assert_eq!(pods.len(), 3);
    let pod = pods[0];
    assert!(
        pod["metadata"]["name"]
            .as_str()
            .unwrap()
            .starts_with("web-")
    );
    assert_eq!(pod["metadata"]["labels"]["app"], "web");
    let owner = &pod["metadata"]["ownerReferences"][0];
    let set = tank.server.get(KindId::ReplicaSet, &web).unwrap();
    assert_eq!(owner["uid"], set["metadata"]["uid"]);
    assert_eq!(
        (&owner["controller"], &owner["kind"]),
        (&json!(true), &json!("ReplicaSet"))
    );
    assert_eq!(
        set["status"],
        json!({"replicas": 3, "fullyLabeledReplicas": 3, "readyReplicas": 3,
            "availableReplicas": 3, "observedGeneration": 1})
    );
    assert_eq!(tank.events("SuccessfulCreate").len(), 3);
}

/// Invariant 4, and I3.
#[test]
fn in_a_steady_state_it_writes_nothing() {
    let mut tank = Tank::new(Guards::default());
    tank.create(KindId::ReplicaSet, replica_set("web", 3));
    tank.converge();
    tank.writes.clear();
    tank.pass(Duration::from_secs(24 * 3600));
    assert_eq!(tank.writes, []);
}

#[test]
fn a_write_is_explained_by_notes() {
    let mut tank = Tank::new(Guards::default());
    tank.create(KindId::ReplicaSet, replica_set("web", 1));
    tank.settle();
    let why: Vec<_> = tank
        .notes
        .iter()
        .map(|note| (note.by, note.because))
        .collect();
    let by = "replicaset-controller";
    assert!(why.contains(&(by, "ReplicaSet changed")) && why.contains(&(by, "too few replicas")));
    assert_eq!(
        &*tank.notes.last().unwrap().about,
        "apps/v1 ReplicaSet default/web"
    );
}

#[test]
fn refused_pods_make_a_condition_and_an_event_and_are_tried_again() {
    let mut tank = Tank::new(Guards::default());
    tank.server.refuse_pods = Some("exceeded quota".to_string());
    let web = tank.create(KindId::ReplicaSet, replica_set("web", 4));
    tank.settle();
    assert_eq!(
        tank.events("FailedCreate"),
        ["Error creating: exceeded quota"]
    );
    let set = tank.server.get(KindId::ReplicaSet, &web).unwrap();
    let condition = &set["status"]["conditions"][0];
    assert_eq!(
        (&condition["type"], &condition["reason"]),
        (&json!("ReplicaFailure"), &json!("FailedCreate"))
    );
    let posts = tank
        .writes
        .iter()
        .filter(|(method, _)| *method == Method::Post);
    // The first batch of a slow start; and again, because the status that it wrote is news.
    assert_eq!(posts.count(), 2);
    tank.server.refuse_pods = None;
    tank.pass(Duration::from_secs(1));
    assert_eq!(tank.active_pods().len(), 4);
    tank.converge();
    let set = tank.server.get(KindId::ReplicaSet, &web).unwrap();
    assert!(set["status"]["conditions"].is_null());
}

#[test]
fn a_matching_orphan_is_adopted_and_a_stray_is_released() {
    let mut tank = Tank::new(Guards::default());
    let orphan =
        json!({"metadata": {"namespace": "default", "name": "o", "labels": {"app": "web"}}});
    let orphan = tank.create(KindId::Pod, orphan);
    let web = tank.create(KindId::ReplicaSet, replica_set("web", 2));
    tank.converge();
    assert_eq!(tank.active_pods().len(), 2, "the orphan and one more");
    let uid = tank.server.get(KindId::ReplicaSet, &web).unwrap()["metadata"]["uid"].clone();
    let owner = |tank: &Tank| {
        tank.server.get(KindId::Pod, &orphan).unwrap()["metadata"]["ownerReferences"][0]["uid"]
            .clone()
    };
    assert_eq!(owner(&tank), uid);
    tank.edit(KindId::Pod, &orphan, |pod| {
        pod["metadata"]["labels"]["app"] = json!("other")
    });
    tank.converge();
    assert!(owner(&tank).is_null());
    assert_eq!(
        tank.active_pods().len(),
        3,
        "two of its own and the one let go"
    );
}

/// M08: the cache does not show yet that the owner is being deleted.
#[test]
fn an_owner_that_is_being_deleted_adopts_nothing() {
    for (guards, adopts) in [
        (Guards::default(), false),
        (Guards::without(&[Guard::M08]), true),
    ] {
        let mut tank = Tank::new(guards);
        let web = tank.create(KindId::ReplicaSet, replica_set("web", 0));
        tank.converge();
        tank.held.insert(KindId::ReplicaSet);
        tank.edit(KindId::ReplicaSet, &web, |set| {
            set["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        });
        let orphan =
            json!({"metadata": {"namespace": "default", "name": "o", "labels": {"app": "web"}}});
        let orphan = tank.create(KindId::Pod, orphan);
        tank.pass(Duration::from_secs(10));
        let pod = tank.server.get(KindId::Pod, &orphan);
        let adopted = pod.is_none_or(|pod| !pod["metadata"]["ownerReferences"].is_null());
        assert_eq!(adopted, adopts);
    }
}

/// M09: the orphan that the cache shows was replaced by another pod of its name, which does not
/// match.
#[test]
fn an_adoption_lands_on_the_pod_it_was_decided_on() {
    let orphan = |app: &str| {
        let labels = json!({"app": app});
        json!({"metadata": {"namespace": "default", "name": "o", "labels": labels}})
    };
    for (guards, adopts) in [
        (Guards::default(), false),
        (Guards::without(&[Guard::M09]), true),
    ] {
        let mut tank = Tank::new(guards);
        tank.create(KindId::ReplicaSet, replica_set("web", 0));
        tank.converge();
        tank.held.insert(KindId::ReplicaSet);
        let pod = tank.create(KindId::Pod, orphan("web"));
        assert!(
            tank.step_once(),
            "it sees the orphan and asks for its owner"
        );
        tank.held.insert(KindId::Pod);
        tank.server.remove(KindId::Pod, &pod);
        tank.create(KindId::Pod, orphan("other"));
        tank.settle();
        let pod = tank.server.get(KindId::Pod, &pod).unwrap();
        assert_eq!(!pod["metadata"]["ownerReferences"].is_null(), adopts);
    }
}

/// M06: a pod was evicted; its object stays, and says so.
#[test]
fn a_pod_that_has_failed_is_replaced() {
    for (guards, active) in [(Guards::default(), 2), (Guards::without(&[Guard::M06]), 1)] {
        let mut tank = Tank::new(guards);
        tank.create(KindId::ReplicaSet, replica_set("web", 2));
        tank.converge();
        let pod = key_of(tank.active_pods()[0]);
        tank.edit(KindId::Pod, &pod, |pod| {
            pod["status"]["phase"] = json!("Failed");
        });
        tank.converge();
        assert_eq!(tank.active_pods().len(), active);
    }
}

/// M07: of two ready pods and one that crashes, one is too many.
#[test]
fn the_pod_that_is_worth_least_goes() {
    for (guards, ready) in [(Guards::default(), 2), (Guards::without(&[Guard::M07]), 1)] {
        let mut tank = Tank::new(guards);
        let web = tank.create(KindId::ReplicaSet, replica_set("web", 3));
        tank.converge();
        let crashing = key_of(tank.active_pods()[2]);
        tank.edit(KindId::Pod, &crashing, |pod| {
            pod["status"]["conditions"][0]["status"] = json!("False");
        });
        scale(&mut tank, &web, 2);
        tank.converge();
        let pods = tank.active_pods();
        let is_ready = |pod: &&&Value| pod["status"]["conditions"][0]["status"] == "True";
        assert_eq!(pods.iter().filter(is_ready).count(), ready);
    }
}

#[test]
fn a_create_whose_answer_is_lost_is_not_repeated() {
    let mut tank = Tank::new(Guards::default());
    tank.lose = Some(|request| request.method == Method::Post && request.target.ends_with("/pods"));
    tank.create(KindId::ReplicaSet, replica_set("web", 1));
    tank.pass(Duration::from_secs(30));
    tank.lose = None;
    tank.pass(Duration::from_secs(120));
    assert_eq!(tank.active_pods().len(), 1);
}

#[test]
fn min_ready_seconds_delay_availability() {
    let mut tank = Tank::new(Guards::default());
    let mut set = replica_set("web", 1);
    set["spec"]["minReadySeconds"] = json!(10);
    let web = tank.create(KindId::ReplicaSet, set);
    tank.settle();
    tank.run_pods();
    tank.pass(Duration::from_secs(5));
    let status = |tank: &Tank| tank.server.get(KindId::ReplicaSet, &web).unwrap()["status"].clone();
    assert_eq!(status(&tank)["readyReplicas"], 1);
    assert!(status(&tank)["availableReplicas"].is_null());
    tank.pass(Duration::from_secs(10));
    assert_eq!(status(&tank)["availableReplicas"], 1);
}

/// What the world may do to a replica set between two messages.
#[derive(Clone, Debug)]
enum Act {
    Scale(i64),
    Steps(u8),
    HoldPods,
    ReleasePods,
    HoldSets,
    ReleaseSets,
    RunPods,
    FailPod,
    Pass(u64),
    Touch,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0..6i64).prop_map(Act::Scale),
        (1..20u8).prop_map(Act::Steps),
        Just(Act::HoldPods),
        Just(Act::ReleasePods),
        Just(Act::HoldSets),
        Just(Act::ReleaseSets),
        Just(Act::RunPods),
        Just(Act::FailPod),
        (0..400u64).prop_map(Act::Pass),
        Just(Act::Touch),
    ]
}

fn perform(tank: &mut Tank, web: &Key, act: Act) {
    match act {
        Act::Scale(replicas) => scale(tank, web, replicas),
        Act::Steps(steps) => {
            for _ in 0..steps {
                tank.step_once();
            }
        }
        Act::HoldPods => _ = tank.held.insert(KindId::Pod),
        Act::ReleasePods => _ = tank.held.remove(&KindId::Pod),
        Act::HoldSets => _ = tank.held.insert(KindId::ReplicaSet),
        Act::ReleaseSets => _ = tank.held.remove(&KindId::ReplicaSet),
        Act::RunPods => tank.run_pods(),
        Act::FailPod => {
            let first = tank
                .active_pods()
                .first()
                .map(|pod| pod["metadata"]["name"].clone());
            if let Some(Value::String(name)) = first {
                let key = Key::new("default", name);
                tank.edit(KindId::Pod, &key, |pod| {
                    pod["status"] = json!({"phase": "Failed"})
                });
            }
        }
        Act::Pass(seconds) => tank.pass(Duration::from_secs(seconds)),
        Act::Touch => tank.edit(KindId::ReplicaSet, web, |set| {
            let count = set["metadata"]["labels"]["n"].as_str().map_or(0, str::len);
            set["metadata"]["labels"] = json!({"n": "x".repeat(count + 1)});
        }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(200)
    })]

    /// Invariants 1 and 2 under any delay of watch events: what exists is never more than was ever
    /// asked for since the controller last saw the set, and it settles on what is asked for.
    #[test]
    fn active_pods_never_exceed_replicas_and_settle_on_them(
        acts in prop::collection::vec(act(), 1..40),
        how in prop::sample::select(vec![
            ReadYourWrites::Barrier,
            ReadYourWrites::Expectations,
        ]),
    ) {
        let mut tank = Tank::reading(how, Guards::default());
        let web = tank.create(KindId::ReplicaSet, replica_set("web", 2));
        // The window of C1: replicas wished for while the controller's view of the set is held.
        let mut window = vec![2];
        let mut wish = 2;
        // A pod that fails unseen is still counted: no controller can know.
        let mut failures = 0;
        for act in acts {
            if let Act::Scale(replicas) = act {
                wish = replicas;
                window.push(replicas);
            }
            let before = tank.active_pods().len();
            let failed = matches!(act, Act::FailPod);
            failures += i64::from(failed);
            perform(&mut tank, &web, act);
            let (most, least) = (*window.iter().max().unwrap(), *window.iter().min().unwrap());
            let active = tank.active_pods().len();
            prop_assert!(active as i64 <= most, "{active} pods, {window:?} wished");
            if active < before && !failed {
                let floor = least - failures;
                prop_assert!(active as i64 >= floor, "down to {active} of {window:?}");
            }
        }
        tank.held.clear();
        tank.converge();
        tank.pass(Duration::from_secs(1200));
        prop_assert_eq!(tank.active_pods().len() as i64, wish);
        let set = tank.server.get(KindId::ReplicaSet, &web).unwrap();
        prop_assert_eq!(set["status"]["replicas"].as_i64(), Some(wish));
    }
}
