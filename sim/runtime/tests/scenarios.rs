//! What a person sees of a pod's life, step by step.
//!
//! Book: `book/src/node/pod-lifecycle.md`.

use serde_json::json;

use super::rig::{Rig, nginx, none};

#[test]
fn a_node_registers_and_its_lease_is_renewed() {
    let mut rig = Rig::new(1);
    rig.run_secs(61);
    let node = rig.api.node.clone().unwrap();
    assert_eq!(node["metadata"]["labels"]["kubernetes.io/hostname"], "n1");
    assert_eq!(node["status"]["allocatable"]["cpu"], "4");
    assert_eq!(
        node["status"]["nodeInfo"]["containerRuntimeVersion"],
        "sim://1.0.0"
    );
    let conditions = node["status"]["conditions"].as_array().unwrap();
    let ready = conditions.iter().find(|c| c["type"] == "Ready").unwrap();
    assert_eq!(
        (&ready["status"], &ready["reason"]),
        (&json!("True"), &json!("KubeletReady"))
    );
    let told: Vec<&str> = rig
        .api
        .events
        .iter()
        .map(|(reason, ..)| &**reason)
        .collect();
    let reasons = [
        "Starting",
        "NodeHasSufficientMemory",
        "NodeHasNoDiskPressure",
        "NodeHasSufficientPID",
        "NodeAllocatableEnforced",
        "NodeReady",
    ];
    assert_eq!(told, reasons);
    let text = "Node n1 status is now: NodeHasNoDiskPressure";
    assert_eq!(rig.events("NodeHasNoDiskPressure"), [text]);
    let lease = rig.api.lease.clone().unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "n1");
    assert!(
        (6..=8).contains(&rig.api.renewals),
        "{} renewals",
        rig.api.renewals
    );
}

#[test]
fn a_bound_pod_becomes_running_and_ready_and_its_delete_takes_it_away() {
    let mut rig = Rig::new(1);
    rig.run_secs(1);
    rig.create("web-0", nginx(), none());
    rig.run_secs(10);
    assert_eq!(rig.phase("web-0"), "Running");
    assert_eq!(rig.condition("web-0", "Ready"), "True");
    assert_eq!(rig.status("web-0")["podIP"], "10.244.1.2");
    assert_eq!(rig.status("web-0")["hostIP"], "192.168.0.11");
    assert_eq!(rig.status("web-0")["qosClass"], "BestEffort");
    let container = &rig.status("web-0")["containerStatuses"][0];
    assert_eq!(
        (&container["ready"], &container["started"]),
        (&json!(true), &json!(true))
    );
    assert!(
        container["containerID"]
            .as_str()
            .unwrap()
            .starts_with("sim://")
    );
    assert!(
        container["imageID"]
            .as_str()
            .unwrap()
            .starts_with("sha256:")
    );
    assert_eq!(rig.running(), ["web"]);
    assert_eq!(rig.events("Pulling"), ["Pulling image \"nginx:1.25\""]);
    assert_eq!(rig.events("Created"), ["Created container: web"]);
    assert_eq!(rig.events("Started"), ["Started container web"]);
    assert_eq!(rig.api.status_patches, 2, "pending, running");

    rig.delete("web-0", 30);
    rig.run_secs(2);
    assert!(rig.api.pods.is_empty());
    assert_eq!(rig.events("Killing"), ["Stopping container web"]);
    assert_eq!(rig.running(), Vec::<String>::new());
    rig.run_secs(1);
    assert_eq!(rig.runtime.pod_ips().count(), 0);
}

