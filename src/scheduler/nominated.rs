//! Pods that have been promised a node which is still being freed for them.
//!
//! A pod with `status.nominatedNodeName` counts on that node for pods of the same or lower
//! priority, though it is not there yet; otherwise a small pod would take the room that preemption
//! made for a large one. `engine` keeps it, `schedule_one` asks it for each node it filters.
//!
//! 1. A pod is nominated on at most one node, and on none once it is bound or gone.
//!
//! Upstream: `pkg/scheduler/backend/queue/nominator.go`.
//!
//! Book: `book/src/scheduler/queue.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use wavetank_api::Uid;

use crate::pod::Pod;

/// The nominations that stand.
#[derive(Debug, Default)]
pub struct Nominated {
    by_node: BTreeMap<Arc<str>, Vec<Arc<Pod>>>,
    node_of: BTreeMap<Uid, Arc<str>>,
}

impl Nominated {
    /// Takes a pending pod's nomination as its status has it; none withdraws the one before.
    pub fn set(&mut self, pod: &Arc<Pod>) {
        self.remove(&pod.uid);
        if let Some(node) = &pod.nominated_node_name {
            self.by_node
                .entry(Arc::clone(node))
                .or_default()
                .push(Arc::clone(pod));
            self.node_of.insert(pod.uid.clone(), Arc::clone(node));
        }
    }

    /// Withdraws a pod's nomination.
    pub fn remove(&mut self, uid: &Uid) {
        let Some(node) = self.node_of.remove(uid) else {
            return;
        };
        let Some(pods) = self.by_node.get_mut(&node) else {
            return;
        };
        pods.retain(|pod| pod.uid != *uid);
        if pods.is_empty() {
            self.by_node.remove(&node);
        }
    }

    /// The pods nominated on a node that `pod` must leave room for.
    pub fn ahead_of<'a>(&'a self, pod: &'a Pod, node: &str) -> impl Iterator<Item = &'a Arc<Pod>> {
        let pods = self
            .by_node
            .get(node)
            .map(Vec::as_slice)
            .unwrap_or_default();
        pods.iter().filter(|nominated| {
            nominated.uid != pod.uid && nominated.spec.priority >= pod.spec.priority
        })
    }

    /// Whether nothing is nominated anywhere.
    pub fn is_empty(&self) -> bool {
        self.node_of.is_empty()
    }
}
