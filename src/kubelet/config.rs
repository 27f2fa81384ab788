//! What a kubelet is told about its machine before it starts.
//!
//! Read by every part of the crate, changed by none. Upstream: `KubeletConfiguration` and flags.
//!
//! Book: `book/src/node/kubelet.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use wavetank_api::Guards;

/// One node: its names, sizes and addresses.
#[derive(Clone, Debug)]
pub struct Config {
    /// `metadata.name` of the Node, and its hostname.
    pub node_name: Arc<str>,
    /// Labels beyond those that every node has.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// Taints to register with, as JSON objects of `spec.taints`.
    pub taints: Vec<serde_json::Value>,
    /// `status.capacity`.
    pub capacity: Resources,
    /// `status.allocatable`: what pods may request in all.
    pub allocatable: Resources,
    /// `InternalIP`s, at least one: the first is `hostIP`.
    pub addresses: Vec<Arc<str>>,
    /// `topology.kubernetes.io/zone`, if any.
    pub zone: Option<Arc<str>>,
    /// `topology.kubernetes.io/region`, if any.
    pub region: Option<Arc<str>>,
    /// `spec.podCIDR`.
    pub pod_cidr: Arc<str>,
    /// `kubernetes.io/arch`: Go's names (`amd64`).
    pub arch: Arc<str>,
    /// `status.daemonEndpoints.kubeletEndpoint.Port`.
    pub port: u16,
    /// Spreads heartbeats and probes of many nodes; the same seed gives the same history.
    pub seed: u64,
    /// The guards that are kept.
    pub guards: Guards,
}

/// Amounts of what a node has or a pod requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// CPU in thousandths of a core.
    pub milli_cpu: u64,
    /// Memory in bytes.
    pub memory: u64,
    /// Local storage in bytes.
    pub ephemeral_storage: u64,
    /// Number of pods.
    pub pods: u64,
    /// Everything else by name (`nvidia.com/gpu`).
    pub extended: BTreeMap<Arc<str>, u64>,
}

impl Config {
    /// A machine of four cores, 16 GiB and 110 pods called `node_name` at `address`.
    pub fn new(
        node_name: impl Into<Arc<str>>,
        address: impl Into<Arc<str>>,
        pod_cidr: impl Into<Arc<str>>,
    ) -> Self {
        let size = Resources {
            milli_cpu: 4_000,
            memory: 16 << 30,
            ephemeral_storage: 100 << 30,
            pods: 110,
            extended: BTreeMap::new(),
        };
        Config {
            node_name: node_name.into(),
            labels: BTreeMap::new(),
            taints: Vec::new(),
            capacity: size.clone(),
            allocatable: size,
            addresses: vec![address.into()],
            zone: None,
            region: None,
            pod_cidr: pod_cidr.into(),
            arch: "amd64".into(),
            port: 10250,
            seed: 0,
            guards: Guards::default(),
        }
    }

    /// The node's first address, which is `hostIP` of its pods; empty if it has none.
    pub fn host_ip(&self) -> &str {
        self.addresses.first().map_or("", |a| a)
    }
}
