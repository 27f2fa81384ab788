//! What the cache knows about one node: the node, the pods on it, and their sums.
//!
//! `cache` changes it, `snapshot` shares it, filters and scores read it.
//!
//! 1. `requested` and `scoring_requested` are the sums over `pods`, `ports` their host ports (H12).
//! 2. Two contents under one name never have the same generation.
//!
//! Upstream: `NodeInfo` in `pkg/scheduler/framework/types.go`.
//!
//! Book: `book/src/scheduler/cache.md`.

use std::sync::Arc;

use wavetank_api::Uid;

use crate::node::Node;
use crate::pod::{HostPort, Pod};
use crate::resource::{Bytes, MilliCpu, Resources};

/// Counts changes to the cache; a snapshot takes over what has a higher one than itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(pub u64);

/// One node with its pods. Immutable once shared with a snapshot: the cache copies before it
/// writes.
#[derive(Clone, Debug, Default)]
pub struct NodeInfo {
    /// Name of the node.
    pub name: Arc<str>,
    /// The node; `None` while only its pods are known.
    pub node: Option<Arc<Node>>,
    /// Pods bound to it or assumed to be.
    pub pods: Vec<Arc<Pod>>,
    /// Sum of what the pods request.
    pub requested: Resources,
    /// Sum of CPU and memory with a default for containers without a request; for scoring only.
    pub scoring_requested: (MilliCpu, Bytes),
    /// Host ports taken.
    pub ports: Vec<HostPort>,
    /// When it was last changed.
    pub generation: Generation,
}

impl NodeInfo {
    /// Nothing known yet but the name.
    pub fn new(name: Arc<str>) -> Self {
        NodeInfo {
            name,
            ..NodeInfo::default()
        }
    }

    /// What the node offers; nothing while the node itself is unknown.
    pub fn allocatable(&self) -> Option<&Resources> {
        self.node.as_ref().map(|node| &node.allocatable)
    }

    /// Counts a pod in.
    pub fn add_pod(&mut self, pod: Arc<Pod>) {
        self.requested.add(&pod.spec.requests);
        let (cpu, memory) = pod.spec.scoring_requests;
        self.scoring_requested.0 += cpu;
        self.scoring_requested.1 += memory;
        self.ports.extend(pod.spec.host_ports.iter().cloned());
        self.pods.push(pod);
    }

    /// Counts a pod out; `false` when it was not there.
    pub fn remove_pod(&mut self, uid: &Uid) -> bool {
        let Some(at) = self.pods.iter().position(|pod| pod.uid == *uid) else {
            return false;
        };
        let pod = self.pods.swap_remove(at);
        self.requested.subtract(&pod.spec.requests);
        let (cpu, memory) = pod.spec.scoring_requests;
        self.scoring_requested.0 -= cpu;
        self.scoring_requested.1 -= memory;
        for port in &pod.spec.host_ports {
            if let Some(at) = self.ports.iter().position(|taken| taken == port) {
                self.ports.swap_remove(at);
            }
        }
        true
    }

    /// Whether one of these ports is taken in a way that conflicts.
    pub fn has_port_conflict(&self, wanted: &[HostPort]) -> bool {
        wanted
            .iter()
            .any(|port| self.ports.iter().any(|taken| taken.conflicts_with(port)))
    }
}
