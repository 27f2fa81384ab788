//! Containers: what a kubelet asks for, and what a runtime finds.
//!
//! 1. A container runs at most once: `Created`, `Running`, `Exited`, never back. A restart is a new
//!    container with the next `attempt`.
//!
//! Left out: propagation of mounts, devices, security contexts, cpusets, log paths.
//!
//! Book: `book/src/node/cri.md`.

use core::fmt;
use std::sync::Arc;

use wavetank_api::Time;

use crate::{Labels, SandboxId};

/// Names a container on its node; chosen by the runtime.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(pub Arc<str>);

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `ContainerMetadata`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerMetadata {
    /// Name in the pod.
    pub name: Arc<str>,
    /// 0 for the first, one more for each that replaced it.
    pub attempt: u32,
}

/// `ContainerConfig`: the container that a kubelet asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerConfig {
    /// Its name and attempt.
    pub metadata: ContainerMetadata,
    /// `ImageSpec.user_specified_image`: the image as the pod's spec names it.
    pub image: Arc<str>,
    /// Replaces the image's entrypoint unless empty.
    pub command: Vec<Arc<str>>,
    /// Replaces the image's arguments unless empty.
    pub args: Vec<Arc<str>>,
    /// Working directory; empty for the image's.
    pub working_dir: Arc<str>,
    /// Environment in order; a later name wins.
    pub envs: Vec<(Arc<str>, Arc<str>)>,
    /// See [`crate::names`].
    pub labels: Labels,
    /// See [`crate::names`].
    pub annotations: Labels,
    /// Limits.
    pub resources: LinuxContainerResources,
    /// Its standard input is kept open for who attaches; else it is empty.
    pub stdin: bool,
    /// The input ends with that of the first client who attaches.
    pub stdin_once: bool,
    /// Its standard streams are a terminal.
    pub tty: bool,
    /// Directories and files of the host that it sees.
    pub mounts: Vec<Mount>,
}

/// `Mount`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where the container sees it.
    pub container_path: Arc<str>,
    /// Where it lies on the host.
    pub host_path: Arc<str>,
    /// The container cannot change it.
    pub readonly: bool,
}

/// `LinuxContainerResources`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinuxContainerResources {
    /// Microseconds of a period of 100,000; 0: no limit.
    pub cpu_quota: i64,
    /// Relative weight, at least 2.
    pub cpu_shares: i64,
    /// Bytes; 0: no limit.
    pub memory_limit_in_bytes: i64,
}

/// `ContainerState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerState {
    /// `CONTAINER_CREATED`: waits to be started.
    Created,
    /// `CONTAINER_RUNNING`.
    Running,
    /// `CONTAINER_EXITED`: its exit code is known and does not change.
    Exited,
    /// `CONTAINER_UNKNOWN`: the runtime has lost track of it.
    Unknown,
}

/// `Container`: one row of `ListContainers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its id.
    pub id: ContainerId,
    /// The sandbox it is in.
    pub sandbox: SandboxId,
    /// Its name and attempt.
    pub metadata: ContainerMetadata,
    /// How far it is.
    pub state: ContainerState,
}

/// `ContainerStatus`. Times are absent until they have come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerStatus {
    /// Its id.
    pub id: ContainerId,
    /// Its name and attempt.
    pub metadata: ContainerMetadata,
    /// How far it is.
    pub state: ContainerState,
    /// When it was made.
    pub created_at: Time,
    /// When its process started.
    pub started_at: Option<Time>,
    /// When its process ended.
    pub finished_at: Option<Time>,
    /// Exit code; 128 + n after signal n. Meaningful once exited.
    pub exit_code: i32,
    /// `image_ref`: id of the image, for `imageID` in a pod's status.
    pub image_ref: Arc<str>,
    /// `Completed`, `Error`, `OOMKilled`, … as the runtime knows it; empty: the kubelet decides.
    pub reason: Arc<str>,
    /// What the program left at its termination message path.
    pub message: Arc<str>,
    /// The annotations it was made with.
    pub annotations: Labels,
}

/// `ContainerStats`: what a container uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerStats {
    /// Its id.
    pub id: ContainerId,
    /// When it was measured.
    pub timestamp: Time,
    /// `CpuUsage.usage_core_nano_seconds`: since the start.
    pub cpu_nanoseconds: u64,
    /// `MemoryUsage.working_set_bytes`.
    pub memory_bytes: u64,
}
