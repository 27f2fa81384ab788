//! The pod's sandbox: made before its containers, stopped after them, removed with the pod.
//!
//! Called by `sync.rs` (to have one), `terminate.rs` (to stop it) and `worker.rs` (to clean up).
//!
//! 1. A sandbox is replaced only when no container of the pod runs in the old one.
//!
//! Book: `book/src/node/pod-lifecycle.md`.

use core::time::Duration;
use std::sync::Arc;

use wavetank_cri::sandbox::{PodSandboxMetadata, PortMapping, Protocol};
use wavetank_cri::{Call, Error, PodSandboxConfig, Reply, names};
use wavetank_informer::events::EventType;

use crate::context::{Context, Purpose};
use crate::pod::{Kind, Pod};
use crate::slot::{Op, Slot, State};
use crate::worker::{SandboxState, Worker};

/// Wait after a failed step of a pod (`pkg/kubelet/kubelet.go`, backOffPeriod).
pub(crate) const RETRY: Duration = Duration::from_secs(10);

/// Takes the next step to a ready sandbox.
pub(crate) fn ensure(worker: &mut Worker, cx: &mut Context<'_>) {
    match worker.sandbox.state {
        SandboxState::None => run(worker, cx),
        SandboxState::Failed(until) if cx.now >= until => run(worker, cx),
        SandboxState::Failed(until) => cx.wake_at(until),
        SandboxState::Stopped => replace(worker, cx),
        _ => {}
    }
}

fn run(worker: &mut Worker, cx: &mut Context<'_>) {
    let config = Arc::new(config(&worker.pod, worker.sandbox.attempt));
    worker.sandbox.state = SandboxState::Starting;
    cx.cri(Purpose::Sandbox, Call::RunPodSandbox(config));
}

/// A sandbox that stopped by itself takes its containers with it: all begin again, init included.
fn replace(worker: &mut Worker, cx: &mut Context<'_>) {
    if worker.may_run() {
        return;
    }
    let text = "Pod sandbox changed, it will be killed and re-created.";
    cx.event(
        &worker.pod,
        EventType::Normal,
        "SandboxChanged",
        text.into(),
    );
    worker.sandbox.old.extend(worker.sandbox.id.take());
    worker.sandbox.attempt += 1;
    worker.initialized = false;
    for slot in worker
        .slots
        .iter_mut()
        .filter(|slot| slot.kind == Kind::Init)
    {
        slot.begin_anew();
    }
    run(worker, cx);
}

/// Stops the sandbox; whether it is stopped already.
pub(crate) fn stop(worker: &mut Worker, cx: &mut Context<'_>) -> bool {
    match (worker.sandbox.state, &worker.sandbox.id) {
        (SandboxState::Stopping | SandboxState::Starting, _) => false,
        (SandboxState::Ready | SandboxState::Asking, Some(id)) => {
            let call = Call::StopPodSandbox(id.clone());
            worker.sandbox.state = SandboxState::Stopping;
            cx.cri(Purpose::Sandbox, call);
            false
        }
        (SandboxState::Failed(until), Some(_)) if cx.now < until => {
            cx.wake_at(until);
            false
        }
        (SandboxState::Failed(_), Some(_)) => {
            worker.sandbox.state = SandboxState::Ready;
            stop(worker, cx)
        }
        _ => true,
    }
}

/// Removes all that the runtime holds of a pod whose API object is gone.
pub(crate) fn clean_up(worker: &mut Worker, cx: &mut Context<'_>) {
    if matches!(
        worker.sandbox.state,
        SandboxState::Removing | SandboxState::Removed
    ) {
        return;
    }
    for old in std::mem::take(&mut worker.sandbox.old) {
        cx.cri(Purpose::Nothing, Call::RemovePodSandbox(old));
    }
    worker.sandbox.state = match worker.sandbox.id.clone() {
        Some(id) => {
            cx.cri(Purpose::Sandbox, Call::RemovePodSandbox(id));
            SandboxState::Removing
        }
        None => SandboxState::Removed,
    };
}

