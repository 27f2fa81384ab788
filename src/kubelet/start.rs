//! Making one instance of a container: image, create, start, postStart.
//!
//! `sync.rs` begins it; each answer of the runtime takes it one step further; `pull.rs` gets an
//! image that is not here. Upstream:
//! `pkg/kubelet/images/image_manager.go` (EnsureImageExists) and
//! `pkg/kubelet/kuberuntime/kuberuntime_container.go` (startContainer).
//!
//! 1. Back-off is asked before anything is done, and counted when an instance is made.
//! 2. A pod that began to terminate meanwhile gets no further step.
//!
//! Book: `book/src/node/pod-lifecycle.md`.

use std::sync::Arc;

use wavetank_api::Time;
use wavetank_cri::image::is_reference;
use wavetank_cri::{Call, ContainerId, Error, Reply};
use wavetank_informer::events::EventType::{Normal, Warning};

use crate::container_config::container_config;
use crate::context::{Context, Purpose};
use crate::pod::{Container, Kind, PullPolicy};
use crate::sandbox::RETRY;
use crate::slot::{Exit, Op, Slot, State, Waiting};
use crate::worker::{SandboxState, Stage, Worker};
use crate::{hooks, pull, sync};

/// Begins to make an instance, unless a back-off says to wait.
pub(crate) fn begin(worker: &mut Worker, index: usize, cx: &mut Context<'_>) {
    pull::back_off(worker, index, cx);
    let Worker {
        pod, slots, report, ..
    } = worker;
    let (Some(slot), Some(spec)) = (slots.get_mut(index), pod.container(index)) else {
        return;
    };
    if let Some(until) = wait_of(slot, cx.now) {
        return cx.wake_at(until);
    }
    if let Some(exit) = slot.exit()
        && let Some(until) = slot.crash.until(exit.finished)
        && cx.now < until
    {
        report.is_dirty = true;
        let delay = pull::go_duration(slot.crash.delay());
        let (name, full) = (&spec.name, pod.full_name());
        let text = format!("back-off {delay} restarting failed container={name} pod={full}");
        let told = format!("Back-off restarting failed container {name} in pod {full}");
        cx.container_event(pod, index, Warning, "BackOff", told);
        slot.hold("CrashLoopBackOff", text, until);
        return cx.wake_at(until);
    }
    if !is_reference(&spec.image) {
        let text = format!(
            "couldn't parse image name \"{}\": invalid reference format",
            spec.image
        );
        cx.container_event(pod, index, Warning, "InspectFailed", text.clone());
        slot.hold("InvalidImageName", text, cx.now + 6 * RETRY);
        report.is_dirty = true;
        return;
    }
    if let Some(until) = cx.shared.sources.awaited_until(cx.worker, cx.now) {
        return cx.wake_at(until);
    }
    slot.op = Op::Inspect;
    cx.cri(operation(index), Call::ImageStatus(spec.image.clone()));
}

/// How long a slot that waits still has to; a pull's failure turns into back-off on the way.
fn wait_of(slot: &Slot, now: Time) -> Option<Time> {
    let waiting = slot.waiting.as_ref()?;
    (now < waiting.until).then_some(waiting.until)
}

pub(crate) fn operation(index: usize) -> Purpose {
    Purpose::Operation(u16::try_from(index).unwrap_or(u16::MAX))
}

/// Takes in the answer to a slot's operation.
pub(crate) fn answered(
    worker: &mut Worker,
    index: usize,
    reply: Result<Reply, Error>,
    cx: &mut Context<'_>,
) {
    let Some(slot) = worker.slots.get_mut(index) else {
        return;
    };
    let op = core::mem::take(&mut slot.op);
    match (op, reply) {
        (Op::Inspect, Ok(Reply::ImageStatus(image))) => {
            inspected(worker, index, image.is_some(), cx);
        }
        (Op::Pull(asked, began), Ok(Reply::PullImage(_))) => {
            pull::measure(worker, index, (asked, began), cx);
        }
        (Op::Pull(..), Err(error)) => pull::failed(worker, index, &error, cx),
        (Op::Measure(asked, began), reply) => {
            pull::ended(worker, index, (asked, began), reply, cx);
        }
        (Op::Create, Ok(Reply::CreateContainer(id))) => created(worker, index, id, cx),
        (Op::Start, Ok(_)) => started(worker, index, cx),
        (Op::Start, Err(error)) => not_started(worker, index, &error, cx),
        (Op::Stop(until), reply) => crate::stop::answered(worker, index, until, reply, cx),
        (Op::Inspect | Op::Create, Err(error)) => {
            let (reason, event) = match op {
                Op::Inspect => ("ImageInspectError", "InspectFailed"),
                _ => ("CreateContainerError", "Failed"),
            };
            cx.container_event(
                &worker.pod,
                index,
                Warning,
                event,
                format!("Error: {error}"),
            );
            slot.hold(reason, error.desc.to_string(), cx.now + RETRY);
        }
        (other, _) => slot.op = other, // an answer to something given up: a hook, an old call
    }
}

