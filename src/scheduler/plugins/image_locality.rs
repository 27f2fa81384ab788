//! ImageLocality: prefers nodes that have the pod's images already.
//!
//! The size of an image counts in proportion to how many nodes have it, so that an image on one
//! node does not draw every pod there.
//!
//! Upstream: `pkg/scheduler/framework/plugins/imagelocality`. Left out: image volumes.
//!
//! Book: `book/src/scheduler/framework.md`.

use crate::framework::{CycleState, MAX_NODE_SCORE, Plugin, PreScore, Score, Status};
use crate::node_info::NodeInfo;
use crate::pod::Pod;
use crate::snapshot::{NodeId, Snapshot};

const MIB: i64 = 1024 * 1024;
/// Less than this on a node is not worth a point.
const THRESHOLD_MIN: i64 = 23 * MIB;
/// More than this for each container earns no more points.
const THRESHOLD_MAX_PER_CONTAINER: i64 = 1000 * MIB;

/// Scores by images present.
pub struct ImageLocality;

/// For each image of the pod the share of all nodes that have it.
struct Spread(Vec<f64>);

impl Plugin for ImageLocality {
    fn name(&self) -> &'static str {
        "ImageLocality"
    }

    fn as_pre_score(&self) -> Option<&dyn PreScore> {
        Some(self)
    }

    fn as_score(&self) -> Option<&dyn Score> {
        Some(self)
    }
}

impl PreScore for ImageLocality {
    fn pre_score(
        &self,
        state: &mut CycleState,
        pod: &Pod,
        snapshot: &Snapshot,
        _feasible: &[NodeId],
    ) -> Status {
        let nodes = snapshot.len() as f64;
        let share = |name| f64::from(snapshot.nodes_with_image(name)) / nodes;
        state.write(Spread(
            pod.spec.images.iter().map(|image| share(image)).collect(),
        ));
        Status::SUCCESS
    }
}

impl Score for ImageLocality {
    fn score(&self, state: &CycleState, pod: &Pod, info: &NodeInfo) -> Result<i64, Status> {
        let (Some(node), Some(Spread(shares))) = (&info.node, state.read::<Spread>()) else {
            return Ok(0);
        };
        let mut sum = 0;
        for (image, share) in pod.spec.images.iter().zip(shares) {
            if let Ok(at) = node.images.binary_search_by(|have| have.name.cmp(image)) {
                sum += (node.images[at].size as f64 * share) as i64;
            }
        }
        Ok(points(sum, pod.spec.images.len() as i64))
    }
}

/// Bytes at hand on a scale of 0 to 100.
fn points(sum: i64, containers: i64) -> i64 {
    let most = THRESHOLD_MAX_PER_CONTAINER * containers.max(1);
    let sum = sum.clamp(THRESHOLD_MIN, most);
    MAX_NODE_SCORE * (sum - THRESHOLD_MIN) / (most - THRESHOLD_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_lie_between_the_thresholds() {
        assert_eq!(points(0, 1), 0);
        assert_eq!(points(23 * MIB, 1), 0);
        assert_eq!(points(600 * MIB, 2), 29);
        assert_eq!(points(5000 * MIB, 2), 100);
    }
}
