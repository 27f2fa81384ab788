//! Why no node was left: what each node was refused for, and the one line a user reads about it.
//!
//! `schedule_one` fills it in; the line becomes the PodScheduled condition and the event.
//!
//! 1. The counts of one line add up to at least the number of nodes refused in Filter.
//!
//! Upstream: `FitError` and `Diagnosis` in `pkg/scheduler/framework/types.go`.
//!
//! Book: `book/src/scheduler/framework.md`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::framework::{Code, Status};
use crate::snapshot::NodeId;

/// What a cycle that found no node has learnt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnosis {
    /// Number of nodes in the snapshot.
    pub nodes: usize,
    /// The refusal of each node that was filtered.
    pub refused: Vec<(NodeId, Status)>,
    /// What is to be said of nodes that were not even filtered.
    pub absent: Option<Status>,
    /// PreFilter's refusal; then no node was filtered.
    pub pre_filter: Option<String>,
    /// What PostFilter had to say.
    pub post_filter: String,
    /// Plugins that refused; changes are offered to these.
    pub unschedulable_plugins: BTreeSet<&'static str>,
    /// Plugins that answered `Pending`.
    pub pending_plugins: BTreeSet<&'static str>,
}

impl Diagnosis {
    /// Notes who refused.
    pub fn note(&mut self, status: &Status) {
        match status.code {
            _ if status.plugin.is_empty() => {}
            Code::Pending => drop(self.pending_plugins.insert(status.plugin)),
            _ if status.is_rejected() => drop(self.unschedulable_plugins.insert(status.plugin)),
            _ => {}
        }
    }

    // ANCHOR: message
    /// `0/5 nodes are available: 1 node(s) were unschedulable, 4 Insufficient cpu. …`
    pub fn message(&self) -> String {
        let mut line = format!("0/{} nodes are available:", self.nodes);
        if let Some(refusal) = &self.pre_filter {
            line.push_str(&format!(" {refusal}."));
        } else {
            let reasons = self.histogram();
            if !reasons.is_empty() {
                line.push_str(&format!(" {}.", reasons.join(", ")));
            }
        }
        if !self.post_filter.is_empty() {
            line.push_str(&format!(" {}", self.post_filter));
        }
        line
    }

    /// `3 Insufficient cpu`: each reason with the number of nodes that gave it, sorted
    /// as text, so that 12 comes before 2; upstream does the same.
    fn histogram(&self) -> Vec<String> {
        let mut reasons: BTreeMap<&Cow<'static, str>, usize> = BTreeMap::new();
        for reason in self.refused.iter().flat_map(|(_, status)| &status.reasons) {
            *reasons.entry(reason).or_default() += 1;
        }
        let absent = self.nodes.saturating_sub(self.refused.len());
        if absent > 0 {
            for reason in self.absent.iter().flat_map(|status| &status.reasons) {
                *reasons.entry(reason).or_default() += absent;
            }
        }
        let mut lines: Vec<String> = reasons
            .into_iter()
            .map(|(reason, count)| format!("{count} {reason}"))
            .collect();
        lines.sort();
        lines
    }
    // ANCHOR_END: message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_counts_reasons_and_sorts_them_as_text() {
        let taint = Status::unresolvable("node(s) had untolerated taint {a: b}");
        let mut full = Status::unschedulable("Insufficient cpu");
        full.reasons.push("Insufficient memory".into());
        let diagnosis = Diagnosis {
            nodes: 5,
            refused: vec![
                (NodeId(0), taint),
                (NodeId(1), full.clone()),
                (NodeId(2), full),
            ],
            absent: Some(Status::unresolvable(
                "node(s) didn't satisfy plugin(s) [NodeAffinity]",
            )),
            post_filter: "preemption: none".into(),
            ..Diagnosis::default()
        };
        assert_eq!(
            diagnosis.message(),
            "0/5 nodes are available: 1 node(s) had untolerated taint {a: b}, \
             2 Insufficient cpu, 2 Insufficient memory, \
             2 node(s) didn't satisfy plugin(s) [NodeAffinity]. preemption: none"
        );
    }
}
