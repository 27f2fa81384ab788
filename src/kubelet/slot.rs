//! One container of a pod's spec, through all its instances in the runtime.
//!
//! Held by a worker; changed by `sync.rs`, `terminate.rs`, `start.rs` and `probes.rs`.
//!
//! 1. At most one operation is under way per slot.
//! 2. `restarts` grows by one with each instance but the first, and never otherwise (P5).
//!
//! Book: `book/src/node/pod-lifecycle.md`.

use std::sync::Arc;

use wavetank_api::Time;
use wavetank_cri::{ContainerId, ContainerState, ContainerStatus, names};

use crate::backoff::Backoff;
use crate::pod::{Kind, RestartPolicy};
use crate::probes::Probes;

/// What the kubelet knows of one container of a pod.
#[derive(Debug)]
pub struct Slot {
    /// What it is for.
    pub kind: Kind,
    /// The latest instance in the runtime; `None` before the first and once it is removed.
    pub id: Option<ContainerId>,
    /// How far that instance is, as the runtime told last.
    pub state: State,
    /// What has been started and not answered.
    pub op: Op,
    /// Instances made after the first.
    pub restarts: u32,
    /// How the instance before the latest ended.
    pub last: Option<Box<Exit>>,
    /// Its id while it still lies in the runtime, for `logs --previous`.
    pub previous: Option<ContainerId>,
    /// Why it is not running although it should be.
    pub waiting: Option<Box<Waiting>>,
    /// Why the running instance must be stopped and made anew.
    pub condemned: Option<Condemned>,
    /// Between restarts of a program that ends.
    pub crash: Backoff,
    /// Between pulls of an image that cannot be had.
    pub pull: Backoff,
    /// The image's id, once an instance was made.
    pub image_id: Arc<str>,
    /// Hash of the spec that the latest instance was made from.
    pub hash: u32,
    /// Its probes; none when the spec has none.
    pub probes: Probes,
}

/// How far an instance is.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum State {
    /// There is none.
    #[default]
    New,
    /// Made, not started.
    Created,
    /// Its process runs.
    Running {
        /// Since when.
        since: Time,
    },
    /// Its process has ended.
    Exited(Box<Exit>),
}

/// How an instance ended (`ContainerStateTerminated`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exit {
    /// Exit code.
    pub code: i32,
    /// One word.
    pub reason: Arc<str>,
    /// What the program or the runtime said.
    pub message: Arc<str>,
    /// When it had started.
    pub started: Option<Time>,
    /// When it ended.
    pub finished: Time,
    /// Which instance it was.
    pub id: Option<ContainerId>,
}

/// `ContainerStateWaiting`.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    /// `CrashLoopBackOff`, `ErrImagePull`, …
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// When to try again.
    pub until: Time,
}

/// Why a running instance is stopped though its pod goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum Condemned {
    LivenessFailed,
    StartupFailed,
    PostStartFailed,
    DefinitionChanged,
}

impl Condemned {
    /// Whether it was decided with the stop that another instance follows, however this one ends
    /// (`computePodActions`).
    fn restarts(self, policy: RestartPolicy) -> bool {
        match self {
            Condemned::LivenessFailed | Condemned::StartupFailed => policy != RestartPolicy::Never,
            Condemned::PostStartFailed => false,
            Condemned::DefinitionChanged => true,
        }
    }
}

/// What is under way for a slot. Each ends with the answer to its call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Op {
    /// Nothing.
    #[default]
    None,
    /// `ImageStatus`.
    Inspect,
    /// The image is asked for since the first time; `PullImage`, since the second.
    Pull(Time, Option<Time>),
    /// `ImageStatus` of what was pulled; the times are those of `Pull`.
    Measure(Time, Option<Time>),
    /// `CreateContainer`.
    Create,
    /// `StartContainer`.
    Start,
    /// The postStart hook runs; a `sleep` ends at this time.
    PostStart(Option<Time>),
    /// The preStop hook runs, and is given up at the first time; a `sleep` ends at the second.
    PreStop(Time, Option<Time>),
    /// `StopContainer`; at the time SIGKILL is due.
    Stop(Time),
}

