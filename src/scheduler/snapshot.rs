//! The cluster as one scheduling cycle sees it: immutable, cheap to bring up to date.
//!
//! `cache` writes it at the start of a cycle, copying one pointer for each node that has changed
//! since; `schedule_one` and the plugins read it.
//!
//! 1. Nothing in a snapshot changes during a cycle.
//! 2. `order` names each known node once, zones taking turns.
//!
//! Upstream: `pkg/scheduler/backend/cache/snapshot.go`.
//!
//! Book: `book/src/scheduler/cache.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::node_info::{Generation, NodeInfo};

/// The place of a node in cache and snapshot; reused after the node has gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(pub u32);

impl NodeId {
    /// As an index.
    pub(crate) fn at(self) -> usize {
        self.0 as usize
    }
}

/// The nodes and their pods at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// By [`NodeId`].
    pub(crate) infos: Vec<Option<Arc<NodeInfo>>>,
    /// All nodes in the order in which they are tried.
    pub(crate) order: Vec<NodeId>,
    pub(crate) by_name: BTreeMap<Arc<str>, NodeId>,
    /// How many nodes hold each image.
    pub(crate) image_nodes: Arc<BTreeMap<Arc<str>, u32>>,
    /// The cache's generation at the last update.
    pub(crate) generation: Generation,
    /// The cache's layout (which nodes there are) at the last update.
    pub(crate) layout: u64,
}

impl Snapshot {
    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The nodes in the order in which they are tried.
    pub fn order(&self) -> &[NodeId] {
        &self.order
    }

    /// What is known of a node.
    pub fn info(&self, id: NodeId) -> Option<&NodeInfo> {
        self.infos.get(id.at())?.as_deref()
    }

    /// The node of this name.
    pub fn id(&self, name: &str) -> Option<NodeId> {
        self.by_name.get(name).copied()
    }

    /// All nodes in order.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeInfo> {
        self.order.iter().filter_map(|id| self.info(*id))
    }

    /// How many nodes hold an image.
    pub fn nodes_with_image(&self, name: &str) -> u32 {
        self.image_nodes.get(name).copied().unwrap_or(0)
    }
}
