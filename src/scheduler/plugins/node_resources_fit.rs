//! NodeResourcesFit: what the pod requests must be left on the node; and how full nodes should get.
//!
//! The filter compares requests with allocatable minus the sum of requests, resource by resource.
//! The score is one of three strategies over CPU and memory: spread (LeastAllocated), pack
//! (MostAllocated), or any curve over utilisation (RequestedToCapacityRatio).
//!
//! 1. A pod that passes the filter and is counted in leaves no resource above allocatable (H1).
//!
//! Upstream: `pkg/scheduler/framework/plugins/noderesources/{fit,least_allocated,most_allocated,
//! requested_to_capacity_ratio}.go`. Left out: ignored resources, weights other than 1.
//!
//! Book: `book/src/scheduler/framework.md`.

use std::borrow::Cow;

use crate::framework::{
    Change, ChangeKind, Code, CycleState, EnqueueExtensions, Filter, Hint, MAX_NODE_SCORE, Plugin,
    Score, Status,
};
use crate::node_info::NodeInfo;
use crate::pod::Pod;
use crate::resource::Resources;

/// How full nodes should get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// The emptiest node scores highest.
    LeastAllocated,
    /// The fullest does.
    MostAllocated,
    /// A broken line from utilisation (0 to 100) to a score (0 to 10), points in order.
    RequestedToCapacityRatio(Vec<(i64, i64)>),
}

/// Filters and scores by requests.
pub struct NodeResourcesFit {
    strategy: Strategy,
}

impl NodeResourcesFit {
    /// With this way of scoring.
    pub fn new(strategy: Strategy) -> Self {
        NodeResourcesFit { strategy }
    }
}

impl Plugin for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    fn as_filter(&self) -> Option<&dyn Filter> {
        Some(self)
    }

    fn as_score(&self) -> Option<&dyn Score> {
        Some(self)
    }

    fn as_enqueue_extensions(&self) -> Option<&dyn EnqueueExtensions> {
        Some(self)
    }
}

impl EnqueueExtensions for NodeResourcesFit {
    fn changes(&self) -> &'static [ChangeKind] {
        use ChangeKind::{
            AssignedPodDeleted, AssignedPodUpdated, NodeAdded, NodeUpdated, PodUpdated,
        };
        &[
            NodeAdded,
            NodeUpdated,
            AssignedPodDeleted,
            AssignedPodUpdated,
            PodUpdated,
        ]
    }

    fn hint(&self, pod: &Pod, change: &Change) -> Hint {
        let wants = &pod.spec.requests;
        let helps = match change {
            Change::NodeAdded(node) => node.allowed_pods > 0 && wants.fits_in(&node.allocatable),
            Change::NodeUpdated { old, new } => {
                let grew = !new.allocatable.fits_in(&old.allocatable)
                    || new.allowed_pods > old.allowed_pods;
                grew && wants.fits_in(&new.allocatable)
            }
            Change::AssignedPodDeleted(_) => true,
            Change::AssignedPodUpdated { old, new } => {
                !old.spec.requests.fits_in(&new.spec.requests)
            }
            Change::PodUpdated { old, new } => !old.spec.requests.fits_in(&new.spec.requests),
            _ => false,
        };
        if helps { Hint::Queue } else { Hint::Skip }
    }
}

// ANCHOR: filter
impl Filter for NodeResourcesFit {
    fn filter(&self, _state: &CycleState, pod: &Pod, info: &NodeInfo) -> Status {
        let Some(node) = &info.node else {
            return Status::SUCCESS;
        };
        let mut refusal = Refusal::default();
        if info.pods.len() as i64 + 1 > node.allowed_pods {
            refusal.add("Too many pods".into(), false);
        }
        let wants = &pod.spec.requests;
        if wants.is_zero() {
            return refusal.status();
        }
        for_each_resource(
            wants,
            &node.allocatable,
            &info.requested,
            |name, [want, all, used]| {
                if want > 0 && want > all - used {
                    let reason = match name {
                        "cpu" => "Insufficient cpu".into(),
                        "memory" => "Insufficient memory".into(),
                        _ => format!("Insufficient {name}").into(),
                    };
                    refusal.add(reason, want > all);
                }
            },
        );
        refusal.status()
    }
}
// ANCHOR_END: filter

/// Collects what is lacking; allocates only when something is.
#[derive(Default)]
struct Refusal {
    reasons: Vec<Cow<'static, str>>,
    /// Even an empty node would be too small: preemption cannot help.
    is_hopeless: bool,
}

impl Refusal {
    fn add(&mut self, reason: Cow<'static, str>, is_hopeless: bool) {
        self.reasons.push(reason);
        self.is_hopeless |= is_hopeless;
    }

    fn status(self) -> Status {
        let code = match (self.reasons.is_empty(), self.is_hopeless) {
            (true, _) => return Status::SUCCESS,
            (false, true) => Code::UnschedulableAndUnresolvable,
            (false, false) => Code::Unschedulable,
        };
        Status {
            code,
            reasons: self.reasons,
            ..Status::SUCCESS
        }
    }
}

