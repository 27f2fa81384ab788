//! A pod's worker: what is wanted, what is there, what is under way.
//!
//! Held by `kubelet.rs`, one per pod UID; `step` is called after everything that concerns the pod.
//!
//! 1. The stage only moves forward: `Syncing`, `Terminating`, `Terminated`.
//! 2. Containers are started in `Syncing` only.
//! 3. `Terminated` means: no container of the pod runs, and none will (P6, M65).
//!
//! Upstream: `pkg/kubelet/pod_workers.go`, where a goroutine per pod waits in each call; here each
//! call's answer is an input.
//!
//! Book: `book/src/node/kubelet.md`.

use core::net::IpAddr;
use std::sync::Arc;

use wavetank_api::Time;
use wavetank_cri::{Error, Reply, SandboxId};

use crate::context::{Context, Purpose};
use crate::pod::{Kind, Pod};
use crate::report::Report;
use crate::slot::{Slot, State};
use crate::volumes::{self, Volumes};
use crate::{sandbox, start, sync, terminate};

// ANCHOR: worker
/// All that a kubelet holds of one pod.
pub(crate) struct Worker {
    /// The pod as the API told last.
    pub pod: Pod,
    /// How far its life is.
    pub stage: Stage,
    /// The pod's sandbox.
    pub sandbox: Sandbox,
    /// Its containers, in the order of `PodSpec::all`.
    pub slots: Vec<Slot>,
    /// All init containers are done; written when the first app container is made.
    pub initialized: bool,
    /// `status.startTime`: when this pod was first seen here.
    pub started_at: Time,
    /// Its volumes, until they are taken down; none when it has none.
    pub volumes: Option<Box<Volumes>>,
    /// A phase that the containers do not give: rejected, past its deadline.
    pub verdict: Option<Box<Verdict>>,
    /// When termination began and how long it may take.
    pub kill: Option<Kill>,
    /// What the API server has been told.
    pub report: Report,
    /// The API object is gone, or there never was one for what the runtime held.
    pub is_gone: bool,
    /// Entry in the kubelet's timers.
    pub wake: Option<Time>,
}
// ANCHOR_END: worker

/// How far a pod's life is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Containers are made and kept running.
    Syncing,
    /// Containers are being stopped.
    Terminating,
    /// Nothing runs; what is left is to tell the API server and to clean up.
    Terminated,
}

/// The latest sandbox of a pod.
#[derive(Debug, Default)]
pub(crate) struct Sandbox {
    pub id: Option<SandboxId>,
    pub state: SandboxState,
    pub ip: Option<IpAddr>,
    /// Its number: 0 for the first, also before it is made.
    pub attempt: u32,
    /// Sandboxes of this pod that are older, found at a restart: to be removed.
    pub old: Vec<SandboxId>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SandboxState {
    #[default]
    None,
    /// `RunPodSandbox` is under way.
    Starting,
    /// Its address is asked for.
    Asking,
    Ready,
    /// It could not be made; try again then.
    Failed(Time),
    /// `StopPodSandbox` is under way.
    Stopping,
    Stopped,
    /// `RemovePodSandbox` is under way.
    Removing,
    Removed,
}

/// Phase `Failed` for a reason of the kubelet's own.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub reason: Arc<str>,
    pub message: String,
}

/// The end of a pod.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kill {
    pub since: Time,
    pub grace_seconds: u32,
}

impl Worker {
    /// The worker of a pod that is new here.
    pub fn new(pod: Pod, now: Time) -> Self {
        let slots = pod.spec().all().map(|(kind, _)| Slot::new(kind)).collect();
        let started_at = pod.status().start_time.unwrap_or(now);
        Worker {
            report: Report::of(pod.status()),
            volumes: Volumes::of(&pod),
            pod,
            stage: Stage::Syncing,
            sandbox: Sandbox::default(),
            slots,
            initialized: false,
            started_at,
            verdict: None,
            kill: None,
            is_gone: false,
            wake: None,
        }
    }

