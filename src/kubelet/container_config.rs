//! What the runtime is asked for: a container's spec with its environment filled in.
//!
//! Called by `start.rs`. Upstream: `pkg/kubelet/kubelet_pods.go` (makeEnvironmentVariables) and
//! `pkg/kubelet/kuberuntime/labels.go`.
//!
//! 1. A reference that cannot be resolved is an error that the pod's status shows; the container is
//!    not made without it.
//!
//! Left out: values from ConfigMaps and Secrets (their objects are not read here yet; an optional
//! reference counts as absent), variables of services.
//!
//! Book: `book/src/node/kubelet.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use wavetank_api::Quantity;
use wavetank_cri::container::{ContainerMetadata, LinuxContainerResources};
use wavetank_cri::{ContainerConfig, names};

use crate::context::Shared;
use crate::pod::{Container, EnvSource, EnvVar};
use crate::worker::Worker;

type Text = Arc<str>;

/// The configuration of a slot's next instance, or why it cannot be made.
pub(crate) fn container_config(
    worker: &Worker,
    index: usize,
    shared: &Shared,
) -> Result<ContainerConfig, String> {
    let (Some(slot), Some(spec)) = (worker.slots.get(index), worker.pod.container(index)) else {
        return Err("no such container".into());
    };
    let attempt = slot.next_restarts();
    let envs = environment(worker, spec, shared)?;
    let known: BTreeMap<&str, &str> = envs.iter().map(|(n, v)| (&**n, &**v)).collect();
    let expand = |words: &[Text]| words.iter().map(|w| expand(w, &known)).collect();
    let meta = worker.pod.meta();
    let labels = [
        (names::POD_NAME, &meta.name),
        (names::POD_NAMESPACE, &meta.namespace),
        (names::POD_UID, &meta.uid.0),
        (names::CONTAINER_NAME, &spec.name),
    ];
    let annotations = [
        (names::CONTAINER_HASH, format!("{:x}", spec.hash())),
        (names::RESTART_COUNT, attempt.to_string()),
        (names::GRACE_PERIOD, worker.pod.grace_seconds().to_string()),
        (names::CONTAINER_KIND, slot.kind.as_str().to_string()),
    ];
    Ok(ContainerConfig {
        metadata: ContainerMetadata {
            name: spec.name.clone(),
            attempt,
        },
        image: spec.image.clone(),
        command: expand(&spec.command),
        args: expand(&spec.args),
        working_dir: spec.working_dir.clone(),
        labels: labels
            .into_iter()
            .map(|(k, v)| (k.into(), v.clone()))
            .collect(),
        annotations: annotations
            .into_iter()
            .map(|(k, v)| (k.into(), v.into()))
            .collect(),
        resources: resources(spec),
        envs,
    })
}

fn environment(
    worker: &Worker,
    spec: &Container,
    shared: &Shared,
) -> Result<Vec<(Text, Text)>, String> {
    for source in &spec.env_from {
        let required = |r: &crate::pod::KeyRef| !r.optional;
        if let Some(from) = source.config_map_ref.as_ref().filter(|r| required(r)) {
            return Err(format!(
                "configmap \"{}\" cannot be read on this node",
                from.name
            ));
        }
        if let Some(from) = source.secret_ref.as_ref().filter(|r| required(r)) {
            return Err(format!(
                "secret \"{}\" cannot be read on this node",
                from.name
            ));
        }
    }
    let mut known: BTreeMap<Text, Text> = BTreeMap::new();
    let mut envs = Vec::with_capacity(spec.env.len());
    for variable in &spec.env {
        let view: BTreeMap<&str, &str> = known.iter().map(|(n, v)| (&**n, &**v)).collect();
        let value = match &variable.value_from {
            None => Some(expand(&variable.value, &view)),
            Some(source) => resolve(worker, spec, variable, source, shared)?,
        };
        if let Some(value) = value {
            known.insert(variable.name.clone(), value.clone());
            envs.push((variable.name.clone(), value));
        }
    }
    Ok(envs)
}

fn resolve(
    worker: &Worker,
    spec: &Container,
    variable: &EnvVar,
    source: &EnvSource,
    shared: &Shared,
) -> Result<Option<Text>, String> {
    match source {
        EnvSource::FieldRef { field_path } => field(worker, field_path, shared)
            .map(Some)
            .ok_or_else(|| format!("unsupported fieldPath: {field_path}")),
        EnvSource::ResourceFieldRef {
            container_name,
            resource,
            divisor,
        } => {
            let mut all = worker.pod.spec().all().map(|(_, c)| c);
            let named = all.find(|c| c.name == *container_name);
            let of = if container_name.is_empty() {
                Some(spec)
            } else {
                named
            };
            let of = of.ok_or_else(|| format!("container {container_name} not found"))?;
            resource_field(of, resource, divisor.as_deref(), shared).map(Some)
        }
        EnvSource::ConfigMapKeyRef(key) | EnvSource::SecretKeyRef(key) if key.optional => Ok(None),
        EnvSource::ConfigMapKeyRef(key) | EnvSource::SecretKeyRef(key) => Err(format!(
            "value of {} cannot be read on this node: key {} of \"{}\"",
            variable.name, key.key, key.name
        )),
    }
}

