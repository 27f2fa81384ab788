//! The downward API: what a program may learn of its own pod, as a variable.
//!
//! Called by `environment.rs`. Upstream: `pkg/fieldpath/fieldpath.go` and
//! `pkg/api/v1/resource/helpers.go`.
//!
//! Book: `book/src/node/kubelet.md`.

use std::sync::Arc;

use wavetank_api::Quantity;

use crate::context::Shared;
use crate::pod::{Container, ResourceFieldRef};
use crate::worker::Worker;

type Text = Arc<str>;

/// A field that the downward API offers (`pkg/fieldpath`).
pub(crate) fn field(worker: &Worker, path: &str, shared: &Shared) -> Option<Text> {
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

/// The same as a file, where all labels or annotations can be asked for at once
/// (`fieldpath.FormatMap`).
pub(crate) fn file(worker: &Worker, path: &str, shared: &Shared) -> Option<Text> {
    let meta = worker.pod.meta();
    let all = match path {
        "metadata.labels" => &meta.labels,
        "metadata.annotations" => &meta.annotations,
        _ => return field(worker, path, shared),
    };
    let lines: Vec<String> = all.iter().map(|(k, v)| format!("{k}={v:?}")).collect();
    Some(lines.join("\n").into())
}

/// `limits.cpu` and so on, rounded up to the divisor; a missing limit is the node's allocatable.
pub(crate) fn resource_field(
    worker: &Worker,
    own: Option<&Container>,
    source: &ResourceFieldRef,
    shared: &Shared,
) -> Result<Text, String> {
    let ResourceFieldRef {
        container_name,
        resource,
        divisor,
    } = source;
    let mut all = worker.pod.spec().all().map(|(_, c)| c);
    let of = match container_name.is_empty() {
        true => own,
        false => all.find(|c| c.name == *container_name),
    };
    let of = of.ok_or_else(|| format!("container {container_name} not found"))?;
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
    let divisor = match divisor.as_deref() {
        None | Some("" | "0") => 1000,
        Some(text) => milli(text).map_err(|error| error.to_string())?.max(1),
    };
    Ok(value.div_ceil(divisor).to_string().into())
}