#[test]
fn while_a_container_is_made_only_what_probes_find_is_told() {
    let mut rig = Rig::new(1);
    let probe = json!({"httpGet": {"port": 80}, "periodSeconds": 1, "failureThreshold": 1});
    let spec = json!({"containers": [
        {"name": "web", "image": "a", "readinessProbe": probe},
        {"name": "late", "image": "b"},
    ]});
    let script = json!({"sim.wavetank.dev/pull-time": "10s"});
    rig.create("web-0", spec, script);
    rig.run_secs(15); // `web` runs, and `late` is being pulled for
    assert_eq!(rig.running(), ["web"]);
    assert_eq!(rig.api.status_patches, 2, "pending; `web` is ready");
    assert_eq!(rig.status("web-0")["podIP"], "10.244.1.2");
    let ready = |rig: &Rig| {
        let statuses = &rig.status("web-0")["containerStatuses"];
        [0, 1].map(|index| statuses[index]["ready"] == true)
    };
    assert_eq!(ready(&rig), [true, false]);
    rig.run_secs(10);
    assert_eq!(rig.api.status_patches, 3, "`late` runs");
    assert_eq!(ready(&rig), [true, true]);
    assert_eq!(rig.condition("web-0", "Ready"), "True");
}

#[test]
fn images_are_pulled_one_after_the_other() {
    let mut rig = Rig::new(1);
    for name in ["a", "b", "c"] {
        let container = json!({"name": "web", "image": format!("{name}:1")});
        let pull_time = json!({"sim.wavetank.dev/pull-time": "10s"});
        rig.create(name, json!({"containers": [container]}), pull_time);
    }
    rig.run_secs(5);
    assert_eq!(rig.events("Pulling").len(), 3);
    rig.delete("b", 1); // it waits, and gives up its turn
    rig.run_secs(30);
    let size = |name: &str| crate::runtime::images::size_of(name);
    let told = rig.events("Pulled");
    assert_eq!(told.len(), 2, "{told:?}");
    let (a, c) = (size("a:1"), size("c:1"));
    let of_a = "Successfully pulled image \"a:1\" in 10s (10s including waiting). ";
    assert_eq!(told[0], format!("{of_a}Image size: {a} bytes."));
    assert!(
        told[1].starts_with("Successfully pulled image \"c:1\" in 10s ("),
        "{told:?}"
    );
    let ending = format!(" including waiting). Image size: {c} bytes.");
    assert!(
        told[1].ends_with(&ending) && told[1].contains("(19."),
        "{told:?}"
    );
    assert_eq!(rig.phase("c"), "Running");
}

#[test]
fn init_containers_run_one_after_the_other_before_the_app() {
    let mut rig = Rig::new(2);
    let spec = json!({
        "initContainers": [
            {"name": "a", "image": "i"},
            {"name": "side", "image": "i", "restartPolicy": "Always"},
            {"name": "b", "image": "i"},
        ],
        "containers": [{"name": "web", "image": "i"}],
    });
    rig.create(
        "web-0",
        spec,
        json!({"sim.wavetank.dev/exit-after.b": "5s"}),
    );
    rig.run_secs(7);
    assert_eq!(rig.running(), ["b", "side"]);
    assert_eq!(rig.phase("web-0"), "Pending");
    let waiting = &rig.status("web-0")["containerStatuses"][0]["state"]["waiting"];
    assert_eq!(waiting["reason"], "PodInitializing");
    assert_eq!(rig.condition("web-0", "Initialized"), "False");
    rig.run_secs(6);
    assert_eq!(rig.running(), ["side", "web"]);
    assert_eq!(rig.condition("web-0", "Ready"), "True");
    rig.delete("web-0", 30);
    rig.run_secs(3);
    let stopped = rig.events("Killing");
    assert_eq!(
        stopped,
        ["Stopping container web", "Stopping container side"]
    );
    assert!(rig.api.pods.is_empty());
}

#[test]
fn a_crashing_container_is_restarted_with_growing_delays() {
    let mut rig = Rig::new(3);
    rig.create("web-0", nginx(), json!({"sim.wavetank.dev/crash": "1s"}));
    rig.run_secs(8);
    let container = rig.status("web-0")["containerStatuses"][0].clone();
    assert_eq!(container["restartCount"], 1);
    assert_eq!(container["state"]["waiting"]["reason"], "CrashLoopBackOff");
    let text = container["state"]["waiting"]["message"].as_str().unwrap();
    assert!(text.starts_with("back-off 10s restarting failed container=web pod=web-0_default("));
    assert_eq!(container["lastState"]["terminated"]["exitCode"], 1);
    assert_eq!(rig.phase("web-0"), "Running");
    assert_eq!(rig.condition("web-0", "Ready"), "False");
    rig.run_secs(82); // 10 + 20 + 40 and the lives between
    assert_eq!(
        rig.status("web-0")["containerStatuses"][0]["restartCount"],
        4
    );
    rig.run_secs(3600);
    let restarts = rig.status("web-0")["containerStatuses"][0]["restartCount"]
        .as_u64()
        .unwrap();
    assert!(
        (15..=19).contains(&restarts),
        "{restarts} restarts after an hour"
    );
}

