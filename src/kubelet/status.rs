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

use std::borrow::Cow;

use serde::Serialize;

use wavetank_api::Time;
use wavetank_informer::{Guard, Guards};

use crate::conditions::{self, Condition};
use crate::config::Config;
use crate::pod::{Kind, RestartPolicy};
use crate::pod_status::Phase;
use crate::slot::{Exit, Slot, State};
use crate::worker::{SandboxState, Stage, Worker};

/// All fields of `PodStatus` that a kubelet owns, in the order of their names. It merges into what
/// is stored: a `null` takes away what an earlier status said.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodStatus<'a> {
    conditions: [Condition; 5],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    container_statuses: Vec<ContainerStatus<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ephemeral_container_statuses: Vec<ContainerStatus<'a>>,
    #[serde(rename = "hostIP")]
    host_ip: &'a str,
    #[serde(rename = "hostIPs")]
    host_ips: Addresses<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    init_container_statuses: Vec<ContainerStatus<'a>>,
    message: Option<&'a str>,
    phase: &'static str,
    #[serde(rename = "podIP", skip_serializing_if = "Option::is_none")]
    pod_ip: Option<Cow<'a, str>>,
    #[serde(rename = "podIPs", skip_serializing_if = "Option::is_none")]
    pod_ips: Option<Addresses<'a>>,
    qos_class: &'static str,
    reason: Option<&'a str>,
    start_time: Time,
}

/// The one address there is. Addresses merge by `ip`: without the directive, those of an earlier
/// sandbox would stay.
type Addresses<'a> = (Directive, Address<'a>);

const REPLACE: Directive = Directive { patch: "replace" };

#[derive(Serialize)]
struct Directive {
    #[serde(rename = "$patch")]
    patch: &'static str,
}

#[derive(Serialize)]
struct Address<'a> {
    ip: Cow<'a, str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerStatus<'a> {
    #[serde(rename = "containerID", skip_serializing_if = "Option::is_none")]
    container_id: Option<String>,
    image: &'a str,
    #[serde(rename = "imageID")]
    image_id: &'a str,
    last_state: ContainerState<'a>,
    name: &'a str,
    ready: bool,
    restart_count: u32,
    started: bool,
    state: ContainerState<'a>,
}

/// At most one member is set.
#[derive(Default, Serialize)]
struct ContainerState<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    running: Option<Running>,
    #[serde(skip_serializing_if = "Option::is_none")]
    terminated: Option<Terminated<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<Waiting<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Running {
    started_at: Time,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Terminated<'a> {
    #[serde(rename = "containerID", skip_serializing_if = "Option::is_none")]
    container_id: Option<String>,
    exit_code: i32,
    finished_at: Time,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
    reason: &'a str,
    started_at: Option<Time>,
}

#[derive(Serialize)]
struct Waiting<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
    reason: &'a str,
}

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

/// `status` of the pod as it is now; notes what it says of phase and conditions.
pub(crate) fn status<'a>(
    worker: &'a mut Worker,
    config: &'a Config,
    runtime: &str,
    guards: Guards,
    now: Time,
) -> PodStatus<'a> {
    let phase = shown_phase(worker, guards);
    worker.report.phase = phase;
    let conditions = conditions::update(worker, phase, now);
    let worker = &*worker;
    let verdict = worker.verdict.as_deref();
    let host = config.host_ip();
    let pod_ip = pod_ip(worker, host);
    let list = |kinds: &[Kind]| {
        let slots = worker.slots.iter().enumerate();
        let slots = slots.filter(|(_, slot)| kinds.contains(&slot.kind));
        let statuses = slots.filter_map(|(index, _)| container_status(worker, index, runtime));
        statuses.collect()
    };
    PodStatus {
        conditions,
        container_statuses: list(&[Kind::App]),
        ephemeral_container_statuses: list(&[Kind::Ephemeral]),
        host_ip: host,
        host_ips: (REPLACE, Address { ip: host.into() }),
        init_container_statuses: list(&[Kind::Init, Kind::Sidecar]),
        message: verdict.map(|verdict| &*verdict.message),
        phase: phase.as_str(),
        pod_ips: pod_ip.clone().map(|ip| (REPLACE, Address { ip })),
        pod_ip,
        qos_class: crate::qos::class(worker.pod.spec()),
        reason: verdict.map(|verdict| &*verdict.reason),
        start_time: worker.started_at,
    }
}

fn pod_ip<'a>(worker: &Worker, host: &'a str) -> Option<Cow<'a, str>> {
    let has_address = matches!(
        worker.sandbox.state,
        SandboxState::Ready | SandboxState::Stopping
    );
    if !has_address && worker.stage == Stage::Syncing {
        return None;
    }
    let own = worker.sandbox.ip.map(|ip| ip.to_string().into());
    own.or_else(|| worker.pod.spec().host_network.then_some(host.into()))
}

fn container_status<'a>(
    worker: &'a Worker,
    index: usize,
    runtime: &str,
) -> Option<ContainerStatus<'a>> {
    let (slot, spec) = (worker.slots.get(index)?, worker.pod.container(index)?);
    let (state, last_state) = states(worker, slot, runtime);
    let of_exit = || slot.exit().and_then(|exit| exit.id.as_ref());
    let id = slot.id.as_ref().or_else(of_exit);
    Some(ContainerStatus {
        container_id: id.map(|id| format!("{runtime}://{id}")),
        image: &spec.image,
        image_id: &slot.image_id,
        last_state,
        name: &spec.name,
        ready: is_ready(slot),
        restart_count: slot.restarts,
        started: slot.is_running() && slot.probes.has_started(),
        state,
    })
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
fn states<'a>(
    worker: &Worker,
    slot: &'a Slot,
    runtime: &str,
) -> (ContainerState<'a>, ContainerState<'a>) {
    let last = || {
        let last = slot.last.as_deref();
        last.map_or_else(ContainerState::default, |exit| terminated(exit, runtime))
    };
    let spec = worker.pod.spec();
    match (&slot.state, &slot.waiting) {
        (State::Running { since }, _) => (running(*since), last()),
        (State::Exited(exit), Some(wait))
            if worker.stage == Stage::Syncing && slot.wants_start(spec.restart_policy) =>
        {
            let exit = terminated(exit, runtime);
            (waiting(wait.reason, &wait.message), exit)
        }
        (State::Exited(exit), _) => (terminated(exit, runtime), last()),
        (State::New | State::Created, Some(wait)) => (waiting(wait.reason, &wait.message), last()),
        // So that `kubectl get` says `Init:0/1` as long as no init container fails.
        (State::New | State::Created, None) => match spec.init_containers.is_empty() {
            true => (waiting("ContainerCreating", ""), last()),
            false => (waiting("PodInitializing", ""), last()),
        },
    }
}

fn running(since: Time) -> ContainerState<'static> {
    ContainerState {
        running: Some(Running { started_at: since }),
        ..ContainerState::default()
    }
}

fn waiting<'a>(reason: &'a str, message: &'a str) -> ContainerState<'a> {
    ContainerState {
        waiting: Some(Waiting { message, reason }),
        ..ContainerState::default()
    }
}

fn terminated<'a>(exit: &'a Exit, runtime: &str) -> ContainerState<'a> {
    let id = exit.id.as_ref();
    ContainerState {
        terminated: Some(Terminated {
            container_id: id.map(|id| format!("{runtime}://{id}")),
            exit_code: exit.code,
            finished_at: exit.finished,
            message: &exit.message,
            reason: &exit.reason,
            started_at: exit.started,
        }),
        ..ContainerState::default()
    }
}
