//! PrioritySort: higher priority first, then whoever has waited longest.
//!
//! Upstream: `pkg/scheduler/framework/plugins/queuesort/priority_sort.go`.
//!
//! Book: `book/src/scheduler/framework.md`.

use wavetank_api::Time;

use crate::framework::{Plugin, QueueSort};
use crate::pod::Pod;

/// Sorts the active queue.
pub struct PrioritySort;

impl Plugin for PrioritySort {
    fn name(&self) -> &'static str {
        "PrioritySort"
    }

    fn as_queue_sort(&self) -> Option<&dyn QueueSort> {
        Some(self)
    }
}

impl QueueSort for PrioritySort {
    fn key(&self, pod: &Pod, since: Time) -> (i64, i64) {
        (-i64::from(pod.spec.priority), since.as_micros())
    }
}