#[test]
fn a_pod_that_is_done_is_succeeded_and_one_that_failed_is_failed() {
    let mut rig = Rig::new(4);
    let job = |policy: &str, code: u8| {
        let command = ["sh", "-c", &format!("echo hi; sleep 2; exit {code}")];
        json!({
            "restartPolicy": policy,
            "containers": [{"name": "main", "image": "busybox", "command": command}],
        })
    };
    rig.create("good", job("Never", 0), none());
    rig.create("bad", job("Never", 3), none());
    rig.create("retried", job("OnFailure", 3), none());
    rig.run_secs(15);
    assert_eq!(
        (rig.phase("good"), rig.phase("bad")),
        ("Succeeded", "Failed")
    );
    let ended = &rig.status("bad")["containerStatuses"][0]["state"]["terminated"];
    assert_eq!(
        (&ended["exitCode"], &ended["reason"]),
        (&json!(3), &json!("Error"))
    );
    let ready = &rig.status("good")["conditions"][2];
    assert_eq!(
        (&ready["type"], &ready["reason"]),
        (&json!("Ready"), &json!("PodCompleted"))
    );
    assert_eq!(rig.phase("retried"), "Running");
    assert!(rig.status("retried")["containerStatuses"][0]["restartCount"].as_u64() >= Some(1));
    let id = rig.runtime.find(&rig.uid("good"), "main", false).unwrap();
    let logs = rig.runtime.logs(&id, &Default::default(), rig.now).unwrap();
    assert_eq!(logs, b"hi\n");
}

#[test]
fn an_image_that_cannot_be_pulled_is_tried_again_and_again() {
    let mut rig = Rig::new(5);
    let spec = json!({"containers": [{"name": "web", "image": "registry.invalid/web:1"}]});
    rig.create("web-0", spec, none());
    rig.run_secs(3);
    let waiting = rig.status("web-0")["containerStatuses"][0]["state"]["waiting"].clone();
    assert_eq!(waiting["reason"], "ErrImagePull");
    rig.run_secs(5);
    let waiting = rig.status("web-0")["containerStatuses"][0]["state"]["waiting"].clone();
    assert_eq!(waiting["reason"], "ImagePullBackOff");
    let text = waiting["message"].as_str().unwrap();
    assert!(text.starts_with("Back-off pulling image \"registry.invalid/web:1\": ErrImagePull"));
    assert_eq!(rig.phase("web-0"), "Pending");
    rig.run_secs(60);
    assert!(
        rig.events("Pulling").len() <= 2,
        "repeated events are counted up"
    );
    rig.create(
        "odd",
        json!({"containers": [{"name": "a", "image": "Not/An Image"}]}),
        none(),
    );
    rig.run_secs(2);
    let waiting = &rig.status("odd")["containerStatuses"][0]["state"]["waiting"];
    assert_eq!(waiting["reason"], "InvalidImageName");
}

#[test]
fn probes_make_ready_and_unready_and_restart() {
    let mut rig = Rig::new(6);
    let probe = |path: &str| json!({"httpGet": {"path": path, "port": 80}, "periodSeconds": 5});
    let spec = json!({"containers": [{
        "name": "web",
        "image": "nginx:1.25",
        "readinessProbe": probe("/ready"),
        "livenessProbe": probe("/livez"),
    }]});
    let script = json!({
        "sim.wavetank.dev/ready-after": "8s",
        "sim.wavetank.dev/unready-between": "30s-60s",
        "sim.wavetank.dev/hung-after": "2m",
    });
    rig.create("web-0", spec, script);
    rig.run_secs(8);
    assert_eq!(
        (rig.phase("web-0"), rig.condition("web-0", "Ready")),
        ("Running", "False")
    );
    rig.run_secs(10);
    assert_eq!(rig.condition("web-0", "Ready"), "True");
    rig.run_secs(34);
    assert_eq!(rig.condition("web-0", "Ready"), "False");
    rig.run_secs(20);
    assert_eq!(rig.condition("web-0", "Ready"), "True");
    assert_eq!(
        rig.status("web-0")["containerStatuses"][0]["restartCount"],
        0
    );
    rig.run_secs(90);
    assert_eq!(
        rig.status("web-0")["containerStatuses"][0]["restartCount"],
        1
    );
    let told = rig.events("Killing");
    assert_eq!(
        told,
        ["Container web failed liveness probe, will be restarted"]
    );
    let unhealthy = rig.events("Unhealthy");
    assert!(unhealthy.contains(&"Readiness probe failed: HTTP probe failed with statuscode: 503"));
}

