//! What a person may do to a cluster: the workload that chance writes.
//!
//! Book: `book/src/simulator/search.md`.

use core::time::Duration;

use serde_json::json;
use wavetank_api::json::Value;

use super::Draft;
use crate::scenario::{Action, Deletion, Patch, Recreation};

const SETS: &str = "replicasets.apps/";
const DEPLOYMENTS: &str = "deployments.apps/";
const PODS: &str = "pods/";

impl Draft {
    fn create(&mut self, at: Duration, name: &str, manifest: serde_json::Value) {
        if self.made.iter().any(|made| made == name) {
            return;
        }
        self.made.push(name.to_owned());
        self.add(at, Action::Create(vec![value(manifest)]));
    }

    fn patch(&mut self, at: Duration, object: String, merge: serde_json::Value) {
        let merge = value(merge);
        let subresource = None;
        self.add(
            at,
            Action::Patch(Patch {
                object,
                merge,
                subresource,
            }),
        );
    }

    fn delete(&mut self, at: Duration, object: String) {
        let policies = [
            None,
            None,
            Some("Background"),
            Some("Foreground"),
            Some("Orphan"),
        ];
        let propagation = self.pick(&policies).map(str::to_owned);
        let grace = match self.chance.below(4) {
            0 => Some(0),
            _ => None,
        };
        self.add(
            at,
            Action::Delete(Deletion {
                object,
                grace,
                propagation,
            }),
        );
    }

    /// The template of a pod: what it asks for, and how its program behaves.
    fn template(&mut self, labels: &serde_json::Value, image: &str) -> serde_json::Value {
        let cpu = *self.pick(&["100m", "500m", "1500m"]);
        let script = match self.chance.below(6) {
            0 => json!({"sim.wavetank.dev/stop-time": "20s"}),
            1 => json!({"sim.wavetank.dev/ready-after": "4s"}),
            _ => json!({}),
        };
        json!({
            "metadata": {"labels": labels, "annotations": script},
            "spec": {
                "terminationGracePeriodSeconds": *self.pick(&[1, 5, 30]),
                "containers": [{
                    "name": "c",
                    "image": image,
                    "resources": {"requests": {"cpu": cpu, "memory": "64Mi"}},
                }],
            },
        })
    }
}

fn value(json: serde_json::Value) -> Value {
    Value::from(json)
}

/// A ReplicaSet of up to four pods.
pub(crate) fn replica_set(draft: &mut Draft, at: Duration) {
    let name = *draft.pick(&["web", "api"]);
    let replicas = 1 + draft.chance.below(4);
    let labels = json!({"app": name});
    let template = draft.template(&labels, "web:1");
    let manifest = json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": template,
        },
    });
    draft.create(at, &format!("{SETS}default/{name}"), manifest);
}

/// A Deployment of up to four pods, with any of the usual strategies.
pub(crate) fn deployment(draft: &mut Draft, at: Duration) {
    let name = *draft.pick(&["web", "api"]);
    let replicas = 1 + draft.chance.below(4);
    let labels = json!({"app": name, "tier": "front"});
    let template = draft.template(&labels, "web:1");
    let strategies = [
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}),
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}),
        json!({"type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": "0%", "maxUnavailable": "25%"}}),
        json!({"type": "Recreate"}),
        json!({}),
    ];
    let manifest = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": draft.chance.below(3),
            "selector": {"matchLabels": {"app": name, "tier": "front"}},
            "strategy": draft.pick(&strategies).clone(),
            "template": template,
        },
    });
    draft.create(at, &format!("{DEPLOYMENTS}default/{name}"), manifest);
}

/// More or fewer replicas.
pub(crate) fn scale(draft: &mut Draft, at: Duration) {
    let kind = *draft.pick(&[SETS, DEPLOYMENTS]);
    let Some(object) = draft.pick_made(kind).or_else(|| draft.pick_made(SETS)) else {
        return replica_set(draft, at);
    };
    let replicas = draft.chance.below(5);
    draft.patch(at, object, json!({"spec": {"replicas": replicas}}));
}

/// A change that asks for nothing: the controller looks again.
pub(crate) fn touch(draft: &mut Draft, at: Duration) {
    let Some(object) = draft
        .pick_made(SETS)
        .or_else(|| draft.pick_made(DEPLOYMENTS))
    else {
        return replica_set(draft, at);
    };
    let stamp = draft.chance.below(1000).to_string();
    draft.patch(
        at,
        object,
        json!({"metadata": {"annotations": {"touched": stamp}}}),
    );
}

