//! The living half of a pod: volumes, sandbox, init containers in order, then all others, kept
//! running.
//!
//! Called by `worker.rs` after every input while the pod lives. Upstream:
//! `pkg/kubelet/kuberuntime/kuberuntime_manager.go` (computePodActions, SyncPod) and
//! `kuberuntime_container.go` (computeInitContainerActions).
//!
//! 1. App containers start only after all init containers have succeeded, in order; a sidecar must
//!    have started (its startup probe included) before the next init container starts (P9).
//! 2. With policy Never nothing that ran is restarted; with OnFailure nothing that exited with 0 by
//!    itself (P5). A changed definition is another container, under every policy.
//!
//! Book: `book/src/node/pod-lifecycle.md`.

use core::time::Duration;

use wavetank_api::Time;
use wavetank_informer::events::EventType;

use crate::context::Context;
use crate::pod::{Kind, RestartPolicy};
use crate::slot::{Condemned, Op, Slot};
use crate::worker::{Kill, SandboxState, Stage, Worker};
use crate::{hooks, probes, sandbox, start, stop, volumes};

/// Message of a pod that outlived `activeDeadlineSeconds` (`pkg/kubelet/active_deadline.go`).
const DEADLINE: &str = "Pod was active on the node longer than the specified deadline";

// ANCHOR: sync
/// Does what is missing for a pod that should run.
pub(crate) fn step(worker: &mut Worker, cx: &mut Context<'_>) {
    let is_leaving = worker.is_gone || worker.pod.meta().is_terminating();
    if is_leaving || is_late(worker, cx) || has_ended(worker) {
        return terminate(worker, cx.now);
    }
    condemn(worker);
    let has_volumes = volumes::ensure(worker, cx);
    match worker.sandbox.state {
        SandboxState::Ready if has_volumes => start_missing(worker, cx),
        SandboxState::Ready => {}
        _ if has_volumes => return sandbox::ensure(worker, cx),
        _ => return,
    }
    for index in 0..worker.slots.len() {
        hooks::tick(worker, index, cx);
        stop::condemned(worker, index, cx);
        probes::run(worker, index, cx);
    }
}
// ANCHOR_END: sync

/// Moves the pod to its second half.
pub(crate) fn terminate(worker: &mut Worker, now: Time) {
    let grace_seconds = worker.pod.grace_seconds();
    worker.stage = Stage::Terminating;
    worker.kill = Some(Kill {
        since: now,
        grace_seconds,
    });
    worker.report.is_dirty = true;
}

/// Fails the pod when `activeDeadlineSeconds` have passed since its start.
fn is_late(worker: &mut Worker, cx: &mut Context<'_>) -> bool {
    let Some(seconds) = worker.pod.spec().active_deadline_seconds else {
        return false;
    };
    let deadline = worker.started_at + Duration::from_secs(u64::from(seconds));
    if cx.now < deadline {
        cx.wake_at(deadline);
        return false;
    }
    cx.event(
        &worker.pod,
        EventType::Normal,
        "DeadlineExceeded",
        DEADLINE.into(),
    );
    worker.fail("DeadlineExceeded", DEADLINE.into());
    true
}

/// Whether nothing will run any more: all app containers are done for good, or an init container
/// has failed for good.
pub(crate) fn has_ended(worker: &Worker) -> bool {
    let policy = worker.pod.spec().restart_policy;
    let mut slots = worker.slots.iter();
    let init_failed = slots.clone().any(|slot| {
        let failed = slot.exit().is_some_and(|exit| exit.code != 0);
        slot.kind == Kind::Init && failed && !slot.wants_start(policy) && !worker.initialized
    });
    init_failed
        || slots.all(|slot| {
            slot.kind != Kind::App
                || slot.op == Op::None && slot.exit().is_some() && !slot.wants_start(policy)
        })
}

/// Condemns running instances that were made from another definition.
fn condemn(worker: &mut Worker) {
    for (slot, (_, wanted)) in worker.slots.iter_mut().zip(worker.pod.spec().all()) {
        let changed = slot.is_running() && slot.hash != wanted.hash() && slot.hash != 0;
        if changed && slot.condemned.is_none() && matches!(slot.kind, Kind::App | Kind::Sidecar) {
            slot.condemned = Some(Condemned::DefinitionChanged);
        }
    }
}

// ANCHOR: start_missing
/// Starts the next init container, or all that comes after them.
fn start_missing(worker: &mut Worker, cx: &mut Context<'_>) {
    let policy = worker.pod.spec().restart_policy;
    for index in 0..worker.slots.len() {
        if is_its_turn(worker, index) && is_startable(worker, index, policy) {
            start::begin(worker, index, cx);
        }
    }
}

/// Whether all that must be done before this container is done. Asked again before an
/// instance is made: the sandbox and what init containers did in it may have been lost
/// while the image was pulled.
pub(crate) fn is_its_turn(worker: &Worker, index: usize) -> bool {
    let is_up = |slot: &Slot| slot.is_running() && slot.probes.has_started();
    let is_done = |slot: &Slot| match slot.kind {
        Kind::Init => slot.has_succeeded(),
        Kind::Sidecar => slot.op == Op::None && is_up(slot),
        Kind::App | Kind::Ephemeral => true,
    };
    match worker.slots.get(index).map(|slot| slot.kind) {
        Some(Kind::Ephemeral) => true,
        Some(Kind::Init) if worker.initialized => false,
        _ => worker.initialized || worker.slots.iter().take(index).all(is_done),
    }
}
// ANCHOR_END: start_missing

fn is_startable(worker: &Worker, index: usize, policy: RestartPolicy) -> bool {
    worker
        .slots
        .get(index)
        .is_some_and(|slot| slot.op == Op::None && slot.wants_start(policy))
}
