//! One container: its life, its signals, and how its program answers probes.
//!
//! Held by the runtime.
//!
//! 1. A container that has ended stays ended; its exit code and times do not change.
//!
//! Book: `book/src/simulator/runtime.md`.

use core::time::Duration;
use std::sync::Arc;

use wavetank_api::Time;
use wavetank_cri::{ContainerConfig, ContainerId, ContainerState, ContainerStatus, SandboxId};
use wavetank_informer::CallId;
use wavetank_kubelet::{ProbeResult, Target};

use super::behavior::Behavior;
use super::stdin::Written;

/// How a program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Exit code.
    pub code: i32,
    /// The runtime's word for it; empty: the code says all.
    pub reason: &'static str,
}

impl End {
    /// By itself.
    pub fn with(code: i32) -> Self {
        End { code, reason: "" }
    }

    /// By SIGKILL.
    pub fn killed() -> Self {
        End::with(137)
    }

    /// By the kernel, for its memory.
    pub fn out_of_memory() -> Self {
        End {
            code: 137,
            reason: "OOMKilled",
        }
    }
}

/// A container that the runtime knows.
#[derive(Debug)]
pub struct Instance {
    /// The sandbox it is in.
    pub sandbox: SandboxId,
    /// What was asked for.
    pub config: Arc<ContainerConfig>,
    /// When it was made.
    pub created_at: Time,
    /// When its process started.
    pub started_at: Option<Time>,
    /// When its process ended, and how.
    pub ended: Option<(Time, End)>,
    /// When SIGTERM was first sent.
    pub term_at: Option<Time>,
    /// When SIGKILL is due.
    pub kill_at: Option<Time>,
    /// What its program does.
    pub behavior: Box<Behavior>,
    /// What it has written of what it read; few programs read.
    pub written: Option<Box<Written>>,
    pub(super) image_ref: Arc<str>,
    /// `StartContainer` was called.
    pub(super) is_starting: bool,
    /// `StopContainer` calls that wait for its end.
    stops: Vec<CallId>,
}

impl Instance {
    /// A container that was made and not started.
    pub fn new(
        sandbox: SandboxId,
        config: Arc<ContainerConfig>,
        image_ref: Arc<str>,
        behavior: Behavior,
        now: Time,
    ) -> Self {
        Instance {
            sandbox,
            config,
            created_at: now,
            started_at: None,
            ended: None,
            term_at: None,
            kill_at: None,
            behavior: Box::new(behavior),
            written: None,
            image_ref,
            is_starting: false,
            stops: Vec::new(),
        }
    }

    /// Since when its process runs; `None` when it does not.
    pub fn running_since(&self) -> Option<Time> {
        self.started_at.filter(|_| self.ended.is_none())
    }

    /// The process is up; when it will end by itself.
    pub(super) fn start(&mut self, now: Time) -> Option<(Duration, End)> {
        if self.ended.is_some() {
            return None; // stopped while it was being started
        }
        self.started_at = Some(now);
        self.behavior.ends
    }

    /// The process is gone; whether it was there.
    pub(super) fn end(&mut self, end: &End, now: Time) -> bool {
        if self.ended.is_some() {
            return false;
        }
        self.ended = Some((now, *end));
        true
    }

    // ANCHOR: stop
    /// Sends SIGTERM, and SIGKILL after the timeout; when it will end. A later SIGKILL
    /// than one that is due already changes nothing.
    pub(super) fn stop(&mut self, id: CallId, of: Duration, now: Time) -> (Time, End) {
        self.stops.push(id);
        let term = *self.term_at.get_or_insert(now);
        let asked = now + of;
        let kill = self.kill_at.map_or(asked, |kill| kill.min(asked));
        self.kill_at = Some(kill);
        let own = term + self.behavior.stop_time;
        if own <= kill {
            (own.max(now), End::with(0))
        } else {
            (kill.max(now), End::killed())
        }
    }
    // ANCHOR_END: stop

    /// Nobody waits for it any more; it can be started anew.
    pub(super) fn hang_up(&mut self) {
        self.is_starting = false;
        self.stops.clear();
    }

    pub(super) fn take_stops(&mut self) -> Vec<CallId> {
        core::mem::take(&mut self.stops)
    }

    /// `ContainerStatus`.
    pub fn status(&self, id: &ContainerId) -> ContainerStatus {
        let state = match (self.started_at, &self.ended) {
            (_, Some(_)) => ContainerState::Exited,
            (Some(_), None) => ContainerState::Running,
            (None, None) => ContainerState::Created,
        };
        let (finished_at, end) = self
            .ended
            .map_or((None, End::with(0)), |(at, e)| (Some(at), e));
        ContainerStatus {
            id: id.clone(),
            metadata: self.config.metadata.clone(),
            state,
            created_at: self.created_at,
            started_at: self.started_at,
            finished_at,
            exit_code: end.code,
            image_ref: self.image_ref.clone(),
            reason: end.reason.into(),
            message: "".into(),
            annotations: self.config.annotations.clone(),
        }
    }

    /// How the program answers over the network.
    pub(super) fn probe(&self, target: &Target, now: Time) -> ProbeResult {
        let (host, port) = match target {
            Target::Http { host, port, .. }
            | Target::Tcp { host, port }
            | Target::Grpc { host, port, .. } => (host, port),
        };
        let refused = || format!("dial tcp {host}:{port}: connect: connection refused");
        let question = match target {
            Target::Http { path, .. } => path,
            Target::Grpc { service, .. } => service,
            Target::Tcp { .. } => "",
        };
        match (self.condition(question, now), target) {
            (Condition::Well, _) => ProbeResult::Success,
            (Condition::Gone, _) => ProbeResult::Failure(refused().into()),
            (Condition::Hung, Target::Http { path, .. }) => {
                let text = format!(
                    "Get \"http://{host}:{port}{path}\": context deadline exceeded \
                     (Client.Timeout exceeded while awaiting headers)"
                );
                ProbeResult::Failure(text.into())
            }
            (Condition::Hung, _) => {
                ProbeResult::Failure(format!("dial tcp {host}:{port}: i/o timeout").into())
            }
            (Condition::Unready, Target::Http { .. }) => {
                ProbeResult::Failure("HTTP probe failed with statuscode: 503".into())
            }
            (Condition::Unready, Target::Tcp { .. }) => ProbeResult::Failure(refused().into()),
            (Condition::Unready, Target::Grpc { .. }) => {
                ProbeResult::Failure("service unhealthy (responded with \"NOT_SERVING\")".into())
            }
        }
    }

    /// How the program is at `now`, to somebody who asks `question` (a path, a command).
    pub(super) fn condition(&self, question: &str, now: Time) -> Condition {
        let Some(since) = self.running_since() else {
            return Condition::Gone;
        };
        let age = now.since(since);
        let behavior = &self.behavior;
        if behavior.hung_after.is_some_and(|after| age >= after) {
            return Condition::Hung;
        }
        let is_unready = age < behavior.ready_after
            || behavior
                .unready
                .iter()
                .any(|(from, to)| (*from..*to).contains(&age));
        if is_unready && !question.contains("live") {
            Condition::Unready
        } else {
            Condition::Well
        }
    }
}

/// How a program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Well,
    Unready,
    Hung,
    Gone,
}

/// Whether an answer is the prober's own, after its timeout.
pub(super) fn silence(answer: &ProbeResult) -> bool {
    match answer {
        ProbeResult::Success => false,
        ProbeResult::Failure(text) => {
            text.contains("deadline exceeded") || text.contains("i/o timeout")
        }
    }
}
