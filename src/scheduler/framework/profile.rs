//! The plugins of one scheduler name, and how each moment asks them.
//!
//! `plugins::default_profile` builds one; `schedule_one` and `engine` run it.
//!
//! 1. Plugins are asked in the order of the table; the first that refuses ends PreFilter and
//!    Filter.
//! 2. A plugin that answered `Skip` in PreFilter (PreScore) is not asked in Filter (Score).
//!
//! Upstream: `pkg/scheduler/framework/runtime/framework.go`.
//!
//! Book: `book/src/scheduler/framework.md`.

use std::sync::Arc;

use wavetank_api::Time;

use crate::framework::{
    Binding, Change, Code, CycleState, Diagnosis, Hint, MAX_NODE_SCORE, Plugin, PreFilterResult,
    Status, Verdict, WaitingPod,
};
use crate::node_info::NodeInfo;
use crate::pod::Pod;
use crate::snapshot::{NodeId, Snapshot};

/// A plugin and what its scores count.
struct Enabled {
    plugin: Box<dyn Plugin>,
    weight: i64,
}

/// The plugins that serve the pods of one `schedulerName`.
pub struct Profile {
    /// `spec.schedulerName` of the pods it serves.
    pub scheduler_name: Arc<str>,
    plugins: Vec<Enabled>,
    /// Positions of those that filter, so that the loop over nodes asks nobody else.
    filters: Vec<usize>,
    /// The same for those that score.
    scores: Vec<usize>,
}

impl Profile {
    /// A profile without plugins.
    pub fn new(scheduler_name: impl Into<Arc<str>>) -> Self {
        Profile {
            scheduler_name: scheduler_name.into(),
            plugins: Vec::new(),
            filters: Vec::new(),
            scores: Vec::new(),
        }
    }

    /// The same profile with one more plugin at the end; its scores count `weight` times.
    /// At most 64 plugins: which are skipped in a cycle is one word of bits.
    pub fn with(mut self, plugin: Box<dyn Plugin>, weight: i64) -> Self {
        assert!(self.plugins.len() < 64, "a profile has at most 64 plugins");
        if plugin.as_filter().is_some() {
            self.filters.push(self.plugins.len());
        }
        if plugin.as_score().is_some() {
            self.scores.push(self.plugins.len());
        }
        self.plugins.push(Enabled { plugin, weight });
        self
    }

