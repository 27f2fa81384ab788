//! A node's container runtime that runs nothing: it answers CRI calls as containerd would, in
//! virtual time, and its programs live and die as the pod's annotations and the seed say.
//!
//! Driven by a shell: [`SimRuntime::effect`] takes what a kubelet wants done, [`SimRuntime::poll`]
//! gives the outcomes that are due. It knows no kubelet state: that may restart beside it.
//!
//! 1. Every effect is answered once, at a time that depends on the seed and the calls before only.
//! 2. A container goes from created to running to exited and never back.
//! 3. No two sandboxes that are ready have the same address (P12).
//! 4. SIGKILL comes at the timeout of `StopContainer`, never before (P14).
//!
//! Left out: CPU and memory contention, image garbage.
//!
//! Book: `book/src/simulator/runtime.md`.

use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use wavetank_api::{Time, Uid};
use wavetank_cri as cri;
use wavetank_cri::{ContainerId, EventKind, SandboxId};
use wavetank_informer::CallId;
use wavetank_informer::backoff::Chance;
use wavetank_kubelet::{Effect, Outcome, Probe, ProbeId, ProbeResult};

pub mod addresses;
pub mod behavior;
pub mod exec;
pub mod files;
pub mod images;
pub mod instance;
pub mod logs;
pub mod stdin;

mod calls;

use addresses::Addresses;
use files::Volumes;
use images::Images;
use instance::{End, Instance};

/// What the runtime is told of its node.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Name of the node: `hostname` of pods on the host's network.
    pub name: Arc<str>,
    /// First address and prefix length of the pods' network.
    pub pod_cidr: (Ipv4Addr, u8),
    /// Of all its chance.
    pub seed: u64,
}

/// The runtime of one node.
#[derive(Debug)]
pub struct SimRuntime {
    config: NodeConfig,
    chance: Chance,
    sequence: u64,
    /// What will happen, by time and then in the order it was decided.
    due: BTreeMap<(Time, u64), Due>,
    sandboxes: BTreeMap<SandboxId, Sandbox>,
    containers: BTreeMap<ContainerId, Box<Instance>>,
    images: Images,
    addresses: Addresses,
    /// Directories of the host that a kubelet has made, with their files.
    volumes: Volumes,
    /// Which containers began (true) and ceased to run, for whoever asked that it be kept.
    journal: Option<Vec<(Uid, Arc<str>, bool)>>,
}

/// A pod sandbox.
#[derive(Debug)]
struct Sandbox {
    metadata: cri::sandbox::PodSandboxMetadata,
    state: cri::SandboxState,
    created_at: Time,
    ip: Option<Ipv4Addr>,
    hostname: Arc<str>,
    /// The `sim.wavetank.dev/` annotations of the pod.
    script: cri::Labels,
}

/// Something that happens by itself at its time.
#[derive(Debug)]
enum Due {
    Answer(CallId, Box<Result<cri::Reply, cri::Error>>),
    Probed(ProbeId, ProbeResult),
    /// The process is up; the call is `StartContainer`.
    Started(CallId, ContainerId),
    /// The program ends by itself.
    Ended(ContainerId, End),
    /// SIGKILL, unless it has ended.
    Killed(ContainerId),
    Pulled(Arc<str>),
    /// A sandbox stopped by itself.
    Broken(Uid, SandboxId),
}

impl SimRuntime {
    /// The name in `containerID` and `containerRuntimeVersion`.
    pub const NAME: &'static str = "sim";

    /// A runtime with no images, sandboxes and containers.
    pub fn new(config: NodeConfig) -> Self {
        let (base, prefix) = config.pod_cidr;
        SimRuntime {
            chance: Chance::new(config.seed),
            addresses: Addresses::new(base, prefix),
            images: Images::default(),
            config,
            sequence: 0,
            due: BTreeMap::new(),
            sandboxes: BTreeMap::new(),
            containers: BTreeMap::new(),
            volumes: Volumes::new(),
            journal: None,
        }
    }

    /// Takes what a kubelet wants done.
    pub fn effect(&mut self, effect: Effect, now: Time) {
        match effect {
            Effect::Cri(id, call) => self.call(id, call, now),
            Effect::Probe(id, probe) => self.probe(id, &probe, now),
            Effect::SetUp { path, files } => {
                self.volumes.insert(path, files.unwrap_or_default());
            }
            Effect::TearDown { path } => files::remove(&mut self.volumes, &path),
        }
    }

    /// The kubelet has died, and its connection with it: nobody hears the answers to its calls (the
    /// next one counts its own anew), and a start under way is cancelled with its caller.
    pub fn hang_up(&mut self) {
        let is_heard =
            |due: &Due| matches!(due, Due::Answer(..) | Due::Probed(..) | Due::Started(..));
        self.due.retain(|_, due| !is_heard(due));
        for instance in self.containers.values_mut() {
            instance.hang_up();
        }
        self.images.hang_up();
    }

