//! The scheduler without its API: told what happened, it answers with pods to bind and pods that
//! fit nowhere.
//!
//! `scheduler` feeds it from informers and sends what it decides; benches and properties call it
//! directly. One cycle is in `schedule_one`.
//!
//! 1. No node is given more than it has, whatever the order of observations and outcomes (H1).
//! 2. Each pending pod is in exactly one place: queue, waiting, binding (H11).
//! 3. The cache equals the fold of observed bound pods and assumptions (H12).
//! 4. The same observations, outcomes, times and seed give the same decisions (H13).
//! 5. A binding whose outcome is unknown stays counted until a live read has shown what became of
//!    it (H14).
//!
//! Book: `book/src/scheduler/binding.md`.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use wavetank_api::{Guard, Guards, Time, Uid};

use crate::cache::{Cache, NodeChange};
use crate::framework::{Binding, Change, CycleState, Diagnosis, Profile, Status, WaitingPod};
use crate::node::Node;
use crate::nominated::Nominated;
use crate::pod::Pod;
use crate::queue::Queue;
use crate::snapshot::Snapshot;

/// Something the informers have seen. Objects are whole; the core knows what was before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A node, new or changed.
    Node(Arc<Node>),
    /// No node of this name any more.
    NodeGone(Arc<str>),
    /// A pod, new or changed: pending, bound or finished.
    Pod(Arc<Pod>),
    /// No pod of this uid any more.
    PodGone(Uid),
}

/// What a cycle or an outcome asks the caller to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send the binding and tell `bind_done` what became of it.
    Bind(Binding),
    /// Tell the user: condition and event. The pod is back in the queue.
    Failed(Failed),
    /// Nothing: a Permit plugin keeps the pod waiting.
    Waiting(Uid),
}

/// Why a pod was not scheduled this time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The pod.
    pub pod: Arc<Pod>,
    /// Reason of the condition: `Unschedulable`, or `SchedulerError` when something went wrong.
    pub reason: &'static str,
    /// One line for people.
    pub message: String,
    /// The node that PostFilter has freed for the pod.
    pub nominated: Option<Arc<str>>,
}

// ANCHOR: outcome
/// What became of a binding that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindOutcome {
    /// The API server has taken it.
    Bound,
    /// The API server has refused it, so that it will never happen.
    Refused(String),
    /// No answer came: it may have happened, or may yet.
    Unknown,
}

/// What a consistent read of the pod has shown, after an unknown outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LiveRead {
    /// No pod of this uid.
    Gone,
    /// The pod has no node: not bound yet.
    Unbound,
    /// The pod is on this node.
    On(Arc<str>),
}
// ANCHOR_END: outcome

/// A decision on its way: what is needed to finish it or take it back.
pub(crate) struct Attempt {
    /// The pod, on its node.
    pub(crate) pod: Arc<Pod>,
    pub(crate) profile: usize,
    pub(crate) node: Arc<str>,
    pub(crate) state: CycleState,
    /// What was sent and when first, to be sent again when nothing was heard.
    pub(crate) binding: Option<(Binding, Time)>,
}

/// How long a request may live in an API server (`--request-timeout`): what has not happened by
/// then never will.
pub const REQUEST_LIFETIME: Duration = Duration::from_secs(60);

/// The scheduler's whole state.
pub struct Engine {
    pub(crate) profiles: Vec<Profile>,
    pub(crate) cache: Cache,
    pub(crate) snapshot: Snapshot,
    pub(crate) queue: Queue,
    pub(crate) nominated: Nominated,
    /// Decisions that a Permit plugin holds, with their deadlines.
    pub(crate) held: BTreeMap<Uid, (Attempt, Time)>,
    /// The same pods as plugins see them.
    pub(crate) waiting: Vec<WaitingPod>,
    /// Decisions whose binding has been sent.
    pub(crate) binding: BTreeMap<Uid, Attempt>,
    pub(crate) chance: ChaCha8Rng,
    /// Where the next cycle begins to look for nodes.
    pub(crate) next_start: usize,
    /// Per cent of nodes to find before scoring; zero adapts to the size of the cluster.
    pub(crate) percentage_of_nodes_to_score: usize,
    pub(crate) guards: Guards,
}

impl Engine {
    /// An empty scheduler with these profiles; `seed` breaks ties between nodes.
    pub fn new(profiles: Vec<Profile>, seed: u64, guards: Guards) -> Self {
        Engine {
            profiles,
            cache: Cache::new(guards),
            snapshot: Snapshot::default(),
            queue: Queue::new(guards),
            nominated: Nominated::default(),
            held: BTreeMap::new(),
            waiting: Vec::new(),
            binding: BTreeMap::new(),
            chance: ChaCha8Rng::seed_from_u64(seed),
            next_start: 0,
            percentage_of_nodes_to_score: 0,
            guards,
        }
    }

