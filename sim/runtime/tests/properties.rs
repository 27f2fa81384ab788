//! Invariants of pods under random orders of creates, deletes, faults and kubelet restarts.
//!
//! P4, P5, P6, P9, P12 and P14 of the catalogue, each with a test of its name. The truth is the
//! runtime's, not the kubelet's.
//!
//! Book: `book/src/node/pod-lifecycle.md`.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::rig::Rig;
use crate::runtime::instance::{End, Instance};

/// One thing that happens to the node.
#[derive(Clone, Debug)]
enum Event {
    Create { name: u8, shape: u8, script: u8 },
    Delete { name: u8, grace: u8 },
    Force { name: u8 },
    Restart,
    Kill { nth: u8, oom: bool },
    Break { name: u8 },
    Wait { seconds: u8 },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..2u8, 0..6u8, 0..8u8)
            .prop_map(|(name, shape, script)| Event::Create { name, shape, script }),
        3 => (0..2u8, 1..40u8).prop_map(|(name, grace)| Event::Delete { name, grace }),
        1 => (0..2u8).prop_map(|name| Event::Force { name }),
        1 => Just(Event::Restart),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(nth, oom)| Event::Kill { nth, oom }),
        1 => (0..2u8).prop_map(|name| Event::Break { name }),
        4 => (0..45u8).prop_map(|seconds| Event::Wait { seconds }),
    ]
}

fn spec(shape: u8) -> Value {
    let app = |name: &str| json!({"name": name, "image": "i"});
    let policy = ["Always", "OnFailure", "Never"][usize::from(shape % 3)];
    let init = match shape / 3 {
        0 => json!([]),
        _ => json!([app("init-a"), {"name": "side", "image": "i", "restartPolicy": "Always"},
                    app("init-b")]),
    };
    let mut web = app("web");
    if shape == 4 {
        web["lifecycle"] = json!({"preStop": {"sleep": {"seconds": 7}}});
    }
    json!({"restartPolicy": policy, "initContainers": init, "containers": [web, app("log")]})
}

fn script(script: u8) -> Value {
    match script {
        0 => json!({"sim.wavetank.dev/exit-after.web": "4s"}),
        1 => json!({"sim.wavetank.dev/crash.web": "2x3s"}),
        2 | 6 => json!({"sim.wavetank.dev/stop-time": "25s"}),
        3 => json!({"sim.wavetank.dev/crash.init-b": "1x500ms"}),
        4 => json!({"sim.wavetank.dev/exit-after": "6s", "sim.wavetank.dev/exit-code.log": "3"}),
        5 => json!({"sim.wavetank.dev/start-time": "3s", "sim.wavetank.dev/pull-time": "2s"}),
        _ => json!({}),
    }
}

/// Lets the events happen, with `check` after every step of the kubelet.
fn history(seed: u64, events: &[Event], check: fn(&Rig)) -> Rig {
    let mut rig = Rig::new(seed);
    rig.check = check;
    for event in events {
        happen(&mut rig, event);
    }
    rig.run_secs(60);
    rig
}

fn happen(rig: &mut Rig, event: &Event) {
    let name = |n: &u8| format!("p{n}");
    let there = |rig: &Rig, n: &u8| rig.api.pods.contains_key(&name(n));
    match event {
        Event::Create {
            name: n,
            shape,
            script: s,
        } if !there(rig, n) => {
            rig.create(&name(n), spec(*shape), script(*s));
        }
        Event::Delete { name: n, grace } if there(rig, n) => {
            rig.delete(&name(n), u64::from(*grace));
        }
        Event::Force { name: n } if there(rig, n) => rig.delete(&name(n), 0),
        Event::Restart => rig.restart_kubelet(),
        Event::Kill { nth, oom } => {
            let running = rig
                .runtime
                .instances()
                .filter(|(_, _, i)| i.running_since().is_some());
            let ids: Vec<_> = running.map(|(id, ..)| id.clone()).collect();
            if let Some(id) = ids.get(usize::from(*nth) % ids.len().max(1)) {
                let end = if *oom {
                    End::out_of_memory()
                } else {
                    End::with(1)
                };
                rig.runtime.kill(id, end, rig.now);
            }
        }
        Event::Break { name: n } if there(rig, n) => {
            let uid = rig.uid(&name(n));
            rig.runtime.break_sandbox(&uid, rig.now);
            rig.broken.insert(uid);
        }
        Event::Wait { seconds } => rig.run_secs(u64::from(*seconds)),
        _ => {}
    }
    rig.run(core::time::Duration::from_millis(1500));
}

