//! A pod's status as the API shows it, made from a worker.
//!
//! Called by `report.rs` when something may have changed. Upstream: `pkg/kubelet/kubelet_pods.go`
//! (getPhase, convertToAPIContainerStatuses) and `pkg/kubelet/status/generate.go`.
//!
//! 1. A terminal phase is shown only when nothing of the pod runs, and never changes (P4, M68).
//! 2. The order of containers and conditions is that of upstream.
//!
//! Left out: `resources` and `allocatedResources` of containers, `volumeMounts`, `user`.
//!
//! Book: `book/src/node/pod-lifecycle.md`.

use serde_json::{Map, Value, json};

use wavetank_api::Time;
use wavetank_informer::{Guard, Guards};

use crate::conditions;
use crate::config::Config;
use crate::pod::{Kind, RestartPolicy};
use crate::pod_status::Phase;
use crate::slot::{Exit, Slot, State};
use crate::worker::{SandboxState, Stage, Worker};

/// The phase that the containers give (`getPhase`); what the stage allows is [`shown_phase`]'s.
pub(crate) fn phase_of(worker: &Worker) -> Phase {
    if worker.verdict.is_some() {
        return Phase::Failed;
    }
    let policy = worker.pod.spec().restart_policy;
    let init = worker
        .slots
        .iter()
        .filter(|slot| matches!(slot.kind, Kind::Init));
    let failed = |slot: &Slot| slot.exit().is_some_and(|exit| exit.code != 0);
    if policy == RestartPolicy::Never && !worker.initialized && init.clone().any(failed) {
        return Phase::Failed;
    }
    let apps = || worker.slots.iter().filter(|slot| slot.kind == Kind::App);
    let waiting = apps().filter(|slot| slot.exit().is_none() && !slot.is_running());
    if waiting.filter(|slot| slot.last.is_none()).count() > 0 {
        return Phase::Pending;
    }
    let all_ended = apps().all(|slot| slot.exit().is_some());
    match policy {
        _ if !all_ended => Phase::Running,
        RestartPolicy::Always => Phase::Running,
        _ if apps().all(Slot::has_succeeded) => Phase::Succeeded,
        RestartPolicy::Never => Phase::Failed,
        RestartPolicy::OnFailure => Phase::Running,
    }
}

/// The phase to tell, given the one told last.
pub(crate) fn shown_phase(worker: &Worker, guards: Guards) -> Phase {
    let told = worker.report.phase;
    if told.is_terminal() && guards.on(Guard::M68) {
        return told;
    }
    let phase = phase_of(worker);
    let may_run = worker.stage != Stage::Terminated;
    match worker.stage {
        // What was stopped from outside ended for good: a deleted pod fails if any part did.
        Stage::Terminated if !phase.is_terminal() => ended_phase(worker),
        _ if phase.is_terminal() && may_run => told.max(Phase::Pending),
        _ => phase,
    }
}

/// The phase of a pod that was stopped before its containers were done.
fn ended_phase(worker: &Worker) -> Phase {
    let mut apps = worker.slots.iter().filter(|slot| slot.kind == Kind::App);
    if apps.all(Slot::has_succeeded) {
        Phase::Succeeded
    } else {
        Phase::Failed
    }
}

