//! What an earlier life of the kubelet has left in the runtime, found at the start.
//!
//! Held by `kubelet.rs` until it is done; no pod is touched before. Upstream has no such step: its
//! PLEG's first relist does the same.
//!
//! 1. Containers survive a restart of the kubelet: what runs is taken over, not made again.
//! 2. What the API server was told of a container that the runtime has forgotten is not taken back:
//!    ended stays ended, and what ran counts as lost (P4, P5, M68).
//!
//! Book: `book/src/node/pod-lifecycle.md`.

use std::collections::{BTreeMap, BTreeSet};

use wavetank_api::{Time, Uid};
use wavetank_cri::sandbox::{PodSandbox, PodSandboxStatus};
use wavetank_cri::{self as cri, ContainerStatus, names};
use wavetank_informer::{CallId, Guard, Guards, Output};

use crate::context::Shared;
use crate::effect::Effect;
use crate::node::call_runtime;
use crate::pod::Kind;
use crate::pod_status::ApiContainerStatus;
use crate::slot::{Exit, Slot, State};
use crate::worker::{SandboxState, Worker};

/// Wait after the runtime failed to list.
const RETRY: core::time::Duration = core::time::Duration::from_secs(5);

/// What the runtime holds of one pod.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub sandboxes: Vec<PodSandbox>,
    pub status: Option<PodSandboxStatus>,
    /// Each with the sandbox it is in.
    pub containers: Vec<(cri::SandboxId, ContainerStatus)>,
}

/// The questions that are still open, and what was found so far.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    lists: BTreeSet<CallId>,
    /// Whose status is asked for: the pod, and the sandbox.
    statuses: BTreeMap<CallId, (Uid, cri::SandboxId)>,
    owners: BTreeMap<cri::SandboxId, Uid>,
    containers: Vec<cri::container::Container>,
    pub found: BTreeMap<Uid, Found>,
    again: Option<Time>,
    pub is_done: bool,
}

impl Recovery {
    /// Asks for all that there is.
    pub fn start(&mut self, shared: &mut Shared, out: &mut Vec<Output<Effect>>) {
        *self = Recovery::default();
        for call in [
            cri::Call::Version,
            cri::Call::ListPodSandbox,
            cri::Call::ListContainers,
        ] {
            self.lists.insert(call_runtime(call, shared, out));
        }
    }

    /// When it wants to be called.
    pub fn next_wake(&self) -> Option<Time> {
        self.again
    }

    /// Starts over after a failure.
    pub fn tick(&mut self, shared: &mut Shared, now: Time, out: &mut Vec<Output<Effect>>) {
        if self.again.is_some_and(|at| at <= now) {
            self.start(shared, out);
        }
    }

    /// Takes in an answer; whether it was for the recovery.
    pub fn told(
        &mut self,
        call: CallId,
        reply: &Result<cri::Reply, cri::Error>,
        shared: &mut Shared,
        now: Time,
        out: &mut Vec<Output<Effect>>,
    ) -> bool {
        if let Some((uid, sandbox)) = self.statuses.remove(&call) {
            self.take_status(&uid, sandbox, reply);
        } else if self.lists.remove(&call) {
            match reply {
                Ok(reply) => self.take_list(reply, shared),
                Err(_) => self.again = Some(now + RETRY),
            }
            if self.lists.is_empty() && self.again.is_none() {
                self.ask_for_statuses(shared, out);
            }
        } else {
            return false;
        }
        self.is_done = self.lists.is_empty() && self.statuses.is_empty() && self.again.is_none();
        true
    }

    fn take_list(&mut self, reply: &cri::Reply, shared: &mut Shared) {
        match reply {
            cri::Reply::Version(version) => shared.runtime = Some(version.clone()),
            cri::Reply::ListPodSandbox(sandboxes) => {
                for sandbox in sandboxes {
                    let uid = sandbox.metadata.uid.clone();
                    self.owners.insert(sandbox.id.clone(), uid.clone());
                    self.found
                        .entry(uid)
                        .or_default()
                        .sandboxes
                        .push(sandbox.clone());
                }
            }
            cri::Reply::ListContainers(containers) => self.containers.clone_from(containers),
            _ => {}
        }
    }

    /// Lists say little; each container and each newest sandbox is asked for.
    fn ask_for_statuses(&mut self, shared: &mut Shared, out: &mut Vec<Output<Effect>>) {
        for container in core::mem::take(&mut self.containers) {
            if let Some(uid) = self.owners.get(&container.sandbox) {
                let call = call_runtime(cri::Call::ContainerStatus(container.id), shared, out);
                self.statuses.insert(call, (uid.clone(), container.sandbox));
            }
        }
        for (uid, found) in &mut self.found {
            found
                .sandboxes
                .sort_by_key(|s| (s.metadata.attempt, s.created_at));
            if let Some(newest) = found.sandboxes.last() {
                let call = cri::Call::PodSandboxStatus(newest.id.clone());
                let about = (uid.clone(), newest.id.clone());
                self.statuses.insert(call_runtime(call, shared, out), about);
            }
        }
    }

