//! Pods as a whole: defaults, refusals, updates, rows.
//!
//! Book: `book/src/control-plane/kinds.md`.

use wavetank_api::Time;
use wavetank_api::json::{Value, json};

use super::STRATEGY;
use crate::strategy::{Context, DeleteOptions, Grace};

fn pod(spec: Value) -> Value {
    let mut pod = json!({"metadata": {"name": "web-0", "namespace": "default"}, "spec": spec});
    let context = Context {
        now: Time::EPOCH,
        namespace: "default",
        user: "admin",
        dry_run: false,
    };
    (STRATEGY.default)(&mut pod);
    (STRATEGY.prepare_create)(&mut pod, &context);
    pod
}

fn one_container(container: Value) -> Value {
    let mut all = json!({"name": "web", "image": "nginx:1"});
    for (key, value) in container.as_object().unwrap() {
        all[key] = value.clone();
    }
    pod(json!({"containers": [all]}))
}

#[test]
fn a_small_pod_gets_upstreams_defaults() {
    let mut pod = pod(json!({"containers": [{"name": "web", "image": "nginx",
        "resources": {"limits": {"cpu": "0.5"}},
        "livenessProbe": {"httpGet": {"port": 80}}}],
        "volumes": [{"name": "a"}, {"name": "b", "secret": {"secretName": "s"}}]}));
    let spec = pod["spec"].take();
    assert_eq!(
        spec,
        json!({"containers": [{"name": "web", "image": "nginx", "imagePullPolicy": "Always",
            "resources": {"limits": {"cpu": "500m"}, "requests": {"cpu": "500m"}},
            "livenessProbe": {"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
                "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1,
                "failureThreshold": 3},
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}],
            "dnsPolicy": "ClusterFirst", "enableServiceLinks": true, "restartPolicy": "Always",
            "schedulerName": "default-scheduler", "securityContext": {},
            "terminationGracePeriodSeconds": 30,
            "volumes": [{"name": "a", "emptyDir": {}},
                {"name": "b", "secret": {"secretName": "s", "defaultMode": 420}}]})
    );
    assert_eq!(
        pod["status"],
        json!({"phase": "Pending", "qosClass": "Burstable"})
    );
}

