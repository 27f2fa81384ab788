//! Stopping one running instance: preStop, SIGTERM, and SIGKILL when the grace period is over.
//!
//! Called by `sync.rs` for instances that must be made anew and by `terminate.rs` for all.
//! Upstream: `pkg/kubelet/kuberuntime/kuberuntime_container.go` (killContainer).
//!
//! 1. The runtime is told the whole grace period less the time the preStop hook took, and at least
//!    two seconds; so SIGKILL never comes before the grace period has passed (P14).
//!
//! Book: `book/src/node/pod-lifecycle.md`.

use core::time::Duration;

use wavetank_api::Time;
use wavetank_cri::{Call, Code, Error, Reply};
use wavetank_informer::events::EventType;

use crate::context::{Context, Purpose};
use crate::hooks;
use crate::sandbox::RETRY;
use crate::slot::{Condemned, Op};
use crate::worker::Worker;

/// Time a program gets after a preStop hook that took all of the grace period
/// (minimumGracePeriodInSeconds).
const LEAST: Duration = Duration::from_secs(2);

/// Stops a running instance that is condemned.
pub(crate) fn condemned(worker: &mut Worker, index: usize, cx: &mut Context<'_>) {
    let Some(slot) = worker.slots.get(index) else {
        return;
    };
    let Some(why) = slot.condemned else { return };
    if slot.op != Op::None || !slot.is_running() {
        return;
    }
    let spec = worker.pod.container(index);
    let name = spec.map_or("", |c| &c.name);
    let (text, probe) = match why {
        Condemned::LivenessFailed => (
            format!("Container {name} failed liveness probe, will be restarted"),
            spec.and_then(|c| c.liveness_probe.clone()),
        ),
        Condemned::StartupFailed => (
            format!("Container {name} failed startup probe, will be restarted"),
            spec.and_then(|c| c.startup_probe.clone()),
        ),
        Condemned::PostStartFailed => ("FailedPostStartHook".into(), None),
        Condemned::DefinitionChanged => (
            format!("Container {name} definition changed, will be restarted"),
            None,
        ),
    };
    let own = probe.and_then(|p| p.termination_grace_period_seconds);
    let grace = own.unwrap_or_else(|| worker.pod.grace_seconds());
    begin(worker, index, cx.now + seconds(grace), text, cx);
}

/// Seconds as a duration.
pub(crate) fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds))
}

// ANCHOR: stop
/// Begins to stop a running instance that must be gone by `until`.
pub(crate) fn begin(
    worker: &mut Worker,
    index: usize,
    until: Time,
    why: String,
    cx: &mut Context<'_>,
) {
    cx.container_event(&worker.pod, index, EventType::Normal, "Killing", why);
    worker.report.is_dirty = true;
    if cx.now < until && hooks::pre_stop(worker, index, until, cx) {
        return hooks::tick(worker, index, cx);
    }
    signal(worker, index, until, cx);
}
// ANCHOR_END: stop

/// Asks the runtime for SIGTERM now and SIGKILL at `until`.
pub(crate) fn signal(worker: &mut Worker, index: usize, until: Time, cx: &mut Context<'_>) {
    let Some(slot) = worker.slots.get_mut(index) else {
        return;
    };
    let Some(id) = slot.id.clone() else { return };
    let timeout = until.since(cx.now).max(LEAST);
    slot.op = Op::Stop(cx.now + timeout);
    let purpose = Purpose::Operation(u16::try_from(index).unwrap_or(u16::MAX));
    cx.cri(purpose, Call::StopContainer(id, timeout));
}

/// `StopContainer` was answered. The end itself comes as an event; if that was lost, ask.
pub(crate) fn answered(
    worker: &mut Worker,
    index: usize,
    until: Time,
    reply: Result<Reply, Error>,
    cx: &mut Context<'_>,
) {
    let Some(slot) = worker.slots.get_mut(index) else {
        return;
    };
    match reply {
        Err(error) if error.code == Code::NotFound => slot.lose(cx.now),
        Err(_) => {
            // The runtime could not do it: say so again a little later.
            let again = cx.now + RETRY;
            slot.op = Op::PreStop(until.max(again), Some(again));
            cx.wake_at(again);
        }
        Ok(_) if slot.is_running() => {
            if let Some(id) = slot.id.clone() {
                let purpose = Purpose::Look(u16::try_from(index).unwrap_or(u16::MAX));
                cx.cri(purpose, Call::ContainerStatus(id));
            }
        }
        Ok(_) => {}
    }
}
