//! Each guard of the kubelet: with it the bug cannot happen, without it this schedule shows it.
//!
//! Book: `book/src/node/kubelet.md`.

use serde_json::{Value, json};

use wavetank_informer::{Guard, Guards};
use wavetank_kubelet::Config;

use super::rig::{Rig, config};

fn big() -> Value {
    let resources = json!({"requests": {"cpu": "3"}});
    json!({"containers": [{"name": "web", "image": "i", "resources": resources}]})
}

/// Whether the schedule shows the bug with all guards, and without this one.
fn shows(schedule: fn(Guards) -> bool, guard: Guard) -> (bool, bool) {
    (
        schedule(Guards::default()),
        schedule(Guards::without(&[guard])),
    )
}

fn rig(guards: Guards) -> Rig {
    let config = Config { guards, ..config() };
    let mut rig = Rig::with(config, 7);
    rig.run_secs(1);
    rig
}

#[test]
fn without_m64_a_node_is_overcommitted() {
    let schedule = |guards| {
        let mut rig = rig(guards);
        rig.create("a", big(), json!({}));
        rig.create("b", big(), json!({}));
        rig.run_secs(10);
        rig.running().len() == 2
    };
    assert_eq!(shows(schedule, Guard::M64), (false, true));
}

#[test]
fn without_m65_resources_are_given_away_before_they_are_free() {
    let schedule = |guards| {
        let mut rig = rig(guards);
        rig.create("a", big(), json!({"sim.wavetank.dev/stop-time": "20s"}));
        rig.run_secs(10);
        rig.delete("a", 30);
        rig.create("b", big(), json!({}));
        rig.run_secs(10);
        rig.running().len() == 2
    };
    assert_eq!(shows(schedule, Guard::M65), (false, true));
}

#[test]
fn without_m67_the_status_of_a_dead_pod_lands_on_its_namesake() {
    let schedule = |guards| {
        let mut rig = rig(guards);
        rig.create(
            "web-0",
            big(),
            json!({"sim.wavetank.dev/exit-after": "15s"}),
        );
        rig.run_secs(10);
        rig.api.is_held = true;
        rig.delete("web-0", 0);
        rig.create("web-0", big(), json!({}));
        let uid = rig.uid("web-0").0;
        rig.run_secs(10);
        rig.api.statuses.iter().any(|(of, _)| **of == *uid)
    };
    assert_eq!(shows(schedule, Guard::M67), (false, true));
}

#[test]
fn without_m68_a_pod_that_is_done_runs_again_when_the_runtime_forgets_it() {
    let schedule = |guards| {
        let mut rig = rig(guards);
        let mut spec = big();
        spec["restartPolicy"] = json!("Never");
        rig.create("job", spec, json!({"sim.wavetank.dev/exit-after": "2s"}));
        rig.run_secs(10);
        assert_eq!(rig.phase("job"), "Succeeded");
        rig.forget_containers();
        rig.restart_kubelet();
        rig.run_secs(2);
        rig.phase("job") != "Succeeded"
    };
    assert_eq!(shows(schedule, Guard::M68), (false, true));
}

#[test]
fn without_m69_a_pod_is_deleted_while_its_container_still_stops() {
    let schedule = |guards| {
        let mut rig = rig(guards);
        rig.create("web-0", big(), json!({"sim.wavetank.dev/stop-time": "20s"}));
        rig.run_secs(10);
        rig.delete("web-0", 30);
        rig.run_secs(5);
        rig.api.pods.is_empty() && rig.running().len() == 1
    };
    assert_eq!(shows(schedule, Guard::M69), (false, true));
}