    /// The same scheduler with a fixed share of nodes to find before scoring (1 to 100).
    pub fn with_percentage_of_nodes_to_score(mut self, percentage: usize) -> Self {
        self.percentage_of_nodes_to_score = percentage.min(100);
        self
    }

    /// What is believed of nodes and bound pods.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The pods that wait for a node.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Number of bindings sent and not yet settled.
    pub fn binds_in_flight(&self) -> usize {
        self.binding.len()
    }

    /// Whether a binding of this pod was sent and is not yet settled.
    pub fn is_binding(&self, uid: &Uid) -> bool {
        self.binding.contains_key(uid)
    }

    /// When `cycle` should be called next if nothing happens before.
    pub fn next_wake(&self) -> Option<Time> {
        let deadlines = self.held.values().map(|(_, deadline)| *deadline);
        deadlines.chain(self.queue.next_wake()).min()
    }

    /// Takes in what the informers have seen.
    pub fn observe(&mut self, event: Event, now: Time) {
        match event {
            Event::Node(node) => {
                let change = match self.cache.set_node(Arc::clone(&node)) {
                    NodeChange::Same => return,
                    NodeChange::Added => Change::NodeAdded(node),
                    NodeChange::Updated(old) => Change::NodeUpdated { old, new: node },
                };
                self.happened(change, None, now);
            }
            Event::NodeGone(name) => {
                if let Some(node) = self.cache.remove_node(&name) {
                    self.happened(Change::NodeDeleted(node), None, now);
                }
            }
            Event::Pod(pod) if self.is_older_than_known(&pod) => {}
            Event::Pod(pod) if pod.is_finished => self.pod_gone(&pod.uid, now),
            Event::Pod(pod) if pod.node_name.is_some() => self.pod_bound(pod, now),
            Event::Pod(pod) => self.pod_pending(pod, now),
            Event::PodGone(uid) => self.pod_gone(&uid, now),
        }
    }

    /// Takes in what became of a binding.
    pub fn bind_done(&mut self, uid: &Uid, outcome: BindOutcome, now: Time) -> Option<Step> {
        match outcome {
            BindOutcome::Bound => self.settle(uid),
            BindOutcome::Refused(message) => return self.give_up(uid, message, now),
            // M43: the answer was lost, not necessarily the binding. Forgetting it now would give
            // the room to the next pod, and both would run there.
            BindOutcome::Unknown if self.guards.on(Guard::M43) => {}
            BindOutcome::Unknown => return self.give_up(uid, "no answer", now),
        }
        None
    }

    // ANCHOR: live_read
    /// Takes in what a live read has shown of a pod whose binding had no answer.
    ///
    /// Not bound yet does not mean never: the lost request may still be on its way.
    /// Binding the same pod to the same node once more is right in every case;
    /// forgetting is not. When the node has gone meanwhile, read again later.
    pub fn live_read(&mut self, uid: &Uid, shown: LiveRead, now: Time) -> Option<Step> {
        let attempt = self.binding.get(uid)?;
        let (binding, sent) = attempt.binding.clone()?;
        match shown {
            LiveRead::On(node) if node == attempt.node => self.settle(uid),
            LiveRead::Gone | LiveRead::On(_) => self.withdraw(uid, now),
            LiveRead::Unbound if self.cache.has_node(&attempt.node) => {
                return Some(Step::Bind(binding));
            }
            LiveRead::Unbound if now.since(sent) < REQUEST_LIFETIME => {}
            LiveRead::Unbound => return self.give_up(uid, "the node has gone", now),
        }
        None
    }
    // ANCHOR_END: live_read

    /// Whether a cache that lags, or a restarted watch, tells old news of this pod.
    fn is_older_than_known(&self, pod: &Pod) -> bool {
        let bound = self.cache.revision_of(&pod.uid);
        let queued = self.queue.pod(&pod.uid).map(|queued| queued.pod.revision);
        bound.max(queued).is_some_and(|known| known > pod.revision)
    }

    fn pod_pending(&mut self, pod: Arc<Pod>, now: Time) {
        let Some(profile) = self.profile_of(&pod) else {
            return;
        };
        if pod.is_terminating {
            self.queue.remove(&pod.uid);
            self.nominated.remove(&pod.uid);
            return;
        }
        self.nominated.set(&pod);
        let gate = self.profiles[profile].gate(&pod);
        let hint = hint_of(&self.profiles);
        if let Some(queued) = self.queue.pod(&pod.uid) {
            let key = self.profiles[profile].queue_key(&pod, queued.since);
            self.queue.update(pod, gate, key, &hint, now);
        } else if self.cache.pod(&pod.uid).is_none() {
            let key = self.profiles[profile].queue_key(&pod, now);
            self.queue.add(pod, gate, key, now);
        }
    }

