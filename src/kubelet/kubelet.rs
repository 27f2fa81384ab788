//! The kubelet itself: sorts inputs to pods, node and lease, and says when to wake it.
//!
//! Driven by a shell through [`Component`]. Upstream: `pkg/kubelet/kubelet.go` (syncLoop).
//!
//! 1. No pod is touched before the runtime's state is known.
//! 2. A worker exists exactly for the pods that the API server has bound here and for those that
//!    the runtime still holds.
//! 3. `WakeAt` is sent only when the time changes.
//!
//! Book: `book/src/node/kubelet.md`.

use std::collections::BTreeMap;

use wavetank_api::{KindId, Meta, Time, Uid};
use wavetank_cri as cri;
use wavetank_informer::client::Selection;
use wavetank_informer::events::{EventType, Recorder};
use wavetank_informer::reflector;
use wavetank_informer::{
    CallId, CallIds, Change, Client, Component, Guard, Input, Object, Output, Reflector,
};

use crate::admission;
use crate::config::Config;
use crate::context::{Context, Purpose, Shared, WorkerId};
use crate::effect::{Effect, Outcome, ProbeId, ProbeResult};
use crate::lease::Lease;
use crate::node::Node;
use crate::pod::{Container, Pod, PodSpec, PodView};
use crate::pull::{self, Turns};
use crate::recovery::{Found, Recovery};
use crate::relist::{self, Relist};
use crate::sources::{self, Sources};
use crate::timers::Timers;
use crate::worker::{SandboxState, Stage, Worker};

type Outputs = Vec<Output<Effect>>;

/// The agent of one node.
pub struct Kubelet {
    shared: Shared,
    node: Node,
    lease: Lease,
    recovery: Recovery,
    relist: Relist,
    pods: Reflector<Object<PodView>>,
    workers: BTreeMap<WorkerId, Box<Worker>>,
    by_uid: BTreeMap<Uid, WorkerId>,
    last_worker: WorkerId,
    timers: Timers,
    /// The time asked for last.
    wake: Option<Time>,
    are_orphans_sought: bool,
}

impl Kubelet {
    /// A kubelet that has not started.
    pub fn new(config: Config) -> Self {
        let name = &config.node_name;
        let client = Client::new("kubelet", format!("system:node:{name}"));
        let mut own = reflector::Config::all(KindId::Pod, &client, config.seed, config.guards);
        own.selection = Selection {
            fields: format!("spec.nodeName={name}"),
            ..Selection::default()
        };
        Kubelet {
            pods: Reflector::new(own),
            shared: Shared {
                recorder: Recorder::new(&client, name.clone()),
                client,
                config,
                ids: CallIds::default(),
                runtime: None,
                pending: BTreeMap::new(),
                sources: Sources::default(),
                pulls: Turns::default(),
            },
            node: Node::new(),
            lease: Lease::default(),
            recovery: Recovery::default(),
            relist: Relist::default(),
            workers: BTreeMap::new(),
            by_uid: BTreeMap::new(),
            last_worker: 0,
            timers: Timers::default(),
            wake: None,
            are_orphans_sought: false,
        }
    }

    /// The container that `kubectl logs` and `exec` mean by pod UID and container name: the latest
    /// instance, or the one before it.
    pub fn container_id(&self, pod: &Uid, name: &str, previous: bool) -> Option<cri::ContainerId> {
        let worker = self.workers.get(self.by_uid.get(pod)?)?;
        let index = worker
            .pod
            .spec()
            .all()
            .position(|(_, c)| &*c.name == name)?;
        let slot = worker.slots.get(index)?;
        if previous {
            slot.previous.clone()
        } else {
            slot.id.clone()
        }
    }

    fn sort(&mut self, input: Input<Outcome>, now: Time, out: &mut Outputs) {
        match input {
            Input::Start => self.start(now, out),
            Input::Tick => self.tick(now, out),
            Input::Response(call, ref response) => {
                if let Some((worker, _)) = self.shared.pending.remove(&call.0) {
                    self.with(worker, now, out, |w, cx| {
                        w.report_answered(Some(response), cx.now)
                    });
                } else if !self.is_own_call(call, Some(response), now, out) {
                    self.cluster_news(&input, now, out);
                }
            }
            Input::Failed(call, _) => {
                if let Some((worker, _)) = self.shared.pending.remove(&call.0) {
                    self.with(worker, now, out, |w, cx| w.report_answered(None, cx.now));
                } else if !self.is_own_call(call, None, now, out) {
                    self.cluster_news(&input, now, out);
                }
            }
            Input::Opened(_) | Input::Frame(..) | Input::Closed(_) => {
                self.cluster_news(&input, now, out);
            }
            Input::Outcome(Outcome::Cri(call, reply)) => self.runtime_said(call, reply, now, out),
            Input::Outcome(Outcome::Event(event)) => self.runtime_event(event, now, out),
            Input::Outcome(Outcome::Probe(id, result)) => self.probed(id, result, now, out),
        }
    }

