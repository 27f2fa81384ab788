//! Every call a kubelet makes to a runtime, and every answer.
//!
//! 1. A call is answered once, by the [`Reply`] variant that its documentation names or an `Error`.
//!
//! Left out: see the crate.
//!
//! Book: `book/src/node/cri.md`.

use core::time::Duration;
use std::sync::Arc;

use crate::container::{Container, ContainerConfig, ContainerId, ContainerStats, ContainerStatus};
use crate::image::{FilesystemUsage, Image};
use crate::sandbox::{PodSandbox, PodSandboxConfig, PodSandboxStatus, SandboxId};

/// A call of `RuntimeService` or `ImageService`; each variant is the request of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// `VersionRequest`; answered by [`Reply::Version`].
    Version,
    /// `StatusRequest`; answered by [`Reply::Status`].
    Status,
    /// `RunPodSandboxRequest`: make and start the pod's sandbox; [`Reply::RunPodSandbox`].
    RunPodSandbox(Arc<PodSandboxConfig>),
    /// `StopPodSandboxRequest`: kill what still runs in it, give back its address; [`Reply::Done`].
    StopPodSandbox(SandboxId),
    /// `RemovePodSandboxRequest`: forget it and its containers; [`Reply::Done`].
    RemovePodSandbox(SandboxId),
    /// `PodSandboxStatusRequest`; [`Reply::PodSandboxStatus`], `NotFound` if unknown.
    PodSandboxStatus(SandboxId),
    /// `ListPodSandboxRequest`, in every state; [`Reply::ListPodSandbox`].
    ListPodSandbox,
    // ANCHOR: life
    /// `CreateContainerRequest`: the image must be present; [`Reply::CreateContainer`].
    CreateContainer(SandboxId, Arc<ContainerConfig>),
    /// `StartContainerRequest`: once per container; [`Reply::Done`].
    StartContainer(ContainerId),
    /// `StopContainerRequest`: SIGTERM, and SIGKILL after the timeout. Answered by
    /// [`Reply::Done`] when the process is gone. A second call may shorten the timeout,
    /// never lengthen it.
    StopContainer(ContainerId, Duration),
    /// `RemoveContainerRequest`; [`Reply::Done`].
    RemoveContainer(ContainerId),
    // ANCHOR_END: life
    /// `ContainerStatusRequest`; [`Reply::ContainerStatus`], `NotFound` if unknown.
    ContainerStatus(ContainerId),
    /// `ListContainersRequest`, in every state; [`Reply::ListContainers`].
    ListContainers,
    /// `ExecSyncRequest`; [`Reply::ExecSync`], `DeadlineExceeded` after the timeout (0: none).
    ExecSync(ContainerId, Arc<[Arc<str>]>, Duration),
    /// `ContainerStatsRequest`; [`Reply::ContainerStats`].
    ContainerStats(ContainerId),
    /// `ListContainerStatsRequest`, of running containers; [`Reply::ListContainerStats`].
    ListContainerStats,
    /// `PullImageRequest`, with the sandbox it is for; [`Reply::PullImage`].
    PullImage(Arc<str>, Arc<PodSandboxConfig>),
    /// `ImageStatusRequest`; [`Reply::ImageStatus`], with `None` when the image is not here.
    ImageStatus(Arc<str>),
    /// `ListImagesRequest`; [`Reply::ListImages`].
    ListImages,
    /// `RemoveImageRequest`; [`Reply::Done`].
    RemoveImage(Arc<str>),
    /// `ImageFsInfoRequest`; [`Reply::ImageFsInfo`].
    ImageFsInfo,
}

/// The answer to a [`Call`]; each variant is the response of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Any response without fields.
    Done,
    /// `VersionResponse`.
    Version(Version),
    /// `StatusResponse`.
    Status(RuntimeStatus),
    /// `RunPodSandboxResponse`.
    RunPodSandbox(SandboxId),
    /// `PodSandboxStatusResponse`.
    PodSandboxStatus(Box<PodSandboxStatus>),
    /// `ListPodSandboxResponse`.
    ListPodSandbox(Vec<PodSandbox>),
    /// `CreateContainerResponse`.
    CreateContainer(ContainerId),
    /// `ContainerStatusResponse`.
    ContainerStatus(Box<ContainerStatus>),
    /// `ListContainersResponse`.
    ListContainers(Vec<Container>),
    /// `ExecSyncResponse`.
    ExecSync(ExecResult),
    /// `ContainerStatsResponse`.
    ContainerStats(ContainerStats),
    /// `ListContainerStatsResponse`.
    ListContainerStats(Vec<ContainerStats>),
    /// `PullImageResponse`: the image's id (`image_ref`).
    PullImage(Arc<str>),
    /// `ImageStatusResponse`.
    ImageStatus(Option<Image>),
    /// `ListImagesResponse`.
    ListImages(Vec<Image>),
    /// `ImageFsInfoResponse`.
    ImageFsInfo(FilesystemUsage),
}

/// `VersionResponse`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// `runtime_name`: the scheme of `containerID` in a pod's status.
    pub runtime_name: Arc<str>,
    /// `runtime_version`, without a leading `v`.
    pub runtime_version: Arc<str>,
}

/// `RuntimeStatus`: its two required conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeStatus {
    /// `RuntimeReady`: the runtime accepts containers. The message when not.
    pub runtime_ready: Result<(), Arc<str>>,
    /// `NetworkReady`: sandboxes get addresses. The message when not.
    pub network_ready: Result<(), Arc<str>>,
}

/// `ExecSyncResponse`: what a command said and how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecResult {
    /// Standard output, at most 16 MiB as in api.proto.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// Exit code; 0 is success.
    pub exit_code: i32,
}