    /// When something will happen next.
    pub fn due(&self) -> Option<Time> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    // ANCHOR: poll
    /// Lets happen what is due; the outcomes for the kubelet, in order.
    pub fn poll(&mut self, now: Time) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        while let Some(first) = self.due.first_entry() {
            let (at, _) = *first.key();
            if at > now {
                break;
            }
            match first.remove() {
                Due::Answer(call, reply) => outcomes.push(Outcome::Cri(call, *reply)),
                Due::Probed(id, result) => outcomes.push(Outcome::Probe(id, result)),
                Due::Started(call, id) => self.started(call, &id, at, &mut outcomes),
                Due::Ended(id, end) => self.ended(&id, &end, at, &mut outcomes),
                Due::Killed(id) => self.ended(&id, &End::killed(), at, &mut outcomes),
                Due::Pulled(image) => self.pulled(&image, &mut outcomes),
                Due::Broken(pod, sandbox) => {
                    let kind = EventKind::SandboxStopped;
                    outcomes.push(Outcome::Event(cri::Event { pod, sandbox, kind }));
                }
            }
        }
        outcomes
    }
    // ANCHOR_END: poll

    /// Every container whose process runs: pod, container name, since when. The truth that
    /// invariants are checked against.
    pub fn running(&self) -> impl Iterator<Item = (&Uid, &str, Time)> {
        self.containers.values().filter_map(|instance| {
            let since = instance.running_since()?;
            let sandbox = self.sandboxes.get(&instance.sandbox)?;
            Some((
                &sandbox.metadata.uid,
                &*instance.config.metadata.name,
                since,
            ))
        })
    }

    /// Notes from now on which containers begin and cease to run.
    pub fn keep_journal(&mut self) {
        self.journal.get_or_insert_default();
    }

    /// What has been noted since the last call: pod, container, and whether it runs.
    pub fn take_journal(&mut self) -> Vec<(Uid, Arc<str>, bool)> {
        self.journal
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// The address of each ready sandbox that has one.
    pub fn pod_ips(&self) -> impl Iterator<Item = (&Uid, IpAddr)> {
        let ready = self
            .sandboxes
            .values()
            .filter(|s| s.state == cri::SandboxState::Ready);
        ready.filter_map(|s| Some((&s.metadata.uid, IpAddr::V4(s.ip?))))
    }

    /// Every container that is known, with its pod, in the order of ids.
    pub fn instances(&self) -> impl Iterator<Item = (&ContainerId, &Uid, &Instance)> {
        self.containers.iter().filter_map(|(id, instance)| {
            let sandbox = self.sandboxes.get(&instance.sandbox)?;
            Some((id, &sandbox.metadata.uid, &**instance))
        })
    }

    /// The latest instance of a pod's container, or the one before it.
    pub fn find(&self, pod: &Uid, name: &str, previous: bool) -> Option<ContainerId> {
        let mut own: Vec<_> = self.instances_of(pod, name).collect();
        own.sort_by_key(|(_, instance)| (instance.config.metadata.attempt, instance.created_at));
        let skip = usize::from(previous);
        own.iter().rev().nth(skip).map(|(id, _)| (*id).clone())
    }

    fn instances_of<'a>(
        &'a self,
        pod: &'a Uid,
        name: &'a str,
    ) -> impl Iterator<Item = (&'a ContainerId, &'a Instance)> {
        self.containers
            .iter()
            .map(|(id, instance)| (id, &**instance))
            .filter(move |(_, i)| {
                let sandbox = self.sandboxes.get(&i.sandbox);
                sandbox.is_some_and(|s| s.metadata.uid == *pod) && &*i.config.metadata.name == name
            })
    }

    /// The directories of volumes, in order.
    pub fn volumes(&self) -> impl Iterator<Item = &str> {
        self.volumes.keys().map(|path| &**path)
    }

    /// How many pulls are under way.
    pub fn pulls(&self) -> usize {
        self.images.awaited()
    }

    /// What has become of a container; `None` when it is unknown or removed.
    pub fn instance(&self, id: &ContainerId) -> Option<&Instance> {
        self.containers.get(id).map(|boxed| &**boxed)
    }

    /// The machine restarts: nothing runs any more, and no call is answered. Images stay.
    pub fn reboot(&mut self, now: Time) {
        self.due.clear();
        self.images.forget_pulls();
        for instance in self.containers.values_mut() {
            instance.end(
                &End {
                    code: 255,
                    reason: "Unknown",
                },
                now,
            );
        }
        for sandbox in self.sandboxes.values_mut() {
            sandbox.state = cri::SandboxState::NotReady;
            if let Some(ip) = sandbox.ip.take() {
                self.addresses.give_back(ip);
            }
        }
    }

    /// The program of a pod's container ends by itself at `now`; of its first container when none
    /// is named. Nothing happens when it does not run.
    pub fn end_program(&mut self, pod: &Uid, container: Option<&str>, end: End, now: Time) {
        let running = self.containers.iter().find(|(_, instance)| {
            let sandbox = self.sandboxes.get(&instance.sandbox);
            let is_named = container.is_none_or(|name| &*instance.config.metadata.name == name);
            is_named
                && instance.running_since().is_some()
                && sandbox.is_some_and(|sandbox| sandbox.metadata.uid == *pod)
        });
        if let Some(id) = running.map(|(id, _)| id.clone()) {
            self.at(now, Due::Ended(id, end));
        }
    }

    fn at(&mut self, at: Time, due: Due) {
        self.sequence += 1;
        self.due.insert((at, self.sequence), due);
    }

    fn answer(&mut self, at: Time, call: CallId, reply: Result<cri::Reply, cri::Error>) {
        self.at(at, Due::Answer(call, Box::new(reply)));
    }

    /// Between the two times, in whole microseconds.
    fn between(&mut self, least_ms: u64, most_ms: u64) -> Duration {
        let range = Duration::from_millis(most_ms.saturating_sub(least_ms));
        Duration::from_millis(least_ms) + self.chance.up_to(range)
    }

    /// An id of 32 hexadecimal digits.
    fn fresh_id(&mut self) -> Arc<str> {
        format!("{:016x}{:016x}", self.chance.draw(), self.chance.draw()).into()
    }

    fn started(&mut self, call: CallId, id: &ContainerId, at: Time, outcomes: &mut Vec<Outcome>) {
        let Some(instance) = self.containers.get_mut(id) else {
            let error = cri::Error::not_found("container", &id.0);
            return outcomes.push(Outcome::Cri(call, Err(error)));
        };
        let end = instance.start(at);
        if instance.running_since().is_some() {
            note(&mut self.journal, &self.sandboxes, instance, true);
        }
        let event = event(&self.sandboxes, id, instance, EventKind::Started);
        outcomes.extend(event.map(Outcome::Event));
        outcomes.push(Outcome::Cri(call, Ok(cri::Reply::Done)));
        if let Some((after, end)) = end {
            self.at(at + after, Due::Ended(id.clone(), end));
        }
    }

    fn ended(&mut self, id: &ContainerId, end: &End, at: Time, outcomes: &mut Vec<Outcome>) {
        let Some(instance) = self.containers.get_mut(id) else {
            return;
        };
        if !instance.end(end, at) {
            return; // it had ended already
        }
        if instance.started_at.is_some() {
            note(&mut self.journal, &self.sandboxes, instance, false);
        }
        let stops = instance.take_stops();
        let event = event(&self.sandboxes, id, instance, EventKind::Stopped);
        outcomes.extend(event.map(Outcome::Event));
        let answers = stops
            .into_iter()
            .map(|call| Outcome::Cri(call, Ok(cri::Reply::Done)));
        outcomes.extend(answers);
    }

    fn pulled(&mut self, image: &Arc<str>, outcomes: &mut Vec<Outcome>) {
        let (calls, id) = self.images.arrived(image);
        let reply = |call| Outcome::Cri(call, Ok(cri::Reply::PullImage(id.clone())));
        outcomes.extend(calls.into_iter().map(reply));
    }

    /// A program is asked over the network.
    fn probe(&mut self, id: ProbeId, probe: &Probe, now: Time) {
        let latency = self.between(1, 5);
        let answer = match self.containers.get(&probe.container) {
            Some(instance) => instance.probe(&probe.target, now),
            None => ProbeResult::Failure("connection refused".into()),
        };
        match instance::silence(&answer) {
            true => self.at(now + probe.timeout, Due::Probed(id, answer)),
            false => self.at(now + latency.min(probe.timeout), Due::Probed(id, answer)),
        }
    }
}

/// Notes that a container runs or does not.
fn note(
    journal: &mut Option<Vec<(Uid, Arc<str>, bool)>>,
    sandboxes: &BTreeMap<SandboxId, Sandbox>,
    instance: &Instance,
    runs: bool,
) {
    if let Some(journal) = journal
        && let Some(sandbox) = sandboxes.get(&instance.sandbox)
    {
        let name = instance.config.metadata.name.clone();
        journal.push((sandbox.metadata.uid.clone(), name, runs));
    }
}

/// What is told of a container unasked.
fn event(
    sandboxes: &BTreeMap<SandboxId, Sandbox>,
    id: &ContainerId,
    instance: &Instance,
    kind: fn(Box<cri::ContainerStatus>) -> EventKind,
) -> Option<cri::Event> {
    let sandbox = sandboxes.get(&instance.sandbox)?;
    Some(cri::Event {
        pod: sandbox.metadata.uid.clone(),
        sandbox: instance.sandbox.clone(),
        kind: kind(Box::new(instance.status(id))),
    })
}

#[cfg(test)]
mod tests;