/// A new template, or an old one again.
pub(crate) fn roll(draft: &mut Draft, at: Duration) {
    let Some(object) = draft.pick_made(DEPLOYMENTS) else {
        return deployment(draft, at);
    };
    let image = *draft.pick(&["web:1", "web:2", "web:3"]);
    let merge = json!({"spec": {"template": {"spec": {"containers": [{
        "name": "c", "image": image,
        "resources": {"requests": {"cpu": "500m"}},
    }]}}}});
    draft.patch(at, object, merge);
}

/// One of the pods of a workload is deleted.
pub(crate) fn delete_pod(draft: &mut Draft, at: Duration) {
    let pods = ["pods/default/web-*", "pods/default/api-*"];
    let object = (*draft.pick(&pods)).to_owned();
    draft.delete(at, object);
}

/// One of the pods of a workload no longer belongs to it, or belongs to it again.
pub(crate) fn relabel_pod(draft: &mut Draft, at: Duration) {
    let pods = ["pods/default/web-*", "pods/default/api-*"];
    let object = (*draft.pick(&pods)).to_owned();
    let app = *draft.pick(&["web", "api", "none"]);
    draft.patch(at, object, json!({"metadata": {"labels": {"app": app}}}));
}

/// A workload is deleted, its pods with it or not.
pub(crate) fn delete_workload(draft: &mut Draft, at: Duration) {
    let kind = *draft.pick(&[SETS, DEPLOYMENTS]);
    let Some(object) = draft.pick_made(kind).or_else(|| draft.pick_made(SETS)) else {
        return;
    };
    draft.delete(at, object);
}

/// A workload is replaced by one of its name.
pub(crate) fn recreate_workload(draft: &mut Draft, at: Duration) {
    let kind = *draft.pick(&[SETS, DEPLOYMENTS]);
    let Some(object) = draft.pick_made(kind).or_else(|| draft.pick_made(SETS)) else {
        return;
    };
    let (grace, merge) = (None, Value::Null);
    draft.add(
        at,
        Action::Recreate(Recreation {
            object,
            grace,
            merge,
        }),
    );
}

/// A pod of its own, with a fixed name as a StatefulSet's have.
pub(crate) fn pod(draft: &mut Draft, at: Duration) {
    let name = *draft.pick(&["db-0", "db-1", "job-0", "big-0", "big-1"]);
    let labels = json!({"app": "db"});
    let mut template = draft.template(&labels, "db:1");
    let cpu = match name.starts_with("big") {
        true => "1800m",
        false => *draft.pick(&["500m", "1", "1500m"]),
    };
    template["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!(cpu);
    if name.starts_with("job") {
        template["spec"]["restartPolicy"] = json!("Never");
        template["metadata"]["annotations"] = json!({"sim.wavetank.dev/exit-after": "6s"});
    }
    let manifest = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": labels,
            "annotations": template["metadata"]["annotations"],
        },
        "spec": template["spec"],
    });
    draft.create(at, &format!("{PODS}default/{name}"), manifest);
}

/// A pod of its own is deleted.
pub(crate) fn delete_own_pod(draft: &mut Draft, at: Duration) {
    match draft.pick_made(PODS) {
        Some(object) => draft.delete(at, object),
        None => pod(draft, at),
    }
}

/// A pod of its own is replaced by one of its name.
pub(crate) fn recreate_pod(draft: &mut Draft, at: Duration) {
    let Some(object) = draft.pick_made(PODS) else {
        return pod(draft, at);
    };
    let grace = *draft.pick(&[None, Some(0), Some(1)]);
    let merge = match draft.chance.below(3) {
        0 => Value::from(json!({"metadata": {"labels": {"generation": "2"}}})),
        _ => Value::Null,
    };
    draft.add(
        at,
        Action::Recreate(Recreation {
            object,
            grace,
            merge,
        }),
    );
}

/// A Node object is deleted; its kubelet, if it lives, registers again.
pub(crate) fn delete_node(draft: &mut Draft, at: Duration) {
    let node = draft.node();
    let object = format!("nodes/{node}");
    draft.add(
        at,
        Action::Delete(Deletion {
            object,
            ..Deletion::default()
        }),
    );
}

/// A ConfigMap owned by another, or by nothing.
pub(crate) fn config_map(draft: &mut Draft, at: Duration) {
    let name = *draft.pick(&["c0", "c1", "c2"]);
    let manifest = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default"},
    });
    draft.create(at, &format!("configmaps/default/{name}"), manifest);
}