    /// Names of the plugins in order.
    pub fn plugin_names(&self) -> impl Iterator<Item = &'static str> {
        self.plugins.iter().map(|enabled| enabled.plugin.name())
    }

    /// Whether any plugin scores; without one the first feasible node is taken.
    pub fn has_scores(&self) -> bool {
        !self.scores.is_empty()
    }

    /// The plugin that keeps the pod out of the active queue, if any.
    pub fn gate(&self, pod: &Pod) -> Option<&'static str> {
        let gates = |enabled: &&Enabled| {
            enabled
                .plugin
                .as_pre_enqueue()
                .is_some_and(|p| !p.pre_enqueue(pod).is_success())
        };
        self.plugins
            .iter()
            .find(gates)
            .map(|enabled| enabled.plugin.name())
    }

    /// The place of a pod in the active queue; by time of entry when no plugin sorts.
    pub fn queue_key(&self, pod: &Pod, since: Time) -> (i64, i64) {
        let sort = self
            .plugins
            .iter()
            .find_map(|enabled| enabled.plugin.as_queue_sort());
        sort.map_or((0, since.as_micros()), |sort| sort.key(pod, since))
    }

    /// Whether `change` could help a pod that `plugin` refused. A plugin that does not say is asked
    /// about nothing and woken by everything.
    pub fn hint(&self, plugin: &str, pod: &Pod, change: &Change) -> Hint {
        let Some(enabled) = self
            .plugins
            .iter()
            .find(|enabled| enabled.plugin.name() == plugin)
        else {
            return Hint::Queue;
        };
        match enabled.plugin.as_enqueue_extensions() {
            None => Hint::Queue,
            Some(asked) if asked.changes().contains(&change.kind()) => asked.hint(pod, change),
            Some(_) => Hint::Skip,
        }
    }

    /// Runs PreFilter: the nodes worth filtering and who limited them, or the refusal.
    pub fn pre_filter(
        &self,
        state: &mut CycleState,
        pod: &Pod,
        snapshot: &Snapshot,
    ) -> Result<(PreFilterResult, Vec<&'static str>), Status> {
        let mut all = PreFilterResult::default();
        let mut limited_by = Vec::new();
        for (at, enabled) in self.plugins.iter().enumerate() {
            let Some(plugin) = enabled.plugin.as_pre_filter() else {
                continue;
            };
            let name = enabled.plugin.name();
            let names = match plugin.pre_filter(state, pod, snapshot) {
                Ok(result) => result.node_names,
                Err(status) if status.is_skip() => {
                    state.skipped_filters |= 1 << at;
                    continue;
                }
                Err(status) => return Err(status.by(name)),
            };
            let Some(names) = names else { continue };
            limited_by.push(name);
            match &mut all.node_names {
                None => all.node_names = Some(names),
                Some(all) => all.retain(|node| names.contains(node)),
            }
            if all
                .node_names
                .as_ref()
                .is_some_and(|names| names.is_empty())
            {
                let reason = if limited_by.len() == 1 {
                    format!("node(s) didn't satisfy plugin {}", limited_by.join(", "))
                } else {
                    format!(
                        "node(s) didn't satisfy plugin(s) [{}] simultaneously",
                        limited_by.join(" ")
                    )
                };
                return Err(Status::unresolvable(reason).by(name));
            }
        }
        Ok((all, limited_by))
    }

    // ANCHOR: filter
    /// Runs Filter on one node: success, or the first refusal.
    pub fn filter(&self, state: &CycleState, pod: &Pod, node: &NodeInfo) -> Status {
        for &at in &self.filters {
            if state.skipped_filters & (1 << at) != 0 {
                continue;
            }
            let enabled = &self.plugins[at];
            let Some(plugin) = enabled.plugin.as_filter() else {
                continue;
            };
            let status = plugin.filter(state, pod, node);
            if !status.is_success() {
                return status.by(enabled.plugin.name());
            }
        }
        Status::SUCCESS
    }
    // ANCHOR_END: filter

    /// Runs PostFilter: the node somebody has freed, or what each of them has to say.
    pub fn post_filter(
        &self,
        state: &CycleState,
        pod: &Pod,
        snapshot: &Snapshot,
        diagnosis: &Diagnosis,
    ) -> Result<Arc<str>, Status> {
        let filters = |node: &NodeInfo| self.filter(state, pod, node);
        let mut refusal = Status {
            code: Code::Unschedulable,
            ..Status::SUCCESS
        };
        for enabled in &self.plugins {
            let Some(plugin) = enabled.plugin.as_post_filter() else {
                continue;
            };
            match plugin.post_filter(state, pod, snapshot, &filters, diagnosis) {
                Ok(node) => return Ok(node),
                Err(status) if status.is_rejected() => {
                    refusal.reasons.extend(status.reasons);
                    refusal.plugin = enabled.plugin.name();
                }
                Err(status) => return Err(status.by(enabled.plugin.name())),
            }
        }
        Err(refusal)
    }

    /// Runs PreScore and Score and adds up: one total a node, in the order of `feasible`.
    pub fn score(
        &self,
        state: &mut CycleState,
        pod: &Pod,
        snapshot: &Snapshot,
        feasible: &[NodeId],
    ) -> Result<Vec<i64>, Status> {
        for (at, enabled) in self.plugins.iter().enumerate() {
            let Some(plugin) = enabled.plugin.as_pre_score() else {
                continue;
            };
            let status = plugin.pre_score(state, pod, snapshot, feasible);
            match status.code {
                Code::Success => {}
                Code::Skip => state.skipped_scores |= 1 << at,
                _ => return Err(status.by(enabled.plugin.name())),
            }
        }
        let mut totals = vec![0; feasible.len()];
        let mut scores = Vec::with_capacity(feasible.len());
        for &at in &self.scores {
            if state.skipped_scores & (1 << at) != 0 {
                continue;
            }
            let Enabled { plugin, weight } = &self.plugins[at];
            let Some(scorer) = plugin.as_score() else {
                continue;
            };
            scores.clear();
            for node in feasible.iter().filter_map(|id| snapshot.info(*id)) {
                let score = scorer
                    .score(state, pod, node)
                    .map_err(|s| s.by(plugin.name()))?;
                scores.push(score);
            }
            scorer.normalize(state, pod, &mut scores);
            for (total, score) in totals.iter_mut().zip(&scores) {
                *total += weight * in_range(*score, plugin.name())?;
            }
        }
        Ok(totals)
    }

    /// Runs Reserve; after a refusal everything is unreserved again.
    pub fn reserve(&mut self, state: &mut CycleState, pod: &Pod, node: &Arc<str>) -> Status {
        for at in 0..self.plugins.len() {
            let Some(plugin) = self.plugins[at].plugin.as_reserve() else {
                continue;
            };
            let status = plugin.reserve(state, pod, node);
            if !status.is_success() {
                self.unreserve(state, pod, node);
                return status.by(self.plugins[at].plugin.name());
            }
        }
        Status::SUCCESS
    }

    /// Takes Reserve back, last plugin first.
    pub fn unreserve(&mut self, state: &mut CycleState, pod: &Pod, node: &Arc<str>) {
        for enabled in self.plugins.iter_mut().rev() {
            if let Some(plugin) = enabled.plugin.as_reserve() {
                plugin.unreserve(state, pod, node);
            }
        }
    }

    /// Runs Permit: the first refusal, else the longest wait, else yes.
    pub fn permit(
        &mut self,
        state: &mut CycleState,
        pod: &Pod,
        node: &Arc<str>,
        waiting: &mut [WaitingPod],
    ) -> Verdict {
        let mut verdict = Verdict::Allow;
        for enabled in &mut self.plugins {
            let name = enabled.plugin.name();
            let Some(plugin) = enabled.plugin.as_permit() else {
                continue;
            };
            verdict = match (plugin.permit(state, pod, node, waiting), verdict) {
                (Verdict::Reject(status), _) => return Verdict::Reject(status.by(name)),
                (Verdict::Wait(a), Verdict::Wait(b)) => Verdict::Wait(a.max(b)),
                (Verdict::Wait(a), _) => Verdict::Wait(a),
                (Verdict::Allow, before) => before,
            };
        }
        verdict
    }

    /// Runs PreBind and Bind: the binding to send, or the refusal.
    pub fn bind(
        &self,
        state: &mut CycleState,
        pod: &Pod,
        node: &Arc<str>,
    ) -> Result<Binding, Status> {
        for enabled in &self.plugins {
            let Some(plugin) = enabled.plugin.as_pre_bind() else {
                continue;
            };
            let status = plugin.pre_bind(state, pod, node);
            if !status.is_success() && !status.is_skip() {
                return Err(status.by(enabled.plugin.name()));
            }
        }
        for enabled in &self.plugins {
            let Some(plugin) = enabled.plugin.as_bind() else {
                continue;
            };
            match plugin.bind(state, pod, node) {
                Err(status) if status.is_skip() => {}
                Err(status) => return Err(status.by(enabled.plugin.name())),
                Ok(binding) => return Ok(binding),
            }
        }
        Err(Status::new(Code::Error, "no bind plugin took the pod"))
    }

    /// Runs PostBind.
    pub fn post_bind(&mut self, state: &mut CycleState, pod: &Pod, node: &Arc<str>) {
        for enabled in &mut self.plugins {
            if let Some(plugin) = enabled.plugin.as_post_bind() {
                plugin.post_bind(state, pod, node);
            }
        }
    }
}

fn in_range(score: i64, plugin: &'static str) -> Result<i64, Status> {
    if (0..=MAX_NODE_SCORE).contains(&score) {
        return Ok(score);
    }
    let reason = format!(
        "plugin \"{plugin}\" returns an invalid score {score}, \
         it should in the range of [0, {MAX_NODE_SCORE}] after normalizing"
    );
    Err(Status::new(Code::Error, reason).by(plugin))
}
