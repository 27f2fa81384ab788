//! The part of `PodStatus` that a kubelet reads back: what an earlier life of it has promised.
//!
//! After a restart of the kubelet this is the only memory of containers that the runtime has
//! forgotten, and of a phase that may not change any more.
//!
//! Book: `book/src/node/pod-lifecycle.md`.

use std::sync::Arc;

use serde::Deserialize;
use wavetank_api::Time;

/// `PodStatus`, as far as it is read.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct ApiStatus {
    pub phase: Option<Phase>,
    pub reason: Arc<str>,
    pub message: Arc<str>,
    pub start_time: Option<Time>,
    pub conditions: Vec<ApiCondition>,
    pub container_statuses: Vec<ApiContainerStatus>,
    pub init_container_statuses: Vec<ApiContainerStatus>,
    pub ephemeral_container_statuses: Vec<ApiContainerStatus>,
}

/// `status.phase`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[allow(missing_docs, reason = "the names are those of the API")]
pub enum Phase {
    #[default]
    Pending,
    Running,
    Succeeded,
    Failed,
    Unknown,
}

impl Phase {
    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Pending => "Pending",
            Phase::Running => "Running",
            Phase::Succeeded => "Succeeded",
            Phase::Failed => "Failed",
            Phase::Unknown => "Unknown",
        }
    }

    /// Whether it never changes again.
    pub fn is_terminal(self) -> bool {
        matches!(self, Phase::Succeeded | Phase::Failed)
    }
}

/// `status.conditions[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct ApiCondition {
    #[serde(rename = "type")]
    pub kind: Arc<str>,
    pub status: Arc<str>,
    pub last_transition_time: Option<Time>,
}

/// `status.containerStatuses[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct ApiContainerStatus {
    pub name: Arc<str>,
    pub restart_count: u32,
    pub ready: bool,
    pub started: bool,
    pub state: ApiContainerState,
    pub last_state: ApiContainerState,
    #[serde(rename = "containerID")]
    pub container_id: Arc<str>,
    #[serde(rename = "imageID")]
    pub image_id: Arc<str>,
}

/// `ContainerState`: at most one member is set.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct ApiContainerState {
    pub running: Option<ApiRunning>,
    pub terminated: Option<Box<ApiTerminated>>,
}

/// `ContainerStateRunning`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct ApiRunning {
    pub started_at: Option<Time>,
}

/// `ContainerStateTerminated`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct ApiTerminated {
    pub exit_code: i32,
    pub reason: Arc<str>,
    pub message: Arc<str>,
    pub started_at: Option<Time>,
    pub finished_at: Option<Time>,
    #[serde(rename = "containerID")]
    pub container_id: Arc<str>,
}
