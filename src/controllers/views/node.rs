//! What controllers read of Nodes, their Leases, Namespaces and ConfigMaps.
//!
//! Book: `book/src/controllers/reconcile.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wavetank_api::Time;
use wavetank_informer::View;

use super::{Condition, null_is_default};

/// A Node (`k8s.io/api/core/v1/types.go`).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct Node {
    pub spec: NodeSpec,
    pub status: NodeStatus,
}

impl View for Node {}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct NodeSpec {
    pub unschedulable: bool,
    #[serde(deserialize_with = "null_is_default")]
    pub taints: Vec<Taint>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct Taint {
    pub key: Arc<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub value: Arc<str>,
    pub effect: Arc<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_added: Option<Time>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct NodeStatus {
    #[serde(deserialize_with = "null_is_default")]
    pub conditions: Vec<Condition>,
}

/// A Lease (`k8s.io/api/coordination/v1/types.go`): the heartbeat of a node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct Lease {
    pub spec: LeaseSpec,
}

impl View for Lease {}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct LeaseSpec {
    pub holder_identity: Arc<str>,
    pub renew_time: Option<Time>,
}

/// A Namespace (`k8s.io/api/core/v1/types.go`).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct Namespace {
    pub spec: NamespaceSpec,
    pub status: NamespaceStatus,
}

impl View for Namespace {}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct NamespaceSpec {
    #[serde(deserialize_with = "null_is_default")]
    pub finalizers: Vec<Arc<str>>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct NamespaceStatus {
    pub phase: Arc<str>,
    #[serde(deserialize_with = "null_is_default")]
    pub conditions: Vec<Condition>,
}

/// A ConfigMap (`k8s.io/api/core/v1/types.go`).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct ConfigMap {
    #[serde(deserialize_with = "null_is_default")]
    pub data: BTreeMap<Arc<str>, Arc<str>>,
}

impl View for ConfigMap {}
