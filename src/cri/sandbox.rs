//! Pod sandboxes: the environment that a pod's containers share (network, IPC, hostname).
//!
//! Made by `kubelet` in `RunPodSandbox`; kept and reported by a runtime.
//!
//! 1. A sandbox has one address for its whole life; a new sandbox may have another.
//!
//! Left out: DNS configuration, cgroup parent, sysctls, security contexts, log directory.
//!
//! Book: `book/src/node/cri.md`.

use core::fmt;
use core::net::IpAddr;
use std::sync::Arc;

use wavetank_api::{Time, Uid};

use crate::Labels;

/// Names a sandbox on its node; chosen by the runtime.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SandboxId(pub Arc<str>);

impl fmt::Display for SandboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `PodSandboxMetadata`: whose sandbox it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSandboxMetadata {
    /// Name of the pod.
    pub name: Arc<str>,
    /// UID of the pod.
    pub uid: Uid,
    /// Namespace of the pod.
    pub namespace: Arc<str>,
    /// 0 for the pod's first sandbox, one more for each that replaced it.
    pub attempt: u32,
}

/// `PodSandboxConfig`: the sandbox that a kubelet asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSandboxConfig {
    /// Whose it is.
    pub metadata: PodSandboxMetadata,
    /// Hostname of the pod; empty with the host's network.
    pub hostname: Arc<str>,
    /// `NamespaceOption.network == NODE`: no address of its own.
    pub host_network: bool,
    /// Ports of the host that lead into the pod.
    pub port_mappings: Vec<PortMapping>,
    /// See [`crate::names`], and the pod's own labels.
    pub labels: Labels,
    /// The pod's annotations.
    pub annotations: Labels,
}

/// `PortMapping`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortMapping {
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// Port in the sandbox.
    pub container_port: u16,
    /// Port on the host.
    pub host_port: u16,
}

/// `Protocol`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum Protocol {
    #[default]
    Tcp,
    Udp,
    Sctp,
}

/// `PodSandboxState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SandboxState {
    /// `SANDBOX_READY`: containers can be made in it.
    Ready,
    /// `SANDBOX_NOTREADY`: stopped, or found broken; it can only be removed.
    NotReady,
}

/// `PodSandbox`: one row of `ListPodSandbox`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSandbox {
    /// Its id.
    pub id: SandboxId,
    /// Whose it is.
    pub metadata: PodSandboxMetadata,
    /// Whether it can hold containers.
    pub state: SandboxState,
    /// When it was made.
    pub created_at: Time,
}

/// `PodSandboxStatus`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSandboxStatus {
    /// Its id.
    pub id: SandboxId,
    /// Whose it is.
    pub metadata: PodSandboxMetadata,
    /// Whether it can hold containers.
    pub state: SandboxState,
    /// When it was made.
    pub created_at: Time,
    /// `PodSandboxNetworkStatus.ip`; `None` with the host's network.
    pub ip: Option<IpAddr>,
}
