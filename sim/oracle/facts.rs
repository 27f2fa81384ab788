//! What oracles know of an object: its metadata, and of some kinds a little more.
//!
//! Decoded from the bytes that the store committed. An object that cannot be decoded has facts
//! without a body: validity is not the business of these oracles.
//!
//! Book: `book/src/simulator/oracles.md`.

use serde::Deserialize;
use smol_str::SmolStr;
use wavetank_api::kinds::KindId;
use wavetank_api::quantity::Quantity;
use wavetank_api::selector::LabelSelector;
use wavetank_api::{Revision, StringMap, Time};

/// An object as it was committed.
#[derive(Clone, Debug)]
pub struct Fact {
    /// Its kind.
    pub kind: KindId,
    /// The revision that made it what it is.
    pub revision: Revision,
    /// The revision that created it.
    pub created_at: Revision,
    /// Its metadata.
    pub meta: MetaFact,
    /// What else is known.
    pub body: Body,
}

/// The metadata of an object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct MetaFact {
    pub name: SmolStr,
    pub namespace: SmolStr,
    pub uid: SmolStr,
    pub generation: i64,
    pub creation_timestamp: Option<Time>,
    pub deletion_timestamp: Option<Time>,
    pub deletion_grace_period_seconds: Option<i64>,
    pub finalizers: Vec<SmolStr>,
    pub owner_references: Vec<OwnerFact>,
    pub labels: StringMap,
}

/// One of the owners of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct OwnerFact {
    pub api_version: SmolStr,
    pub kind: SmolStr,
    pub name: SmolStr,
    pub uid: SmolStr,
    pub controller: Option<bool>,
    pub block_owner_deletion: Option<bool>,
}

/// What is known of some kinds besides.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "one for each kind")]
pub enum Body {
    Pod(Box<PodFact>),
    Node(NodeFact),
    ReplicaSet(WorkloadFact),
    Deployment(WorkloadFact),
    Other,
}

/// A pod.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct PodFact {
    pub node: SmolStr,
    pub phase: SmolStr,
    pub restart_policy: SmolStr,
    pub scheduler: SmolStr,
    pub is_ready: bool,
    pub is_gated: bool,
    pub requests: Amounts,
    pub restarts: u64,
}

/// CPU and memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Thousandths of a CPU.
    pub milli_cpu: i64,
    /// Bytes.
    pub memory: i64,
}

/// A node.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct NodeFact {
    pub unschedulable: bool,
    pub is_ready: bool,
    pub allocatable: Amounts,
    pub pods: i64,
    pub taints: Vec<TaintFact>,
}

/// A taint of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct TaintFact {
    pub key: SmolStr,
    pub value: SmolStr,
    pub effect: SmolStr,
}

/// A ReplicaSet or a Deployment.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct WorkloadFact {
    pub replicas: i64,
    pub selector: LabelSelector,
    /// The selector as text, to see whether it changes.
    pub selector_text: String,
    pub paused: bool,
    pub status_replicas: i64,
    pub updated_replicas: i64,
    pub available_replicas: i64,
    pub observed_generation: i64,
}

impl Fact {
    /// The facts of an object as the store has it.
    pub fn decode(kind: KindId, bytes: &[u8], revision: Revision, created_at: Revision) -> Self {
        let (meta, body) = match kind {
            KindId::Pod => written::pod(bytes),
            KindId::Node => written::node(bytes),
            KindId::ReplicaSet => written::workload(bytes, Body::ReplicaSet),
            KindId::Deployment => written::workload(bytes, Body::Deployment),
            _ => written::other(bytes),
        };
        Fact {
            kind,
            revision,
            created_at,
            meta,
            body,
        }
    }

    /// The one that controls it.
    pub fn controller(&self) -> Option<&OwnerFact> {
        let mut owners = self.meta.owner_references.iter();
        owners.find(|owner| owner.controller == Some(true))
    }

    /// Whether it is being deleted.
    pub fn is_terminating(&self) -> bool {
        self.meta.deletion_timestamp.is_some()
    }

    /// The pod that it is.
    pub fn pod(&self) -> Option<&PodFact> {
        match &self.body {
            Body::Pod(pod) => Some(pod),
            _ => None,
        }
    }

    /// Whether it is a pod that is neither over nor being deleted.
    pub fn is_active_pod(&self) -> bool {
        self.pod().is_some_and(|pod| !pod.is_over()) && !self.is_terminating()
    }

    /// The ReplicaSet or Deployment that it is.
    pub fn workload(&self) -> Option<&WorkloadFact> {
        match &self.body {
            Body::ReplicaSet(workload) | Body::Deployment(workload) => Some(workload),
            _ => None,
        }
    }
}

impl PodFact {
    /// Whether it has ended for good.
    pub fn is_over(&self) -> bool {
        self.phase == "Succeeded" || self.phase == "Failed"
    }
}

