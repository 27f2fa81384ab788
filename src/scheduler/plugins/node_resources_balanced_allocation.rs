//! NodeResourcesBalancedAllocation: prefers nodes whose CPU and memory fill up evenly.
//!
//! A node with all CPU taken and half its memory free has memory that nobody can use. The score is
//! 100 minus the standard deviation of the two utilisations, in per cent.
//!
//! Upstream: `pkg/scheduler/framework/plugins/noderesources/balanced_allocation.go` of v1.33. Left
//! out: resources other than CPU and memory.
//!
//! Book: `book/src/scheduler/framework.md`.

use crate::framework::{CycleState, MAX_NODE_SCORE, Plugin, PreScore, Score, Status};
use crate::node_info::NodeInfo;
use crate::pod::Pod;
use crate::snapshot::{NodeId, Snapshot};

/// Scores by evenness.
pub struct NodeResourcesBalancedAllocation;

impl Plugin for NodeResourcesBalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }

    fn as_pre_score(&self) -> Option<&dyn PreScore> {
        Some(self)
    }

    fn as_score(&self) -> Option<&dyn Score> {
        Some(self)
    }
}

impl PreScore for NodeResourcesBalancedAllocation {
    /// A pod without requests says nothing about balance, and would pile up on the node that
    /// happens to be most even (#129138).
    fn pre_score(
        &self,
        _state: &mut CycleState,
        pod: &Pod,
        _snapshot: &Snapshot,
        _feasible: &[NodeId],
    ) -> Status {
        let requests = &pod.spec.requests;
        if requests.cpu.0 == 0 && requests.memory.0 == 0 {
            Status::skip()
        } else {
            Status::SUCCESS
        }
    }
}

impl Score for NodeResourcesBalancedAllocation {
    fn score(&self, _state: &CycleState, pod: &Pod, info: &NodeInfo) -> Result<i64, Status> {
        let Some(all) = info.allocatable() else {
            return Ok(0);
        };
        let wants = &pod.spec.requests;
        let cpu = fraction((info.requested.cpu + wants.cpu).0, all.cpu.0);
        let memory = fraction((info.requested.memory + wants.memory).0, all.memory.0);
        Ok(points(cpu, memory))
    }
}

/// How full a resource is, at most 1; `None` when there is none of it.
fn fraction(requested: i64, capacity: i64) -> Option<f64> {
    (capacity != 0).then(|| (requested as f64 / capacity as f64).min(1.0))
}

/// The standard deviation of two numbers is half their distance; of one it is nothing.
fn points(cpu: Option<f64>, memory: Option<f64>) -> i64 {
    let deviation = match (cpu, memory) {
        (Some(cpu), Some(memory)) => ((cpu - memory) / 2.0).abs(),
        _ => 0.0,
    };
    ((1.0 - deviation) * MAX_NODE_SCORE as f64) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows from upstream's description of the score: utilisations, points.
    #[test]
    fn the_score_is_one_hundred_less_half_the_distance() {
        let rows = [
            ((3000, 10_000), (5000, 20_000), 97),
            ((6000, 10_000), (0, 0), 100),
            ((0, 10_000), (20_000, 20_000), 50),
            ((12_000, 10_000), (5000, 20_000), 62),
        ];
        for ((cpu, cpus), (memory, memories), expected) in rows {
            assert_eq!(
                points(fraction(cpu, cpus), fraction(memory, memories)),
                expected
            );
        }
    }
}
