//! NodePorts: two pods cannot have one port of a node.
//!
//! Upstream: `pkg/scheduler/framework/plugins/nodeports`.
//!
//! Book: `book/src/scheduler/framework.md`.

use crate::framework::{
    Change, ChangeKind, CycleState, EnqueueExtensions, Filter, Hint, Plugin, PreFilter,
    PreFilterResult, Status,
};
use crate::node_info::NodeInfo;
use crate::pod::Pod;
use crate::snapshot::Snapshot;

/// Filters by host ports.
pub struct NodePorts;

impl Plugin for NodePorts {
    fn name(&self) -> &'static str {
        "NodePorts"
    }

    fn as_pre_filter(&self) -> Option<&dyn PreFilter> {
        Some(self)
    }

    fn as_filter(&self) -> Option<&dyn Filter> {
        Some(self)
    }

    fn as_enqueue_extensions(&self) -> Option<&dyn EnqueueExtensions> {
        Some(self)
    }
}

impl EnqueueExtensions for NodePorts {
    fn changes(&self) -> &'static [ChangeKind] {
        &[ChangeKind::NodeAdded, ChangeKind::AssignedPodDeleted]
    }

    fn hint(&self, pod: &Pod, change: &Change) -> Hint {
        let Change::AssignedPodDeleted(gone) = change else {
            return Hint::Queue;
        };
        let frees = gone.spec.host_ports.iter().any(|freed| {
            pod.spec
                .host_ports
                .iter()
                .any(|wanted| wanted.conflicts_with(freed))
        });
        if frees { Hint::Queue } else { Hint::Skip }
    }
}

impl PreFilter for NodePorts {
    fn pre_filter(
        &self,
        _state: &mut CycleState,
        pod: &Pod,
        _snapshot: &Snapshot,
    ) -> Result<PreFilterResult, Status> {
        if pod.spec.host_ports.is_empty() {
            return Err(Status::skip());
        }
        Ok(PreFilterResult::default())
    }
}

impl Filter for NodePorts {
    fn filter(&self, _state: &CycleState, pod: &Pod, node: &NodeInfo) -> Status {
        if node.has_port_conflict(&pod.spec.host_ports) {
            return Status::unschedulable(
                "node(s) didn't have free ports for the requested pod ports",
            );
        }
        Status::SUCCESS
    }
}
