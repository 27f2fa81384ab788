//! Getting an image that is not here: one at a time on a node.
//!
//! `start.rs` asks; `kubelet.rs` gives the turns. Upstream: `pkg/kubelet/images/image_manager.go`
//! and `puller.go` (serialImagePuller), as `serializeImagePulls: true` has it.
//!
//! 1. At most one image is pulled at a time, in the order in which they were asked for.
//! 2. An image that is asked for twice is pulled twice: by then the second pull finds it here.
//!
//! Left out: parallel pulls, pull secrets, `registryPullQPS`.
//!
//! Book: `book/src/node/pod-lifecycle.md`.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use wavetank_api::Time;
use wavetank_cri::{Call, Error, Reply};
use wavetank_informer::events::EventType::{Normal, Warning};

use crate::backoff::Backoff;
use crate::context::{Context, WorkerId};
use crate::sandbox;
use crate::slot::Op;
use crate::start::{create, operation};
use crate::worker::{Stage, Worker};

// ANCHOR: turns
/// Whose image is pulled, and who waits: slots of workers, in the order they asked.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    now: Option<(WorkerId, usize)>,
    waiting: VecDeque<(WorkerId, usize)>,
}

impl Turns {
    /// Whose turn begins; `None` while a pull is under way or nobody waits. A worker
    /// that is gone, or wants its image no more, has had its turn.
    pub fn next<'a>(
        &mut self,
        worker: impl Fn(WorkerId) -> Option<&'a Worker>,
    ) -> Option<(WorkerId, usize)> {
        let pulls = |(id, index): (WorkerId, usize)| {
            let slot = worker(id).and_then(|worker| worker.slots.get(index));
            let op = slot.map(|slot| slot.op);
            matches!(op, Some(Op::Pull(_, Some(_)) | Op::Measure(..)))
        };
        if self.waiting.is_empty() || self.now.is_some_and(pulls) {
            return None;
        }
        self.now = self.waiting.pop_front();
        self.now
    }
}
// ANCHOR_END: turns

/// Asks for a container's image.
pub(crate) fn ask(worker: &mut Worker, index: usize, cx: &mut Context<'_>) {
    let Worker { pod, slots, .. } = worker;
    let (Some(slot), Some(spec)) = (slots.get_mut(index), pod.container(index)) else {
        return;
    };
    let text = format!("Pulling image \"{}\"", spec.image);
    cx.container_event(pod, index, Normal, "Pulling", text);
    slot.op = Op::Pull(cx.now, None);
    cx.shared.pulls.waiting.push_back((cx.worker, index));
}

/// Its turn has come.
pub(crate) fn begin(worker: &mut Worker, index: usize, cx: &mut Context<'_>) {
    let Worker {
        pod,
        slots,
        stage,
        sandbox,
        ..
    } = worker;
    let (Some(slot), Some(spec)) = (slots.get_mut(index), pod.container(index)) else {
        return;
    };
    let Op::Pull(asked, None) = slot.op else {
        return; // it was given up and begun anew: then it stands in the queue again
    };
    if *stage != Stage::Syncing {
        return slot.op = Op::None;
    }
    slot.op = Op::Pull(asked, Some(cx.now));
    let config = Arc::new(sandbox::config(pod, sandbox.attempt));
    cx.cri(
        operation(index),
        Call::PullImage(spec.image.clone(), config),
    );
}

/// The image is here: how large is it?
pub(crate) fn measure(
    worker: &mut Worker,
    index: usize,
    (asked, began): (Time, Option<Time>),
    cx: &mut Context<'_>,
) {
    let Worker { pod, slots, .. } = worker;
    if let (Some(slot), Some(spec)) = (slots.get_mut(index), pod.container(index)) {
        slot.op = Op::Measure(asked, began);
        cx.cri(operation(index), Call::ImageStatus(spec.image.clone()));
    }
}

/// The image is here and its size is known, or could not be had.
pub(crate) fn ended(
    worker: &mut Worker,
    index: usize,
    (asked, began): (Time, Option<Time>),
    reply: Result<Reply, Error>,
    cx: &mut Context<'_>,
) {
    let Some(spec) = worker.pod.container(index) else {
        return;
    };
    let size = match reply {
        Ok(Reply::ImageStatus(Some(image))) => image.size,
        _ => 0,
    };
    let pulled = go_duration(cx.now.since(began.unwrap_or(asked)));
    let waited = go_duration(cx.now.since(asked));
    let text = format!(
        "Successfully pulled image \"{}\" in {pulled} ({waited} including waiting). \
         Image size: {size} bytes.",
        spec.image
    );
    cx.container_event(&worker.pod, index, Normal, "Pulled", text);
    if let Some(slot) = worker.slots.get_mut(index) {
        slot.pull = Backoff::default();
    }
    if worker.stage == Stage::Syncing {
        create(worker, index, cx);
    }
}

/// The failure is shown for half of the delay, then the back-off; then it is tried again.
pub(crate) fn failed(worker: &mut Worker, index: usize, error: &Error, cx: &mut Context<'_>) {
    let Worker { pod, slots, .. } = worker;
    let (Some(slot), Some(spec)) = (slots.get_mut(index), pod.container(index)) else {
        return;
    };
    let image = &spec.image;
    slot.pull.next(cx.now, cx.now);
    let text = format!("Failed to pull image \"{image}\": {error}");
    cx.container_event(pod, index, Warning, "Failed", text);
    cx.container_event(pod, index, Warning, "Failed", "Error: ErrImagePull".into());
    slot.hold(
        "ErrImagePull",
        error.to_string(),
        cx.now + slot.pull.delay() / 2,
    );
}

/// Turns a failure to pull that was shown long enough into the back-off that follows it.
pub(crate) fn back_off(worker: &mut Worker, index: usize, cx: &mut Context<'_>) {
    let Worker {
        pod, slots, report, ..
    } = worker;
    let (Some(slot), Some(spec)) = (slots.get_mut(index), pod.container(index)) else {
        return;
    };
    let Some(waiting) = &slot.waiting else { return };
    if waiting.reason != "ErrImagePull" || cx.now < waiting.until {
        return;
    }
    let back_off = format!("Back-off pulling image \"{}\"", spec.image);
    let text = format!("{back_off}: ErrImagePull: {}", waiting.message);
    let until = waiting.until + slot.pull.delay() / 2;
    slot.hold("ImagePullBackOff", text, until);
    report.is_dirty = true;
    cx.container_event(pod, index, Normal, "BackOff", back_off);
    cx.container_event(
        pod,
        index,
        Warning,
        "Failed",
        "Error: ImagePullBackOff".into(),
    );
}

/// `1m5.25s`, `85ms`: as Go prints a duration that is cut to milliseconds.
pub(crate) fn go_duration(span: Duration) -> String {
    let (seconds, millis) = (span.as_secs(), span.subsec_millis());
    if seconds == 0 && millis > 0 {
        return format!("{millis}ms");
    }
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let larger = match (hours, minutes) {
        (0, 0) => String::new(),
        (0, minutes) => format!("{minutes}m"),
        _ => format!("{hours}h{minutes}m"),
    };
    let fraction = format!(".{millis:03}");
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    format!("{larger}{}{fraction}s", seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_printed_as_go_prints_them() {
        for (millis, text) in [
            (0, "0s"),
            (85, "85ms"),
            (2000, "2s"),
            (1230, "1.23s"),
            (65_007, "1m5.007s"),
            (160_000, "2m40s"),
            (3_600_000, "1h0m0s"),
        ] {
            assert_eq!(go_duration(Duration::from_millis(millis)), text);
        }
    }
}
