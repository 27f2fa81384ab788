//! The part of a Pod that a kubelet uses.
//!
//! Decoded once per revision from the API server's bytes; each worker holds the latest.
//!
//! Left out: security contexts, DNS settings, affinity: fields that nothing here reads.
//!
//! Book: `book/src/node/kubelet.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use wavetank_api::Meta;
use wavetank_informer::{Object, View};

use crate::pod_status::ApiStatus;
use crate::probe_spec::{Handler, ProbeSpec};
use crate::volume_spec::{Volume, VolumeDevice, VolumeMount, own_mounts, own_volumes};

/// String to string, as labels and annotations are.
pub type Strings = BTreeMap<Arc<str>, Arc<str>>;

/// The fields of a Pod (`k8s.io/api/core/v1`) beyond `metadata` that a kubelet reads.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct PodView {
    pub spec: PodSpec,
    pub status: ApiStatus,
}

impl View for PodView {}

/// One revision of a Pod, shared with the reflector's cache.
#[derive(Clone, Debug)]
pub struct Pod(pub Arc<Object<PodView>>);

/// `PodSpec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct PodSpec {
    pub node_name: Arc<str>,
    pub init_containers: Vec<Container>,
    pub containers: Vec<Container>,
    pub ephemeral_containers: Vec<Container>,
    pub restart_policy: RestartPolicy,
    pub termination_grace_period_seconds: Option<u32>,
    pub active_deadline_seconds: Option<u32>,
    pub host_network: bool,
    pub hostname: Arc<str>,
    pub service_account_name: Arc<str>,
    pub overhead: Strings,
    pub resources: Requirements,
    pub readiness_gates: Vec<ReadinessGate>,
    #[serde(deserialize_with = "own_volumes")]
    pub volumes: Vec<Volume>,
}

/// `spec.readinessGates[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct ReadinessGate {
    pub condition_type: Arc<str>,
}

/// `spec.restartPolicy`, also of an init container, where `Always` makes it a sidecar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[allow(missing_docs, reason = "the names are those of the API")]
pub enum RestartPolicy {
    #[default]
    Always,
    OnFailure,
    Never,
}

/// `Container`, of any of the three lists.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct Container {
    pub name: Arc<str>,
    pub image: Arc<str>,
    pub image_pull_policy: Option<PullPolicy>,
    pub command: Vec<Arc<str>>,
    pub args: Vec<Arc<str>>,
    pub working_dir: Arc<str>,
    pub env: Vec<EnvVar>,
    pub env_from: Vec<EnvFrom>,
    pub ports: Vec<Port>,
    pub resources: Requirements,
    pub restart_policy: Option<RestartPolicy>,
    pub liveness_probe: Option<Arc<ProbeSpec>>,
    pub readiness_probe: Option<Arc<ProbeSpec>>,
    pub startup_probe: Option<Arc<ProbeSpec>>,
    pub lifecycle: Option<Box<Lifecycle>>,
    pub stdin: bool,
    pub stdin_once: bool,
    pub tty: bool,
    #[serde(deserialize_with = "own_mounts")]
    pub volume_mounts: Vec<VolumeMount>,
    pub volume_devices: Vec<VolumeDevice>,
}

/// `imagePullPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[allow(missing_docs, reason = "the names are those of the API")]
pub enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

/// `env[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct EnvVar {
    pub name: Arc<str>,
    pub value: Arc<str>,
    pub value_from: Option<Box<EnvSource>>,
}

/// `env[].valueFrom`: one of its members.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of the API")]
#[allow(clippy::enum_variant_names, reason = "the names are those of the API")]
pub enum EnvSource {
    FieldRef(FieldRef),
    ResourceFieldRef(ResourceFieldRef),
    ConfigMapKeyRef(KeyRef),
    SecretKeyRef(KeyRef),
}

/// `fieldRef`: a field of the pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct FieldRef {
    pub field_path: Arc<str>,
}

/// `resourceFieldRef`: a request or limit of one of its containers.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct ResourceFieldRef {
    pub container_name: Arc<str>,
    pub resource: Arc<str>,
    pub divisor: Option<Arc<str>>,
}

/// A key of a ConfigMap or Secret.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct KeyRef {
    pub name: Arc<str>,
    pub key: Arc<str>,
    pub optional: bool,
}

