//! Pods: where they are bound, where their containers run, and what is said of them.
//!
//! Book: `book/src/simulator/oracles.md`.

use std::collections::{BTreeMap, BTreeSet};

use smol_str::SmolStr;

use super::facts::{Amounts, Body, PodFact};
use super::watchman::Life;
use super::{Change, Findings, Invariant, Model, Oracle};

/// P1: a pod is bound once.
pub(super) struct Binding;

impl Oracle for Binding {
    fn changed(&mut self, change: &Change, _: &Model, found: &mut Findings) {
        let (Some(old), Some(new)) = (change.before, change.after) else {
            return;
        };
        let (Some(before), Some(after)) = (old.pod(), new.pod()) else {
            return;
        };
        if old.meta.uid == new.meta.uid && !before.node.is_empty() && before.node != after.node {
            let what = format!("it was bound to {} and is to {}", before.node, after.node);
            found.add(Invariant::P1, change.key, what);
        }
    }
}

/// P2, P3, P5, P6, P7: what runs, beside what the store says.
#[derive(Default)]
pub(super) struct Containers {
    /// The node that a pod's containers ran on first.
    homes: BTreeMap<SmolStr, SmolStr>,
    /// How often each container of a pod has started.
    starts: BTreeMap<(SmolStr, SmolStr), u32>,
    /// Pods that left the store by force, or with their node.
    forced: BTreeSet<SmolStr>,
}

impl Oracle for Containers {
    fn changed(&mut self, change: &Change, model: &Model, found: &mut Findings) {
        let (Some(old), None) = (change.before, change.after) else {
            return;
        };
        let Some(pod) = old.pod() else { return };
        let by_kubelet = change
            .writer
            .is_some_and(|writer| *writer.name == *pod.node);
        if !by_kubelet {
            self.forced.insert(old.meta.uid.clone());
            return;
        }
        let mut running = model.running(&old.meta.uid);
        if let Some((node, container)) = running.next() {
            let what = format!("left the store while {container} ran on {node}");
            found.add(Invariant::P6, change.key, what);
        }
    }

    fn ran(&mut self, life: &Life, model: &Model, found: &mut Findings) {
        let Some(known) = model.known.get(&life.pod).filter(|_| life.runs) else {
            return;
        };
        let home = self
            .homes
            .entry(life.pod.clone())
            .or_insert_with(|| life.node.clone());
        if *home != life.node {
            let what = format!("{} runs on {}, after {home}", life.container, life.node);
            found.add(Invariant::P2, &known.key, what);
        }
        let starts = self
            .starts
            .entry((life.pod.clone(), life.container.clone()))
            .or_default();
        *starts += 1;
        if known.never_restarts && *starts > 1 {
            let what = format!("{} started {starts} times", life.container);
            found.add(Invariant::P5, &known.key, what);
        }
        self.one_of_a_name(life, &known.key, model, found);
        self.fits(life, &known.key, model, found);
    }
}

impl Containers {
    fn one_of_a_name(&self, life: &Life, key: &str, model: &Model, found: &mut Findings) {
        let others = model.running.keys().filter(|uid| **uid != life.pod);
        for other in others {
            let is_namesake = model
                .known
                .get(other)
                .is_some_and(|known| *known.key == *key);
            if is_namesake && !self.forced.contains(other) {
                let what = format!("{} runs while {other} of the same name does", life.pod);
                found.add(Invariant::P3, key, what);
            }
        }
    }

    /// P7. Who deletes by force frees what still runs.
    fn fits(&self, life: &Life, key: &str, model: &Model, found: &mut Findings) {
        let node = model.object(&wavetank_api::kinds::KindId::Node.key("", &life.node));
        let Some(Body::Node(node)) = node.map(|fact| &fact.body) else {
            return;
        };
        let mut used = Amounts::default();
        for (pod, places) in &model.running {
            if places.iter().any(|(node, _)| *node == life.node)
                && !self.forced.contains(pod)
                && let Some(known) = model.known.get(pod)
            {
                used.milli_cpu += known.requests.milli_cpu;
                used.memory += known.requests.memory;
            }
        }
        let there = node.allocatable;
        if used.milli_cpu > there.milli_cpu || used.memory > there.memory {
            let what = format!(
                "with it, pods that run on {} request {}m and {} bytes of {}m and {}",
                life.node, used.milli_cpu, used.memory, there.milli_cpu, there.memory
            );
            found.add(Invariant::P7, key, what);
        }
    }
}

/// P4, P8: what is said of a pod, and by whom.
#[derive(Default)]
pub(super) struct Status {
    /// Pods that have had a running container.
    ran: BTreeSet<SmolStr>,
}

impl Oracle for Status {
    fn changed(&mut self, change: &Change, _: &Model, found: &mut Findings) {
        let (Some(old), Some(new)) = (change.before, change.after) else {
            return;
        };
        let (Some(before), Some(after)) = (old.pod(), new.pod()) else {
            return;
        };
        let goes_back = rank(after) < rank(before);
        let changes_end = before.is_over() && before.phase != after.phase;
        if goes_back || changes_end {
            let what = format!("phase went from {} to {}", before.phase, after.phase);
            found.add(Invariant::P4, change.key, what);
        }
        let Some(writer) = change
            .writer
            .filter(|writer| writer.subresource == "status")
        else {
            return;
        };
        if writer.name.starts_with("node-") && *writer.name != *after.node {
            let what = format!(
                "{} writes its status, bound to {:?}",
                writer.name, after.node
            );
            found.add(Invariant::P8, change.key, what);
        }
        // A container that was stopped before it ran makes a pod that is being deleted "Running".
        let begins_to_run =
            before.phase != "Running" && after.phase == "Running" && !new.is_terminating();
        if begins_to_run && !self.ran.contains(&new.meta.uid) {
            let what = format!("said to run, and no container of {} ever ran", new.meta.uid);
            found.add(Invariant::P8, change.key, what);
        }
    }

    fn ran(&mut self, life: &Life, _: &Model, _: &mut Findings) {
        if life.runs {
            self.ran.insert(life.pod.clone());
        }
    }
}

fn rank(pod: &PodFact) -> u8 {
    match pod.phase.as_str() {
        "Running" => 1,
        "Succeeded" | "Failed" => 2,
        _ => 0,
    }
}