/// A field that the downward API offers (`pkg/fieldpath`).
fn field(worker: &Worker, path: &str, shared: &Shared) -> Option<Text> {
    let (meta, spec) = (worker.pod.meta(), worker.pod.spec());
    let quoted = |prefix: &str| path.strip_prefix(prefix)?.strip_suffix("']");
    if let Some(name) = quoted("metadata.labels['") {
        return Some(meta.labels.get(name).cloned().unwrap_or_default());
    }
    if let Some(name) = quoted("metadata.annotations['") {
        return Some(meta.annotations.get(name).cloned().unwrap_or_default());
    }
    let host = || Text::from(shared.config.host_ip());
    let pod_ip = || {
        worker
            .sandbox
            .ip
            .map_or_else(host, |ip| ip.to_string().into())
    };
    Some(match path {
        "metadata.name" => meta.name.clone(),
        "metadata.namespace" => meta.namespace.clone(),
        "metadata.uid" => meta.uid.0.clone(),
        "spec.nodeName" => shared.config.node_name.clone(),
        "spec.serviceAccountName" => spec.service_account_name.clone(),
        "status.hostIP" | "status.hostIPs" => host(),
        "status.podIP" | "status.podIPs" => pod_ip(),
        _ => return None,
    })
}

/// `limits.cpu` and so on, rounded up to the divisor; a missing limit is the node's allocatable.
fn resource_field(
    of: &Container,
    resource: &str,
    divisor: Option<&str>,
    shared: &Shared,
) -> Result<Text, String> {
    let unsupported = || format!("unsupported container resource : {resource}");
    let (list, name) = resource.split_once('.').ok_or_else(unsupported)?;
    let node = &shared.config.allocatable;
    let (values, default) = match (list, name) {
        ("limits", "cpu") => (&of.resources.limits, node.milli_cpu),
        ("limits", "memory") => (&of.resources.limits, node.memory.saturating_mul(1000)),
        ("limits", "ephemeral-storage") => (
            &of.resources.limits,
            node.ephemeral_storage.saturating_mul(1000),
        ),
        ("requests", _) => (&of.resources.requests, 0),
        _ => return Err(unsupported()),
    };
    let milli = |text: &str| Quantity::parse(text).map(|q| q.milli_value().unsigned_abs());
    let value = match values.get(name) {
        Some(text) => milli(text).map_err(|error| error.to_string())?,
        None => default,
    };
    let divisor = match divisor {
        None | Some("" | "0") => 1000,
        Some(text) => milli(text).map_err(|error| error.to_string())?.max(1),
    };
    Ok(value.div_ceil(divisor).to_string().into())
}

/// Replaces `$(NAME)` by the variable's value; `$$` is a dollar sign, an unknown name stays
/// (`third_party/forked/golang/expansion`).
fn expand(text: &Text, known: &BTreeMap<&str, &str>) -> Text {
    if !text.contains('$') {
        return text.clone();
    }
    let (mut out, mut rest) = (String::with_capacity(text.len()), &**text);
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        rest = if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            tail
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|a| a.split_once(')')) {
            match known.get(name) {
                Some(value) => out.push_str(value),
                None => out.push_str(&format!("$({name})")),
            }
            tail
        } else {
            out.push('$');
            after
        };
    }
    out.push_str(rest);
    out.into()
}

/// Shares, quota and limit as the cgroups want them (`pkg/kubelet/cm/helpers_linux.go`).
fn resources(spec: &Container) -> LinuxContainerResources {
    let (limits, requests) = (&spec.resources.limits, &spec.resources.requests);
    let parse = |text: Option<&Text>| text.and_then(|t| Quantity::parse(t).ok());
    let cpu_limit = parse(limits.get("cpu")).map_or(0, Quantity::milli_value);
    let cpu_request = parse(requests.get("cpu")).map_or(cpu_limit, Quantity::milli_value);
    LinuxContainerResources {
        cpu_quota: if cpu_limit > 0 {
            (cpu_limit.saturating_mul(100)).max(1000)
        } else {
            0
        },
        cpu_shares: (cpu_request.saturating_mul(1024) / 1000).clamp(2, 262_144),
        memory_limit_in_bytes: parse(limits.get("memory")).map_or(0, Quantity::value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_to_variables_are_expanded_as_upstream_expands_them() {
        let known = BTreeMap::from([("A", "x"), ("B", "y z")]);
        for (text, want) in [
            ("plain", "plain"),
            ("$(A)-$(B)", "x-y z"),
            ("$(C)", "$(C)"),
            ("$$(A)", "$(A)"),
            ("cost: $5 $", "cost: $5 $"),
            ("$(A", "$(A"),
        ] {
            assert_eq!(&*expand(&text.into(), &known), want, "{text}");
        }
    }
}
