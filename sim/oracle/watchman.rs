//! The watchman: shows every change of the truth to every oracle, once.
//!
//! The world calls it after each durable group of commits and after each event of a runtime.
//!
//! Book: `book/src/simulator/oracles.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use smol_str::SmolStr;
use wavetank_api::kinds::KindId;
use wavetank_api::{Method, Revision, Time};
use wavetank_store::{Batch, Event, WatchId};

use super::model::Model;
use super::{Change, Findings, Oracle, Violation};
use super::{api, binding, intent, owners, pods, replicas, rest};
use crate::trace::EventId;

/// How far a process knows each kind.
pub(crate) type Views = BTreeMap<KindId, Known>;

/// How far a process knows a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// Its lists and watches have told everything up to here.
    pub told: Revision,
    /// No answer of any sort has shown anything later than this.
    pub shown: Revision,
}

/// Whose request a commit was.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    /// Its process: `controller-manager`, `node-1`, `operator`.
    pub name: Arc<str>,
    /// The part of it that wrote: `replicaset-controller`; empty when there are no parts.
    pub part: SmolStr,
    pub method: Method,
    /// The subresource: `status`, `binding`.
    pub subresource: SmolStr,
    /// What it knew when it decided on the request.
    pub views: Arc<Views>,
    /// What it knew when it sent it.
    pub latest: Arc<Views>,
    /// Whether that incarnation has died since.
    pub is_dead: bool,
}

impl Writer {
    /// A person.
    pub(crate) fn operator() -> Self {
        Writer {
            name: "operator".into(),
            part: SmolStr::default(),
            method: Method::Post,
            subresource: SmolStr::default(),
            views: Arc::default(),
            latest: Arc::default(),
            is_dead: false,
        }
    }

    /// Up to where its caches of a kind had been told everything.
    pub fn told(&self, kind: KindId) -> Revision {
        self.views
            .get(&kind)
            .map_or(Revision::default(), |known| known.told)
    }

    /// Whether a person wrote, or somebody from outside.
    pub fn is_operator(&self) -> bool {
        &*self.name == "operator"
    }

    /// Whether a controller of this name wrote.
    pub fn is_controller(&self, part: &str) -> bool {
        self.name.starts_with("controller-manager") && self.part == part
    }
}

/// A container began or ceased to run.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub at: Time,
    pub node: SmolStr,
    pub pod: SmolStr,
    pub container: SmolStr,
    pub runs: bool,
}

/// All oracles and what they have found.
pub(crate) struct Watchman {
    watch: WatchId,
    model: Model,
    oracles: Vec<Box<dyn Oracle>>,
    kinds: Vec<(&'static str, KindId)>,
    pub(crate) violations: Vec<Violation>,
}

impl Watchman {
    /// A watchman who knows nothing yet, with a watch of the store from its beginning.
    pub(crate) fn new(watch: WatchId) -> Self {
        let kinds = KindId::all().map(|kind| (kind.storage_prefix(), kind));
        let mut kinds: Vec<_> = kinds.collect();
        kinds.sort_by_key(|(prefix, _)| *prefix);
        kinds.dedup_by_key(|(prefix, _)| *prefix);
        Watchman {
            watch,
            model: Model::default(),
            oracles: vec![
                Box::new(api::Metadata::default()),
                Box::new(api::Places),
                Box::new(intent::Intent),
                Box::new(pods::Binding),
                Box::new(pods::Containers::default()),
                Box::new(pods::Status::default()),
                Box::new(binding::Fit::default()),
                Box::new(replicas::Scale::default()),
                Box::new(owners::Garbage::default()),
                Box::new(rest::Rest),
            ],
            kinds,
            violations: Vec::new(),
        }
    }

    /// The watch on the store that it reads from.
    pub(crate) fn watch(&self) -> &WatchId {
        &self.watch
    }

    /// The truth.
    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    /// The store is another one after a power cut; it goes on from the same revision.
    pub(crate) fn rewatch(&mut self, watch: WatchId) {
        self.watch = watch;
    }

    fn kind_of(&self, key: &str) -> Option<KindId> {
        let after = self.kinds.partition_point(|(prefix, _)| *prefix <= key);
        let (prefix, kind) = self.kinds.get(after.checked_sub(1)?)?;
        key.starts_with(prefix).then_some(*kind)
    }

    /// Takes what was committed: `writers` by revision.
    pub(crate) fn committed(
        &mut self,
        batch: &Batch,
        writers: &BTreeMap<Revision, Arc<Writer>>,
        now: Time,
        event: EventId,
    ) {
        self.model.now = now;
        for change in &batch.events {
            let writer = writers.get(&change.revision).map(|writer| &**writer);
            self.changed(change, writer, now, event);
        }
        self.model.revision = batch.upto;
    }

    fn changed(&mut self, event: &Event, writer: Option<&Writer>, now: Time, id: EventId) {
        let Some(kind) = self.kind_of(&event.key) else {
            return;
        };
        if kind == KindId::Event {
            return; // events say what others did
        }
        let before = self.model.apply(kind, event);
        let mut found = Findings::default();
        let change = Change {
            revision: event.revision,
            at: now,
            key: &event.key,
            kind,
            before: before.as_ref(),
            after: self.model.object(&event.key),
            writer,
        };
        for oracle in &mut self.oracles {
            oracle.changed(&change, &self.model, &mut found);
        }
        self.keep(found, now, id);
    }

    /// Takes what a runtime did.
    pub(crate) fn ran(&mut self, life: &Life, event: EventId) {
        self.model.now = self.model.now.max(life.at);
        self.model.ran(life);
        let mut found = Findings::default();
        for oracle in &mut self.oracles {
            oracle.ran(life, &self.model, &mut found);
        }
        self.keep(found, life.at, event);
    }

    /// Everything that ran on a node has ended with its machine.
    pub(crate) fn machine_ended(&mut self, node: &str, at: Time, event: EventId) {
        let ended: Vec<Life> = self.model.running_on(node, at);
        for life in ended {
            self.ran(&life, event);
        }
    }

    /// Whether nothing is left to come about.
    pub(crate) fn has_settled(&mut self) -> bool {
        self.unsettled().found.is_empty()
    }

    fn unsettled(&mut self) -> Findings {
        let mut found = Findings::default();
        for oracle in &mut self.oracles {
            oracle.settled(&self.model, &mut found);
        }
        found
    }

    /// The time to converge is over.
    pub(crate) fn settled(&mut self, now: Time, event: EventId) {
        let found = self.unsettled();
        self.keep(found, now, event);
    }

    /// Notes a finding of the world's own.
    pub(crate) fn keep(&mut self, found: Findings, at: Time, event: EventId) {
        let found = found.found.into_iter();
        self.violations
            .extend(found.map(|(invariant, about, what)| Violation {
                invariant,
                at,
                event,
                about,
                what,
            }));
    }
}