/// All statuses of one pod, in order.
fn by_pod(rig: &Rig) -> BTreeMap<&str, Vec<&Value>> {
    let mut all: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for (uid, status) in &rig.api.statuses {
        all.entry(uid).or_default().push(status);
    }
    all
}

/// Pairs of consecutive statuses of the same container, with its name.
fn container_steps<'a>(statuses: &[&'a Value]) -> Vec<(&'a str, &'a Value, &'a Value)> {
    let mut steps = Vec::new();
    for pair in statuses.windows(2) {
        for list in ["initContainerStatuses", "containerStatuses"] {
            let of = |status: &'a Value| status[list].as_array().map_or(&[][..], |l| l);
            for (old, new) in of(pair[0]).iter().zip(of(pair[1])) {
                steps.push((old["name"].as_str().unwrap(), old, new));
            }
        }
    }
    steps
}

fn rank(phase: &Value) -> u8 {
    match phase.as_str() {
        Some("Pending") => 0,
        Some("Running") => 1,
        _ => 2,
    }
}

/// When an app container runs, each init container's latest instance must have ended with 0.
fn init_before_app(rig: &Rig) {
    let mut latest: BTreeMap<(&str, &str), &Instance> = BTreeMap::new();
    for (_, uid, instance) in rig.runtime.instances() {
        let key = (&*uid.0, &*instance.config.metadata.name);
        let entry = latest.entry(key).or_insert(instance);
        if instance.config.metadata.attempt > entry.config.metadata.attempt {
            *entry = instance;
        }
    }
    for ((uid, name), instance) in &latest {
        if !["web", "log"].contains(name) || instance.running_since().is_none() {
            continue;
        }
        for init in ["init-a", "init-b"] {
            if let Some(init) = latest.get(&(*uid, init)) {
                let code = init.ended.map(|(_, end)| end.code);
                assert_eq!(
                    code,
                    Some(0),
                    "{name} of {uid} runs before {init:?} has succeeded"
                );
            }
        }
    }
}

/// What was deleted from the API has no container.
fn nothing_runs_after_delete(rig: &Rig) {
    for (uid, name, _) in rig.runtime.running() {
        assert!(
            !rig.api.deleted.iter().any(|d| **d == *uid.0),
            "{name} of {uid} still runs"
        );
    }
}

/// A program that was killed at the end of a delete had its whole grace period.
fn grace_is_kept(rig: &Rig) {
    for (_, uid, instance) in rig.runtime.instances() {
        let Some((at, grace)) = rig
            .deletes
            .get(&*uid.0)
            .filter(|_| !rig.broken.contains(uid))
        else {
            continue;
        };
        let (Some((ended, end)), Some(term)) = (instance.ended, instance.term_at) else {
            continue;
        };
        if end == End::killed() && *grace > 0 && term >= *at {
            let had = ended.since(*at).as_secs();
            assert!(had >= *grace, "{uid}: killed after {had} s of {grace}");
        }
    }
}