    fn start(&mut self, now: Time, out: &mut Outputs) {
        self.shared.tell_node(
            EventType::Normal,
            "Starting",
            "Starting kubelet.".into(),
            now,
        );
        self.recovery.start(&mut self.shared, out);
        self.relist.tick(&mut self.shared, now, out);
        self.node.tick(&mut self.shared, now, out);
        self.pods.start(&mut self.shared.ids, out);
    }

    fn tick(&mut self, now: Time, out: &mut Outputs) {
        self.wake = None;
        while let Some(worker) = self.timers.pop(now) {
            if let Some(worker) = self.workers.get_mut(&worker) {
                worker.wake = None;
            }
            self.with(worker, now, out, |_, _| {});
        }
        self.recovery.tick(&mut self.shared, now, out);
        self.relist.tick(&mut self.shared, now, out);
        self.node.tick(&mut self.shared, now, out);
        self.lease.tick(&self.node.uid, &mut self.shared, now, out);
        self.cluster_news(&Input::Tick, now, out);
    }

    /// Answers for node and lease; whether it was one.
    fn is_own_call(
        &mut self,
        call: CallId,
        response: Option<&wavetank_api::Response>,
        now: Time,
        out: &mut Outputs,
    ) -> bool {
        if self.node.answered(call, response, now) {
            self.node.tick(&mut self.shared, now, out);
            if self.node.is_registered() {
                self.lease.start(now);
                self.lease.tick(&self.node.uid, &mut self.shared, now, out);
            }
            return true;
        }
        self.lease
            .answered(call, response, &self.node.uid, &mut self.shared, now, out)
    }

    /// Hands an input to the reflector and the recorder.
    fn cluster_news(&mut self, input: &Input<Outcome>, now: Time, out: &mut Outputs) {
        self.shared
            .recorder
            .handle(input, now, &mut self.shared.ids, out);
        let Shared { sources, ids, .. } = &mut self.shared;
        for worker in sources.handle(input, now, ids, out) {
            self.with(worker, now, out, |w, _| w.volumes_changed());
        }
        let changes = self.pods.handle(input, now, &mut self.shared.ids, out);
        for change in changes {
            if self.recovery.is_done {
                self.change(change, now, out);
            }
        }
        self.seek_orphans(now, out);
    }

    fn change(&mut self, change: Change<Object<PodView>>, now: Time, out: &mut Outputs) {
        match change {
            Change::Added(object) | Change::Modified { new: object, .. } => {
                let pod = Pod(object);
                match self.by_uid.get(&pod.meta().uid) {
                    Some(worker) => {
                        let worker = *worker;
                        if has_new_containers(&pod, self.workers.get(&worker).map(Box::as_ref)) {
                            self.watch_sources(worker, &pod, now, out);
                        }
                        self.with(worker, now, out, |w, _| w.update(pod));
                    }
                    None => self.admit(pod, now, out),
                }
            }
            Change::Deleted(object) => {
                let pod = Pod(object);
                if let Some(worker) = self.by_uid.get(&pod.meta().uid) {
                    self.with(*worker, now, out, |w, _| {
                        w.update(pod);
                        w.is_gone = true;
                    });
                }
            }
        }
    }

    /// Makes the worker of a pod that is new here, unless it does not fit.
    fn admit(&mut self, pod: Pod, now: Time, out: &mut Outputs) {
        let found = self.recovery.found.remove(&pod.meta().uid);
        let mut worker = Box::new(Worker::new(pod, now));
        let is_over = worker.report.phase.is_terminal() && self.shared.config.guards.on(Guard::M68);
        let is_known = found.is_some() || is_over;
        let useless = worker.adopt(found.unwrap_or_default(), self.shared.config.guards, now);
        for id in useless {
            crate::node::call_runtime(cri::Call::RemoveContainer(id), &mut self.shared, out);
        }
        if is_over {
            crate::sync::terminate(&mut worker, now);
        } else if !is_known && !worker.has_instances() && self.shared.config.guards.on(Guard::M64) {
            self.reject_misfit(&mut worker, now);
        }
        self.add(worker, now, out);
    }

