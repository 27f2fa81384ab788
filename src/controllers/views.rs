//! The fields that controllers read, kind by kind.
//!
//! One view per kind serves all controllers: the caches are shared. Whoever needs another field
//! adds it here.
//!
//! 1. Every field may be absent: a view never refuses an object that the server accepted.
//!
//! Book: `book/src/controllers/reconcile.md`.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use wavetank_api::Time;

mod network;
mod node;
mod pod;
mod workload;

pub use network::{
    Address, Endpoint, EndpointConditions, EndpointSlice, EndpointSlicePort, Endpoints,
    EndpointsSubset, Service, ServicePort, ServiceSpec, TargetRef,
};
pub use node::{
    ConfigMap, Lease, LeaseSpec, Namespace, NamespaceSpec, NamespaceStatus, Node, NodeSpec,
    NodeStatus, Taint,
};
pub use pod::{
    Container, ContainerPort, ContainerStatus, Pod, PodSpec, PodStatus, Readiness, Toleration,
};
pub use workload::{
    Deployment, DeploymentSpec, DeploymentStatus, ReplicaSet, ReplicaSetSpec, ReplicaSetStatus,
    RollingUpdate, Strategy, Template, WrittenSelector,
};

/// One of `status.conditions`: of pods, nodes, replica sets and deployments alike.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct Condition {
    pub r#type: Arc<str>,
    pub status: Arc<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_update_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_heartbeat_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub reason: Arc<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub message: Arc<str>,
}

/// The condition of this type.
pub fn condition<'a>(conditions: &'a [Condition], r#type: &str) -> Option<&'a Condition> {
    conditions.iter().find(|each| &*each.r#type == r#type)
}

/// Reads null as absent, as Go does for slices and maps.
pub(crate) fn null_is_default<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}
