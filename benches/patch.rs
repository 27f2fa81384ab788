//! What a write costs before it reaches the store: patches, and the ledger of field owners.
//!
//! The object is a pod of some 4 kB with two managers, the write a kubelet's status update.
//! `cargo bench -p wavetank-benches --bench patch`.
//!
//! Book: `book/src/control-plane/patch.md`.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};
use wavetank_api::apply::{Writer, apply, reset_fields, track};
use wavetank_api::fields::Set;
use wavetank_api::schema::Schema;
use wavetank_api::{KindId, Time, patch};

fn writer<'a>(manager: &'a str, subresource: &'a str, reset: &'a Set) -> Writer<'a> {
    let schema = Schema::builtin();
    let ty = schema.kind(KindId::Pod);
    let now = Time::from_secs(1);
    Writer {
        manager,
        api_version: "v1",
        kind: "Pod",
        subresource,
        reset,
        now,
        schema,
        ty,
    }
}

/// A pod as its ReplicaSet makes it.
fn pod() -> Value {
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

/// Its status once it runs.
fn status(ready: &str) -> Value {
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

fn benches(c: &mut Criterion) {
    let (main, sub) = (reset_fields(&[&["status"]]), reset_fields(&[&["spec"]]));
    let mut created = pod();
    track(
        None,
        &mut created,
        &writer("kube-controller-manager", "", &main),
    );
    let mut live = created.clone();
    live["status"] = status("False");
    let kubelet = writer("kubelet", "status", &sub);
    track(Some(&created), &mut live, &kubelet);
    let mut changed = live.clone();
    changed["status"] = status("True");

    let mut measure = |name: &str, input: &Value, run: &dyn Fn(Value) -> Value| {
        c.bench_function(name, |bencher| {
            bencher.iter_batched(
                || input.clone(),
                |value| black_box(run(value)),
                BatchSize::SmallInput,
            );
        });
    };
    let tracked = |mut new: Value| {
        track(Some(&live), &mut new, &kubelet);
        new
    };
    measure("track/one condition changed", &changed, &tracked);
    measure("track/nothing changed", &live, &tracked);
    measure("track/create", &pod(), &|mut new| {
        track(
            None,
            &mut new,
            &writer("kube-controller-manager", "", &main),
        );
        new
    });
    let applied = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-0", "labels": {"a": "b"}},
        "spec": {"containers": [{"name": "web", "image": "nginx:2"}]},
    });
    measure("apply/image", &applied, &|applied| {
        apply(Some(&live), &applied, &writer("m", "", &main), true).unwrap_or_default()
    });
    let body = json!({"status": {
        "$setElementOrder/conditions": [{"type": "Initialized"}, {"type": "Ready"},
            {"type": "ContainersReady"}, {"type": "PodScheduled"}],
        "conditions": [{"type": "Ready", "status": "True"}],
    }})
    .to_string();
    measure("strategic merge patch", &live, &|object| {
        let (schema, ty) = (kubelet.schema, kubelet.ty);
        patch::strategic::apply(object, body.as_bytes(), schema, ty).unwrap_or_default()
    });
    let text = live.to_string();
    measure("for comparison/parse", &Value::Null, &|_| {
        serde_json::from_str(&text).unwrap_or_default()
    });
    measure("for comparison/clone", &Value::Null, &|_| live.clone());
}

criterion_group!(all, benches);
criterion_main!(all);
