//! The row of a pod in `kubectl get pods`: one word for all that its containers are doing.
//!
//! Called through the row in `pod.rs`. Source: `printPod` in `pkg/printers/internalversion`.
//!
//! 1. While something has to run first, the row tells of that, and later of nothing but the rest.
//!
//! Book: `book/src/control-plane/kinds.md`.

use wavetank_api::Time;
use wavetank_api::json::Value;

use crate::kinds::{age, edit, plain};

/// Where a row looks.
pub(super) const PATHS: &[&str] = &[
    "metadata.deletionTimestamp",
    "spec.containers.name",
    "spec.initContainers.name",
    "spec.initContainers.restartPolicy",
    "spec.nodeName",
    "spec.readinessGates",
    "status.conditions.reason",
    "status.conditions.status",
    "status.conditions.type",
    "status.containerStatuses.lastState",
    "status.containerStatuses.ready",
    "status.containerStatuses.restartCount",
    "status.containerStatuses.state",
    "status.initContainerStatuses",
    "status.nominatedNodeName",
    "status.phase",
    "status.podIPs",
    "status.reason",
];

/// What the walk over the containers finds out.
#[derive(Default)]
struct Summary<'a> {
    ready: usize,
    restarts: i64,
    last_restart: &'a str,
    reason: String,
}

/// The cells of a pod.
pub(super) fn row(pod: &Value, now: Time) -> Vec<Value> {
    let summary = summarize(pod);
    let sidecars = edit::list(pod, &["spec", "initContainers"])
        .iter()
        .filter(|c| is_sidecar(c));
    let total = edit::list(pod, &["spec", "containers"]).len() + sidecars.count();
    let restarts = match Time::parse(summary.last_restart) {
        Some(then) if summary.restarts != 0 => {
            format!("{} ({} ago)", summary.restarts, age::human(now.since(then)))
        }
        _ => summary.restarts.to_string(),
    };
    let first_ip = edit::list(pod, &["status", "podIPs"]).first();
    let ip = first_ip.map_or("", |ip| edit::text(ip, &["ip"]));
    let shown = |path: &[&str]| Value::from(plain::or_none(edit::text(pod, path)));
    vec![
        plain::name(pod),
        format!("{}/{total}", summary.ready).into(),
        summary.reason.into(),
        restarts.into(),
        age::of_object(pod, now).into(),
        plain::or_none(ip).into(),
        shown(&["spec", "nodeName"]),
        shown(&["status", "nominatedNodeName"]),
        readiness_gates(pod).into(),
    ]
}

fn summarize(pod: &Value) -> Summary<'_> {
    let mut summary = Summary {
        reason: phase(pod),
        ..Summary::default()
    };
    let initializing = walk_init(pod, &mut summary);
    if !initializing || is_true(pod, "Initialized") {
        walk_regular(pod, &mut summary);
    }
    let terminating = edit::at(pod, &["metadata", "deletionTimestamp"]).is_some();
    let ended = matches!(
        edit::text(pod, &["status", "phase"]),
        "Succeeded" | "Failed"
    );
    if terminating && edit::text(pod, &["status", "reason"]) == "NodeLost" {
        summary.reason = "Unknown".into();
    } else if terminating && !ended {
        summary.reason = "Terminating".into();
    }
    summary
}

fn phase(pod: &Value) -> String {
    let gated = conditions(pod).iter().any(|condition| {
        edit::text(condition, &["type"]) == "PodScheduled"
            && edit::text(condition, &["reason"]) == "SchedulingGated"
    });
    match edit::text(pod, &["status", "reason"]) {
        _ if gated => "SchedulingGated".into(),
        "" => edit::text(pod, &["status", "phase"]).into(),
        reason => reason.into(),
    }
}

