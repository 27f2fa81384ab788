//! The truth at this moment: every object as committed, and every container that runs.
//!
//! 1. The model is the store at [`Model::revision`]: `the_model_is_the_store`.
//!
//! Book: `book/src/simulator/oracles.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use smol_str::SmolStr;
use wavetank_api::kinds::KindId;
use wavetank_api::{Revision, Time};
use wavetank_store::Event;

use super::facts::{Amounts, Fact};
use super::watchman::Life;

/// Every object and every running container.
#[derive(Default)]
pub struct Model {
    /// Objects by their key in the store.
    pub(super) objects: BTreeMap<Arc<str>, Fact>,
    /// Keys by uid, of living objects.
    pub(super) by_uid: BTreeMap<SmolStr, Arc<str>>,
    /// Keys of objects by the uid of each owner.
    pub(super) owned: BTreeMap<SmolStr, BTreeSet<Arc<str>>>,
    /// Keys of pods by the node they are bound to.
    pub(super) bound: BTreeMap<SmolStr, BTreeSet<Arc<str>>>,
    /// Where the containers of a pod run: node and container, by the pod's uid.
    pub(super) running: BTreeMap<SmolStr, BTreeSet<(SmolStr, SmolStr)>>,
    /// Each pod that ever was, by uid.
    pub(super) known: BTreeMap<SmolStr, KnownPod>,
    /// How far it is.
    pub(super) revision: Revision,
    /// The time of the last change.
    pub(super) now: Time,
}

/// What stays known of a pod when it is gone.
#[derive(Clone, Debug)]
pub(super) struct KnownPod {
    pub key: Arc<str>,
    pub requests: Amounts,
    pub never_restarts: bool,
}

impl Model {
    /// How far it is.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The object of a key.
    pub fn object(&self, key: &str) -> Option<&Fact> {
        self.objects.get(key)
    }

    /// The living object of a uid, with its key.
    pub fn by_uid(&self, uid: &str) -> Option<(&Arc<str>, &Fact)> {
        let key = self.by_uid.get(uid)?;
        Some((key, self.objects.get(key)?))
    }

    /// The objects of a kind, with their keys.
    pub fn of_kind(&self, kind: KindId) -> impl Iterator<Item = (&Arc<str>, &Fact)> {
        let prefix = kind.storage_prefix();
        let range = self.objects.range::<str, _>((
            std::ops::Bound::Included(prefix),
            std::ops::Bound::Unbounded,
        ));
        range.take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// The objects that name this uid as an owner.
    pub fn owned_by(&self, uid: &str) -> impl Iterator<Item = (&Arc<str>, &Fact)> {
        let keys = self.owned.get(uid).into_iter().flatten();
        keys.filter_map(|key| Some((key, self.objects.get(key)?)))
    }

    /// The active pods that this uid controls.
    pub fn active_pods_of(&self, uid: &str) -> usize {
        let owned = self.owned_by(uid).map(|(_, fact)| fact);
        let controlled = owned.filter(|fact| {
            fact.is_active_pod() && fact.controller().is_some_and(|owner| owner.uid == uid)
        });
        controlled.count()
    }

    /// The pods bound to a node.
    pub fn bound_to(&self, node: &str) -> impl Iterator<Item = (&Arc<str>, &Fact)> {
        let keys = self.bound.get(node).into_iter().flatten();
        keys.filter_map(|key| Some((key, self.objects.get(key)?)))
    }

    /// Where the containers of a pod run: node and container.
    pub fn running(&self, pod: &str) -> impl Iterator<Item = &(SmolStr, SmolStr)> {
        self.running.get(pod).into_iter().flatten()
    }

    /// Compares what is kept up to date change by change with a scan of every object.
    ///
    /// # Errors
    /// A sentence that says which index is wrong.
    pub fn check_indexes(&self) -> Result<(), String> {
        let mut scan = Model::default();
        for (key, fact) in &self.objects {
            scan.index(key, fact);
        }
        let same = [
            ("by_uid", self.by_uid == scan.by_uid),
            ("owned", self.owned == scan.owned),
            ("bound", self.bound == scan.bound),
        ];
        match same.iter().find(|(_, same)| !same) {
            None => Ok(()),
            Some((index, _)) => Err(format!("{index} is not what a scan finds")),
        }
    }

    /// The ends of everything that runs on a node.
    pub(super) fn running_on(&self, node: &str, at: Time) -> Vec<Life> {
        let places = self.running.iter().flat_map(|(pod, places)| {
            let here = places.iter().filter(|(place, _)| place == node);
            here.map(move |(_, container)| (pod, container))
        });
        let end = |(pod, container): (&SmolStr, &SmolStr)| Life {
            at,
            node: node.into(),
            pod: pod.clone(),
            container: container.clone(),
            runs: false,
        };
        places.map(end).collect()
    }

    /// Takes an event of the store; what was there before, and what is there now.
    pub(super) fn apply(&mut self, kind: KindId, event: &Event) -> Option<Fact> {
        self.revision = event.revision;
        let before = self.objects.remove(&event.key);
        if let Some(before) = &before {
            self.unindex(&event.key, before);
        }
        if let Some(kv) = &event.now {
            let fact = Fact::decode(kind, &kv.value, kv.mod_revision, kv.create_revision);
            self.index(&event.key, &fact);
            self.objects.insert(event.key.clone(), fact);
        }
        before
    }

    /// Takes what a runtime did.
    pub(super) fn ran(&mut self, life: &Life) {
        let at = (life.node.clone(), life.container.clone());
        let places = self.running.entry(life.pod.clone()).or_default();
        if life.runs {
            places.insert(at);
        } else {
            places.remove(&at);
            if places.is_empty() {
                self.running.remove(&life.pod);
            }
        }
    }

    fn index(&mut self, key: &Arc<str>, fact: &Fact) {
        self.by_uid.insert(fact.meta.uid.clone(), key.clone());
        for owner in &fact.meta.owner_references {
            let owned = self.owned.entry(owner.uid.clone()).or_default();
            owned.insert(key.clone());
        }
        if let Some(pod) = fact.pod() {
            let known = self.known.entry(fact.meta.uid.clone());
            known.or_insert_with(|| KnownPod {
                key: key.clone(),
                requests: pod.requests,
                never_restarts: pod.restart_policy == "Never",
            });
            if !pod.node.is_empty() {
                let bound = self.bound.entry(pod.node.clone()).or_default();
                bound.insert(key.clone());
            }
        }
    }

    fn unindex(&mut self, key: &Arc<str>, fact: &Fact) {
        if self.by_uid.get(&fact.meta.uid) == Some(key) {
            self.by_uid.remove(&fact.meta.uid);
        }
        for owner in &fact.meta.owner_references {
            take(&mut self.owned, &owner.uid, key);
        }
        if let Some(pod) = fact.pod() {
            take(&mut self.bound, &pod.node, key);
        }
    }
}

fn take(index: &mut BTreeMap<SmolStr, BTreeSet<Arc<str>>>, by: &str, key: &Arc<str>) {
    if let Some(keys) = index.get_mut(by) {
        keys.remove(key);
        if keys.is_empty() {
            index.remove(by);
        }
    }
}
