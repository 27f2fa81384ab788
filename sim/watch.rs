//! What the world shows its watchman: commits with their writers, and the lives of containers.
//!
//! Nothing here changes what happens.
//!
//! Book: `book/src/simulator/oracles.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use wavetank_api::{Method, Request, Revision};

use crate::disk::Released;
use crate::network::ProcessId;
use crate::operator::Operator;
use crate::oracle::{Findings, Invariant, Life, Model, Violation, Watchman, Writer};
use crate::process::Role;
use crate::server::{Origin, place_of};
use crate::trace::EventId;
use crate::world::World;

impl World {
    /// Looks at every invariant from here on; to be called before the first step.
    pub fn watch_invariants(&mut self) {
        let store = &mut self.disk.store;
        let Ok(watch) = store.watch(store.compacted()) else {
            return; // what a store still has can be watched
        };
        self.watchman = Some(Box::new(Watchman::new(watch)));
        for process in &mut self.processes {
            if let Some(Role::Node(node)) = &mut process.role {
                node.runtime.keep_journal();
            }
        }
        self.show_commits(&[]);
    }

    /// The invariants that were seen broken, in order.
    pub fn violations(&self) -> &[Violation] {
        self.watchman
            .as_ref()
            .map_or(&[], |watchman| &watchman.violations)
    }

    /// The truth, as the watchman knows it.
    pub fn model(&self) -> Option<&Model> {
        self.watchman.as_ref().map(|watchman| watchman.model())
    }

    /// Notes who sends a write and what it knows; and which reads teach it something.
    pub(crate) fn note_intent(&mut self, origin: Origin, request: &Request) {
        let Some(place) = place_of(&request.target) else {
            return;
        };
        let Some(process) = self.processes.get_mut(origin.process.0 as usize) else {
            return;
        };
        let views = process.goes_on.as_ref().unwrap_or(&process.views).clone();
        process.decided.insert(origin.call, views.clone());
        if request.method == Method::Get {
            // A watch tells by its frames; one that is answered whole tells nothing.
            let is_list = !place.is_named && !origin.stream;
            process.asked.insert(origin.call, (place.kind, is_list));
            return;
        }
        // What a write answers, it shows.
        process.asked.insert(origin.call, (place.kind, false));
        let agent = request.headers.value("user-agent").unwrap_or_default();
        let writer = Writer {
            name: process.name.clone(),
            part: agent
                .rsplit_once("kube-system:")
                .map_or("", |(_, part)| part)
                .into(),
            method: request.method,
            subresource: place.subresource.into(),
            views,
            latest: process.views.clone(),
            is_dead: false,
        };
        self.intents.insert(origin, Arc::new(writer));
    }

    /// Shows the watchman what has become durable.
    pub(crate) fn show_commits(&mut self, released: &[Released]) {
        let Some(mut watchman) = self.watchman.take() else {
            return;
        };
        if let Ok(batch) = self.disk.store.drain(watchman.watch(), usize::MAX) {
            let writers = self.writers(released);
            watchman.committed(&batch, &writers, self.now, self.current);
        }
        self.watchman = Some(watchman);
    }

    /// Who wrote each revision.
    fn writers(&mut self, released: &[Released]) -> BTreeMap<Revision, Arc<Writer>> {
        let mut writers = BTreeMap::new();
        for answer in released {
            let (server, _) = answer.waiter.server;
            let origin = self.servers[server].origin_of(answer.waiter.ticket);
            let (Some(revision), Some(origin)) = (answer.made(), origin) else {
                continue;
            };
            let writer = match origin.process {
                Operator::PROCESS => Some(Arc::new(Writer::operator())),
                _ => self.intents.get(&origin).cloned(),
            };
            if let Some(mut writer) = writer {
                if !self.is_alive(origin) {
                    Arc::make_mut(&mut writer).is_dead = true;
                }
                writers.insert(revision, writer);
            }
        }
        writers
    }

    fn is_alive(&self, origin: Origin) -> bool {
        let process = self.processes.get(origin.process.0 as usize);
        process.is_none_or(|process| process.incarnation == origin.incarnation)
    }

    /// Shows the watchman which containers began and ceased to run on a machine.
    pub(crate) fn show_lives(&mut self, id: ProcessId) {
        let Some(watchman) = &mut self.watchman else {
            return;
        };
        let Some(process) = self.processes.get_mut(id.0 as usize) else {
            return;
        };
        let Some(Role::Node(node)) = &mut process.role else {
            return;
        };
        for (pod, container, runs) in node.runtime.take_journal() {
            let life = Life {
                at: self.now,
                node: process.name.as_ref().into(),
                pod: pod.0.as_ref().into(),
                container: container.as_ref().into(),
                runs,
            };
            watchman.ran(&life, self.current);
        }
    }

    /// The machine of a node is gone, and everything that ran on it.
    pub(crate) fn show_end_of_machine(&mut self, id: ProcessId) {
        let Some(watchman) = &mut self.watchman else {
            return;
        };
        let Some(process) = self.processes.get(id.0 as usize) else {
            return;
        };
        watchman.machine_ended(&process.name, self.now, self.current);
    }

    /// After a power cut the watchman goes on from where it was; what it had seen must be there.
    pub(crate) fn show_power_cut(&mut self) {
        let Some(watchman) = &mut self.watchman else {
            return;
        };
        let (seen, there) = (watchman.model().revision(), self.disk.store.revision());
        if there < seen {
            let what = format!("revision {seen} was released, and the disk has {there}");
            let mut found = Findings::default();
            found.add(Invariant::A3, "/", what);
            watchman.keep(found, self.now, self.current);
        }
        if let Ok(watch) = self.disk.store.watch(seen.min(there)) {
            watchman.rewatch(watch);
        }
        self.show_commits(&[]);
    }

    /// Whether everything has come about already that must in the end.
    pub fn has_settled(&mut self) -> bool {
        let watchman = self.watchman.as_mut();
        watchman.is_none_or(|watchman| watchman.has_settled())
    }

    /// The time to converge is over: looks at what must have come about.
    pub fn settle(&mut self) {
        let event: EventId = self.current;
        if let Some(watchman) = &mut self.watchman {
            watchman.settled(self.now, event);
        }
    }
}
