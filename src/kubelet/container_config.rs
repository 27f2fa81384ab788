//! What the runtime is asked for: a container's spec with its environment filled in.
//!
//! Called by `start.rs`. Upstream: `pkg/kubelet/kuberuntime/labels.go` and
//! `kuberuntime_container.go` (generateContainerConfig).
//!
//! 1. A reference that cannot be resolved is an error that the pod's status shows; the container is
//!    not made without it.
//!
//! Book: `book/src/node/kubelet.md`.

use std::sync::Arc;

use wavetank_api::Quantity;
use wavetank_cri::container::{ContainerMetadata, LinuxContainerResources};
use wavetank_cri::{ContainerConfig, names};

use crate::context::Shared;
use crate::environment::{environment, expand};
use crate::pod::Container;
use crate::volumes;
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
    let expand = |words: &[Text]| words.iter().map(|w| expand(w, &envs)).collect();
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
        stdin: spec.stdin,
        stdin_once: spec.stdin_once,
        tty: spec.tty,
        mounts: volumes::mounts(worker, spec, &envs)?,
        envs: envs.into_iter().collect(),
    })
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