fn addresses_differ(rig: &Rig) {
    let mut all: Vec<_> = rig.runtime.pod_ips().map(|(_, ip)| ip).collect();
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count, "two sandboxes have one address");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Pending, Running, then one terminal phase for ever; a container that ended runs again only
    /// with a higher restartCount, and waits only while it shows how it ended.
    #[test]
    fn p4_phases_and_container_states_go_forward_only(
        seed: u64, events in prop::collection::vec(event(), 1..16)
    ) {
        let rig = history(seed, &events, |_| {});
        for (uid, statuses) in by_pod(&rig) {
            for pair in statuses.windows(2) {
                let (old, new) = (&pair[0]["phase"], &pair[1]["phase"]);
                prop_assert!(rank(old) <= rank(new), "{uid}: {old} to {new}");
                prop_assert!(rank(old) < 2 || old == new, "{uid}: {old} to {new}");
            }
            for (name, old, new) in container_steps(&statuses) {
                let same = old["restartCount"] == new["restartCount"];
                if old["state"]["terminated"].is_null() || !same {
                    continue;
                }
                prop_assert!(new["state"]["running"].is_null(), "{uid} {name}: {old} to {new}");
                let shows = !new["lastState"]["terminated"].is_null();
                prop_assert!(new["state"]["waiting"].is_null() || shows, "{uid} {name}: {new}");
            }
        }
    }

    #[test]
    fn p5_restart_counts_never_decrease_and_obey_the_restart_policy(
        seed: u64, events in prop::collection::vec(event(), 1..16)
    ) {
        let rig = history(seed, &events, |_| {});
        for (uid, statuses) in by_pod(&rig) {
            let pod = rig.api.pods.values().find(|p| p["metadata"]["uid"] == uid);
            let policy = pod.map(|p| p["spec"]["restartPolicy"].clone());
            for (name, old, new) in container_steps(&statuses) {
                let count = |s: &Value| s["restartCount"].as_u64().unwrap();
                prop_assert!(count(old) <= count(new), "{uid} {name}: {old} to {new}");
                let is_app = ["web", "log"].contains(&name);
                let restarted = is_app && count(old) < count(new);
                let done = old["state"]["terminated"]["exitCode"] == 0;
                let policy = policy.as_ref().and_then(Value::as_str);
                // What was made and never ran, because the kubelet died between, is made again
                // under each policy (kuberuntime_manager.go, ShouldContainerBeRestarted).
                let waited = old["state"]["waiting"].is_object();
                let ran = !waited || new["lastState"]["terminated"].is_object();
                let restarted_after_a_run = restarted && ran;
                prop_assert!(!(restarted_after_a_run && policy == Some("Never")), "{uid} {name}");
                prop_assert!(!(restarted && done && policy == Some("OnFailure")), "{uid} {name}");
            }
        }
    }

    /// But for a pull that a dead kubelet left to the runtime.
    #[test]
    fn at_most_one_image_is_pulled_at_a_time(
        seed: u64, events in prop::collection::vec(event(), 1..16)
    ) {
        let events: Vec<_> = events.into_iter().filter(|e| !matches!(e, Event::Restart)).collect();
        history(seed, &events, |rig| assert!(rig.runtime.pulls() <= 1));
    }

    #[test]
    fn p6_no_container_of_a_pod_runs_when_its_object_is_deleted(
        seed: u64, events in prop::collection::vec(event(), 1..16)
    ) {
        history(seed, &events, nothing_runs_after_delete);
    }

    #[test]
    fn p9_app_containers_start_after_all_init_containers_have_succeeded(
        seed: u64, events in prop::collection::vec(event(), 1..16)
    ) {
        history(seed, &events, init_before_app);
    }

    #[test]
    fn p12_no_two_sandboxes_have_one_address(
        seed: u64, events in prop::collection::vec(event(), 1..16)
    ) {
        history(seed, &events, addresses_differ);
    }

    #[test]
    fn p14_sigkill_is_not_sent_before_the_grace_period_is_over(
        seed: u64, events in prop::collection::vec(event(), 1..16)
    ) {
        history(seed, &events, grace_is_kept);
    }

    /// Whatever happened, at the end everything that was deleted is gone.
    #[test]
    fn what_was_deleted_is_gone_in_the_end(
        seed: u64, events in prop::collection::vec(event(), 1..16)
    ) {
        let rig = history(seed, &events, |_| {});
        for uid in rig.deletes.keys() {
            let left = rig.runtime.instances().any(|(_, of, _)| *of.0 == **uid);
            prop_assert!(!left, "{uid} has containers left");
            let known = rig.api.pods.values().any(|pod| pod["metadata"]["uid"] == **uid);
            prop_assert!(!known, "{uid} is still there");
        }
    }
}

/// Both count their calls from one: an answer to a dead kubelet's `StartContainer` once passed for
/// that to the next one's status, which then waited for ever.
#[test]
fn a_kubelet_does_not_hear_the_answers_to_the_one_before() {
    let events = [
        Event::Create {
            name: 1,
            shape: 0,
            script: 5,
        },
        Event::Wait { seconds: 0 },
        Event::Wait { seconds: 0 },
        Event::Restart,
        Event::Wait { seconds: 0 },
        Event::Delete { name: 1, grace: 26 },
    ];
    let rig = history(0, &events, |_| {});
    assert_eq!(rig.runtime.instances().count(), 0);
    assert!(rig.api.pods.is_empty());
}
