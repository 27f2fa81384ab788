//! `pods/{name}/log`, `exec`, `attach`, `portforward`: the core finds the pod and says which
//! kubelet to join; the bytes are the shell's.
//!
//! Upstream: `pkg/registry/core/pod/rest/{log,subresources}.go` and `pod.LogLocation`.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use wavetank_api::json::Value;

use wavetank_api::status::{Cause, Named, quote};
use wavetank_api::{Headers, Status, Time};

use crate::call::Call;
use crate::core::{Core, Next};
use crate::metadata;
use crate::query::Query;
use crate::reply::Refusal;
use crate::route::no_such_path;
use crate::step::{LogOptions, StdStreams, Tunnel, TunnelKind};

/// What the client offers to upgrade to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Upgrade {
    /// `upgrade` header, lower case.
    pub to: String,
    /// Sub-protocols in the client's order.
    pub protocols: Vec<String>,
}

impl Upgrade {
    pub fn of(headers: &Headers) -> Self {
        let to = headers
            .value("upgrade")
            .unwrap_or_default()
            .to_ascii_lowercase();
        let names = ["sec-websocket-protocol", "x-stream-protocol-version"];
        let offers = headers.iter().filter(|(name, _)| names.contains(name));
        let protocols = offers.flat_map(|(_, value)| value.split(','));
        Upgrade {
            to,
            protocols: protocols.map(|name| name.trim().to_string()).collect(),
        }
    }
}

/// The cache is as new as the request: find the pod and its node.
pub(crate) fn connect(core: &mut Core, call: &mut Call) -> Next {
    match tunnel(core, call) {
        Ok(tunnel) => Next::Tunnel(tunnel),
        Err(refusal) => Next::Done(refusal.into()),
    }
}

fn tunnel(core: &Core, call: &Call) -> Result<Tunnel, Refusal> {
    let route = call.route.as_ref().ok_or_else(no_such_path)?;
    let pod = core.cache.get(route.kind, &route.namespace, &route.name);
    let pod = pod.ok_or_else(|| route.not_found())?.value();
    let kind = kind(route.subresource, &call.query)?;
    let container = match kind {
        TunnelKind::PortForward { .. } => String::new(),
        _ => container(&pod, &route.name, call.query.get("container"))?,
    };
    let node = pod
        .pointer("/spec/nodeName")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if node.is_empty() {
        let why = format!("pod {} does not have a host assigned", route.name);
        return Err(Status::bad_request(why).into());
    }
    Ok(Tunnel {
        node: node.to_string(),
        namespace: route.namespace.clone(),
        pod: route.name.clone(),
        uid: metadata::text(&pod, "uid").to_string(),
        container,
        kind,
        upgrade: call.upgrade.to.clone(),
        protocols: call.upgrade.protocols.clone(),
    })
}

fn kind(subresource: &str, query: &Query) -> Result<TunnelKind, Refusal> {
    let streams = StdStreams {
        stdin: query.flag("stdin"),
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        tty: query.flag("tty"),
    };
    Ok(match subresource {
        "exec" => {
            let command: Vec<String> = query.all("command").map(str::to_string).collect();
            if command.is_empty() {
                return Err(
                    Status::bad_request("you must specify at least 1 container command").into(),
                );
            }
            TunnelKind::Exec { command, streams }
        }
        "attach" => TunnelKind::Attach { streams },
        "portforward" => {
            let ports = query.all("ports").flat_map(|list| list.split(','));
            TunnelKind::PortForward {
                ports: ports.filter_map(|port| port.parse().ok()).collect(),
            }
        }
        _ => TunnelKind::Log(log_options(query)?),
    })
}

/// `ValidatePodLogOptions`.
fn log_options(query: &Query) -> Result<LogOptions, Refusal> {
    let mut causes = Vec::new();
    let mut number = |name: &str, least: i64| -> Result<Option<u64>, Refusal> {
        let Some(value) = query.number(name).map_err(Status::bad_request)? else {
            return Ok(None);
        };
        if value < least {
            let message =
                format!("Invalid value: {value}: must be greater than or equal to {least}");
            causes.push(Cause::new("FieldValueInvalid", message, name));
        }
        Ok(u64::try_from(value).ok())
    };
    let tail_lines = number("tailLines", 0)?;
    let limit_bytes = number("limitBytes", 1)?;
    let since_seconds = number("sinceSeconds", 1)?;
    let since_time = match query.get("sinceTime") {
        "" => None,
        text => Some(Time::parse(text).ok_or_else(|| {
            let message = format!("parsing time {}: cannot parse as RFC 3339", quote(text));
            Status::bad_request(message)
        })?),
    };
    if since_seconds.is_some() && since_time.is_some() {
        let message = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified";
        causes.push(Cause::new("FieldValueForbidden", message, ""));
    }
    if !causes.is_empty() {
        let of = Named {
            group: "",
            resource: "PodLogOptions",
        };
        return Err(Status::invalid(of, "", causes).into());
    }
    Ok(LogOptions {
        follow: query.flag("follow"),
        previous: query.flag("previous"),
        timestamps: query.flag("timestamps"),
        tail_lines,
        limit_bytes,
        since_seconds,
        since_time,
    })
}

/// The container asked for, or the only one.
fn container(pod: &Value, name: &str, asked: &str) -> Result<String, Refusal> {
    let names = |field: &str| -> Vec<&str> {
        let list = pod
            .get("spec")
            .and_then(|spec| spec.get(field))
            .and_then(Value::as_array);
        let list = list.into_iter().flatten();
        list.filter_map(|container| container.get("name")?.as_str())
            .collect()
    };
    let (main, init) = (names("containers"), names("initContainers"));
    let ephemeral = names("ephemeralContainers");
    if !asked.is_empty() {
        let known = main
            .iter()
            .chain(&init)
            .chain(&ephemeral)
            .any(|container| *container == asked);
        return match known {
            true => Ok(asked.to_string()),
            false => {
                let message = format!("container {asked} is not valid for pod {name}");
                Err(Status::bad_request(message).into())
            }
        };
    }
    if let ([only], []) = (main.as_slice(), init.as_slice()) {
        return Ok((*only).to_string());
    }
    let mut message = format!(
        "a container name must be specified for pod {name}, choose one of: [{}]",
        main.join(" ")
    );
    if !init.is_empty() {
        message.push_str(&format!(
            " or one of the init containers: [{}]",
            init.join(" ")
        ));
    }
    Err(Status::bad_request(message).into())
}
