//! NodeUnschedulable: nothing new on a cordoned node.
//!
//! A pod that tolerates the taint `node.kubernetes.io/unschedulable:NoSchedule` may go there all
//! the same: that is how daemon pods do.
//!
//! Upstream: `pkg/scheduler/framework/plugins/nodeunschedulable`.
//!
//! Book: `book/src/scheduler/framework.md`.

use crate::framework::{
    Change, ChangeKind, CycleState, EnqueueExtensions, Filter, Hint, Plugin, Status,
};
use crate::node::{Effect, Taint};
use crate::node_info::NodeInfo;
use crate::pod::Pod;

/// Filters by `spec.unschedulable` of the node.
pub struct NodeUnschedulable;

impl Plugin for NodeUnschedulable {
    fn name(&self) -> &'static str {
        "NodeUnschedulable"
    }

    fn as_filter(&self) -> Option<&dyn Filter> {
        Some(self)
    }

    fn as_enqueue_extensions(&self) -> Option<&dyn EnqueueExtensions> {
        Some(self)
    }
}

impl EnqueueExtensions for NodeUnschedulable {
    fn changes(&self) -> &'static [ChangeKind] {
        &[
            ChangeKind::NodeAdded,
            ChangeKind::NodeUpdated,
            ChangeKind::PodUpdated,
        ]
    }

    fn hint(&self, pod: &Pod, change: &Change) -> Hint {
        match change {
            Change::PodUpdated { new, .. } if tolerates(new) => Hint::Queue,
            Change::NodeAdded(node) if !node.unschedulable || tolerates(pod) => Hint::Queue,
            Change::NodeUpdated { old, new } if old.unschedulable && !new.unschedulable => {
                Hint::Queue
            }
            _ => Hint::Skip,
        }
    }
}

impl Filter for NodeUnschedulable {
    fn filter(&self, _state: &CycleState, pod: &Pod, node: &NodeInfo) -> Status {
        let is_cordoned = node.node.as_ref().is_some_and(|node| node.unschedulable);
        if is_cordoned && !tolerates(pod) {
            return Status::unresolvable("node(s) were unschedulable");
        }
        Status::SUCCESS
    }
}

fn tolerates(pod: &Pod) -> bool {
    pod.spec.tolerates(&Taint {
        key: "node.kubernetes.io/unschedulable".into(),
        value: "".into(),
        effect: Effect::NoSchedule,
    })
}
