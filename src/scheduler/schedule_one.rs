//! One pod, top to bottom: taken from the queue, filtered, scored, assumed, bound, or put back with
//! a reason.
//!
//! ```text
//! cycle ─▶ schedule_pod ─▶ find_nodes_that_fit ─▶ score ─▶ select_host
//!            │ no node: PostFilter, put_back           │
//!            ▼                                         ▼
//!          Step::Failed                 assume ─▶ Reserve ─▶ Permit ─▶ PreBind, Bind ─▶ Step::Bind
//! ```
//!
//! `scheduler` calls `cycle` until it answers `None`.
//!
//! 1. A cycle sees one snapshot (H13).
//! 2. A pod whose binding is asked for is assumed first (H1).
//!
//! Upstream: `pkg/scheduler/schedule_one.go`.
//!
//! Book: `book/src/scheduler/binding.md`.

use std::sync::Arc;

use rand::RngExt;
use wavetank_api::{Guard, Time};

use crate::engine::{Attempt, Engine, Failed, Step, diagnosis_of, hint_of};
use crate::framework::{Code, CycleState, Diagnosis, PreFilterResult, Status, Verdict, WaitingPod};
use crate::node_info::NodeInfo;
use crate::pod::Pod;
use crate::snapshot::NodeId;

/// Clusters smaller than this are searched to the end.
const MIN_NODES_TO_FIND: usize = 100;
/// The least share of nodes that is searched in large clusters.
const MIN_PERCENTAGE_TO_FIND: usize = 5;

/// How the search for a node ended.
enum Failure {
    /// No node fits.
    Unschedulable(Box<Diagnosis>),
    /// A plugin failed.
    Error(Status),
}

impl Engine {
    // ANCHOR: cycle
    /// Does the next thing there is to do; `None`: nothing before `next_wake`.
    pub fn cycle(&mut self, now: Time) -> Option<Step> {
        self.queue.tick(now);
        if let Some(step) = self.next_permitted(now) {
            return Some(step);
        }
        while let Some(queued) = self.queue.pop(now) {
            let pod = Arc::clone(&queued.pod);
            // Bound or assumed since it was queued: nothing is left to decide.
            let profile = self
                .profile_of(&pod)
                .filter(|_| self.cache.pod(&pod.uid).is_none());
            let Some(profile) = profile else {
                self.queue.remove(&pod.uid);
                continue;
            };
            let step = self.schedule_one(&pod, profile, now);
            if step.is_some() {
                return step;
            }
        }
        None
    }
    // ANCHOR_END: cycle

    fn schedule_one(&mut self, pod: &Arc<Pod>, profile: usize, now: Time) -> Option<Step> {
        let mut state = CycleState::default();
        self.cache.update(&mut self.snapshot);
        match self.schedule_pod(&mut state, pod, profile) {
            Ok(node) => {
                let pod = Arc::new(pod.on(&node));
                self.cache.assume(Arc::clone(&pod));
                self.reserve_and_permit(
                    Attempt {
                        pod,
                        profile,
                        node,
                        state,
                        binding: None,
                    },
                    now,
                )
            }
            Err(Failure::Unschedulable(diagnosis)) => {
                Some(self.unschedulable(&state, pod, profile, diagnosis, now))
            }
            Err(Failure::Error(status)) => {
                self.queue.put_back(
                    &pod.uid,
                    &Diagnosis::default(),
                    &hint_of(&self.profiles),
                    now,
                );
                Some(Step::Failed(Failed {
                    pod: Arc::clone(pod),
                    reason: "SchedulerError",
                    message: format!("running \"{}\" plugin: {}", status.plugin, status.message()),
                    nominated: None,
                }))
            }
        }
    }

    /// The node for a pod.
    fn schedule_pod(
        &mut self,
        state: &mut CycleState,
        pod: &Pod,
        profile: usize,
    ) -> Result<Arc<str>, Failure> {
        let feasible = self.find_nodes_that_fit(state, pod, profile)?;
        let chosen = match feasible.as_slice() {
            [only] => *only,
            several => {
                let profile = &self.profiles[profile];
                let scores = profile.score(state, pod, &self.snapshot, several);
                self.select_host(several, &scores.map_err(Failure::Error)?)
            }
        };
        let chosen = self
            .snapshot
            .info(chosen)
            .map(|info| Arc::clone(&info.name));
        chosen.ok_or_else(|| Failure::Error(Status::new(Code::Error, "the node has gone")))
    }

