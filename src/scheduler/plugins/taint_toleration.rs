//! TaintToleration: a node's taints keep pods away that do not tolerate them.
//!
//! `NoSchedule` and `NoExecute` filter; each `PreferNoSchedule` that is not tolerated costs points.
//!
//! Upstream: `pkg/scheduler/framework/plugins/tainttoleration`.
//!
//! Book: `book/src/scheduler/framework.md`.

use crate::framework::{
    Change, ChangeKind, CycleState, EnqueueExtensions, Filter, Hint, Plugin, Score, Status,
    normalize_to_max,
};
use crate::node::{Effect, Node, Taint};
use crate::node_info::NodeInfo;
use crate::pod::{Pod, Toleration};

/// Filters and scores by taints.
pub struct TaintToleration;

impl Plugin for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
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

impl EnqueueExtensions for TaintToleration {
    fn changes(&self) -> &'static [ChangeKind] {
        &[
            ChangeKind::NodeAdded,
            ChangeKind::NodeUpdated,
            ChangeKind::PodUpdated,
        ]
    }

    fn hint(&self, pod: &Pod, change: &Change) -> Hint {
        let was_refused = change
            .old_node()
            .is_none_or(|old| untolerated(pod, old).is_some());
        match change {
            Change::PodUpdated { old, new } if old.spec.tolerations != new.spec.tolerations => {
                Hint::Queue
            }
            Change::NodeAdded(node) | Change::NodeUpdated { new: node, .. }
                if was_refused && untolerated(pod, node).is_none() =>
            {
                Hint::Queue
            }
            _ => Hint::Skip,
        }
    }
}

impl Filter for TaintToleration {
    fn filter(&self, _state: &CycleState, pod: &Pod, node: &NodeInfo) -> Status {
        let Some(taint) = node.node.as_ref().and_then(|node| untolerated(pod, node)) else {
            return Status::SUCCESS;
        };
        let Taint { key, value, .. } = taint;
        Status::unresolvable(format!("node(s) had untolerated taint {{{key}: {value}}}"))
    }
}

impl Score for TaintToleration {
    fn score(&self, _state: &CycleState, pod: &Pod, node: &NodeInfo) -> Result<i64, Status> {
        let taints = node
            .node
            .as_ref()
            .map(|node| node.taints.as_slice())
            .unwrap_or_default();
        let soft = |t: &Toleration| matches!(t.effect, None | Some(Effect::PreferNoSchedule));
        let intolerable = taints.iter().filter(|taint| {
            taint.effect == Effect::PreferNoSchedule
                && !pod
                    .spec
                    .tolerations
                    .iter()
                    .any(|t| soft(t) && t.tolerates(taint))
        });
        Ok(intolerable.count() as i64)
    }

    /// Fewer is better.
    fn normalize(&self, _state: &CycleState, _pod: &Pod, scores: &mut [i64]) {
        normalize_to_max(scores, true);
    }
}

/// The first taint that keeps the pod away.
fn untolerated<'a>(pod: &Pod, node: &'a Node) -> Option<&'a Taint> {
    let keeps_away = |taint: &&Taint| taint.effect != Effect::PreferNoSchedule;
    node.taints
        .iter()
        .filter(keeps_away)
        .find(|taint| !pod.spec.tolerates(taint))
}
