//! The Node object that a kubelet writes: names, sizes, conditions.
//!
//! Called by `node.rs`.
//!
//! Book: `book/src/node/kubelet.md`.

use serde_json::{Map, Value, json};

use wavetank_api::Time;

use crate::config::{Config, Resources};
use crate::context::Shared;
use crate::node::Node;

/// `status.nodeInfo.kubeletVersion`.
pub const VERSION: &str = "v1.33.0-wavetank";
/// Most images in `status.images` (`nodeStatusMaxImages`).
const IMAGES_MAX: usize = 50;

/// The whole Node, to register.
pub(crate) fn node(node: &mut Node, shared: &Shared, now: Time) -> Value {
    let config = &shared.config;
    let mut spec = json!({});
    if !config.pod_cidr.is_empty() {
        spec["podCIDR"] = json!(&*config.pod_cidr);
        spec["podCIDRs"] = json!([&*config.pod_cidr]);
    }
    if !config.taints.is_empty() {
        spec["taints"] = json!(config.taints);
    }
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": metadata(config),
        "spec": spec,
        "status": status(node, shared, now),
    })
}

/// Name, labels and annotations.
pub(crate) fn metadata(config: &Config) -> Value {
    let mut labels = Map::new();
    for (name, value) in [
        ("beta.kubernetes.io/arch", &*config.arch),
        ("beta.kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", &*config.arch),
        ("kubernetes.io/hostname", &*config.node_name),
        ("kubernetes.io/os", "linux"),
    ] {
        labels.insert(name.into(), json!(value));
    }
    let topology = [("zone", &config.zone), ("region", &config.region)];
    for (name, value) in topology {
        if let Some(value) = value {
            labels.insert(format!("topology.kubernetes.io/{name}"), json!(&**value));
        }
    }
    let own = config
        .labels
        .iter()
        .map(|(name, value)| (name.to_string(), json!(&**value)));
    labels.extend(own);
    json!({
        "name": &*config.node_name,
        "labels": labels,
        "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
    })
}

/// `status`, with conditions as of `now`; notes what it tells.
pub(crate) fn status(node: &mut Node, shared: &Shared, now: Time) -> Value {
    let config = &shared.config;
    let internal = config.addresses.iter();
    let internal = internal.map(|ip| json!({"type": "InternalIP", "address": &**ip}));
    let hostname = json!({"type": "Hostname", "address": &*config.node_name});
    let addresses: Vec<Value> = internal.chain([hostname]).collect();
    let runtime = shared.runtime.as_ref();
    let runtime = runtime.map_or(String::new(), |v| {
        format!("{}://{}", v.runtime_name, v.runtime_version)
    });
    let images = node.images.iter().take(IMAGES_MAX);
    let images: Vec<Value> = images
        .map(|image| {
            let names: Vec<&str> = image.repo_tags.iter().map(|t| &**t).collect();
            json!({"names": names, "sizeBytes": image.size})
        })
        .collect();
    json!({
        "capacity": amounts(&config.capacity),
        "allocatable": amounts(&config.allocatable),
        "conditions": conditions(node, now),
        "addresses": addresses,
        "daemonEndpoints": {"kubeletEndpoint": {"Port": config.port}},
        "nodeInfo": {
            "machineID": machine_id(config),
            "systemUUID": machine_id(config),
            "bootID": machine_id(config),
            "kernelVersion": "6.12.0-wavetank",
            "osImage": "Wavetank",
            "containerRuntimeVersion": runtime,
            "kubeletVersion": VERSION,
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": &*config.arch,
        },
        "images": images,
    })
}

/// The same text for the same node name and seed, in the shape of a machine id.
fn machine_id(config: &Config) -> String {
    let bytes = config.node_name.bytes();
    let start = u128::from(config.seed) ^ 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    let hash = bytes.fold(start, |h, b| {
        (h ^ u128::from(b)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    });
    format!("{hash:032x}")
}

fn amounts(of: &Resources) -> Value {
    let mut amounts = json!({
        "cpu": match of.milli_cpu % 1000 {
            0 => (of.milli_cpu / 1000).to_string(),
            _ => format!("{}m", of.milli_cpu),
        },
        "memory": format!("{}Ki", of.memory / 1024),
        "ephemeral-storage": format!("{}Ki", of.ephemeral_storage / 1024),
        "pods": of.pods.to_string(),
    });
    for (name, value) in &of.extended {
        amounts[&**name] = json!(value.to_string());
    }
    amounts
}

fn conditions(node: &mut Node, now: Time) -> Value {
    let quiet = *node.quiet_since.get_or_insert(now);
    let is_ready = node.ready.is_ok();
    let since = match node.ready_told {
        Some((told, since)) if told == is_ready => since,
        _ => now,
    };
    node.ready_told = Some((is_ready, since));
    let (reason, message) = match &node.ready {
        Ok(()) => ("KubeletReady", "kubelet is posting ready status"),
        Err(text) => ("KubeletNotReady", text.as_str()),
    };
    let pressures = [
        (
            "MemoryPressure",
            "KubeletHasSufficientMemory",
            "kubelet has sufficient memory available",
        ),
        (
            "DiskPressure",
            "KubeletHasNoDiskPressure",
            "kubelet has no disk pressure",
        ),
        (
            "PIDPressure",
            "KubeletHasSufficientPID",
            "kubelet has sufficient PID available",
        ),
    ];
    let all = pressures.map(|(name, reason, message)| (name, false, quiet, reason, message));
    let all = all
        .into_iter()
        .chain([("Ready", is_ready, since, reason, message)]);
    let conditions = all.map(|(name, is_true, since, reason, message)| {
        json!({
            "type": name,
            "status": if is_true { "True" } else { "False" },
            "lastHeartbeatTime": now,
            "lastTransitionTime": since,
            "reason": reason,
            "message": message,
        })
    });
    Value::Array(conditions.collect())
}