/// Takes in the answer to the sandbox's latest call.
pub(crate) fn answered(worker: &mut Worker, reply: Result<Reply, Error>, cx: &mut Context<'_>) {
    let sandbox = &mut worker.sandbox;
    match (sandbox.state, reply) {
        (SandboxState::Starting, Ok(Reply::RunPodSandbox(id))) => {
            sandbox.id = Some(id.clone());
            sandbox.state = SandboxState::Asking;
            cx.cri(Purpose::Sandbox, Call::PodSandboxStatus(id));
        }
        (SandboxState::Asking, Ok(Reply::PodSandboxStatus(status))) => {
            sandbox.ip = status.ip;
            sandbox.state = match status.state {
                wavetank_cri::SandboxState::Ready => SandboxState::Ready,
                wavetank_cri::SandboxState::NotReady => SandboxState::Stopped,
            };
        }
        (SandboxState::Stopping, Ok(_)) => sandbox.state = SandboxState::Stopped,
        (SandboxState::Removing, Ok(_)) => sandbox.state = SandboxState::Removed,
        (SandboxState::Starting, Err(error)) => {
            sandbox.state = SandboxState::Failed(cx.now + RETRY);
            let text = format!("Failed to create pod sandbox: {error}");
            cx.event(
                &worker.pod,
                EventType::Warning,
                "FailedCreatePodSandBox",
                text,
            );
        }
        (SandboxState::Asking, Err(_)) => sandbox.state = SandboxState::Stopped,
        (SandboxState::Stopping, Err(error)) => {
            sandbox.state = SandboxState::Failed(cx.now + RETRY);
            let text = format!("error killing pod: {error}");
            cx.event(&worker.pod, EventType::Warning, "FailedKillPod", text);
        }
        (SandboxState::Removing, Err(_)) => sandbox.state = SandboxState::Removed,
        _ => {}
    }
}

/// The sandbox that a pod's spec describes.
pub(crate) fn config(pod: &Pod, attempt: u32) -> PodSandboxConfig {
    let (meta, spec) = (pod.meta(), pod.spec());
    let mut labels = meta.labels.to_map();
    labels.insert(names::POD_NAME.into(), meta.name.clone());
    labels.insert(names::POD_NAMESPACE.into(), meta.namespace.clone());
    labels.insert(names::POD_UID.into(), meta.uid.0.clone());
    let hostname = if spec.hostname.is_empty() {
        &meta.name
    } else {
        &spec.hostname
    };
    PodSandboxConfig {
        metadata: PodSandboxMetadata {
            name: meta.name.clone(),
            uid: meta.uid.clone(),
            namespace: meta.namespace.clone(),
            attempt,
        },
        hostname: hostname.clone(),
        host_network: spec.host_network,
        port_mappings: port_mappings(pod),
        labels,
        annotations: meta.annotations.to_map(),
    }
}

fn port_mappings(pod: &Pod) -> Vec<PortMapping> {
    let ports = pod.spec().all().flat_map(|(_, container)| &container.ports);
    let mapped = ports.filter(|port| port.host_port != 0);
    let mapped = mapped.map(|port| PortMapping {
        protocol: match port.protocol.as_deref() {
            Some("UDP") => Protocol::Udp,
            Some("SCTP") => Protocol::Sctp,
            _ => Protocol::Tcp,
        },
        container_port: port.container_port,
        host_port: port.host_port,
    });
    mapped.collect()
}

impl Slot {
    /// An init container that is done does its work again in a new sandbox.
    pub(crate) fn begin_anew(&mut self) {
        if let State::Exited(exit) = core::mem::take(&mut self.state) {
            self.last = Some(exit);
        }
    }

    /// The runtime has forgotten the instance: it counts as killed (M68).
    pub(crate) fn lose(&mut self, now: wavetank_api::Time) {
        if self.exit().is_some() || self.state == State::New {
            return;
        }
        let started = match self.state {
            State::Running { since } => Some(since),
            _ => None,
        };
        self.state = State::Exited(Box::new(crate::slot::Exit {
            code: 137,
            reason: "ContainerStatusUnknown".into(),
            message: "The container could not be located when the pod was terminated".into(),
            started,
            finished: now,
            id: self.id.take(),
        }));
        self.op = Op::None;
    }
}