/// `status` of the pod, all fields that a kubelet owns.
pub(crate) fn status(
    worker: &mut Worker,
    config: &Config,
    runtime: &str,
    guards: Guards,
    now: Time,
) -> Value {
    let phase = shown_phase(worker, guards);
    worker.report.phase = phase;
    let conditions = conditions::update(worker, phase, now);
    let (reason, message) = match &worker.verdict {
        Some(verdict) => (json!(&*verdict.reason), json!(verdict.message)),
        None => (Value::Null, Value::Null),
    };
    let host = config.host_ip();
    let mut status = json!({
        "phase": phase.as_str(),
        "conditions": conditions,
        "reason": reason,
        "message": message,
        "hostIP": host,
        "hostIPs": [{"ip": host}],
        "startTime": worker.started_at,
        "qosClass": crate::qos::class(worker.pod.spec()),
    });
    let has_address = matches!(
        worker.sandbox.state,
        SandboxState::Ready | SandboxState::Stopping
    );
    let ip = worker.sandbox.ip.map(|ip| ip.to_string());
    let ip = ip.or_else(|| worker.pod.spec().host_network.then(|| host.to_string()));
    if let Some(ip) = ip.filter(|_| has_address || worker.stage != Stage::Syncing) {
        status["podIPs"] = json!([{"ip": &ip}]);
        status["podIP"] = json!(ip);
    }
    let lists: [(&str, &[Kind]); 3] = [
        ("initContainerStatuses", &[Kind::Init, Kind::Sidecar]),
        ("containerStatuses", &[Kind::App]),
        ("ephemeralContainerStatuses", &[Kind::Ephemeral]),
    ];
    for (field, kinds) in lists {
        let slots = worker
            .slots
            .iter()
            .enumerate()
            .filter(|(_, s)| kinds.contains(&s.kind));
        let list: Vec<Value> = slots
            .map(|(i, _)| container_status(worker, i, runtime))
            .collect();
        if !list.is_empty() {
            status[field] = Value::Array(list);
        }
    }
    status
}

fn container_status(worker: &Worker, index: usize, runtime: &str) -> Value {
    let (Some(slot), Some(spec)) = (worker.slots.get(index), worker.pod.container(index)) else {
        return Value::Null;
    };
    let started = slot.is_running() && slot.probes.has_started();
    let (state, last) = states(worker, slot, runtime);
    let mut status = json!({
        "name": &*spec.name,
        "image": &*spec.image,
        "imageID": &*slot.image_id,
        "restartCount": slot.restarts,
        "ready": is_ready(slot),
        "started": started,
        "state": state,
        "lastState": last,
    });
    let id = slot
        .id
        .as_ref()
        .or_else(|| slot.exit().and_then(|exit| exit.id.as_ref()));
    if let Some(id) = id {
        status["containerID"] = json!(format!("{runtime}://{id}"));
    }
    status
}

/// Whether the container counts as ready: an init container when it is done, all others when they
/// run and their readiness probe says so.
pub(crate) fn is_ready(slot: &Slot) -> bool {
    match slot.kind {
        Kind::Init => slot.has_succeeded(),
        _ => slot.is_running() && slot.probes.is_ready(),
    }
}

/// `state` and `lastState`. An ended instance that will be followed by another is shown as waiting.
fn states(worker: &Worker, slot: &Slot, runtime: &str) -> (Value, Value) {
    let last = slot
        .last
        .as_deref()
        .map_or_else(|| json!({}), |exit| terminated(exit, runtime));
    let policy = worker.pod.spec().restart_policy;
    match &slot.state {
        State::Running { since } => (json!({"running": {"startedAt": since}}), last),
        State::Exited(exit) => {
            let goes_on = worker.stage == Stage::Syncing && slot.wants_start(policy);
            match &slot.waiting {
                Some(wait) if goes_on => (
                    waiting(wait.reason, &wait.message),
                    terminated(exit, runtime),
                ),
                _ => (terminated(exit, runtime), last),
            }
        }
        State::New | State::Created => match &slot.waiting {
            Some(wait) => (waiting(wait.reason, &wait.message), last),
            None => {
                // So that `kubectl get` says `Init:0/1` as long as no init container fails.
                let reason = match worker.pod.spec().init_containers.is_empty() {
                    true => "ContainerCreating",
                    false => "PodInitializing",
                };
                (waiting(reason, ""), last)
            }
        },
    }
}

fn waiting(reason: &str, message: &str) -> Value {
    let mut fields = Map::new();
    fields.insert("reason".into(), json!(reason));
    if !message.is_empty() {
        fields.insert("message".into(), json!(message));
    }
    json!({ "waiting": fields })
}

fn terminated(exit: &Exit, runtime: &str) -> Value {
    let mut fields = json!({
        "exitCode": exit.code,
        "reason": &*exit.reason,
        "startedAt": exit.started,
        "finishedAt": exit.finished,
    });
    if !exit.message.is_empty() {
        fields["message"] = json!(&*exit.message);
    }
    if let Some(id) = &exit.id {
        fields["containerID"] = json!(format!("{runtime}://{id}"));
    }
    json!({ "terminated": fields })
}
