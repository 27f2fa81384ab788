//! Objects as the components of a cluster write them.
//!
//! Book: `book/src/benchmarks.md`.

use serde_json::{Value, json};

/// A pod as its ReplicaSet makes it.
pub fn pod() -> Value {
    let tolerates = |key: &str| {
        let (operator, effect) = ("Exists", "NoExecute");
        json!({"key": key, "operator": operator, "effect": effect, "tolerationSeconds": 300})
    };
    let sources = json!([
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [
            {"key": "ca.crt", "path": "ca.crt"},
        ]}},
    ]);
    let mount = "/var/run/secrets/kubernetes.io/serviceaccount";
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "web-0", "namespace": "default", "uid": "u", "generateName": "web-",
            "labels": {"app": "web", "pod-template-hash": "abc"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web",
                "uid": "u2", "controller": true, "blockOwnerDeletion": true}],
        },
        "spec": {
            "containers": [{
                "name": "web", "image": "nginx", "imagePullPolicy": "Always",
                "resources": {"requests": {"cpu": "100m"}}, "terminationMessagePolicy": "File",
                "terminationMessagePath": "/dev/termination-log",
                "volumeMounts": [{"mountPath": mount, "name": "token", "readOnly": true}],
            }],
            "dnsPolicy": "ClusterFirst", "enableServiceLinks": true, "restartPolicy": "Always",
            "schedulerName": "default-scheduler", "securityContext": {}, "nodeName": "n1",
            "serviceAccountName": "default", "terminationGracePeriodSeconds": 30,
            "tolerations": [tolerates("node.kubernetes.io/not-ready"),
                tolerates("node.kubernetes.io/unreachable")],
            "volumes": [
                {"name": "token", "projected": {"defaultMode": 420, "sources": sources}},
            ],
        },
        "status": {"phase": "Pending", "qosClass": "Burstable"},
    })
}

/// Its status once it runs, `ready` being `True` or `False`.
pub fn pod_status(ready: &str) -> Value {
    let at = "2026-01-01T00:00:00Z";
    let condition = |of: &str, status: &str| {
        let probed = Value::Null;
        json!({"type": of, "status": status, "lastProbeTime": probed, "lastTransitionTime": at})
    };
    json!({
        "phase": "Running", "qosClass": "Burstable", "startTime": at,
        "hostIP": "10.0.0.1", "podIP": "10.1.0.5",
        "hostIPs": [{"ip": "10.0.0.1"}], "podIPs": [{"ip": "10.1.0.5"}],
        "conditions": [condition("Initialized", "True"), condition("Ready", ready),
            condition("ContainersReady", ready), condition("PodScheduled", "True")],
        "containerStatuses": [{"name": "web", "ready": ready == "True", "restartCount": 0,
            "image": "nginx", "imageID": "sha256:x", "containerID": "c://x", "started": true,
            "state": {"running": {"startedAt": at}}, "lastState": {}}],
    })
}
