//! Lifecycle hooks: postStart when an instance has started, preStop before it is stopped.
//!
//! Called by `start.rs` and `stop.rs`. Upstream: `pkg/kubelet/lifecycle/handlers.go`.
//!
//! 1. A failed postStart hook condemns the instance; a failed preStop hook delays nothing.
//!
//! Book: `book/src/node/pod-lifecycle.md`.

use core::time::Duration;
use std::sync::Arc;

use wavetank_api::Time;
use wavetank_cri::{Call, Code, Error, Reply};

use crate::context::{Context, Purpose};
use crate::effect::{Probe, ProbeResult, Target};
use crate::pod::Container;
use crate::probe_spec::Handler;
use crate::slot::{Condemned, Op};
use crate::stop;
use crate::worker::Worker;
use wavetank_informer::events::EventType;

/// Time a network hook gets.
const HTTP_TIMEOUT: Duration = Duration::from_secs(30);

/// How a hook was begun.
enum Begun {
    /// There is none.
    No,
    /// It runs; its answer will come.
    Asked,
    /// It is a `sleep` until then.
    Sleeps(Time),
}

/// Runs the postStart hook of an instance that has just started, if it has one.
pub(crate) fn post_start(worker: &mut Worker, index: usize, cx: &mut Context<'_>) {
    let lifecycle = worker
        .pod
        .container(index)
        .and_then(|c| c.lifecycle.as_ref());
    let Some(handler) = lifecycle.and_then(|l| l.post_start.clone()) else {
        return;
    };
    let op = match run(worker, index, &handler, cx) {
        Begun::No => return,
        Begun::Asked => Op::PostStart(None),
        Begun::Sleeps(until) => Op::PostStart(Some(until)),
    };
    if let Some(slot) = worker.slots.get_mut(index) {
        slot.op = op;
    }
}

/// Runs the preStop hook of a running instance, to be given up at `until`; whether there is one.
pub(crate) fn pre_stop(
    worker: &mut Worker,
    index: usize,
    until: Time,
    cx: &mut Context<'_>,
) -> bool {
    let lifecycle = worker
        .pod
        .container(index)
        .and_then(|c| c.lifecycle.as_ref());
    let Some(handler) = lifecycle.and_then(|l| l.pre_stop.clone()) else {
        return false;
    };
    let op = match run(worker, index, &handler, cx) {
        Begun::No => return false,
        Begun::Asked => Op::PreStop(until, None),
        Begun::Sleeps(nap) => Op::PreStop(until, Some(nap)),
    };
    if let Some(slot) = worker.slots.get_mut(index) {
        slot.op = op;
    }
    true
}

fn run(worker: &mut Worker, index: usize, handler: &Handler, cx: &mut Context<'_>) -> Begun {
    let id = worker.slots.get(index).and_then(|slot| slot.id.clone());
    let (Some(id), Some(spec)) = (id, worker.pod.container(index)) else {
        return Begun::No;
    };
    let purpose = Purpose::Hook(u16::try_from(index).unwrap_or(u16::MAX));
    if let Some(sleep) = &handler.sleep {
        return Begun::Sleeps(cx.now + stop::seconds(sleep.seconds));
    }
    if let Some(exec) = &handler.exec {
        cx.cri(
            purpose,
            Call::ExecSync(id, exec.command.clone(), Duration::ZERO),
        );
        return Begun::Asked;
    }
    let Some(target) = target(handler, spec, &worker.address(cx)) else {
        return Begun::No;
    };
    let probe = Probe {
        container: id,
        target: Arc::new(target),
        timeout: HTTP_TIMEOUT,
    };
    cx.probe(purpose, probe);
    Begun::Asked
}

/// Looks at a hook that has a time: a `sleep` that is over, a grace period that is.
pub(crate) fn tick(worker: &mut Worker, index: usize, cx: &mut Context<'_>) {
    let Some(slot) = worker.slots.get_mut(index) else {
        return;
    };
    let (until, nap) = match slot.op {
        Op::PostStart(Some(nap)) if cx.now >= nap => return slot.op = Op::None,
        Op::PostStart(Some(nap)) => return cx.wake_at(nap),
        Op::PreStop(..) if !slot.is_running() => return slot.op = Op::None,
        Op::PreStop(until, nap) => (until, nap),
        _ => return,
    };
    if nap.is_some_and(|nap| cx.now >= nap) {
        return stop::signal(worker, index, until, cx);
    }
    if cx.now < until {
        return cx.wake_at(nap.map_or(until, |nap| nap.min(until)));
    }
    let text = "PreStopHook did not complete in the grace period".into();
    let pod = &worker.pod;
    cx.container_event(pod, index, EventType::Warning, "FailedPreStopHook", text);
    stop::signal(worker, index, until, cx);
}