    fn find_nodes_that_fit(
        &mut self,
        state: &mut CycleState,
        pod: &Pod,
        profile: usize,
    ) -> Result<Vec<NodeId>, Failure> {
        let mut diagnosis = Box::new(Diagnosis {
            nodes: self.snapshot.len(),
            ..Diagnosis::default()
        });
        let (PreFilterResult { node_names }, limited_by) =
            match self.profiles[profile].pre_filter(state, pod, &self.snapshot) {
                Ok(result) => result,
                Err(status) if status.is_rejected() => {
                    diagnosis.pre_filter = Some(status.message());
                    diagnosis.note(&status);
                    return Err(Failure::Unschedulable(diagnosis));
                }
                Err(status) => return Err(Failure::Error(status)),
            };
        let nominated = pod
            .nominated_node_name
            .as_ref()
            .and_then(|name| self.snapshot.id(name));
        if let Some(id) = nominated.filter(|id| self.check(state, pod, profile, *id).is_success()) {
            return Ok(vec![id]);
        }
        let limited: Option<Vec<NodeId>> = node_names.map(|names| {
            diagnosis.unschedulable_plugins.extend(&limited_by);
            let by = limited_by.join(" ");
            let reason = format!("node(s) didn't satisfy plugin(s) [{by}]");
            diagnosis.absent = Some(Status::unresolvable(reason));
            names
                .iter()
                .filter_map(|name| self.snapshot.id(name))
                .collect()
        });
        let nodes = limited.as_deref().unwrap_or(self.snapshot.order());
        let feasible = self.pass_filters(state, pod, profile, nodes, &mut diagnosis)?;
        let tried = feasible.len() + diagnosis.refused.len();
        self.next_start = (self.next_start + tried) % self.snapshot.len().max(1);
        if feasible.is_empty() {
            Err(Failure::Unschedulable(diagnosis))
        } else {
            Ok(feasible)
        }
    }

    // ANCHOR: pass_filters
    /// Filters nodes from where the last cycle stopped, until enough are found.
    fn pass_filters(
        &self,
        state: &CycleState,
        pod: &Pod,
        profile: usize,
        nodes: &[NodeId],
        diagnosis: &mut Diagnosis,
    ) -> Result<Vec<NodeId>, Failure> {
        let has_scores = self.profiles[profile].has_scores();
        let enough = if has_scores {
            self.nodes_to_find(nodes.len())
        } else {
            1
        };
        let start = self.next_start % nodes.len().max(1);
        let (wrapped, first) = nodes.split_at(start);
        let mut feasible = Vec::with_capacity(enough.min(nodes.len()));
        for &id in first.iter().chain(wrapped) {
            let status = self.check(state, pod, profile, id);
            if status.is_success() {
                feasible.push(id);
                if feasible.len() == enough {
                    break;
                }
            } else if status.is_rejected() {
                diagnosis.note(&status);
                diagnosis.refused.push((id, status));
            } else {
                return Err(Failure::Error(status));
            }
        }
        Ok(feasible)
    }
    // ANCHOR_END: pass_filters

    /// Runs the filters on one node, first as if the pods nominated there had come already.
    fn check(&self, state: &CycleState, pod: &Pod, profile: usize, id: NodeId) -> Status {
        let Some(info) = self.snapshot.info(id).filter(|info| info.node.is_some()) else {
            return Status::unresolvable("node(s) have gone");
        };
        let profile = &self.profiles[profile];
        // M53: else a small pod takes the room that was freed for a large one (#72124).
        if !self.nominated.is_empty() && self.guards.on(Guard::M53) {
            let mut promised: Option<NodeInfo> = None;
            for ahead in self.nominated.ahead_of(pod, &info.name) {
                promised
                    .get_or_insert_with(|| info.clone())
                    .add_pod(Arc::clone(ahead));
            }
            if let Some(info) = promised {
                let status = profile.filter(state, pod, &info);
                if !status.is_success() {
                    return status;
                }
            }
        }
        profile.filter(state, pod, info)
    }

    // ANCHOR: nodes_to_find
    /// How many feasible nodes are enough: all of a small cluster; else 50 % of the
    /// nodes less 1 % for each 125 of them, at least 5 %, and at least 100 nodes.
    fn nodes_to_find(&self, nodes: usize) -> usize {
        if nodes < MIN_NODES_TO_FIND {
            return nodes;
        }
        let percentage = match self.percentage_of_nodes_to_score {
            0 => 50_usize
                .saturating_sub(nodes / 125)
                .max(MIN_PERCENTAGE_TO_FIND),
            fixed => fixed,
        };
        (nodes * percentage / 100).max(MIN_NODES_TO_FIND)
    }

