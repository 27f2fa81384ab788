//! The Container Runtime Interface as plain values: what a kubelet asks of a container runtime.
//!
//! In Kubernetes this is `k8s.io/cri-api/pkg/apis/runtime/v1/api.proto`: two gRPC services,
//! `RuntimeService` and `ImageService`. The one idea: a call is a [`Call`], its answer a [`Reply`]
//! or an [`Error`], and what the runtime tells unasked an [`Event`]. There is no trait with async
//! methods, because a kubelet that is a state machine hands calls out and is told the answers
//! later. A driver turns them into gRPC; the simulated runtime takes them as they are.
//!
//! The way in: [`Call`]; then [`PodSandboxConfig`] and [`ContainerConfig`], what is asked for; then
//! [`ContainerStatus`], what is found.
//!
//! Who calls it: `kubelet` makes calls; `sim::runtime` (and later `containerd`) answers them.
//!
//! 1. Every call is idempotent where api.proto says so: stopping what is stopped and removing what
//!    is gone succeed.
//! 2. Ids are chosen by the runtime and never used twice on a node.
//!
//! Left out: streaming (Exec, Attach, PortForward hand out a URL in CRI; here the shell joins the
//! streams), in-place resize, checkpoints, metric descriptors, mounts, devices, security contexts.
//!
//! Book: `book/src/node/cri.md`.

pub mod call;
pub mod container;
pub mod error;
pub mod event;
pub mod image;
pub mod sandbox;

pub use call::{Call, Reply};
pub use container::{ContainerConfig, ContainerId, ContainerState, ContainerStatus};
pub use error::{Code, Error};
pub use event::{Event, EventKind};
pub use sandbox::{PodSandboxConfig, PodSandboxStatus, SandboxId, SandboxState};

/// Labels of a sandbox or container: names a runtime can filter by.
pub type Labels = std::collections::BTreeMap<std::sync::Arc<str>, std::sync::Arc<str>>;

/// Labels and annotations by which a kubelet finds its pods again after a restart
/// (`pkg/kubelet/types/labels.go`, `pkg/kubelet/kuberuntime/labels.go`).
pub mod names {
    /// Label: `metadata.name` of the pod.
    pub const POD_NAME: &str = "io.kubernetes.pod.name";
    /// Label: `metadata.namespace` of the pod.
    pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
    /// Label: `metadata.uid` of the pod.
    pub const POD_UID: &str = "io.kubernetes.pod.uid";
    /// Label: name of the container in the pod.
    pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";
    /// Annotation: hash of the part of the container's spec whose change restarts it.
    pub const CONTAINER_HASH: &str = "io.kubernetes.container.hash";
    /// Annotation: how often the container was restarted before this instance.
    pub const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
    /// Annotation: the pod's grace period in seconds, for a pod the API no longer knows.
    pub const GRACE_PERIOD: &str = "io.kubernetes.pod.terminationGracePeriod";
    /// Annotation (ours): `init`, `sidecar`, `app` or `ephemeral`. CRI does not tell a runtime; the
    /// simulated one needs it to guess when a program would end.
    pub const CONTAINER_KIND: &str = "wavetank.dev/container-kind";
}
