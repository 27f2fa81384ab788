//! What a write costs before it reaches the store: patches, and the ledger of field owners.
//!
//! The object is a pod of some 4 kB with two managers, the write a kubelet's status update.
//! `cargo bench -p wavetank-benches --bench patch`.
//!
//! Book: `book/src/control-plane/patch.md`.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use wavetank_api::apply::{Writer, apply, reset_fields, track};
use wavetank_api::fields::Set;
use wavetank_api::json::{Value, json};
use wavetank_api::schema::Schema;
use wavetank_api::{KindId, Time, patch};
use wavetank_benches::objects::{pod, pod_status};

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

fn benches(c: &mut Criterion) {
    let (main, sub) = (reset_fields(&[&["status"]]), reset_fields(&[&["spec"]]));
    let mut created = Value::from(pod());
    track(
        None,
        &mut created,
        &writer("kube-controller-manager", "", &main),
    );
    let mut live = created.clone();
    live["status"] = pod_status("False").into();
    let kubelet = writer("kubelet", "status", &sub);
    track(Some(&created), &mut live, &kubelet);
    let mut changed = live.clone();
    changed["status"] = pod_status("True").into();

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
    measure("track/create", &Value::from(pod()), &|mut new| {
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
