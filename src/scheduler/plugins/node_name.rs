//! NodeName: a pod that names its node in the spec goes nowhere else.
//!
//! Such a pod counts as bound and does not come to a scheduler; the filter stands for the pods that
//! other components run through it.
//!
//! Upstream: `pkg/scheduler/framework/plugins/nodename`.
//!
//! Book: `book/src/scheduler/framework.md`.

use crate::framework::{ChangeKind, CycleState, EnqueueExtensions, Filter, Plugin, Status};
use crate::node_info::NodeInfo;
use crate::pod::Pod;

/// Filters by `spec.nodeName`.
pub struct NodeName;

impl Plugin for NodeName {
    fn name(&self) -> &'static str {
        "NodeName"
    }

    fn as_filter(&self) -> Option<&dyn Filter> {
        Some(self)
    }

    fn as_enqueue_extensions(&self) -> Option<&dyn EnqueueExtensions> {
        Some(self)
    }
}

impl EnqueueExtensions for NodeName {
    fn changes(&self) -> &'static [ChangeKind] {
        &[ChangeKind::NodeAdded]
    }
}

impl Filter for NodeName {
    fn filter(&self, _state: &CycleState, pod: &Pod, node: &NodeInfo) -> Status {
        match &pod.node_name {
            Some(name) if *name != node.name => {
                Status::unresolvable("node(s) didn't match the requested node name")
            }
            _ => Status::SUCCESS,
        }
    }
}
