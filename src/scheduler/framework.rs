//! The scheduling framework: the places where a plugin has a say, as small traits.
//!
//! A plugin is one value that implements [`Plugin`] and, of the traits here, those whose moment
//! concerns it; it says which by answering the `as_…` question. `framework/profile.rs` holds the
//! plugins of one scheduler name and runs them; `schedule_one` calls that, in the order of this
//! file.
//!
//! | moment | trait | answers |
//! | --- | --- | --- |
//! | before a pod enters the queue | [`PreEnqueue`] | may it? |
//! | the order of the queue | [`QueueSort`] | a key, smallest first |
//! | something happened | [`EnqueueExtensions`] | could it help a pod I refused? |
//! | once a cycle, first | [`PreFilter`] | what Filter needs; which nodes at all |
//! | for each node | [`Filter`] | can the pod run there? |
//! | no node was left | [`PostFilter`] | can something be done about it? |
//! | once a cycle, for the nodes left | [`PreScore`] | what Score needs |
//! | for each node left | [`Score`] | 0 to 100 |
//! | a node is chosen | [`Reserve`] | takes what it keeps account of itself |
//! | last word | [`Permit`] | yes, no, or wait |
//! | before the binding | [`PreBind`] | is everything in place? |
//! | the binding | [`Bind`] | the request to make |
//! | after it | [`PostBind`] | nothing: it is told |
//!
//! 1. Filter and Score see one immutable snapshot and the cycle's own state, nothing else.
//! 2. For each successful Reserve there is one Unreserve or one PostBind.
//!
//! Upstream: `pkg/scheduler/framework/interface.go`. Left out: PreFilterExtensions (only topology
//! plugins need them), extenders, PreBindPreFlight.
//!
//! Book: `book/src/scheduler/framework.md`.

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;

use wavetank_api::{Time, Uid};

use crate::node_info::NodeInfo;
use crate::pod::Pod;
use crate::snapshot::{NodeId, Snapshot};

pub use change::{Change, ChangeKind};
pub use diagnosis::Diagnosis;
pub use profile::Profile;
pub use state::CycleState;
pub use status::{Code, Status};

mod change;
mod diagnosis;
mod profile;
mod state;
mod status;

/// The highest score a plugin may give a node, before its weight.
pub const MAX_NODE_SCORE: i64 = 100;

// ANCHOR: plugin
/// A plugin: a name, and the moments at which it wants to be asked.
#[rustfmt::skip]
#[allow(missing_docs, reason = "`Some(self)` where the plugin has the trait")]
pub trait Plugin: Send {
    /// As in the configuration and in messages.
    fn name(&self) -> &'static str;

    fn as_pre_enqueue(&self) -> Option<&dyn PreEnqueue> { None }
    fn as_queue_sort(&self) -> Option<&dyn QueueSort> { None }
    fn as_enqueue_extensions(&self) -> Option<&dyn EnqueueExtensions> { None }
    fn as_pre_filter(&self) -> Option<&dyn PreFilter> { None }
    fn as_filter(&self) -> Option<&dyn Filter> { None }
    fn as_post_filter(&self) -> Option<&dyn PostFilter> { None }
    fn as_pre_score(&self) -> Option<&dyn PreScore> { None }
    fn as_score(&self) -> Option<&dyn Score> { None }
    fn as_reserve(&mut self) -> Option<&mut dyn Reserve> { None }
    fn as_permit(&mut self) -> Option<&mut dyn Permit> { None }
    fn as_pre_bind(&self) -> Option<&dyn PreBind> { None }
    fn as_bind(&self) -> Option<&dyn Bind> { None }
    fn as_post_bind(&mut self) -> Option<&mut dyn PostBind> { None }
}
// ANCHOR_END: plugin

/// Asked when a pod is about to enter the active queue.
pub trait PreEnqueue {
    /// Anything but success keeps the pod gated until the pod itself changes.
    fn pre_enqueue(&self, pod: &Pod) -> Status;
}

/// Orders the active queue; a profile has exactly one.
pub trait QueueSort {
    /// The pod with the smallest key is scheduled first; `since` is when it entered the queue.
    /// Upstream asks `Less(a, b)`; a key needs no call back into the plugin while the queue sorts.
    fn key(&self, pod: &Pod, since: Time) -> (i64, i64);
}

/// What a change means for a pod that the plugin refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// The pod may fit now: try again.
    Queue,
    /// The reason for refusing still stands.
    Skip,
}

/// Tells the queue what to wake a refused pod for.
pub trait EnqueueExtensions {
    /// The kinds of change that could help at all; others are not offered.
    fn changes(&self) -> &'static [ChangeKind];