/// Calls `visit` with the name and the amounts `[wanted, allocatable, used]` of each resource that
/// is wanted.
fn for_each_resource(
    wants: &Resources,
    all: &Resources,
    used: &Resources,
    mut visit: impl FnMut(&str, [i64; 3]),
) {
    visit("cpu", [wants.cpu.0, all.cpu.0, used.cpu.0]);
    visit("memory", [wants.memory.0, all.memory.0, used.memory.0]);
    let storage = [wants, all, used].map(|resources| resources.ephemeral_storage.0);
    visit("ephemeral-storage", storage);
    for (name, wanted) in wants.extended_iter() {
        visit(name, [wanted, all.extended(name), used.extended(name)]);
    }
}

impl Score for NodeResourcesFit {
    fn score(&self, _state: &CycleState, pod: &Pod, info: &NodeInfo) -> Result<i64, Status> {
        let Some(all) = info.allocatable() else {
            return Ok(0);
        };
        let (cpu, memory) = info.scoring_requested;
        let (pod_cpu, pod_memory) = pod.spec.scoring_requests;
        let rows = [
            (cpu.0.saturating_add(pod_cpu.0), all.cpu.0),
            (memory.0.saturating_add(pod_memory.0), all.memory.0),
        ];
        let (mut sum, mut weights) = (0, 0);
        for (requested, capacity) in rows {
            if capacity == 0 {
                continue;
            }
            let score = self.strategy.score(requested, capacity);
            let counts =
                score > 0 || !matches!(self.strategy, Strategy::RequestedToCapacityRatio(_));
            if counts {
                sum += score;
                weights += 1;
            }
        }
        Ok(self.strategy.mean(sum, weights))
    }
}

impl Strategy {
    /// The score of one resource.
    fn score(&self, requested: i64, capacity: i64) -> i64 {
        match self {
            Strategy::LeastAllocated if requested > capacity => 0,
            Strategy::LeastAllocated => scaled(capacity - requested, MAX_NODE_SCORE, capacity),
            Strategy::MostAllocated => scaled(requested.min(capacity), MAX_NODE_SCORE, capacity),
            Strategy::RequestedToCapacityRatio(points) => {
                let utilisation = if requested > capacity {
                    100
                } else {
                    scaled(requested, 100, capacity)
                };
                broken_line(points, utilisation)
            }
        }
    }

    /// The score over all resources. RequestedToCapacityRatio rounds, the others cut.
    fn mean(&self, sum: i64, weights: i64) -> i64 {
        match self {
            _ if weights == 0 => 0,
            Strategy::RequestedToCapacityRatio(_) => (2 * sum + weights) / (2 * weights),
            _ => sum / weights,
        }
    }
}

/// `amount * scale / whole` without overflow.
fn scaled(amount: i64, scale: i64, whole: i64) -> i64 {
    let result = i128::from(amount) * i128::from(scale) / i128::from(whole);
    i64::try_from(result).unwrap_or(i64::MAX)
}

/// The height at `x` of the line through the points; scores of 0 to 10 become 0 to 100.
fn broken_line(points: &[(i64, i64)], x: i64) -> i64 {
    let height = |y: i64| y * (MAX_NODE_SCORE / 10);
    let mut before: Option<(i64, i64)> = None;
    for &(at, y) in points {
        if x <= at {
            return match before {
                Some((x0, y0)) if at != x0 => {
                    height(y0) + (height(y) - height(y0)) * (x - x0) / (at - x0)
                }
                _ => height(y),
            };
        }
        before = Some((at, y));
    }
    before.map_or(0, |(_, y)| height(y))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows from upstream's documentation of the strategies: (requested, capacity, score).
    #[test]
    fn strategies_score_as_documented() {
        let ratio = Strategy::RequestedToCapacityRatio(vec![(0, 0), (100, 10)]);
        let rows = [
            (Strategy::LeastAllocated, 3000, 4000, 25),
            (Strategy::LeastAllocated, 5000, 4000, 0),
            (Strategy::LeastAllocated, 5000, 10000, 50),
            (Strategy::MostAllocated, 3000, 4000, 75),
            (Strategy::MostAllocated, 5000, 4000, 100),
            (ratio.clone(), 2500, 10000, 25),
            (ratio, 99999, 10000, 100),
        ];
        for (strategy, requested, capacity, expected) in rows {
            let score = strategy.score(requested, capacity);
            assert_eq!(score, expected, "{strategy:?} {requested}/{capacity}");
        }
    }

    #[test]
    fn memory_of_a_large_machine_does_not_overflow() {
        let capacity = i64::MAX / 2;
        assert_eq!(Strategy::LeastAllocated.score(capacity / 2, capacity), 50);
    }
}
