//! NodeResourcesBalancedAllocation: prefers nodes whose CPU and memory fill up evenly.
//!
//! A node with all CPU taken and half its memory free has memory that nobody can use. The score is
//! 100 minus the standard deviation of the utilisations, in per cent.
//!
//! Upstream: `pkg/scheduler/framework/plugins/noderesources/balanced_allocation.go` of v1.33.
//!
//! Book: `book/src/scheduler/plugins.md`.

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
    /// A pod without requests says nothing about balance, and would pile up on the node that happens
    /// to be most even (#129138).
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
        let rows = [
            (info.requested.cpu + wants.cpu).0 as f64 / all.cpu.0 as f64,
            (info.requested.memory + wants.memory).0 as f64 / all.memory.0 as f64,
        ];
        let capacities = [all.cpu.0, all.memory.0];
        let known = rows
            .iter()
            .zip(capacities)
            .filter(|(_, capacity)| *capacity != 0);
        let fractions: Vec<f64> = known.map(|(fraction, _)| fraction.min(1.0)).collect();
        Ok(((1.0 - deviation(&fractions)) * MAX_NODE_SCORE as f64) as i64)
    }
}

/// The standard deviation; of two numbers it is half their distance, which upstream computes so.
fn deviation(fractions: &[f64]) -> f64 {
    match fractions {
        [] | [_] => 0.0,
        [a, b] => libm::fabs((a - b) / 2.0),
        many => {
            let mean = many.iter().sum::<f64>() / many.len() as f64;
            let squares: f64 = many.iter().map(|f| (f - mean) * (f - mean)).sum();
            libm::sqrt(squares / many.len() as f64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_resources_deviate_by_half_their_distance() {
        assert_eq!(deviation(&[0.75, 0.25]), 0.25);
        assert_eq!(deviation(&[0.5]), 0.0);
        assert!((deviation(&[0.1, 0.2, 0.3]) - 0.081_649).abs() < 1e-5);
    }
}