    /// Whether this change could help this pod.
    fn hint(&self, _pod: &Pod, _change: &Change) -> Hint {
        Hint::Queue
    }
}

/// Which nodes are worth filtering.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PreFilterResult {
    /// `None`: all nodes.
    pub node_names: Option<BTreeSet<Arc<str>>>,
}

/// Asked once a cycle before nodes are filtered.
pub trait PreFilter {
    /// `Skip` leaves this plugin's Filter out of the cycle.
    fn pre_filter(
        &self,
        state: &mut CycleState,
        pod: &Pod,
        snapshot: &Snapshot,
    ) -> Result<PreFilterResult, Status>;
}

/// Asked for each node.
pub trait Filter {
    /// Success when the pod can run on the node.
    fn filter(&self, state: &CycleState, pod: &Pod, node: &NodeInfo) -> Status;
}

/// Asked when no node passed the filters.
pub trait PostFilter {
    /// Success with a node nominates it; `Unschedulable` adds its message to the diagnosis.
    fn post_filter(
        &self,
        state: &CycleState,
        pod: &Pod,
        snapshot: &Snapshot,
        filters: &dyn Fn(&NodeInfo) -> Status,
        diagnosis: &Diagnosis,
    ) -> Result<Arc<str>, Status>;
}

/// Asked once a cycle before nodes are scored.
pub trait PreScore {
    /// `Skip` leaves this plugin's Score out of the cycle.
    fn pre_score(
        &self,
        state: &mut CycleState,
        pod: &Pod,
        snapshot: &Snapshot,
        feasible: &[NodeId],
    ) -> Status;
}

/// Asked for each node that passed.
pub trait Score {
    /// Any integer when `normalize` brings it into 0 to [`MAX_NODE_SCORE`], else within that range.
    fn score(&self, state: &CycleState, pod: &Pod, node: &NodeInfo) -> Result<i64, Status>;

    /// Brings the scores of all nodes into range; one entry a node, in the order they were scored.
    fn normalize(&self, _state: &CycleState, _pod: &Pod, _scores: &mut [i64]) {}
}

/// Told when a node is chosen, and when it comes to nothing.
pub trait Reserve {
    /// Anything but success gives the node up again.
    fn reserve(&mut self, state: &mut CycleState, pod: &Pod, node: &Arc<str>) -> Status;

    /// Takes `reserve` back; must not fail, may come twice.
    fn unreserve(&mut self, state: &mut CycleState, pod: &Pod, node: &Arc<str>);
}

/// A plugin's last word before the binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Allow,
    /// Keep the node reserved until another call of `permit` decides, at most this long.
    Wait(Duration),
    /// Give the node up.
    Reject(Status),
}

/// A pod that holds a node while a Permit plugin waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingPod {
    /// The pod, on its node.
    pub pod: Arc<Pod>,
    /// Set by a Permit plugin: what becomes of it.
    pub decided: Option<Verdict>,
}

/// Asked last in the scheduling cycle.
pub trait Permit {
    /// May also decide the fate of pods that wait already: that is how a gang is let go at once.
    fn permit(
        &mut self,
        state: &mut CycleState,
        pod: &Pod,
        node: &Arc<str>,
        waiting: &mut [WaitingPod],
    ) -> Verdict;
}

/// Asked before the binding is sent.
pub trait PreBind {
    /// Anything but success gives the node up.
    fn pre_bind(&self, state: &mut CycleState, pod: &Pod, node: &Arc<str>) -> Status;
}

/// A pod to be put on a node: the body of `POST …/pods/{name}/binding`, as data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Namespace of the pod.
    pub namespace: Arc<str>,
    /// Name of the pod.
    pub name: Arc<str>,
    /// The life of the pod that was decided on.
    pub uid: Uid,
    /// The node.
    pub node: Arc<str>,
}

/// Asked how to bind; the first that does not answer `Skip` decides.
pub trait Bind {
    /// The binding to send.
    fn bind(&self, state: &CycleState, pod: &Pod, node: &Arc<str>) -> Result<Binding, Status>;
}

/// Told that a pod is bound.
pub trait PostBind {
    /// For clearing up.
    fn post_bind(&mut self, state: &mut CycleState, pod: &Pod, node: &Arc<str>);
}

/// Scales scores so that the highest becomes [`MAX_NODE_SCORE`]; `reverse` turns low into high
/// (`plugins/helper/normalize_score.go`).
pub fn normalize_to_max(scores: &mut [i64], reverse: bool) {
    let highest = scores.iter().copied().max().unwrap_or(0);
    for score in scores {
        let scaled = if highest == 0 {
            0
        } else {
            MAX_NODE_SCORE * *score / highest
        };
        *score = if reverse {
            MAX_NODE_SCORE - scaled
        } else {
            scaled
        };
    }
}
