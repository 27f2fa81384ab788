//! What controllers read of a Pod.
//!
//! Book: `book/src/controllers/reconcile.md`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wavetank_api::Time;

use super::{Condition, null_is_default};

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
    pub hostname: Arc<str>,
    pub subdomain: Arc<str>,
    pub host_network: bool,
    pub containers: Vec<Container>,
    #[serde(deserialize_with = "null_is_default")]
    pub init_containers: Vec<Container>,
    #[serde(deserialize_with = "null_is_default")]
    pub tolerations: Vec<Toleration>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct Container {
    pub name: Arc<str>,
    #[serde(deserialize_with = "null_is_default")]
    pub ports: Vec<ContainerPort>,
    pub restart_policy: Arc<str>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct ContainerPort {
    pub name: Arc<str>,
    pub container_port: u16,
    pub protocol: Arc<str>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
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
    pub reason: Arc<str>,
    #[serde(rename = "podIP")]
    pub pod_ip: Arc<str>,
    #[serde(rename = "podIPs", deserialize_with = "null_is_default")]
    pub pod_ips: Vec<PodIp>,
    pub start_time: Option<Time>,
    #[serde(deserialize_with = "null_is_default")]
    pub conditions: Vec<Condition>,
    #[serde(deserialize_with = "null_is_default")]
    pub container_statuses: Vec<ContainerStatus>,
    #[serde(deserialize_with = "null_is_default")]
    pub init_container_statuses: Vec<ContainerStatus>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct PodIp {
    pub ip: Arc<str>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct ContainerStatus {
    pub name: Arc<str>,
    pub ready: bool,
    pub restart_count: u32,
}