    fn reject_misfit(&mut self, worker: &mut Worker, now: Time) {
        let holds = self.shared.config.guards.on(Guard::M65);
        let others = self.workers.values().filter(|other| match holds {
            true => other.stage != Stage::Terminated,
            false => other.stage == Stage::Syncing && !other.pod.meta().is_terminating(),
        });
        let others = others.map(|other| other.pod.spec());
        let allocatable = &self.shared.config.allocatable;
        let Err(refusal) = admission::admit(worker.pod.spec(), others, allocatable) else {
            return;
        };
        let about = wavetank_informer::events::About::object(KindId::Pod, worker.pod.meta());
        let reason = admission::event_reason(&refusal.reason);
        let message = refusal.message.clone();
        self.shared
            .tell(about, EventType::Warning, reason, message, now);
        worker.fail(
            &refusal.reason,
            format!("Pod was rejected: {}", refusal.message),
        );
        worker.stage = Stage::Terminated;
    }

    fn add(&mut self, worker: Box<Worker>, now: Time, out: &mut Outputs) {
        self.last_worker += 1;
        self.by_uid
            .insert(worker.pod.meta().uid.clone(), self.last_worker);
        self.watch_sources(self.last_worker, &worker.pod, now, out);
        self.workers.insert(self.last_worker, worker);
        self.with(self.last_worker, now, out, |_, _| {});
    }

    /// Watches the ConfigMaps and Secrets that a pod refers to.
    fn watch_sources(&mut self, worker: WorkerId, pod: &Pod, now: Time, out: &mut Outputs) {
        let wanted = sources::references(pod);
        let Shared {
            sources,
            client,
            config,
            ids,
            ..
        } = &mut self.shared;
        for (kind, key) in wanted {
            let mut of = reflector::Config::all(kind, client, config.seed, config.guards);
            of.selection = sources::selection(&key);
            sources.hold(worker, (kind, key), of, now, ids, out);
        }
    }

    /// Once both the runtime's state and the pods are known, ends what no pod asks for.
    fn seek_orphans(&mut self, now: Time, out: &mut Outputs) {
        let is_synced = self.pods.cache().is_synced();
        if self.are_orphans_sought || !self.recovery.is_done || !is_synced {
            return;
        }
        self.are_orphans_sought = true;
        for (uid, found) in core::mem::take(&mut self.recovery.found) {
            let mut worker = Box::new(Worker::new(orphan(uid, &found), now));
            worker.adopt(found, self.shared.config.guards, now);
            worker.volumes = Some(Box::default()); // it may have had some
            worker.is_gone = true;
            self.add(worker, now, out);
        }
    }

    fn runtime_said(
        &mut self,
        call: CallId,
        reply: Result<cri::Reply, cri::Error>,
        now: Time,
        out: &mut Outputs,
    ) {
        if let Some((worker, purpose)) = self.shared.pending.remove(&call.0) {
            if matches!(reply, Ok(cri::Reply::PullImage(_))) {
                self.node.images_changed();
            }
            return self.with(worker, now, out, |w, cx| w.answered(purpose, reply, cx));
        }
        if let Some(asked) = self.relist.told(call) {
            return self.relisted(&reply, asked, now, out);
        }
        if self.node.told(call, &reply, &mut self.shared, now) {
            return self.node.tick(&mut self.shared, now, out);
        }
        if self.recovery.told(call, &reply, &mut self.shared, now, out) && self.recovery.is_done {
            let known: Vec<Pod> = self.pods.cache().iter().cloned().map(Pod).collect();
            for pod in known {
                self.admit(pod, now, out);
            }
            self.seek_orphans(now, out);
        }
    }

    /// All containers were listed: each worker compares.
    fn relisted(
        &mut self,
        reply: &Result<cri::Reply, cri::Error>,
        asked: Time,
        now: Time,
        out: &mut Outputs,
    ) {
        let Ok(cri::Reply::ListContainers(list)) = reply else {
            return;
        };
        let listed = relist::states(list);
        let workers: Vec<WorkerId> = self.workers.keys().copied().collect();
        for worker in workers {
            self.with(worker, now, out, |w, cx| w.compare(&listed, asked, cx));
        }
    }

    fn runtime_event(&mut self, event: cri::Event, now: Time, out: &mut Outputs) {
        let Some(worker) = self.by_uid.get(&event.pod).copied() else {
            return;
        };
        self.with(worker, now, out, |worker, cx| {
            worker.report.is_dirty = true;
            match event.kind {
                cri::EventKind::Started(status) | cri::EventKind::Stopped(status) => {
                    if let Some(index) = worker.slot_of(&status.id)
                        && let Some(slot) = worker.slots.get_mut(index)
                    {
                        slot.observe(&status, cx.now);
                    }
                }
                cri::EventKind::SandboxStopped => {
                    let is_latest = worker.sandbox.id.as_ref() == Some(&event.sandbox);
                    if is_latest && worker.sandbox.state == SandboxState::Ready {
                        worker.sandbox.state = SandboxState::Stopped;
                    }
                }
            }
        });
    }