/// The form in which objects are written, as far as it is read here.
mod written {
    use super::*;

    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Object<S, T> {
        metadata: MetaFact,
        spec: Option<S>,
        status: Option<T>,
    }

    /// Passes over what is there.
    type Unread = serde::de::IgnoredAny;

    fn read<'de, S, T>(bytes: &'de [u8]) -> (MetaFact, S, T)
    where
        S: Deserialize<'de> + Default,
        T: Deserialize<'de> + Default,
    {
        let object: Object<S, T> = serde_json::from_slice(bytes).unwrap_or_else(|_| Object {
            metadata: MetaFact::default(),
            spec: None,
            status: None,
        });
        let (spec, status) = (object.spec, object.status);
        (
            object.metadata,
            spec.unwrap_or_default(),
            status.unwrap_or_default(),
        )
    }

    pub fn other(bytes: &[u8]) -> (MetaFact, Body) {
        let (meta, ..) = read::<Unread, Unread>(bytes);
        (meta, Body::Other)
    }

    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct PodSpec {
        node_name: SmolStr,
        restart_policy: SmolStr,
        scheduler_name: SmolStr,
        containers: Vec<Container>,
        scheduling_gates: Vec<Unread>,
    }

    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Container {
        resources: Resources,
    }

    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Resources {
        requests: WrittenAmounts,
    }

    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct WrittenAmounts {
        cpu: SmolStr,
        memory: SmolStr,
        pods: SmolStr,
    }

    fn amount(text: &str) -> Quantity {
        Quantity::parse(text).unwrap_or(Quantity::ZERO)
    }

    impl WrittenAmounts {
        fn amounts(&self) -> Amounts {
            Amounts {
                milli_cpu: amount(&self.cpu).milli_value(),
                memory: amount(&self.memory).value(),
            }
        }
    }

    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct PodStatus {
        phase: SmolStr,
        conditions: Vec<Condition>,
        container_statuses: Vec<ContainerStatus>,
        init_container_statuses: Vec<ContainerStatus>,
    }

    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct ContainerStatus {
        restart_count: u64,
    }

    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Condition {
        r#type: SmolStr,
        status: SmolStr,
    }

    fn is_ready(conditions: &[Condition]) -> bool {
        let mut ready = conditions.iter().filter(|each| each.r#type == "Ready");
        ready.any(|each| each.status == "True")
    }

    pub fn pod(bytes: &[u8]) -> (MetaFact, Body) {
        let (meta, spec, status) = read::<PodSpec, PodStatus>(bytes);
        let mut requests = Amounts::default();
        for container in &spec.containers {
            let more = container.resources.requests.amounts();
            requests.milli_cpu += more.milli_cpu;
            requests.memory += more.memory;
        }
        let all = status.container_statuses.iter();
        let all = all.chain(&status.init_container_statuses);
        let pod = PodFact {
            restarts: all.map(|each| each.restart_count).sum(),
            is_ready: is_ready(&status.conditions),
            is_gated: !spec.scheduling_gates.is_empty(),
            node: spec.node_name,
            phase: status.phase,
            restart_policy: spec.restart_policy,
            scheduler: spec.scheduler_name,
            requests,
        };
        (meta, Body::Pod(Box::new(pod)))
    }

    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct NodeSpec {
        unschedulable: bool,
        taints: Vec<TaintFact>,
    }

    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct NodeStatus {
        allocatable: WrittenAmounts,
        conditions: Vec<Condition>,
    }

    pub fn node(bytes: &[u8]) -> (MetaFact, Body) {
        let (meta, spec, status) = read::<NodeSpec, NodeStatus>(bytes);
        let node = NodeFact {
            unschedulable: spec.unschedulable,
            is_ready: is_ready(&status.conditions),
            allocatable: status.allocatable.amounts(),
            pods: amount(&status.allocatable.pods).value(),
            taints: spec.taints,
        };
        (meta, Body::Node(node))
    }

    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct WorkloadSpec {
        replicas: Option<i64>,
        selector: Option<Box<serde_json::value::RawValue>>,
        paused: bool,
    }

    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct WorkloadStatus {
        replicas: i64,
        updated_replicas: i64,
        available_replicas: i64,
        observed_generation: i64,
    }

    pub fn workload(bytes: &[u8], body: fn(WorkloadFact) -> Body) -> (MetaFact, Body) {
        let (meta, spec, status) = read::<WorkloadSpec, WorkloadStatus>(bytes);
        let text = spec
            .selector
            .map_or("{}".into(), |raw| raw.get().to_owned());
        let workload = WorkloadFact {
            replicas: spec.replicas.unwrap_or(1),
            selector: serde_json::from_str(&text).unwrap_or_default(),
            selector_text: text,
            paused: spec.paused,
            status_replicas: status.replicas,
            updated_replicas: status.updated_replicas,
            available_replicas: status.available_replicas,
            observed_generation: status.observed_generation,
        };
        (meta, body(workload))
    }
}