    /// Looks at everything and does what is missing.
    pub fn step(&mut self, cx: &mut Context<'_>) {
        if self.stage == Stage::Syncing {
            sync::step(self, cx);
        }
        if self.stage == Stage::Terminating {
            terminate::step(self, cx);
        }
        if self.stage == Stage::Terminated {
            volumes::tear_down(self, cx);
        }
        if self.stage == Stage::Terminated && self.is_gone {
            sandbox::clean_up(self, cx);
        }
        self.report_step(cx);
    }

    /// Takes in a new revision of the pod.
    pub fn update(&mut self, pod: Pod) {
        for (kind, _) in pod.spec().all().skip(self.slots.len()) {
            if kind == Kind::Ephemeral {
                self.slots.push(Slot::new(kind));
            }
        }
        let has_gates = !pod.spec().readiness_gates.is_empty(); // theirs are in the status
        self.report.is_dirty |= has_gates || self.pod.spec() != pod.spec();
        self.pod = pod;
        self.volumes_changed(); // labels and annotations may be files
    }

    /// A source of its volumes may have changed.
    pub fn volumes_changed(&mut self) {
        if let Some(volumes) = &mut self.volumes {
            volumes.is_stale = true;
        }
    }

    /// Takes in the answer to a call.
    pub fn answered(
        &mut self,
        purpose: Purpose,
        reply: Result<Reply, Error>,
        cx: &mut Context<'_>,
    ) {
        self.report.is_dirty = true;
        match purpose {
            Purpose::Operation(index) => start::answered(self, usize::from(index), reply, cx),
            Purpose::Hook(index) => {
                let result = crate::hooks::judge(reply);
                crate::hooks::finished(self, usize::from(index), result, cx);
            }
            Purpose::Probe(index, which) => {
                let result = crate::hooks::judge(reply);
                crate::probes::answered(self, usize::from(index), which, result, cx);
            }
            Purpose::Look(index) => self.looked(usize::from(index), reply, cx),
            Purpose::Sandbox => sandbox::answered(self, reply, cx),
            Purpose::Nothing | Purpose::Report => {}
        }
    }

    /// The runtime was asked for an instance's state.
    fn looked(&mut self, index: usize, reply: Result<Reply, Error>, cx: &mut Context<'_>) {
        let Some(slot) = self.slots.get_mut(index) else {
            return;
        };
        match reply {
            Ok(Reply::ContainerStatus(status)) => {
                slot.observe(&status, cx.now);
            }
            Err(error) if error.code == wavetank_cri::Code::NotFound => slot.lose(cx.now),
            _ => {}
        }
    }

    /// Ends the pod with phase `Failed`.
    pub fn fail(&mut self, reason: &str, message: String) {
        self.verdict = Some(Box::new(Verdict {
            reason: reason.into(),
            message,
        }));
        self.report.is_dirty = true;
    }

    /// Whether a process of the pod runs, or is being started.
    pub fn may_run(&self) -> bool {
        use crate::slot::Op;
        self.slots.iter().any(|slot| {
            slot.is_running() || matches!(slot.op, Op::Create | Op::Start | Op::Stop(_))
        })
    }

    /// Whether the sandbox or a container is being made: where upstream's worker is in `SyncPod`.
    pub fn is_making(&self) -> bool {
        use crate::slot::Op;
        let sandbox = matches!(
            self.sandbox.state,
            SandboxState::Starting | SandboxState::Asking
        );
        let container = |slot: &Slot| {
            let inspects = matches!(slot.op, Op::Inspect | Op::Pull(..) | Op::Measure(..));
            inspects || matches!(slot.op, Op::Create | Op::Start)
        };
        self.stage == Stage::Syncing && (sandbox || self.slots.iter().any(container))
    }

    /// The slot of a container, by id.
    pub fn slot_of(&self, id: &wavetank_cri::ContainerId) -> Option<usize> {
        self.slots
            .iter()
            .position(|slot| slot.id.as_ref() == Some(id))
    }

    /// Whether any instance was ever made.
    pub fn has_instances(&self) -> bool {
        self.slots
            .iter()
            .any(|slot| slot.id.is_some() || slot.state != State::New)
    }
}
