//! What happens in the cluster, as plugins are asked about it.
//!
//! `engine` makes a change of every observation; `queue` offers it to the plugins that refused a
//! pod.
//!
//! Upstream: `ClusterEvent` in `pkg/scheduler/framework/types.go`.
//!
//! Book: `book/src/scheduler/queue.md`.

use std::sync::Arc;

use crate::node::Node;
use crate::pod::Pod;

/// One change, with the objects before and after it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "before and after")]
pub enum Change {
    /// A node has come.
    NodeAdded(Arc<Node>),
    /// What scheduling sees of a node is different.
    NodeUpdated { old: Arc<Node>, new: Arc<Node> },
    /// A node has gone.
    NodeDeleted(Arc<Node>),
    /// A pod is bound, by us or by somebody else.
    AssignedPodAdded(Arc<Pod>),
    /// A bound pod is different: labels, requests after a resize.
    AssignedPodUpdated { old: Arc<Pod>, new: Arc<Pod> },
    /// A bound pod has gone or is finished, or an assumed one was given up: there is room.
    AssignedPodDeleted(Arc<Pod>),
    /// The pending pod itself is different.
    PodUpdated { old: Arc<Pod>, new: Arc<Pod> },
}

/// The kinds of [`Change`], which plugins register for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "as in `Change`")]
pub enum ChangeKind {
    NodeAdded,
    NodeUpdated,
    NodeDeleted,
    AssignedPodAdded,
    AssignedPodUpdated,
    AssignedPodDeleted,
    PodUpdated,
}

impl Change {
    /// Which kind of change this is.
    pub fn kind(&self) -> ChangeKind {
        match self {
            Change::NodeAdded(_) => ChangeKind::NodeAdded,
            Change::NodeUpdated { .. } => ChangeKind::NodeUpdated,
            Change::NodeDeleted(_) => ChangeKind::NodeDeleted,
            Change::AssignedPodAdded(_) => ChangeKind::AssignedPodAdded,
            Change::AssignedPodUpdated { .. } => ChangeKind::AssignedPodUpdated,
            Change::AssignedPodDeleted(_) => ChangeKind::AssignedPodDeleted,
            Change::PodUpdated { .. } => ChangeKind::PodUpdated,
        }
    }

    /// The node after the change, when the change is one that a node can help a pod by.
    pub fn node(&self) -> Option<&Arc<Node>> {
        match self {
            Change::NodeAdded(node) | Change::NodeUpdated { new: node, .. } => Some(node),
            _ => None,
        }
    }

    /// The node before the change, for an update.
    pub fn old_node(&self) -> Option<&Arc<Node>> {
        match self {
            Change::NodeUpdated { old, .. } => Some(old),
            _ => None,
        }
    }
}
