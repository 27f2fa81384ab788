//! What controllers read of Services, Endpoints and EndpointSlices.
//!
//! Book: `book/src/controllers/reconcile.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wavetank_api::Uid;
use wavetank_informer::View;

use super::null_is_default;

/// A Service (`k8s.io/api/core/v1/types.go`).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct Service {
    pub spec: ServiceSpec,
}

impl View for Service {}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct ServiceSpec {
    #[serde(deserialize_with = "null_is_default")]
    pub selector: BTreeMap<Arc<str>, Arc<str>>,
    #[serde(deserialize_with = "null_is_default")]
    pub ports: Vec<ServicePort>,
    #[serde(rename = "clusterIP")]
    pub cluster_ip: Arc<str>,
    #[serde(deserialize_with = "null_is_default")]
    pub ip_families: Vec<Arc<str>>,
    pub r#type: Arc<str>,
    pub publish_not_ready_addresses: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct ServicePort {
    pub name: Arc<str>,
    pub protocol: Arc<str>,
    pub app_protocol: Option<Arc<str>>,
    pub port: u16,
    /// A number, or the name of a container's port.
    pub target_port: Value,
}

/// An Endpoints (`k8s.io/api/core/v1/types.go`).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct Endpoints {
    #[serde(deserialize_with = "null_is_default")]
    pub subsets: Vec<EndpointsSubset>,
}

impl View for Endpoints {}

/// One subset, as it is written: it is compared and replaced whole.
pub type EndpointsSubset = Value;

/// An EndpointSlice (`k8s.io/api/discovery/v1/types.go`).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct EndpointSlice {
    pub address_type: Arc<str>,
    #[serde(deserialize_with = "null_is_default")]
    pub endpoints: Vec<Endpoint>,
    #[serde(deserialize_with = "null_is_default")]
    pub ports: Vec<EndpointSlicePort>,
}

impl View for EndpointSlice {}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct Endpoint {
    pub addresses: Vec<Address>,
    pub conditions: EndpointConditions,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_ref: Option<TargetRef>,
}

/// An IP address in its text form.
pub type Address = Arc<str>;

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct EndpointConditions {
    pub ready: Option<bool>,
    pub serving: Option<bool>,
    pub terminating: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct TargetRef {
    pub kind: Arc<str>,
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    pub uid: Uid,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct EndpointSlicePort {
    pub name: Option<Arc<str>>,
    pub protocol: Option<Arc<str>>,
    pub port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_protocol: Option<Arc<str>>,
}
