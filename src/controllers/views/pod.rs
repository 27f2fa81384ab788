//! What controllers read of a Pod.
//!
//! There are more pods than of all else together, so nothing is kept that no controller reads, and
//! what comes from a template is shared by the pods of the template.
//!
//! Book: `book/src/controllers/reconcile.md`.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use wavetank_api::Time;
use wavetank_informer::View;
use wavetank_informer::intern::Pool;

use super::{Condition, condition, null_is_default};

/// A Pod (`k8s.io/api/core/v1/types.go`).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct Pod {
    pub spec: PodSpec,
    pub status: PodStatus,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct PodSpec {
    pub node_name: Arc<str>,
    pub containers: Arc<[Container]>,
    #[serde(deserialize_with = "null_is_default")]
    pub init_containers: Arc<[Container]>,
    #[serde(deserialize_with = "null_is_default")]
    pub tolerations: Arc<[Toleration]>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct Container {
    pub name: Arc<str>,
    #[serde(deserialize_with = "null_is_default")]
    pub ports: Vec<ContainerPort>,
    pub restart_policy: Arc<str>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct ContainerPort {
    pub name: Arc<str>,
    pub container_port: u16,
    pub protocol: Arc<str>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct Toleration {
    pub key: Arc<str>,
    pub operator: Arc<str>,
    pub value: Arc<str>,
    pub effect: Arc<str>,
    pub toleration_seconds: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct PodStatus {
    pub phase: Arc<str>,
    #[serde(rename = "podIP")]
    pub pod_ip: Arc<str>,
    /// Condition `Ready`, the only one that a controller reads.
    #[serde(rename = "conditions", deserialize_with = "ready")]
    pub ready: Readiness,
    #[serde(deserialize_with = "null_is_default")]
    pub container_statuses: Arc<[ContainerStatus]>,
    #[serde(deserialize_with = "null_is_default")]
    pub init_container_statuses: Arc<[ContainerStatus]>,
}

/// What the condition `Ready` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Its status is `True`; not when there is no such condition.
    pub is_ready: bool,
    /// Its last transition.
    pub since: Option<Time>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct ContainerStatus {
    pub name: Arc<str>,
    pub restart_count: u32,
}

impl View for Pod {
    fn share(&mut self, pool: &mut Pool) {
        let Pod { spec, status } = self;
        pool.share(&mut spec.node_name);
        pool.share(&mut spec.containers);
        pool.share(&mut spec.init_containers);
        pool.share(&mut spec.tolerations);
        pool.share(&mut status.phase);
        pool.share(&mut status.container_statuses);
        pool.share(&mut status.init_container_statuses);
    }
}

fn ready<'de, D: Deserializer<'de>>(from: D) -> Result<Readiness, D::Error> {
    let conditions: Vec<Condition> = null_is_default(from)?;
    let ready = condition(&conditions, "Ready");
    Ok(ready.map_or_else(Readiness::default, |ready| Readiness {
        is_ready: &*ready.status == "True",
        since: ready.last_transition_time,
    }))
}