#[test]
fn a_startup_probe_holds_the_others_back() {
    let mut rig = Rig::new(7);
    let spec = json!({"containers": [{
        "name": "web",
        "image": "nginx:1.25",
        "startupProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 2, "failureThreshold": 30},
        "livenessProbe": {"exec": {"command": ["check"]}, "periodSeconds": 1},
        "ports": [{"name": "http", "containerPort": 80}],
    }]});
    rig.create(
        "web-0",
        spec,
        json!({"sim.wavetank.dev/ready-after": "20s"}),
    );
    rig.run_secs(15);
    let container = rig.status("web-0")["containerStatuses"][0].clone();
    assert_eq!(
        (&container["started"], &container["ready"]),
        (&json!(false), &json!(false))
    );
    rig.run_secs(15);
    let container = rig.status("web-0")["containerStatuses"][0].clone();
    assert_eq!(
        (&container["started"], &container["ready"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(container["restartCount"], 0);
}

#[test]
fn a_pod_that_does_not_fit_is_rejected_in_upstreams_words() {
    let mut rig = Rig::new(8);
    let sized = |cpu: &str| {
        let resources = json!({"requests": {"cpu": cpu}});
        json!({"containers": [{"name": "web", "image": "i", "resources": resources}]})
    };
    rig.create("first", sized("3"), none());
    rig.run_secs(5);
    rig.create("second", sized("2"), none());
    rig.run_secs(5);
    assert_eq!(rig.phase("second"), "Failed");
    assert_eq!(rig.status("second")["reason"], "OutOfcpu");
    assert_eq!(
        rig.status("second")["message"],
        "Pod was rejected: Node didn't have enough resource: cpu, requested: 2000, used: 3000, \
         capacity: 4000"
    );
    rig.delete("second", 30);
    rig.run_secs(1);
    assert_eq!(rig.api.pods.len(), 1);
}

#[test]
fn resources_are_held_until_the_containers_are_gone() {
    let mut rig = Rig::new(9);
    let big = json!({"containers": [{
        "name": "web", "image": "i", "resources": {"requests": {"cpu": "3"}},
    }]});
    rig.create(
        "first",
        big.clone(),
        json!({"sim.wavetank.dev/stop-time": "20s"}),
    );
    rig.run_secs(5);
    rig.delete("first", 30);
    rig.run_secs(5);
    rig.create("second", big.clone(), none());
    rig.run_secs(1);
    assert_eq!(rig.phase("second"), "Failed");
    rig.run_secs(20);
    rig.create("third", big, none());
    rig.run_secs(5);
    assert_eq!(rig.phase("third"), "Running");
}

#[test]
fn pre_stop_counts_towards_the_grace_period() {
    let mut rig = Rig::new(10);
    let spec = json!({
        "terminationGracePeriodSeconds": 20,
        "containers": [{
            "name": "web",
            "image": "i",
            "lifecycle": {"preStop": {"exec": {"command": ["sleep", "8"]}}},
        }],
    });
    rig.create("web-0", spec, json!({"sim.wavetank.dev/stop-time": "5m"}));
    rig.run_secs(5);
    let id = rig.runtime.find(&rig.uid("web-0"), "web", false).unwrap();
    let asked = rig.now;
    rig.delete("web-0", 20);
    rig.run_secs(9);
    let term = rig.runtime.instance(&id).unwrap().term_at.unwrap();
    assert_eq!(term.since(asked).as_secs(), 8);
    rig.run(core::time::Duration::from_millis(11_005));
    let (ended, end) = rig.runtime.instance(&id).unwrap().ended.unwrap();
    assert_eq!((ended.since(asked).as_secs(), end.code), (20, 137));
    rig.run_secs(1);
    assert!(rig.api.pods.is_empty());
}

#[test]
fn what_no_pod_asks_for_is_ended() {
    let mut rig = Rig::new(12);
    rig.create("web-0", nginx(), none());
    rig.run_secs(10);
    rig.api.pods.clear();
    rig.restart_kubelet();
    rig.run_secs(5);
    assert_eq!(rig.running(), Vec::<String>::new());
    assert_eq!(rig.runtime.pod_ips().count(), 0);
}

#[test]
fn a_forced_delete_stops_the_containers_though_the_object_is_gone() {
    let mut rig = Rig::new(13);
    rig.create(
        "web-0",
        nginx(),
        json!({"sim.wavetank.dev/stop-time": "1m"}),
    );
    rig.run_secs(10);
    rig.delete("web-0", 0);
    rig.run_secs(4);
    assert_eq!(rig.running(), Vec::<String>::new());
    assert!(rig.api.deleted.is_empty());
}

#[test]
fn a_deadline_fails_the_pod() {
    let mut rig = Rig::new(14);
    let mut spec = nginx();
    spec["activeDeadlineSeconds"] = json!(20);
    rig.create("web-0", spec, none());
    rig.run_secs(19);
    assert_eq!(rig.phase("web-0"), "Running");
    rig.run_secs(3);
    assert_eq!(rig.phase("web-0"), "Failed");
    assert_eq!(rig.status("web-0")["reason"], "DeadlineExceeded");
}

#[test]
fn a_broken_sandbox_is_made_anew_with_its_containers() {
    let mut rig = Rig::new(15);
    rig.create("web-0", nginx(), none());
    rig.run_secs(10);
    assert!(rig.runtime.break_sandbox(&rig.uid("web-0"), rig.now));
    rig.run_secs(15);
    assert_eq!(rig.condition("web-0", "Ready"), "True");
    assert_eq!(rig.status("web-0")["podIP"], "10.244.1.3");
    assert_eq!(
        rig.status("web-0")["containerStatuses"][0]["restartCount"],
        1
    );
    assert_eq!(rig.runtime.pod_ips().count(), 1);
}

#[test]
fn a_pod_of_the_same_name_is_another_pod() {
    let mut rig = Rig::new(16);
    rig.create(
        "web-0",
        nginx(),
        json!({"sim.wavetank.dev/stop-time": "10s"}),
    );
    rig.run_secs(10);
    rig.delete("web-0", 0);
    rig.create("web-0", nginx(), none());
    rig.run_secs(20);
    assert_eq!(rig.condition("web-0", "Ready"), "True");
    assert!(
        rig.api.deleted.is_empty(),
        "the end of the first may not delete the second"
    );
    assert_eq!(rig.running(), ["web"]);
}

#[test]
fn the_address_of_a_host_network_pod_is_the_nodes() {
    let mut rig = Rig::new(17);
    let mut spec = nginx();
    spec["hostNetwork"] = json!(true);
    rig.create("web-0", spec, none());
    rig.run_secs(10);
    assert_eq!(rig.status("web-0")["podIP"], "192.168.0.11");
}

#[test]
fn an_end_that_nobody_told_of_is_found_within_five_minutes() {
    let mut rig = Rig::new(18);
    rig.create("web-0", nginx(), none());
    rig.run_secs(10);
    rig.are_events_lost = true;
    let id = rig.runtime.find(&rig.uid("web-0"), "web", false).unwrap();
    rig.runtime
        .kill(&id, crate::runtime::instance::End::with(1), rig.now);
    rig.run_secs(60);
    assert_eq!(rig.running(), Vec::<String>::new());
    rig.run_secs(240);
    assert_eq!(rig.running(), ["web"]);
    assert_eq!(
        rig.status("web-0")["containerStatuses"][0]["restartCount"],
        1
    );
}