#[test]
fn bad_pods_are_refused_in_upstreams_words() {
    for (pod, expected) in [
        (pod(json!({})), "spec.containers: Required value"),
        (
            pod(json!({"containers": [{}]})),
            "[spec.containers[0].name: Required value, spec.containers[0].image: Required value]",
        ),
        (
            pod(json!({"containers": [{"name": "a", "image": "i"}, {"name": "a", "image": "i"}]})),
            "spec.containers[1].name: Duplicate value: \"a\"",
        ),
        (
            one_container(json!({"volumeMounts": [{"name": "data", "mountPath": "/data"}]})),
            "spec.containers[0].volumeMounts[0].name: Not found: \"data\"",
        ),
        (
            one_container(json!({"ports": [{"containerPort": 70000}]})),
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 \
             and 65535, inclusive",
        ),
        (
            one_container(json!({"imagePullPolicy": "Sometimes"})),
            "spec.containers[0].imagePullPolicy: Unsupported value: \"Sometimes\": supported \
             values: \"Always\", \"IfNotPresent\", \"Never\"",
        ),
        (
            one_container(json!({"restartPolicy": "Always"})),
            "spec.containers[0].restartPolicy: Forbidden: may not be set for non-init containers",
        ),
        (
            one_container(json!({"image": " nginx"})),
            "spec.containers[0].image: Invalid value: \" nginx\": must not have leading or \
             trailing whitespace",
        ),
        (
            pod(json!({"containers": [{"name": "a", "image": "i"}],
                "initContainers": [{"name": "a", "image": "i",
                    "livenessProbe": {"exec": {"command": ["true"]}}}]})),
            "[spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers \
             without restartPolicy=Always, spec.initContainers[0].name: Duplicate value: \"a\"]",
        ),
        (
            pod(json!({"containers": [{"name": "a", "image": "i"}],
                "volumes": [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/x"}}]})),
            "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
        ),
        (
            pod(
                json!({"containers": [{"name": "a", "image": "i"}], "restartPolicy": "Maybe",
                "activeDeadlineSeconds": 0}),
            ),
            "[spec.restartPolicy: Unsupported value: \"Maybe\": supported values: \"Always\", \
             \"OnFailure\", \"Never\", \
             spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, \
             inclusive]",
        ),
        (
            one_container(json!({"securityContext": {"privileged": true,
                "allowPrivilegeEscalation": false}})),
            "spec.containers[0].securityContext: Invalid value: \
             {\"allowPrivilegeEscalation\":false,\"privileged\":true}: cannot set \
             `allowPrivilegeEscalation` to false and `privileged` to true",
        ),
    ] {
        assert_eq!((STRATEGY.validate)(&pod).to_string(), expected);
    }
    assert_eq!(
        (STRATEGY.validate)(&one_container(json!({}))).to_string(),
        "[]"
    );
}

#[test]
fn only_a_few_fields_of_a_pod_change() {
    let old = one_container(json!({}));
    let change = |edit: &dyn Fn(&mut Value)| {
        let mut new = old.clone();
        edit(&mut new["spec"]);
        (STRATEGY.validate_update)(&new, &old).to_string()
    };
    assert_eq!(
        change(&|spec| spec["containers"][0]["image"] = json!("nginx:2")),
        "[]"
    );
    assert_eq!(
        change(&|spec| spec["tolerations"] = json!([{"operator": "Exists"}])),
        "[]"
    );
    assert_eq!(
        change(&|spec| spec["activeDeadlineSeconds"] = json!(5)),
        "[]"
    );
    let refused = change(&|spec| spec["nodeName"] = json!("n1"));
    assert_eq!(
        refused,
        "spec: Forbidden: pod updates may not change fields other than \
         `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
         `spec.tolerations` (only additions to existing tolerations),\
         `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously \
         negative)\n- \tnodeName: nil\n+ \tnodeName: \"n1\"\n"
    );
    assert_eq!(
        change(&|spec| spec["containers"] = json!([])),
        "[spec.containers: Required value, \
         spec.containers: Forbidden: pod updates may not add or remove containers]"
    );
}

#[test]
fn gates_are_removed_and_never_added() {
    let old = pod(json!({"containers": [{"name": "a", "image": "i"}],
        "schedulingGates": [{"name": "a"}], "nodeSelector": {"zone": "z1"}}));
    let mut new = old.clone();
    new["spec"]["schedulingGates"] = json!([{"name": "b"}]);
    assert_eq!(
        (STRATEGY.validate_update)(&new, &old).to_string(),
        "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new \
         scheduling gate 'b'"
    );
    new["spec"]["schedulingGates"] = json!([]);
    new["spec"]["nodeSelector"] = json!({"zone": "z1", "disk": "fast"});
    assert_eq!((STRATEGY.validate_update)(&new, &old).to_string(), "[]");
    new["spec"]["nodeSelector"] = json!({"zone": "z2"});
    assert_eq!(
        (STRATEGY.validate_update)(&new, &old).to_string(),
        "spec.nodeSelector: Invalid value: {\"zone\":\"z2\"}: only additions to spec.nodeSelector \
         are allowed (no mutations or deletions)"
    );
}

#[test]
fn what_has_ended_stays_ended() {
    let status = |state: Value| {
        let mut pod = one_container(json!({}));
        pod["spec"]["restartPolicy"] = json!("Never");
        pod["status"]["containerStatuses"] = json!([{"name": "web", "state": state}]);
        pod
    };
    let old = status(json!({"terminated": {"exitCode": 1}}));
    assert_eq!(
        (STRATEGY.validate_status)(&status(json!({"running": {}})), &old).to_string(),
        "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated \
         state"
    );
    assert!((STRATEGY.validate_status)(&old, &old).is_empty());
}

#[test]
fn a_pod_that_runs_gets_its_grace_period() {
    let mut pod = one_container(json!({}));
    let ask = |pod: &Value, seconds| {
        let options = DeleteOptions {
            grace_period_seconds: seconds,
            ..DeleteOptions::default()
        };
        (STRATEGY.graceful)(pod, &options)
    };
    assert_eq!(ask(&pod, None), Grace::Immediate);
    pod["spec"]["nodeName"] = json!("n1");
    assert_eq!(ask(&pod, None), Grace::Seconds(30));
    assert_eq!(ask(&pod, Some(5)), Grace::Seconds(5));
    assert_eq!(ask(&pod, Some(0)), Grace::Immediate);
    assert_eq!(ask(&pod, Some(-1)), Grace::Seconds(1));
    pod["status"]["phase"] = json!("Failed");
    assert_eq!(ask(&pod, None), Grace::Immediate);
}

#[test]
fn rows_tell_what_the_containers_do() {
    let now = Time::parse("2026-01-02T03:05:00Z").unwrap();
    let shown = |spec: Value, status: Value, deleted: bool| {
        let mut pod = json!({"metadata": {"name": "web-0",
            "creationTimestamp": "2026-01-02T03:00:00Z"}, "spec": spec, "status": status});
        if deleted {
            pod["metadata"]["deletionTimestamp"] = json!("2026-01-02T03:04:00Z");
        }
        let cells = (STRATEGY.row)(&pod, now);
        let texts: Vec<&str> = cells[1..5]
            .iter()
            .map(|cell| cell.as_str().unwrap())
            .collect();
        texts.join(" ")
    };
    let one = json!({"containers": [{"name": "web"}]});
    let with = |state: Value, ready: bool, restarts: i64| {
        json!({"phase": "Running", "containerStatuses": [{"name": "web", "ready": ready,
            "restartCount": restarts, "state": state,
            "lastState": {"terminated": {"finishedAt": "2026-01-02T03:04:50Z"}}}]})
    };
    let init = json!({"containers": [{"name": "web"}],
        "initContainers": [{"name": "a"}, {"name": "side", "restartPolicy": "Always"}]});
    let init_status = |first: Value| {
        json!({"phase": "Pending", "initContainerStatuses": [
            {"name": "a", "state": first}, {"name": "side", "state": {"waiting": {}}}]})
    };
    let running = json!({"running": {}});
    for (text, expected) in [
        (
            shown(one.clone(), json!({"phase": "Pending"}), false),
            "0/1 Pending 0 5m",
        ),
        (
            shown(one.clone(), with(running.clone(), true, 0), false),
            "1/1 Running 0 5m",
        ),
        (
            shown(one.clone(), with(running.clone(), true, 2), false),
            "1/1 Running 2 (10s ago) 5m",
        ),
        (
            shown(
                one.clone(),
                with(json!({"waiting": {"reason": "CrashLoopBackOff"}}), false, 2),
                false,
            ),
            "0/1 CrashLoopBackOff 2 (10s ago) 5m",
        ),
        (
            shown(
                one.clone(),
                with(json!({"terminated": {"reason": "Completed"}}), false, 0),
                false,
            ),
            "0/1 Completed 0 5m",
        ),
        (
            shown(
                one.clone(),
                with(json!({"terminated": {"signal": 9}}), false, 0),
                false,
            ),
            "0/1 Signal:9 0 5m",
        ),
        (
            shown(one.clone(), with(running, true, 0), true),
            "1/1 Terminating 0 5m",
        ),
        (
            shown(
                one,
                json!({"phase": "Pending", "conditions": [{"type": "PodScheduled",
                "status": "False", "reason": "SchedulingGated"}]}),
                false,
            ),
            "0/1 SchedulingGated 0 5m",
        ),
        (
            shown(init.clone(), init_status(json!({"running": {}})), false),
            "0/2 Init:0/2 0 5m",
        ),
        (
            shown(
                init.clone(),
                init_status(json!({"terminated": {"exitCode": 0}})),
                false,
            ),
            "0/2 Init:1/2 0 5m",
        ),
        (
            shown(
                init,
                init_status(json!({"terminated": {"exitCode": 3}})),
                false,
            ),
            "0/2 Init:ExitCode:3 0 5m",
        ),
    ] {
        assert_eq!(text, expected);
    }
}