/// A hook has ended.
pub(crate) fn finished(
    worker: &mut Worker,
    index: usize,
    result: ProbeResult,
    cx: &mut Context<'_>,
) {
    let Some(slot) = worker.slots.get_mut(index) else {
        return;
    };
    match (slot.op, result) {
        (Op::PostStart(_), ProbeResult::Success) => slot.op = Op::None,
        (Op::PostStart(_), ProbeResult::Failure(_)) => {
            slot.op = Op::None;
            slot.condemned = Some(Condemned::PostStartFailed);
            let (pod, text) = (&worker.pod, "PostStartHook failed");
            let reason = "FailedPostStartHook";
            cx.container_event(pod, index, EventType::Warning, reason, text.into());
        }
        (Op::PreStop(until, _), result) => {
            if matches!(result, ProbeResult::Failure(_)) {
                let (pod, text) = (&worker.pod, "PreStopHook failed");
                let reason = "FailedPreStopHook";
                cx.container_event(pod, index, EventType::Warning, reason, text.into());
            }
            let running = worker
                .slots
                .get(index)
                .is_some_and(|slot| slot.is_running());
            if running {
                stop::signal(worker, index, until, cx);
            } else if let Some(slot) = worker.slots.get_mut(index) {
                slot.op = Op::None;
            }
        }
        _ => {} // it was given up
    }
}

/// What an exec tells: exit code 0 is success; output of a failure goes into the event.
pub(crate) fn judge(reply: Result<Reply, Error>) -> ProbeResult {
    match reply {
        Ok(Reply::ExecSync(result)) if result.exit_code == 0 => ProbeResult::Success,
        Ok(Reply::ExecSync(result)) => {
            let mut text = String::from_utf8_lossy(&result.stdout).into_owned();
            text.push_str(&String::from_utf8_lossy(&result.stderr));
            ProbeResult::Failure(text.into())
        }
        Ok(_) => ProbeResult::Failure("the runtime answered something else".into()),
        Err(error) if error.code == Code::DeadlineExceeded => {
            ProbeResult::Failure("command timed out".into())
        }
        Err(error) => ProbeResult::Failure(error.to_string().into()),
    }
}

/// Where a network handler leads; `None` for exec, sleep, or a port name that is not there.
pub(crate) fn target(handler: &Handler, spec: &Container, address: &Arc<str>) -> Option<Target> {
    let or_pod = |host: &Arc<str>| {
        if host.is_empty() {
            address.clone()
        } else {
            host.clone()
        }
    };
    if let Some(http) = &handler.http_get {
        let path = if http.path.starts_with('/') {
            http.path.clone()
        } else {
            format!("/{}", http.path).into()
        };
        return Some(Target::Http {
            host: or_pod(&http.host),
            port: http.port.number(spec)?,
            path,
            tls: http.scheme.eq_ignore_ascii_case("https"),
            headers: http
                .http_headers
                .iter()
                .map(|h| (h.name.clone(), h.value.clone()))
                .collect(),
        });
    }
    if let Some(tcp) = &handler.tcp_socket {
        return Some(Target::Tcp {
            host: or_pod(&tcp.host),
            port: tcp.port.number(spec)?,
        });
    }
    let grpc = handler.grpc.as_ref()?;
    let service = grpc.service.clone().unwrap_or_default();
    Some(Target::Grpc {
        host: address.clone(),
        port: grpc.port,
        service,
    })
}

impl Worker {
    /// The pod's address: its sandbox's, or the node's.
    pub(crate) fn address(&self, cx: &Context<'_>) -> Arc<str> {
        match self.sandbox.ip {
            Some(ip) => ip.to_string().into(),
            None => cx.shared.config.host_ip().into(),
        }
    }
}