// ANCHOR: init
/// Walks the containers that run first; whether one of them is still in the way.
fn walk_init<'a>(pod: &'a Value, summary: &mut Summary<'a>) -> bool {
    let specs = edit::list(pod, &["spec", "initContainers"]);
    let statuses = edit::list(pod, &["status", "initContainerStatuses"]);
    for (at, status) in statuses.iter().enumerate() {
        count_restarts(status, summary);
        let name = edit::text(status, &["name"]);
        let sidecar = specs
            .iter()
            .any(|spec| edit::text(spec, &["name"]) == name && is_sidecar(spec));
        let ended = edit::at(status, &["state", "terminated"]);
        let waits_for = edit::text(status, &["state", "waiting", "reason"]);
        if ended.is_some_and(|state| edit::number(state, &["exitCode"]) == 0) {
            continue;
        }
        if sidecar && edit::flag(status, &["started"]) {
            summary.ready += usize::from(edit::flag(status, &["ready"]));
            continue;
        }
        let in_turn = matches!(waits_for, "" | "PodInitializing");
        summary.reason = match ended {
            Some(state) => format!("Init:{}", end_of(state)),
            None if !in_turn => format!("Init:{waits_for}"),
            None => format!("Init:{at}/{}", specs.len()),
        };
        return true;
    }
    false
}
// ANCHOR_END: init

/// Walks the regular containers, last one first, so that the first one's reason stands. Restarts of
/// init containers do not count any more; those of sidecars do.
fn walk_regular<'a>(pod: &'a Value, summary: &mut Summary<'a>) {
    summary.restarts = 0;
    summary.last_restart = "";
    let specs = edit::list(pod, &["spec", "initContainers"]);
    for status in edit::list(pod, &["status", "initContainerStatuses"]) {
        let name = edit::text(status, &["name"]);
        if specs
            .iter()
            .any(|spec| edit::text(spec, &["name"]) == name && is_sidecar(spec))
        {
            count_restarts(status, summary);
        }
    }
    let mut running = false;
    for status in edit::list(pod, &["status", "containerStatuses"])
        .iter()
        .rev()
    {
        count_restarts(status, summary);
        let waits_for = edit::text(status, &["state", "waiting", "reason"]);
        if !waits_for.is_empty() {
            summary.reason = waits_for.into();
        } else if let Some(state) = edit::at(status, &["state", "terminated"]) {
            summary.reason = end_of(state);
        } else if edit::flag(status, &["ready"])
            && edit::at(status, &["state", "running"]).is_some()
        {
            running = true;
            summary.ready += 1;
        }
    }
    if summary.reason == "Completed" && running {
        let ready = is_true(pod, "Ready");
        summary.reason = if ready {
            "Running".into()
        } else {
            "NotReady".into()
        };
    }
}

fn count_restarts<'a>(status: &'a Value, summary: &mut Summary<'a>) {
    summary.restarts += edit::number(status, &["restartCount"]);
    let ended = edit::text(status, &["lastState", "terminated", "finishedAt"]);
    if Time::parse(ended) > Time::parse(summary.last_restart) {
        summary.last_restart = ended;
    }
}

fn end_of(terminated: &Value) -> String {
    let signal = edit::number(terminated, &["signal"]);
    match edit::text(terminated, &["reason"]) {
        "" if signal != 0 => format!("Signal:{signal}"),
        "" => format!("ExitCode:{}", edit::number(terminated, &["exitCode"])),
        reason => reason.into(),
    }
}

fn readiness_gates(pod: &Value) -> String {
    let gates = edit::list(pod, &["spec", "readinessGates"]);
    if gates.is_empty() {
        return "<none>".into();
    }
    let open = gates
        .iter()
        .filter(|gate| is_true(pod, edit::text(gate, &["conditionType"])));
    format!("{}/{}", open.count(), gates.len())
}

fn conditions(pod: &Value) -> &[Value] {
    edit::list(pod, &["status", "conditions"])
}

fn is_true(pod: &Value, condition: &str) -> bool {
    conditions(pod).iter().any(|found| {
        edit::text(found, &["type"]) == condition && edit::text(found, &["status"]) == "True"
    })
}

fn is_sidecar(container: &Value) -> bool {
    edit::text(container, &["restartPolicy"]) == "Always"
}