fn inspected(worker: &mut Worker, index: usize, is_present: bool, cx: &mut Context<'_>) {
    let Worker {
        pod, slots, stage, ..
    } = worker;
    let (Some(slot), Some(spec)) = (slots.get_mut(index), pod.container(index)) else {
        return;
    };
    if *stage != Stage::Syncing {
        return;
    }
    let image = &spec.image;
    match (spec.pull_policy(), is_present) {
        (PullPolicy::Never | PullPolicy::IfNotPresent, true) => {
            let text = format!("Container image \"{image}\" already present on machine");
            cx.container_event(pod, index, Normal, "Pulled", text);
            create(worker, index, cx);
        }
        (PullPolicy::Never, false) => {
            let text =
                format!("Container image \"{image}\" is not present with pull policy of Never");
            cx.container_event(pod, index, Warning, "ErrImageNeverPull", text.clone());
            slot.hold("ErrImageNeverPull", text, cx.now + RETRY);
        }
        _ => pull::ask(worker, index, cx),
    }
}

pub(crate) fn create(worker: &mut Worker, index: usize, cx: &mut Context<'_>) {
    let is_ready = worker.sandbox.state == SandboxState::Ready;
    if !is_ready || !sync::is_its_turn(worker, index) {
        return; // it will be begun anew when it is its turn
    }
    let Some(sandbox) = worker.sandbox.id.clone() else {
        return;
    };
    let config = container_config(worker, index, cx.shared);
    let Some(slot) = worker.slots.get_mut(index) else {
        return;
    };
    match config {
        Ok(config) => {
            slot.op = Op::Create;
            worker.initialized |= slot.kind == Kind::App;
            cx.cri(
                operation(index),
                Call::CreateContainer(sandbox, Arc::new(config)),
            );
        }
        Err(message) => {
            let text = format!("Error: {message}");
            cx.container_event(&worker.pod, index, Warning, "Failed", text);
            slot.hold("CreateContainerConfigError", message, cx.now + RETRY);
        }
    }
}

fn created(worker: &mut Worker, index: usize, id: ContainerId, cx: &mut Context<'_>) {
    let Worker {
        pod, slots, stage, ..
    } = worker;
    let (Some(slot), Some(spec)) = (slots.get_mut(index), pod.container(index)) else {
        return;
    };
    let text = format!("Created container: {}", spec.name);
    cx.container_event(pod, index, Normal, "Created", text);
    if let Some(oldest) = slot.become_instance(spec, id.clone(), cx.now) {
        cx.cri(Purpose::Nothing, Call::RemoveContainer(oldest));
    }
    if *stage == Stage::Syncing {
        slot.op = Op::Start;
        cx.cri(operation(index), Call::StartContainer(id));
    }
}

fn started(worker: &mut Worker, index: usize, cx: &mut Context<'_>) {
    let Worker { pod, slots, .. } = worker;
    let (Some(slot), Some(spec)) = (slots.get_mut(index), pod.container(index)) else {
        return;
    };
    let text = format!("Started container {}", spec.name);
    cx.container_event(pod, index, Normal, "Started", text);
    if matches!(slot.state, State::Created) {
        slot.state = State::Running { since: cx.now };
    }
    hooks::post_start(worker, index, cx);
}

fn not_started(worker: &mut Worker, index: usize, error: &Error, cx: &mut Context<'_>) {
    let Some(slot) = worker.slots.get_mut(index) else {
        return;
    };
    cx.container_event(
        &worker.pod,
        index,
        Warning,
        "Failed",
        format!("Error: {}", error.desc),
    );
    if slot.exit().is_none() {
        slot.state = State::Exited(Box::new(Exit {
            code: 128,
            reason: "StartError".into(),
            message: error.desc.clone(),
            started: None,
            finished: cx.now,
            id: slot.id.clone(),
        }));
    }
}

impl Slot {
    /// Shows why it does not run, until a time.
    pub(crate) fn hold(&mut self, reason: &'static str, message: String, until: Time) {
        self.waiting = Some(Box::new(Waiting {
            reason,
            message,
            until,
        }));
    }

    /// Takes a new instance in place of the one before; what the runtime need not keep any more.
    fn become_instance(
        &mut self,
        spec: &Container,
        id: ContainerId,
        now: Time,
    ) -> Option<ContainerId> {
        let oldest = if self.id.is_some() {
            core::mem::replace(&mut self.previous, self.id.take())
        } else {
            None
        };
        self.restarts = self.next_restarts();
        if let State::Exited(exit) = core::mem::replace(&mut self.state, State::Created) {
            self.crash.next(exit.finished, now);
            self.last = Some(exit);
        }
        self.id = Some(id);
        self.waiting = None;
        self.condemned = None;
        self.hash = spec.hash();
        self.probes = crate::probes::Probes::of(spec);
        oldest
    }
}
