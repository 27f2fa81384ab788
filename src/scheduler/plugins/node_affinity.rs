//! NodeAffinity: the labels a pod wants its node to have.
//!
//! `nodeSelector` and required node affinity filter; preferred node affinity scores with its
//! weights. A pod limited to nodes by name (daemon pods are) is only tried on those.
//!
//! Upstream: `pkg/scheduler/framework/plugins/nodeaffinity`. Left out: `addedAffinity`.
//!
//! Book: `book/src/scheduler/framework.md`.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::framework::{
    Change, ChangeKind, CycleState, EnqueueExtensions, Filter, Hint, Plugin, PreFilter,
    PreFilterResult, PreScore, Score, Status, normalize_to_max,
};
use crate::node::Node;
use crate::node_info::NodeInfo;
use crate::pod::Pod;
use crate::snapshot::{NodeId, Snapshot};

/// Filters and scores by node labels.
pub struct NodeAffinity;

impl Plugin for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn as_pre_filter(&self) -> Option<&dyn PreFilter> {
        Some(self)
    }

    fn as_filter(&self) -> Option<&dyn Filter> {
        Some(self)
    }

    fn as_pre_score(&self) -> Option<&dyn PreScore> {
        Some(self)
    }

    fn as_score(&self) -> Option<&dyn Score> {
        Some(self)
    }

    fn as_enqueue_extensions(&self) -> Option<&dyn EnqueueExtensions> {
        Some(self)
    }
}

impl EnqueueExtensions for NodeAffinity {
    fn changes(&self) -> &'static [ChangeKind] {
        &[ChangeKind::NodeAdded, ChangeKind::NodeUpdated]
    }

    fn hint(&self, pod: &Pod, change: &Change) -> Hint {
        let Some(node) = change.node() else {
            return Hint::Skip;
        };
        let matched_before = change.old_node().is_some_and(|old| matches(pod, old));
        if matches(pod, node) && !matched_before {
            Hint::Queue
        } else {
            Hint::Skip
        }
    }
}

impl PreFilter for NodeAffinity {
    fn pre_filter(
        &self,
        _state: &mut CycleState,
        pod: &Pod,
        _snapshot: &Snapshot,
    ) -> Result<PreFilterResult, Status> {
        let Some(required) = &pod.spec.required_nodes else {
            let has_selector = pod.spec.node_selector.is_some();
            return if has_selector {
                Ok(PreFilterResult::default())
            } else {
                Err(Status::skip())
            };
        };
        // Terms are alternatives: only when each of them names nodes are the others out.
        let mut names: BTreeSet<Arc<str>> = BTreeSet::new();
        for term in &required.node_selector_terms {
            match term.node_names() {
                Some(of_term) => names.extend(of_term),
                None => return Ok(PreFilterResult::default()),
            }
        }
        if names.is_empty() && !required.node_selector_terms.is_empty() {
            return Err(Status::unresolvable("pod affinity terms conflict"));
        }
        Ok(PreFilterResult {
            node_names: (!names.is_empty()).then_some(names),
        })
    }
}

impl Filter for NodeAffinity {
    fn filter(&self, _state: &CycleState, pod: &Pod, node: &NodeInfo) -> Status {
        match &node.node {
            Some(node) if !matches(pod, node) => {
                Status::unresolvable("node(s) didn't match Pod's node affinity/selector")
            }
            _ => Status::SUCCESS,
        }
    }
}

impl PreScore for NodeAffinity {
    fn pre_score(
        &self,
        _state: &mut CycleState,
        pod: &Pod,
        _snapshot: &Snapshot,
        _feasible: &[NodeId],
    ) -> Status {
        if pod.spec.preferred_nodes.is_empty() {
            Status::skip()
        } else {
            Status::SUCCESS
        }
    }
}

impl Score for NodeAffinity {
    fn score(&self, _state: &CycleState, pod: &Pod, node: &NodeInfo) -> Result<i64, Status> {
        let Some(node) = &node.node else { return Ok(0) };
        let met = pod
            .spec
            .preferred_nodes
            .iter()
            .filter(|p| p.preference.matches(node));
        Ok(met.map(|preference| preference.weight).sum())
    }

    fn normalize(&self, _state: &CycleState, _pod: &Pod, scores: &mut [i64]) {
        normalize_to_max(scores, false);
    }
}

/// Whether the node has what the pod requires.
fn matches(pod: &Pod, node: &Node) -> bool {
    let spec = &pod.spec;
    spec.node_selector
        .as_ref()
        .is_none_or(|term| term.matches(node))
        && spec
            .required_nodes
            .as_ref()
            .is_none_or(|selector| selector.matches(node))
}