    /// The node with the highest score; among equals each with the same chance
    /// (reservoir sampling).
    fn select_host(&mut self, nodes: &[NodeId], scores: &[i64]) -> NodeId {
        let mut chosen = NodeId::default();
        let (mut highest, mut equals) = (i64::MIN, 0_u32);
        for (&node, &score) in nodes.iter().zip(scores) {
            if score > highest {
                (chosen, highest, equals) = (node, score, 1);
            } else if score == highest {
                equals += 1;
                if self.chance.random_range(0..equals) == 0 {
                    chosen = node;
                }
            }
        }
        chosen
    }
    // ANCHOR_END: nodes_to_find

    /// Asks PostFilter for help and puts the pod back.
    fn unschedulable(
        &mut self,
        state: &CycleState,
        pod: &Arc<Pod>,
        profile: usize,
        mut diagnosis: Box<Diagnosis>,
        now: Time,
    ) -> Step {
        let mut nominated = None;
        let message = if self.snapshot.is_empty() {
            // Upstream retries after back-off; we wait for a node, which is what NodeName hopes
            // for.
            diagnosis.unschedulable_plugins.insert("NodeName");
            "no nodes available to schedule pods".to_owned()
        } else {
            let profile = &self.profiles[profile];
            match profile.post_filter(state, pod, &self.snapshot, &diagnosis) {
                Ok(node) => nominated = Some(node),
                Err(status) => diagnosis.post_filter = status.message(),
            }
            diagnosis.message()
        };
        self.queue
            .put_back(&pod.uid, &diagnosis, &hint_of(&self.profiles), now);
        Step::Failed(Failed {
            pod: Arc::clone(pod),
            reason: "Unschedulable",
            message,
            nominated,
        })
    }

    // ANCHOR: reserve_and_permit
    /// From the decision to the binding; the pod is assumed.
    fn reserve_and_permit(&mut self, mut attempt: Attempt, now: Time) -> Option<Step> {
        let profile = &mut self.profiles[attempt.profile];
        let Attempt {
            pod, node, state, ..
        } = &mut attempt;
        let status = profile.reserve(state, pod, node);
        if !status.is_success() {
            return self.refuse(attempt, status, now);
        }
        match profile.permit(state, pod, node, &mut self.waiting) {
            Verdict::Allow => self.bind(attempt, now),
            Verdict::Reject(status) => self.refuse(attempt, status, now),
            Verdict::Wait(at_most) => {
                let uid = pod.uid.clone();
                self.waiting.push(WaitingPod {
                    pod: Arc::clone(pod),
                    decided: None,
                });
                self.held.insert(uid.clone(), (attempt, now + at_most));
                Some(Step::Waiting(uid))
            }
        }
    }
    // ANCHOR_END: reserve_and_permit

    /// The next waiting pod whose fate is decided, by a plugin or by time.
    fn next_permitted(&mut self, now: Time) -> Option<Step> {
        let is_due = |held: Option<&(Attempt, Time)>| held.is_some_and(|(_, until)| *until <= now);
        let at = self.waiting.iter().position(|waiting| {
            waiting.decided.is_some() || is_due(self.held.get(&waiting.pod.uid))
        })?;
        let WaitingPod { pod, decided } = self.waiting.remove(at);
        let (attempt, _) = self.held.remove(&pod.uid)?;
        match decided {
            Some(Verdict::Allow) => self.bind(attempt, now),
            Some(Verdict::Reject(status)) => self.refuse(attempt, status, now),
            Some(Verdict::Wait(_)) | None => {
                let reason = format!("pod \"{}\" waited too long on permit", pod.name);
                self.refuse(attempt, Status::unschedulable(reason).by("Permit"), now)
            }
        }
    }

    fn bind(&mut self, mut attempt: Attempt, now: Time) -> Option<Step> {
        let uid = attempt.pod.uid.clone();
        self.queue.stop_recording(&uid);
        let profile = &self.profiles[attempt.profile];
        let Attempt {
            pod, node, state, ..
        } = &mut attempt;
        match profile.bind(state, pod, node) {
            Ok(binding) => {
                attempt.binding = Some((binding.clone(), now));
                self.binding.insert(uid, attempt);
                Some(Step::Bind(binding))
            }
            Err(status) => self.refuse(attempt, status, now),
        }
    }

    /// A plugin said no after the pod was assumed.
    fn refuse(&mut self, attempt: Attempt, status: Status, now: Time) -> Option<Step> {
        if !status.is_rejected() {
            let message = format!("running \"{}\" plugin: {}", status.plugin, status.message());
            return self.take_back(
                attempt,
                Diagnosis::default(),
                "SchedulerError",
                message,
                now,
            );
        }
        let diagnosis = diagnosis_of(&status);
        let message = format!(
            "0/{} nodes are available: 1 {}.",
            self.snapshot.len(),
            status.message()
        );
        self.take_back(attempt, diagnosis, "Unschedulable", message, now)
    }
}
