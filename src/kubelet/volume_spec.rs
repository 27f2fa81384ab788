//! Volumes as a pod's spec has them.
//!
//! Left out: the volume that admission adds for the service account's token (`kube-api-access-…`)
//! and its mounts: nothing that a kubelet holds here is a token, and each pod would cost a request
//! and a watch more.
//!
//! Book: `book/src/node/volumes.md`.

use std::sync::Arc;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use crate::pod::{FieldRef, ResourceFieldRef};

/// Where admission mounts the service account's token, and how it names its volume.
const TOKEN_MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const TOKEN_VOLUME: &str = "kube-api-access-";

/// `spec.volumes[]`: a name and one of the others; none of them when this kubelet does not know it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct Volume {
    pub name: Arc<str>,
    pub empty_dir: Option<IgnoredAny>,
    pub host_path: Option<HostPath>,
    pub config_map: Option<Keys>,
    pub secret: Option<Keys>,
    #[serde(rename = "downwardAPI")]
    pub downward_api: Option<Fields>,
    pub projected: Option<Projected>,
}

/// `hostPath`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct HostPath {
    pub path: Arc<str>,
    pub r#type: Arc<str>,
}

/// `configMap` and `secret`, also as a source of `projected`: all keys, or those of `items`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct Keys {
    #[serde(alias = "secretName")]
    pub name: Arc<str>,
    pub items: Vec<KeyToPath>,
    pub optional: bool,
}

/// `items[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct KeyToPath {
    pub key: Arc<str>,
    pub path: Arc<str>,
}

/// `downwardAPI`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct Fields {
    pub items: Vec<FieldFile>,
}

/// `downwardAPI.items[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct FieldFile {
    pub path: Arc<str>,
    pub field_ref: Option<FieldRef>,
    pub resource_field_ref: Option<ResourceFieldRef>,
}

/// `projected`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct Projected {
    pub sources: Vec<Projection>,
}

/// `projected.sources[]`: one of the first three, or something that this kubelet has not.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct Projection {
    pub config_map: Option<Keys>,
    pub secret: Option<Keys>,
    #[serde(rename = "downwardAPI")]
    pub downward_api: Option<Fields>,
    pub service_account_token: Option<IgnoredAny>,
}

/// `volumeMounts[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct VolumeMount {
    pub name: Arc<str>,
    pub mount_path: Arc<str>,
    pub sub_path: Arc<str>,
    pub sub_path_expr: Arc<str>,
    pub read_only: bool,
}

/// `volumeDevices[]`: only that a container has it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct VolumeDevice {
    pub name: Arc<str>,
}

impl Volume {
    /// The ConfigMaps and Secrets that it is made of.
    pub fn keys(&self) -> impl Iterator<Item = (Option<&Keys>, Option<&Keys>)> {
        let projected = self.projected.iter().flat_map(|p| &p.sources);
        let own = (self.config_map.as_ref(), self.secret.as_ref());
        let projected = projected.map(|p| (p.config_map.as_ref(), p.secret.as_ref()));
        [own].into_iter().chain(projected)
    }
}

/// Decodes `spec.volumes` without what admission added.
pub(crate) fn own_volumes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Volume>, D::Error> {
    let mut all: Vec<Volume> = Deserialize::deserialize(from)?;
    all.retain(|volume| !volume.name.starts_with(TOKEN_VOLUME));
    all.shrink_to_fit();
    Ok(all)
}

/// Decodes `volumeMounts` without what admission added.
pub(crate) fn own_mounts<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<VolumeMount>, D::Error> {
    let mut all: Vec<VolumeMount> = Deserialize::deserialize(from)?;
    all.retain(|mount| &*mount.mount_path != TOKEN_MOUNT);
    all.shrink_to_fit();
    Ok(all)
}
