//! The dying half of a pod: all containers are stopped, sidecars last, then the sandbox.
//!
//! Called by `worker.rs` after every input while the pod terminates. Upstream:
//! `pkg/kubelet/kubelet.go` (SyncTerminatingPod, SyncTerminatedPod) and
//! `kuberuntime/kuberuntime_termination_order.go`.
//!
//! 1. Sidecars are stopped after all app containers have ended, last started first (P9).
//! 2. The grace period may be shortened while it runs, never lengthened.
//!
//! Book: `book/src/node/pod-lifecycle.md`.

use wavetank_api::Time;

use crate::context::Context;
use crate::pod::Kind;
use crate::slot::{Op, Slot};
use crate::worker::{Stage, Worker};
use crate::{hooks, probes, sandbox, stop};

// ANCHOR: terminate
/// Does what is missing for a pod that should stop.
pub(crate) fn step(worker: &mut Worker, cx: &mut Context<'_>) {
    shorten(worker, cx);
    let Some(kill) = worker.kill else { return };
    let until = kill.since + stop::seconds(kill.grace_seconds.max(1));
    let mut later_ones_ended = true;
    for index in (0..worker.slots.len()).rev() {
        let Some(slot) = worker.slots.get(index) else {
            continue;
        };
        let ended = has_ended(slot);
        if slot.kind != Kind::Sidecar || later_ones_ended && no_app_runs(worker) {
            end(worker, index, until, cx);
        }
        later_ones_ended &= ended;
        probes::run(worker, index, cx);
    }
    let all_ended = worker.slots.iter().all(has_ended);
    if all_ended && sandbox::stop(worker, cx) {
        worker.stage = Stage::Terminated;
        worker.report.is_dirty = true;
    }
}
// ANCHOR_END: terminate

/// Whether no process of the slot runs or is about to.
fn has_ended(slot: &Slot) -> bool {
    !slot.is_running() && matches!(slot.op, Op::None)
}

fn no_app_runs(worker: &Worker) -> bool {
    let mut apps = worker
        .slots
        .iter()
        .filter(|slot| slot.kind != Kind::Sidecar);
    apps.all(has_ended)
}

/// Takes the next step to the end of one slot.
fn end(worker: &mut Worker, index: usize, until: Time, cx: &mut Context<'_>) {
    hooks::tick(worker, index, cx);
    let Some(slot) = worker.slots.get_mut(index) else {
        return;
    };
    match slot.op {
        Op::None | Op::PostStart(_) if slot.is_running() => {
            let name = worker.pod.container(index).map_or("", |c| &c.name);
            let text = format!("Stopping container {name}");
            stop::begin(worker, index, until, text, cx);
        }
        Op::PostStart(_) => slot.op = Op::None,
        _ => {}
    }
}

/// A second delete may ask for less time than the first: hooks and signals follow.
fn shorten(worker: &mut Worker, cx: &mut Context<'_>) {
    let asked = worker.pod.grace_seconds();
    let is_asked = worker.is_gone || worker.pod.meta().deletion_timestamp.is_some();
    let Some(kill) = worker.kill.as_mut() else {
        return;
    };
    if !is_asked || asked >= kill.grace_seconds {
        return;
    }
    kill.grace_seconds = asked;
    let until = kill.since + stop::seconds(asked.max(1));
    for index in 0..worker.slots.len() {
        let Some(slot) = worker.slots.get_mut(index) else {
            continue;
        };
        match &mut slot.op {
            Op::PreStop(at, _) => *at = until.min(*at),
            Op::Stop(at) if until < *at => stop::signal(worker, index, until, cx),
            _ => {}
        }
    }
}