    fn probed(&mut self, id: ProbeId, result: ProbeResult, now: Time, out: &mut Outputs) {
        let Some((worker, purpose)) = self.shared.pending.remove(&id.0) else {
            return;
        };
        self.with(worker, now, out, |worker, cx| match purpose {
            Purpose::Probe(index, which) => {
                crate::probes::answered(worker, usize::from(index), which, result, cx);
            }
            Purpose::Hook(index) => {
                crate::hooks::finished(worker, usize::from(index), result, cx);
            }
            _ => {}
        });
    }

    /// Lets the next image be pulled, unless one is.
    fn pull_next(&mut self, now: Time, out: &mut Outputs) {
        loop {
            let worker = |id| self.workers.get(&id).map(Box::as_ref);
            let Some((worker, index)) = self.shared.pulls.next(worker) else {
                return;
            };
            self.with(worker, now, out, |w, cx| pull::begin(w, index, cx));
        }
    }

    /// Tells a worker something and lets it take its step.
    fn with(
        &mut self,
        id: WorkerId,
        now: Time,
        out: &mut Outputs,
        tell: impl FnOnce(&mut Worker, &mut Context<'_>),
    ) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        let shared = &mut self.shared;
        let mut cx = Context {
            now,
            worker: id,
            shared,
            out,
            wake: None,
        };
        tell(worker, &mut cx);
        worker.step(&mut cx);
        let wake = cx.wake;
        self.timers.set(id, worker.wake, wake);
        worker.wake = wake;
        if worker.stage == Stage::Terminated {
            self.shared.sources.release(id, out);
        }
        let is_over = worker.is_gone
            && worker.stage == Stage::Terminated
            && worker.sandbox.state == SandboxState::Removed;
        if is_over && worker.report.is_idle() {
            self.timers.set(id, worker.wake, None);
            self.by_uid.remove(&worker.pod.meta().uid);
            self.workers.remove(&id);
        }
    }
}

impl Component for Kubelet {
    type Effect = Effect;
    type Outcome = Outcome;

    fn handle(&mut self, input: Input<Outcome>, now: Time, out: &mut Outputs) {
        self.sort(input, now, out);
        self.pull_next(now, out);
        self.shared.recorder.send(now, &mut self.shared.ids, out);
        let wakes = [
            self.timers.next(),
            self.node.next_wake(),
            self.lease.next_wake(),
            self.recovery.next_wake(),
            self.relist.next_wake(),
            self.pods.next_wake(),
            self.shared.recorder.next_wake(),
            self.shared.sources.next_wake(),
        ];
        let wake = wakes.into_iter().flatten().min();
        if wake != self.wake
            && let Some(at) = wake
        {
            out.push(Output::WakeAt(at.max(now)));
        }
        self.wake = wake;
    }
}

/// Whether ephemeral containers were added, which may refer to more than the others.
fn has_new_containers(pod: &Pod, worker: Option<&Worker>) -> bool {
    worker.is_some_and(|worker| pod.spec().all().count() > worker.slots.len())
}

/// A pod that only the runtime remembers, as far as its labels tell.
fn orphan(uid: Uid, found: &Found) -> Pod {
    let sandbox = found.sandboxes.last().map(|s| s.metadata.clone());
    let grace = found.containers.iter().find_map(|(_, c)| {
        c.annotations
            .get(cri::names::GRACE_PERIOD)
            .and_then(|text| text.parse().ok())
    });
    let mut names: Vec<_> = found
        .containers
        .iter()
        .map(|(_, c)| c.metadata.name.clone())
        .collect();
    names.sort();
    names.dedup();
    let containers = names.into_iter().map(|name| Container {
        name,
        ..Container::default()
    });
    let spec = PodSpec {
        containers: containers.collect(),
        termination_grace_period_seconds: grace,
        ..PodSpec::default()
    };
    let meta = Meta {
        uid,
        name: sandbox.as_ref().map(|s| s.name.clone()).unwrap_or_default(),
        namespace: sandbox.map(|s| s.namespace).unwrap_or_default(),
        ..Meta::default()
    };
    let view = PodView {
        spec,
        ..PodView::default()
    };
    Pod(Object { meta, view }.into())
}