/// `envFrom[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct EnvFrom {
    pub prefix: Arc<str>,
    pub config_map_ref: Option<KeyRef>,
    pub secret_ref: Option<KeyRef>,
}

/// `ports[]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct Port {
    pub name: Arc<str>,
    pub container_port: u16,
    pub host_port: u16,
    #[serde(rename = "hostIP")]
    pub host_ip: Arc<str>,
    pub protocol: Option<Arc<str>>,
}

/// `resources`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct Requirements {
    pub limits: Strings,
    pub requests: Strings,
}

/// `lifecycle`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct Lifecycle {
    pub post_start: Option<Handler>,
    pub pre_stop: Option<Handler>,
}

/// What a container is for: the list it stands in, and for init containers its restart policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Runs to its end before the next starts.
    Init,
    /// An init container with `restartPolicy: Always`: starts before the next, stops after all.
    Sidecar,
    /// What the pod is for.
    App,
    /// Added to a running pod, never restarted.
    Ephemeral,
}

impl Kind {
    /// Its name in [`wavetank_cri::names::CONTAINER_KIND`].
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Init => "init",
            Kind::Sidecar => "sidecar",
            Kind::App => "app",
            Kind::Ephemeral => "ephemeral",
        }
    }
}

impl Pod {
    /// Its header.
    pub fn meta(&self) -> &Meta {
        &self.0.meta
    }

    /// What is wanted.
    pub fn spec(&self) -> &PodSpec {
        &self.0.view.spec
    }

    /// What the API server holds as its status.
    pub fn status(&self) -> &ApiStatus {
        &self.0.view.status
    }

    /// The container with this index in [`PodSpec::all`].
    pub fn container(&self, index: usize) -> Option<&Container> {
        self.spec().container(index)
    }

    /// `name_namespace(uid)`, as events and messages name a pod (`pkg/kubelet/util/format`).
    pub fn full_name(&self) -> String {
        let meta = self.meta();
        format!("{}_{}({})", meta.name, meta.namespace, meta.uid)
    }

    /// Seconds between SIGTERM and SIGKILL: what the delete asked for, else what the spec says.
    pub fn grace_seconds(&self) -> u32 {
        let meta = self.meta();
        let asked = meta
            .deletion_timestamp
            .and(meta.deletion_grace_period_seconds);
        let asked = asked.map(|seconds| u32::try_from(seconds.max(0)).unwrap_or(u32::MAX));
        asked.unwrap_or_else(|| self.spec().termination_grace_period_seconds.unwrap_or(30))
    }
}

impl PodSpec {
    /// All containers with their kinds: init, app, ephemeral. A worker's slots are in this order.
    pub fn all(&self) -> impl Iterator<Item = (Kind, &Container)> {
        let init = self.init_containers.iter().map(|c| {
            let sidecar = c.restart_policy == Some(RestartPolicy::Always);
            (if sidecar { Kind::Sidecar } else { Kind::Init }, c)
        });
        let app = self.containers.iter().map(|c| (Kind::App, c));
        let ephemeral = self.ephemeral_containers.iter();
        init.chain(app)
            .chain(ephemeral.map(|c| (Kind::Ephemeral, c)))
    }

    /// The container with this index in [`PodSpec::all`].
    pub fn container(&self, index: usize) -> Option<&Container> {
        let apps = self.init_containers.len();
        let ephemerals = apps + self.containers.len();
        if index < apps {
            self.init_containers.get(index)
        } else if index < ephemerals {
            self.containers.get(index - apps)
        } else {
            self.ephemeral_containers.get(index - ephemerals)
        }
    }
}

impl Container {
    /// The pull policy, or the default for the image's tag.
    pub fn pull_policy(&self) -> PullPolicy {
        let tagged = wavetank_cri::image::with_default_tag(&self.image);
        let default = if tagged.ends_with(":latest") {
            PullPolicy::Always
        } else {
            PullPolicy::IfNotPresent
        };
        self.image_pull_policy.unwrap_or(default)
    }

    /// Changes when the container must be made anew: its name or image
    /// (`pkg/kubelet/container/helpers.go`, HashContainer). FNV-1a, stable across machines.
    pub fn hash(&self) -> u32 {
        let bytes = self.name.bytes().chain([0]).chain(self.image.bytes());
        bytes.fold(0x811c_9dc5, |h, b| {
            (h ^ u32::from(b)).wrapping_mul(0x0100_0193)
        })
    }
}
