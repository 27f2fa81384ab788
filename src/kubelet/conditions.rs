//! The five conditions of a pod, and when each last changed.
//!
//! Called by `status.rs`. Upstream: `pkg/kubelet/status/generate.go`.
//!
//! 1. `Ready` is true only when all containers are ready and all readiness gates are true (P13).
//! 2. `lastTransitionTime` changes exactly when the status does.
//!
//! Book: `book/src/node/pod-lifecycle.md`.

use serde::Serialize;

use wavetank_api::Time;

use crate::pod::{Kind, Pod};
use crate::pod_status::{ApiStatus, Phase};
use crate::status::is_ready;
use crate::worker::{SandboxState, Stage, Worker};

/// Names, in upstream's order.
const NAMES: [&str; 5] = [
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
];

/// What was told last of each condition: its status, and since when.
pub(crate) type Told = [Option<(bool, Time)>; 5];

/// `status.conditions[]`, its fields in the order of their names. Conditions merge by type: a
/// `null` takes away what an earlier status said.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Condition {
    last_probe_time: (),
    last_transition_time: Time,
    message: Option<String>,
    reason: Option<&'static str>,
    status: &'static str,
    r#type: &'static str,
}

/// Status with reason and message; empty when true.
struct Verdict {
    is_true: bool,
    reason: &'static str,
    message: String,
}

impl Verdict {
    fn yes() -> Self {
        Verdict {
            is_true: true,
            reason: "",
            message: String::new(),
        }
    }

    fn no(reason: &'static str, message: String) -> Self {
        Verdict {
            is_true: false,
            reason,
            message,
        }
    }
}

/// What an earlier life of this kubelet has told.
pub(crate) fn told(status: &ApiStatus) -> Told {
    NAMES.map(|name| {
        let condition = status.conditions.iter().find(|c| &*c.kind == name)?;
        Some((
            &*condition.status == "True",
            condition.last_transition_time?,
        ))
    })
}

/// The conditions as they are now; notes the changes.
pub(crate) fn update(worker: &mut Worker, phase: Phase, now: Time) -> [Condition; 5] {
    let containers = containers_ready(worker, phase);
    let verdicts = [
        sandbox_ready(worker),
        initialized(worker, phase),
        ready(&worker.pod, &containers),
        containers,
        Verdict::yes(),
    ];
    let mut told = worker.report.conditions.iter_mut().zip(NAMES);
    verdicts.map(|verdict| {
        let (told, name) = told.next().expect("a verdict for each name");
        condition(name, verdict, told, now)
    })
}

fn condition(
    name: &'static str,
    verdict: Verdict,
    told: &mut Option<(bool, Time)>,
    now: Time,
) -> Condition {
    let since = match told {
        Some((is_true, since)) if *is_true == verdict.is_true => *since,
        _ => now,
    };
    *told = Some((verdict.is_true, since));
    Condition {
        last_probe_time: (),
        last_transition_time: since,
        message: Some(verdict.message).filter(|text| !text.is_empty()),
        reason: Some(verdict.reason).filter(|text| !text.is_empty()),
        status: if verdict.is_true { "True" } else { "False" },
        r#type: name,
    }
}

fn sandbox_ready(worker: &Worker) -> Verdict {
    let is_ready = worker.sandbox.state == SandboxState::Ready && worker.stage != Stage::Terminated;
    Verdict {
        is_true: is_ready,
        reason: "",
        message: String::new(),
    }
}

fn initialized(worker: &Worker, phase: Phase) -> Verdict {
    let mut verdict = Verdict::yes();
    if phase == Phase::Succeeded {
        verdict.reason = "PodCompleted";
        return verdict;
    }
    let is_done = |slot: &crate::slot::Slot| match slot.kind {
        Kind::Sidecar => slot.is_running() && slot.probes.has_started(),
        _ => slot.has_succeeded(),
    };
    let waiting = named(worker, |slot| {
        matches!(slot.kind, Kind::Init | Kind::Sidecar) && !worker.initialized && !is_done(slot)
    });
    if waiting.is_empty() {
        return verdict;
    }
    let text = format!("containers with incomplete status: [{waiting}]");
    Verdict::no("ContainersNotInitialized", text)
}

fn containers_ready(worker: &Worker, phase: Phase) -> Verdict {
    match phase {
        Phase::Succeeded => return Verdict::no("PodCompleted", String::new()),
        Phase::Failed => return Verdict::no("PodFailed", String::new()),
        _ => {}
    }
    let unready = named(worker, |slot| {
        matches!(slot.kind, Kind::App | Kind::Sidecar) && !is_ready(slot)
    });
    if unready.is_empty() {
        return Verdict::yes();
    }
    Verdict::no(
        "ContainersNotReady",
        format!("containers with unready status: [{unready}]"),
    )
}

/// Containers ready, and each readiness gate's condition true.
fn ready(pod: &Pod, containers: &Verdict) -> Verdict {
    if !containers.is_true {
        return Verdict::no(containers.reason, containers.message.clone());
    }
    let mut missing = Vec::new();
    for gate in &pod.spec().readiness_gates {
        let name = &gate.condition_type;
        match pod.status().conditions.iter().find(|c| c.kind == *name) {
            None => missing.push(format!(
                "corresponding condition of pod readiness gate \"{name}\" does not exist."
            )),
            Some(condition) if &*condition.status != "True" => missing.push(format!(
                "the status of pod readiness gate \"{name}\" is not \"True\", but {}",
                condition.status
            )),
            Some(_) => {}
        }
    }
    if missing.is_empty() {
        return Verdict::yes();
    }
    Verdict::no("ReadinessGatesNotReady", missing.join(", "))
}

/// Names of the containers whose slots are such, in order, with a space between.
fn named(worker: &Worker, such: impl Fn(&crate::slot::Slot) -> bool) -> String {
    let slots = worker.slots.iter().zip(worker.pod.spec().all());
    let names = slots
        .filter(|(slot, _)| such(slot))
        .map(|(_, (_, spec))| &*spec.name);
    names.collect::<Vec<_>>().join(" ")
}
