//! The scheduler: what it binds fits, and goes where it may.
//!
//! Book: `book/src/simulator/oracles.md`.

use std::collections::BTreeMap;

use smol_str::SmolStr;
use wavetank_api::Revision;
use wavetank_api::kinds::KindId;

use super::facts::{Amounts, Body};
use super::{Change, Findings, Invariant, Model, Oracle};

/// H1, H5.
#[derive(Default)]
pub(super) struct Fit {
    /// When each node that is gone was deleted.
    gone: BTreeMap<SmolStr, Revision>,
}

impl Oracle for Fit {
    fn changed(&mut self, change: &Change, model: &Model, found: &mut Findings) {
        if change.kind == KindId::Node
            && let (Some(node), None) = (change.before, change.after)
        {
            self.gone.insert(node.meta.name.clone(), change.revision);
        }
        let (Some(old), Some(new)) = (change.before, change.after) else {
            return;
        };
        let (Some(before), Some(after)) = (old.pod(), new.pod()) else {
            return;
        };
        if !before.node.is_empty() || after.node.is_empty() {
            return;
        }
        let by_scheduler = change
            .writer
            .is_some_and(|writer| writer.name.starts_with("scheduler"));
        if old.is_terminating() || before.is_gated {
            let what = format!("bound to {} while it is being deleted or gated", after.node);
            found.add(Invariant::H5, change.key, what);
        }
        let node = model.object(&KindId::Node.key("", &after.node));
        let Some(Body::Node(node)) = node.map(|fact| &fact.body) else {
            let known = change.writer.map(|writer| writer.told(KindId::Node));
            let gone = self.gone.get(&after.node);
            // It may be bound to a node whose deletion the scheduler has not seen yet.
            let may_not_know = gone.is_some_and(|gone| known.is_none_or(|known| known < *gone));
            if by_scheduler && !may_not_know {
                let what = format!("bound to {}, which is not there", after.node);
                found.add(Invariant::H5, change.key, what);
            }
            return;
        };
        let (used, pods) = used_on(&after.node, model);
        let there = node.allocatable;
        let over = used.milli_cpu > there.milli_cpu || used.memory > there.memory;
        if by_scheduler && (over || pods > node.pods) {
            let what = format!(
                "with it, {pods} pods on {} request {}m and {} bytes of {}m and {}",
                after.node, used.milli_cpu, used.memory, there.milli_cpu, there.memory
            );
            found.add(Invariant::H1, change.key, what);
        }
    }
}

/// What the unfinished pods that are bound to a node request, and how many they are.
fn used_on(node: &str, model: &Model) -> (Amounts, i64) {
    let (mut used, mut pods) = (Amounts::default(), 0);
    for (_, fact) in model.bound_to(node) {
        if let Some(pod) = fact.pod().filter(|pod| !pod.is_over()) {
            used.milli_cpu += pod.requests.milli_cpu;
            used.memory += pod.requests.memory;
            pods += 1;
        }
    }
    (used, pods)
}
