//! SchedulingGates: a pod with `spec.schedulingGates` does not enter the queue.
//!
//! Upstream: `pkg/scheduler/framework/plugins/schedulinggates` (KEP-3521).
//!
//! Book: `book/src/scheduler/framework.md`.

use crate::framework::{Plugin, PreEnqueue, Status};
use crate::pod::Pod;

/// Keeps gated pods out of the active queue.
pub struct SchedulingGates;

impl Plugin for SchedulingGates {
    fn name(&self) -> &'static str {
        "SchedulingGates"
    }

    fn as_pre_enqueue(&self) -> Option<&dyn PreEnqueue> {
        Some(self)
    }
}

impl PreEnqueue for SchedulingGates {
    fn pre_enqueue(&self, pod: &Pod) -> Status {
        let gates = &pod.spec.scheduling_gates;
        if gates.is_empty() {
            return Status::SUCCESS;
        }
        let names = gates
            .iter()
            .map(|gate| gate.as_ref())
            .collect::<Vec<_>>()
            .join(" ");
        Status::unresolvable(format!("waiting for scheduling gates: [{names}]"))
    }
}