    fn pod_bound(&mut self, pod: Arc<Pod>, now: Time) {
        self.queue.remove(&pod.uid);
        self.nominated.remove(&pod.uid);
        let change = match self.cache.set_pod(Arc::clone(&pod)) {
            Some(old) if old.spec == pod.spec && old.labels == pod.labels => return,
            Some(old) => Change::AssignedPodUpdated { old, new: pod },
            None => Change::AssignedPodAdded(pod),
        };
        // M50: what a bound pod lets go of is what the pods that do not fit are waiting for.
        let is_update = matches!(change, Change::AssignedPodUpdated { .. });
        if self.guards.on(Guard::M50) || !is_update {
            self.happened(change, None, now);
        }
    }

    fn pod_gone(&mut self, uid: &Uid, now: Time) {
        self.queue.remove(uid);
        self.nominated.remove(uid);
        if let Some((attempt, _)) = self.held.remove(uid) {
            self.waiting.retain(|waiting| waiting.pod.uid != *uid);
            self.unreserve(attempt);
        }
        let Some(pod) = self.cache.remove_pod(uid) else {
            return;
        };
        // M50: see `pod_bound` (#72122).
        if self.guards.on(Guard::M50) {
            self.happened(Change::AssignedPodDeleted(pod), None, now);
        }
    }

    /// The binding has happened. The pod stays assumed until the watch shows it.
    fn settle(&mut self, uid: &Uid) {
        self.queue.remove(uid);
        self.nominated.remove(uid);
        if let Some(mut attempt) = self.binding.remove(uid) {
            let profile = &mut self.profiles[attempt.profile];
            profile.post_bind(&mut attempt.state, &attempt.pod, &attempt.node);
        }
    }

    /// The pod is not ours to place any more: the watch will say what it has become.
    fn withdraw(&mut self, uid: &Uid, now: Time) {
        self.queue.remove(uid);
        if let Some(attempt) = self.binding.remove(uid) {
            self.unreserve(attempt);
        }
        if let Some(pod) = self.cache.forget(uid) {
            self.happened(Change::AssignedPodDeleted(pod), Some(uid), now);
        }
    }

    /// The binding will not happen: the room is free again, and the pod is tried again.
    fn give_up(&mut self, uid: &Uid, message: impl fmt::Display, now: Time) -> Option<Step> {
        let attempt = self.binding.remove(uid)?;
        let message = format!("binding rejected: {message}");
        self.take_back(
            attempt,
            Diagnosis::default(),
            "SchedulerError",
            message,
            now,
        )
    }

    /// Undoes a decision and puts the pod back into the queue, if it is still there.
    pub(crate) fn take_back(
        &mut self,
        attempt: Attempt,
        diagnosis: Diagnosis,
        reason: &'static str,
        message: String,
        now: Time,
    ) -> Option<Step> {
        let uid = attempt.pod.uid.clone();
        self.unreserve(attempt);
        let freed = self.cache.forget(&uid);
        let pod = self.queue.pod(&uid).map(|queued| Arc::clone(&queued.pod));
        self.queue
            .put_back(&uid, &diagnosis, &hint_of(&self.profiles), now);
        if let Some(freed) = freed {
            self.happened(Change::AssignedPodDeleted(freed), Some(&uid), now);
        }
        Some(Step::Failed(Failed {
            pod: pod?,
            reason,
            message,
            nominated: None,
        }))
    }

    fn unreserve(&mut self, mut attempt: Attempt) {
        let profile = &mut self.profiles[attempt.profile];
        profile.unreserve(&mut attempt.state, &attempt.pod, &attempt.node);
    }

    /// Offers a change to the pods that wait for one.
    pub(crate) fn happened(&mut self, change: Change, cause: Option<&Uid>, now: Time) {
        self.queue
            .happened(change, cause, &hint_of(&self.profiles), now);
    }

    /// The profile that serves the pod; `None` when another scheduler does.
    pub(crate) fn profile_of(&self, pod: &Pod) -> Option<usize> {
        let name = &pod.spec.scheduler_name;
        self.profiles
            .iter()
            .position(|profile| profile.scheduler_name == *name)
    }
}

/// What the plugins of a pod's profile say of a change.
pub(crate) fn hint_of(
    profiles: &[Profile],
) -> impl Fn(&'static str, &Pod, &Change) -> crate::framework::Hint + '_ {
    |plugin, pod, change| {
        let serves = |profile: &&Profile| profile.scheduler_name == pod.spec.scheduler_name;
        let profile = profiles.iter().find(serves);
        profile.map_or(crate::framework::Hint::Skip, |profile| {
            profile.hint(plugin, pod, change)
        })
    }
}

/// A refusal outside Filter as a diagnosis: who refused.
pub(crate) fn diagnosis_of(status: &Status) -> Diagnosis {
    let mut diagnosis = Diagnosis::default();
    diagnosis.note(status);
    diagnosis
}

#[cfg(test)]
mod tests;