impl Slot {
    /// A container of which no instance was made yet.
    pub fn new(kind: Kind) -> Self {
        Slot {
            kind,
            id: None,
            state: State::New,
            op: Op::None,
            restarts: 0,
            last: None,
            previous: None,
            waiting: None,
            condemned: None,
            crash: Backoff::default(),
            pull: Backoff::default(),
            image_id: Arc::default(),
            hash: 0,
            probes: Probes::default(),
        }
    }

    /// Whether its process runs.
    pub fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// How the latest instance ended, if it did.
    pub fn exit(&self) -> Option<&Exit> {
        match &self.state {
            State::Exited(exit) => Some(exit),
            _ => None,
        }
    }

    /// Whether the latest instance ended with exit code 0.
    pub fn has_succeeded(&self) -> bool {
        self.exit().is_some_and(|exit| exit.code == 0)
    }

    /// Whether it should be made (again) now that it does not run, under the pod's restart policy
    /// (`ShouldContainerBeRestarted`). An instance that was made and not started, because the
    /// kubelet died between the two, never ran: it is made anew whatever the policy. Of an
    /// ephemeral container one instance is made, whatever becomes of it (`computePodActions`).
    pub fn wants_start(&self, policy: RestartPolicy) -> bool {
        let exit = match &self.state {
            State::New => return true,
            State::Created => return self.kind != Kind::Ephemeral,
            State::Running { .. } => return false,
            State::Exited(exit) => exit,
        };
        if self.condemned.is_some_and(|why| why.restarts(policy)) {
            return true;
        }
        match (self.kind, policy) {
            (Kind::Sidecar, _) => true,
            (Kind::Ephemeral, _) => false,
            (Kind::Init, RestartPolicy::Never) => false,
            (Kind::Init, _) => exit.code != 0,
            (Kind::App, RestartPolicy::Always) => true,
            (Kind::App, RestartPolicy::OnFailure) => exit.code != 0,
            (Kind::App, RestartPolicy::Never) => false,
        }
    }

    /// `restarts` of the next instance: one more, unless it is the first.
    pub fn next_restarts(&self) -> u32 {
        match self.state {
            State::New if self.last.is_none() => self.restarts,
            _ => self.restarts + 1,
        }
    }

    /// Takes in what the runtime says about the latest instance; whether that was news.
    pub fn observe(&mut self, status: &ContainerStatus, now: Time) -> bool {
        if self.id.as_ref() != Some(&status.id) || self.exit().is_some() {
            return false; // another instance, or an end that cannot change any more (P4)
        }
        let state = match status.state {
            ContainerState::Created => State::Created,
            ContainerState::Running => State::Running {
                since: status.started_at.unwrap_or(now),
            },
            ContainerState::Exited | ContainerState::Unknown => {
                State::Exited(Box::new(Exit::of(status, now)))
            }
        };
        if !status.image_ref.is_empty() {
            self.image_id = status.image_ref.clone();
        }
        let news = state != self.state;
        self.state = state;
        news
    }

    /// The number of restarts that an instance's annotations carry.
    pub fn restarts_of(status: &ContainerStatus) -> u32 {
        let text = status.annotations.get(names::RESTART_COUNT);
        text.and_then(|t| t.parse().ok())
            .unwrap_or(status.metadata.attempt)
    }
}

impl Exit {
    fn of(status: &ContainerStatus, now: Time) -> Self {
        let reason = match (&*status.reason, status.exit_code) {
            ("", 0) => "Completed".into(),
            ("", _) => "Error".into(),
            _ => status.reason.clone(),
        };
        Exit {
            code: status.exit_code,
            reason,
            message: status.message.clone(),
            started: status.started_at,
            finished: status.finished_at.unwrap_or(now),
            id: Some(status.id.clone()),
        }
    }
}
