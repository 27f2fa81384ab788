//! Probes: asking a running program again and again whether it has started, is alive, is ready.
//!
//! Run by `sync.rs` and `terminate.rs` for each slot; answers come through `worker.rs`. Upstream:
//! `pkg/kubelet/prober/worker.go`.
//!
//! 1. Until the startup probe has succeeded, neither of the others runs.
//! 2. A result changes after as many equal answers in a row as its threshold says.
//! 3. While a pod terminates only readiness is asked.
//!
//! Left out: upstream's random delay before the first probe after a kubelet restart.
//!
//! Book: `book/src/node/pod-lifecycle.md`.

use std::sync::Arc;

use wavetank_api::Time;
use wavetank_cri::Call;
use wavetank_informer::events::EventType;

use crate::context::{Context, Purpose};
use crate::effect::{Probe, ProbeResult, Target};
use crate::hooks;
use crate::pod::Container;
use crate::probe_spec::ProbeSpec;
use crate::slot::{Condemned, Op, State};
use crate::stop::seconds;
use crate::worker::{Stage, Worker};

/// The three probes of an instance, those that its spec has.
#[derive(Debug, Default)]
pub struct Probes {
    states: Box<[ProbeState]>,
}

/// What a probe is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Has it started? Failure restarts it.
    Startup,
    /// Is it alive? Failure restarts it.
    Liveness,
    /// Can it take requests? Failure takes it out of services.
    Readiness,
}

#[derive(Debug)]
struct ProbeState {
    role: Role,
    spec: Arc<ProbeSpec>,
    /// Where it leads, once the pod's address is known; `None` for exec.
    target: Option<Arc<Target>>,
    /// When to ask next; `None` before the first.
    next: Option<Time>,
    is_asking: bool,
    /// Equal answers in a row, and which.
    streak: (bool, u32),
    /// Whether it counts as well.
    is_well: bool,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Role::Startup => "Startup",
            Role::Liveness => "Liveness",
            Role::Readiness => "Readiness",
        }
    }
}

impl Probes {
    /// The probes of a container's spec, before the first answer.
    pub fn of(spec: &Container) -> Self {
        let roles = [
            (Role::Startup, &spec.startup_probe),
            (Role::Liveness, &spec.liveness_probe),
            (Role::Readiness, &spec.readiness_probe),
        ];
        let states = roles.into_iter().filter_map(|(role, probe)| {
            Some(ProbeState {
                role,
                spec: probe.clone()?,
                target: None,
                next: None,
                is_asking: false,
                streak: (false, 0),
                is_well: role == Role::Liveness,
            })
        });
        Probes {
            states: states.collect(),
        }
    }

    /// Whether the program counts as started: it has no startup probe, or that has succeeded.
    pub fn has_started(&self) -> bool {
        self.is_well(Role::Startup)
    }

    /// Whether the program counts as ready.
    pub fn is_ready(&self) -> bool {
        self.has_started() && self.is_well(Role::Readiness)
    }

    /// Goes on from what was told before a restart of the kubelet, so that a ready pod stays ready.
    pub(crate) fn recall(&mut self, started: bool, ready: bool) {
        for state in &mut self.states {
            state.is_well |= match state.role {
                Role::Startup => started,
                Role::Liveness => false,
                Role::Readiness => ready,
            };
        }
    }

    fn is_well(&self, role: Role) -> bool {
        self.states
            .iter()
            .all(|state| state.role != role || state.is_well)
    }
}

/// Asks what is due for a slot and says when to look again.
pub(crate) fn run(worker: &mut Worker, index: usize, cx: &mut Context<'_>) {
    let Some(slot) = worker.slots.get(index) else {
        return;
    };
    let State::Running { since } = slot.state else {
        return;
    };
    if slot.probes.states.is_empty() || matches!(slot.op, Op::Start | Op::PostStart(_)) {
        return;
    }
    let has_started = slot.probes.has_started();
    let is_dying = worker.stage != Stage::Syncing || slot.condemned.is_some();
    for which in 0..slot.probes.states.len() {
        let Some(state) = worker.slots[index].probes.states.get_mut(which) else {
            continue;
        };
        let is_wanted = match state.role {
            Role::Startup => !state.is_well && !is_dying,
            Role::Liveness => has_started && !is_dying,
            Role::Readiness => has_started,
        };
        if !is_wanted || state.is_asking {
            continue;
        }
        let first = since + seconds(state.spec.initial_delay_seconds);
        let next = *state.next.get_or_insert_with(|| first.max(cx.now));
        if cx.now < next {
            cx.wake_at(next);
            continue;
        }
        state.is_asking = true;
        state.next = Some(next + state.spec.period());
        ask(worker, index, which, cx);
    }
}

fn ask(worker: &mut Worker, index: usize, which: usize, cx: &mut Context<'_>) {
    let address = worker.address(cx);
    let Worker { pod, slots, .. } = worker;
    let (Some(slot), Some(container)) = (slots.get_mut(index), pod.container(index)) else {
        return;
    };
    let (Some(id), Some(state)) = (slot.id.clone(), slot.probes.states.get_mut(which)) else {
        return;
    };
    let small = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
    let purpose = Purpose::Probe(small(index), u8::try_from(which).unwrap_or(u8::MAX));
    let (handler, timeout) = (&state.spec.handler, state.spec.timeout());
    if let Some(exec) = &handler.exec {
        return cx.cri(purpose, Call::ExecSync(id, exec.command.clone(), timeout));
    }
    if state.target.is_none() {
        state.target = hooks::target(handler, container, &address).map(Arc::new);
    }
    match state.target.clone() {
        Some(target) => cx.probe(
            purpose,
            Probe {
                container: id,
                target,
                timeout,
            },
        ),
        None => {
            let text = ProbeResult::Failure("missing probe handler or unknown port name".into());
            answered(worker, index, purpose_index(purpose), text, cx);
        }
    }
}

fn purpose_index(purpose: Purpose) -> u8 {
    match purpose {
        Purpose::Probe(_, which) => which,
        _ => u8::MAX,
    }
}

/// Takes in an answer: counts it, and acts when it makes the threshold.
pub(crate) fn answered(
    worker: &mut Worker,
    index: usize,
    which: u8,
    result: ProbeResult,
    cx: &mut Context<'_>,
) {
    let Worker {
        pod, slots, report, ..
    } = worker;
    let Some(slot) = slots.get_mut(index) else {
        return;
    };
    let is_running = slot.is_running();
    let Some(state) = slot.probes.states.get_mut(usize::from(which)) else {
        return;
    };
    state.is_asking = false;
    if !is_running {
        return; // it ended while it was asked
    }
    let is_success = result == ProbeResult::Success;
    if let ProbeResult::Failure(text) = &result {
        let text = format!("{} probe failed: {text}", state.role.name());
        cx.container_event(pod, index, EventType::Warning, "Unhealthy", text);
    }
    let (good, bad) = state.spec.thresholds();
    let count = if state.streak.0 == is_success {
        state.streak.1.saturating_add(1)
    } else {
        1
    };
    state.streak = (is_success, count);
    if count < if is_success { good } else { bad } {
        return;
    }
    if state.is_well != is_success {
        report.hurry();
    }
    state.is_well = is_success;
    match state.role {
        Role::Liveness if !is_success => slot.condemned = Some(Condemned::LivenessFailed),
        Role::Startup if !is_success => slot.condemned = Some(Condemned::StartupFailed),
        _ => {}
    }
}
