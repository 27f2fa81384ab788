//! What a worker needs besides itself while it takes a step: time, ids, a place for outputs.
//!
//! Made by `kubelet.rs` for each step of one worker; used by everything that a worker does.
//!
//! 1. Every id it gives out is remembered until its answer comes.
//!
//! Book: `book/src/node/kubelet.md`.

use std::collections::BTreeMap;

use wavetank_api::{KindId, Request, Time};
use wavetank_cri as cri;
use wavetank_informer::events::{About, Event, EventType, Recorder};
use wavetank_informer::{CallId, CallIds, Client, Output};

use crate::config::Config;
use crate::effect::{Effect, Probe, ProbeId};
use crate::pod::Pod;
use crate::pull::Turns;
use crate::sources::Sources;

/// Names a worker on its node; never used twice by one kubelet.
pub(crate) type WorkerId = u32;

/// What a call or probe was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The next step of a slot's operation.
    Operation(u16),
    /// A lifecycle hook of a slot.
    Hook(u16),
    /// A probe of a slot: its place in [`crate::probes::Probes`].
    Probe(u16, u8),
    /// A look at a slot's instance, because its event may have been lost.
    Look(u16),
    /// The next step of the sandbox.
    Sandbox,
    /// Clean-up whose answer changes nothing.
    Nothing,
    /// A status patch, or the final delete.
    Report,
}

/// What all workers of a kubelet share.
pub(crate) struct Shared {
    pub config: Config,
    pub client: Client,
    pub ids: CallIds,
    pub recorder: Recorder,
    /// The ConfigMaps and Secrets that pods refer to.
    pub sources: Sources,
    /// Whose turn it is to pull an image.
    pub pulls: Turns,
    /// `containerID`'s scheme and the rest of `containerRuntimeVersion`, once known.
    pub runtime: Option<cri::call::Version>,
    /// Calls and probes under way.
    pub pending: BTreeMap<u64, (WorkerId, Purpose)>,
}

/// One step of one worker.
pub(crate) struct Context<'a> {
    pub now: Time,
    pub worker: WorkerId,
    pub shared: &'a mut Shared,
    pub out: &'a mut Vec<Output<Effect>>,
    /// The earliest time anything asked to be looked at again.
    pub wake: Option<Time>,
}

impl Context<'_> {
    /// Calls the runtime.
    pub fn cri(&mut self, purpose: Purpose, call: cri::Call) {
        let id = self.pending(purpose);
        self.out.push(Output::Effect(Effect::Cri(id, call)));
    }

    /// Asks a program over the network.
    pub fn probe(&mut self, purpose: Purpose, probe: Probe) {
        let CallId(id) = self.pending(purpose);
        self.out
            .push(Output::Effect(Effect::Probe(ProbeId(id), probe)));
    }

    /// Sends a request to the API server.
    pub fn api(&mut self, purpose: Purpose, request: Request) {
        let id = self.pending(purpose);
        self.out.push(Output::Call(id, request));
    }

    fn pending(&mut self, purpose: Purpose) -> CallId {
        let id = self.shared.ids.fresh();
        self.shared.pending.insert(id.0, (self.worker, purpose));
        id
    }

    /// Asks for another step at `at`, at the latest.
    pub fn wake_at(&mut self, at: Time) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    /// Tells of something that happened to a pod.
    pub fn event(&mut self, pod: &Pod, r#type: EventType, reason: &'static str, message: String) {
        let about = About::object(KindId::Pod, pod.meta());
        self.shared.tell(about, r#type, reason, message, self.now);
    }

    /// Tells of something that happened to a container.
    pub fn container_event(
        &mut self,
        pod: &Pod,
        index: usize,
        r#type: EventType,
        reason: &'static str,
        message: String,
    ) {
        let mut about = About::object(KindId::Pod, pod.meta());
        about.field_path = field_path(pod, index);
        self.shared.tell(about, r#type, reason, message, self.now);
    }
}

impl Shared {
    /// Hands an event to the recorder.
    pub fn tell(
        &mut self,
        about: About,
        r#type: EventType,
        reason: &'static str,
        message: String,
        now: Time,
    ) {
        let component = "kubelet";
        self.recorder.record(
            Event {
                component,
                about,
                r#type,
                reason,
                message,
            },
            now,
        );
    }
}

/// `spec.containers{web}`: the container an event is about (`pkg/kubelet/container/ref.go`).
fn field_path(pod: &Pod, index: usize) -> String {
    let spec = pod.spec();
    let list = if index < spec.init_containers.len() {
        "initContainers"
    } else if index < spec.init_containers.len() + spec.containers.len() {
        "containers"
    } else {
        "ephemeralContainers"
    };
    let name = pod.container(index).map_or("", |c| &c.name);
    format!("spec.{list}{{{name}}}")
}