    fn take_status(
        &mut self,
        uid: &Uid,
        sandbox: cri::SandboxId,
        reply: &Result<cri::Reply, cri::Error>,
    ) {
        let found = self.found.entry(uid.clone()).or_default();
        match reply {
            Ok(cri::Reply::ContainerStatus(status)) => {
                found.containers.push((sandbox, (**status).clone()));
            }
            Ok(cri::Reply::PodSandboxStatus(status)) => found.status = Some((**status).clone()),
            _ => {} // gone since it was listed
        }
    }
}

impl Worker {
    /// Takes over what was found of this pod; containers that are of no use any more.
    pub(crate) fn adopt(
        &mut self,
        mut found: Found,
        guards: Guards,
        now: Time,
    ) -> Vec<cri::ContainerId> {
        if let Some(status) = found.status {
            self.sandbox.id = Some(status.id.clone());
            self.sandbox.attempt = status.metadata.attempt;
            self.sandbox.ip = status.ip;
            self.sandbox.state = match status.state {
                cri::SandboxState::Ready => SandboxState::Ready,
                cri::SandboxState::NotReady => SandboxState::Stopped,
            };
            let older = found.sandboxes.into_iter().filter(|s| s.id != status.id);
            self.sandbox.old = older.map(|s| s.id).collect();
        }
        found
            .containers
            .sort_by_key(|(_, c)| (c.metadata.attempt, c.created_at));
        let mut useless = Vec::new();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let Some(spec) = self.pod.container(index) else {
                continue;
            };
            let mut own = found
                .containers
                .iter()
                .filter(|(_, c)| c.metadata.name == spec.name)
                .rev();
            let mut is_current = false;
            if let Some((sandbox, newest)) = own.next() {
                is_current = self.sandbox.id.as_ref() == Some(sandbox);
                slot.take_over(newest, now);
                slot.probes = crate::probes::Probes::of(spec);
            }
            if let Some((_, before)) = own.next() {
                slot.remember(before, now);
            }
            useless.extend(own.map(|(_, older)| older.id.clone()));
            self.initialized |= is_current && slot.kind == Kind::App;
            // What an init container did in an older sandbox went with that.
            if !is_current && slot.kind == Kind::Init {
                slot.begin_anew();
            }
        }
        if guards.on(Guard::M68) {
            self.recall(now);
        }
        useless
    }

    /// Fills in what the API server knows and the runtime does not.
    fn recall(&mut self, now: Time) {
        let status = self.pod.status();
        let lists = [
            &status.init_container_statuses,
            &status.container_statuses,
            &status.ephemeral_container_statuses,
        ];
        let told: Vec<&ApiContainerStatus> = lists.into_iter().flatten().collect();
        for (slot, (_, spec)) in self.slots.iter_mut().zip(self.pod.spec().all()) {
            if let Some(told) = told.iter().find(|told| told.name == spec.name) {
                slot.recall(told, now);
            }
        }
    }
}

impl Slot {
    fn take_over(&mut self, status: &ContainerStatus, now: Time) {
        self.id = Some(status.id.clone());
        self.restarts = Slot::restarts_of(status);
        let hash = status.annotations.get(names::CONTAINER_HASH);
        self.hash = hash
            .and_then(|h| u32::from_str_radix(h, 16).ok())
            .unwrap_or(0);
        self.observe(status, now);
    }

    fn remember(&mut self, before: &ContainerStatus, now: Time) {
        let mut old = Slot::new(self.kind);
        old.take_over(before, now);
        if let State::Exited(exit) = old.state {
            self.last = Some(exit);
            self.previous = old.id;
        }
    }

    fn recall(&mut self, told: &ApiContainerStatus, now: Time) {
        self.restarts = self.restarts.max(told.restart_count);
        if let Some(id) = &self.id {
            if told.container_id.ends_with(&*id.0) {
                self.probes.recall(told.started, told.ready);
            }
            return;
        }
        let exit = |t: &crate::pod_status::ApiTerminated| Exit {
            code: t.exit_code,
            reason: t.reason.clone(),
            message: t.message.clone(),
            started: t.started_at,
            finished: t.finished_at.unwrap_or(now),
            id: id_of(&t.container_id),
        };
        self.image_id = told.image_id.clone();
        self.last = told
            .last_state
            .terminated
            .as_deref()
            .map(|t| Box::new(exit(t)));
        if let Some(ended) = &told.state.terminated {
            self.state = State::Exited(Box::new(exit(ended)));
        } else if let Some(running) = &told.state.running {
            self.state = State::Running {
                since: running.started_at.unwrap_or(now),
            };
            self.id = id_of(&told.container_id);
            self.lose(now);
        }
    }
}

/// The id behind `sim://`.
fn id_of(text: &str) -> Option<cri::ContainerId> {
    text.split_once("://")
        .map(|(_, id)| cri::ContainerId(id.into()))
}
