//! ReplicaSets: never too many pods, and never too few by the controller's own hand.
//!
//! The controller decides on what it was told, so its bounds are those of the time since: the
//! largest and the smallest number of replicas asked for between what it knew and now.
//!
//! Book: `book/src/simulator/oracles.md`.

use std::collections::{BTreeMap, BTreeSet};

use smol_str::SmolStr;
use wavetank_api::Revision;
use wavetank_api::kinds::KindId;

use super::watchman::Writer;
use super::{Change, Findings, Invariant, Model, Oracle};

/// One ReplicaSet's past.
#[derive(Default)]
struct Past {
    /// Replicas asked for, by the revision since which they are.
    asked: Vec<(Revision, i64)>,
    /// Active pods gained (1) and lost (-1), by revision; and whether the controller deleted them.
    active: Vec<(Revision, i64, bool)>,
    /// Pods that the controller created.
    own: BTreeSet<SmolStr>,
    /// A manager that had died wrote after all: two have acted.
    two_acted: bool,
}

/// C1, C2.
#[derive(Default)]
pub(super) struct Scale {
    sets: BTreeMap<SmolStr, Past>,
}

const CONTROLLER: &str = "replicaset-controller";

impl Oracle for Scale {
    fn changed(&mut self, change: &Change, model: &Model, found: &mut Findings) {
        match change.kind {
            KindId::ReplicaSet => self.asked(change),
            KindId::Pod => self.pod(change, model, found),
            _ => {}
        }
    }
}

impl Scale {
    fn asked(&mut self, change: &Change) {
        let Some(workload) = change.after.and_then(|fact| fact.workload()) else {
            return;
        };
        let Some(fact) = change.after else { return };
        let past = self.sets.entry(fact.meta.uid.clone()).or_default();
        if past
            .asked
            .last()
            .is_none_or(|(_, replicas)| *replicas != workload.replicas)
        {
            past.asked.push((change.revision, workload.replicas));
        }
    }

    fn pod(&mut self, change: &Change, model: &Model, found: &mut Findings) {
        let owner = |fact: Option<&super::Fact>| {
            let fact = fact.filter(|fact| fact.is_active_pod())?;
            Some(fact.controller()?.uid.clone())
        };
        let (before, after) = (owner(change.before), owner(change.after));
        if before == after {
            return;
        }
        let by_controller = change
            .writer
            .filter(|writer| writer.is_controller(CONTROLLER));
        if let Some(past) = before.and_then(|uid| self.sets.get_mut(&uid)) {
            let is_gone = change.after.is_none_or(super::Fact::is_terminating);
            let deleter = by_controller.filter(|_| is_gone);
            past.active.push((change.revision, -1, deleter.is_some()));
            if let Some(writer) = deleter {
                past.check_delete(change, writer, found);
            }
        }
        let Some(uid) = after else { return };
        let Some(past) = self.sets.get_mut(&uid) else {
            return;
        };
        past.active.push((change.revision, 1, false));
        if let (Some(writer), None, Some(new)) = (by_controller, change.before, change.after) {
            past.own.insert(new.meta.uid.clone());
            past.check_create(change, writer, &uid, model, found);
        }
    }
}

impl Past {
    /// Replicas asked for at a revision, and at every revision since.
    fn asked_since(&self, known: Revision) -> impl Iterator<Item = i64> {
        let first = self
            .asked
            .partition_point(|(revision, _)| *revision <= known);
        let from = first.saturating_sub(1);
        self.asked.iter().skip(from).map(|(_, replicas)| *replicas)
    }

    /// C1.
    fn check_create(
        &mut self,
        change: &Change,
        writer: &Writer,
        uid: &str,
        model: &Model,
        found: &mut Findings,
    ) {
        self.two_acted |= writer.is_dead;
        let known = writer.told(KindId::ReplicaSet);
        let most = self.asked_since(known).max().unwrap_or(0);
        let owned = model.owned_by(uid).map(|(_, fact)| fact);
        let active = owned.filter(|fact| {
            let is_own = self.own.contains(&fact.meta.uid);
            let controls = fact.controller().is_some_and(|owner| owner.uid == uid);
            is_own && controls && fact.is_active_pod()
        });
        let active = i64::try_from(active.count()).unwrap_or(i64::MAX);
        if active > most && !self.two_acted {
            let what = format!("active pod {active} of a ReplicaSet that asks for {most}");
            found.add(Invariant::C1, change.key, what);
        }
    }

    /// How many pods were active, of those that the controller may have known, less those that it
    /// has deleted. It knew everything up to one revision, and nothing after another.
    fn most_active(&self, writer: &Writer) -> i64 {
        let known = writer.views.get(&KindId::Pod).copied().unwrap_or_default();
        let (mut active, mut most, mut deleted) = (0, 0, 0);
        for (revision, delta, by_controller) in &self.active {
            if *by_controller {
                deleted += 1;
            } else if *revision <= known.told {
                active += delta;
                most = active;
            } else if *revision <= known.shown {
                active += delta;
                most = most.max(active);
            }
        }
        most - deleted
    }

    /// C2.
    fn check_delete(&mut self, change: &Change, writer: &Writer, found: &mut Findings) {
        self.two_acted |= writer.is_dead;
        let least = self
            .asked_since(writer.told(KindId::ReplicaSet))
            .min()
            .unwrap_or(0);
        let active = self.most_active(writer);
        if active < least && !self.two_acted {
            let what = format!(
                "its controller leaves {active} of the active pods it knew, of {least} asked for"
            );
            found.add(Invariant::C2, change.key, what);
        }
    }
}
