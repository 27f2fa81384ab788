//! A pod as scheduling sees it: who it is, where it is, and what its template asks for.
//!
//! What comes from the template ([`PodSpec`]) is shared between all pods of equal templates, so
//! that a bound pod costs its names and a few pointers. Reflector, cache and queue hold the same
//! `Arc<Pod>`; plugins read it.
//!
//! 1. `PodSpec::requests` is what upstream's `resource.PodRequests` computes.
//!
//! Left out: volumes, resource claims, pod-level resources, in-place resize.
//!
//! Book: `book/src/scheduler/cache.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use wavetank_api::{Revision, StringMap, Time, Uid};
use wavetank_informer::intern::Pool;
use wavetank_informer::{Cached, Object};

use crate::node::{Effect, Taint};
use crate::resource::{Bytes, MilliCpu, Quantity, Resources};
use crate::selector::{NodeSelector, Operator, Preference, Requirement, Term};

/// What a container without a request counts as when nodes are scored
/// (`pkg/scheduler/util/pod_resources.go`): 0.1 cores and 200 MiB.
pub const ASSUMED_REQUEST: (MilliCpu, Bytes) = (MilliCpu(100), Bytes(200 * 1024 * 1024));

/// The view of a Pod that the scheduler works with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// `metadata.namespace`.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
    /// `metadata.uid`.
    pub uid: Uid,
    /// `metadata.resourceVersion`; orders what caches say about one uid.
    pub revision: Revision,
    /// `metadata.labels`.
    pub labels: StringMap,
    /// `metadata.creationTimestamp`.
    pub created: Time,
    /// Whether `metadata.deletionTimestamp` is set.
    pub is_terminating: bool,
    /// Whether `status.phase` is Succeeded or Failed: it holds no resources any more.
    pub is_finished: bool,
    /// `spec.nodeName`; on an assumed pod the node it is assumed on.
    pub node_name: Option<Arc<str>>,
    /// `status.nominatedNodeName`.
    pub nominated_node_name: Option<Arc<str>>,
    /// What the template says.
    pub spec: Arc<PodSpec>,
}

impl Pod {
    /// `namespace/name`, as messages name a pod.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// The same pod on a node.
    pub fn on(&self, node: &Arc<str>) -> Pod {
        Pod {
            node_name: Some(Arc::clone(node)),
            ..self.clone()
        }
    }
}

impl Cached for Pod {
    type Wire = Object<PodObject>;

    fn new(Object { mut meta, view }: Self::Wire, pool: &mut Pool) -> Self {
        pool.share_header(&mut meta);
        let PodObject { spec, status } = view;
        let mut own = Arc::new(PodSpec::new(&spec));
        pool.share(&mut own);
        let mut name = |mut name: Arc<str>| {
            pool.share(&mut name);
            (!name.is_empty()).then_some(name)
        };
        Pod {
            node_name: name(spec.node_name),
            nominated_node_name: name(status.nominated_node_name),
            created: meta.creation_timestamp.unwrap_or_default(),
            is_terminating: meta.is_terminating(),
            is_finished: matches!(&*status.phase, "Succeeded" | "Failed"),
            namespace: meta.namespace,
            name: meta.name,
            uid: meta.uid,
            revision: meta.resource_version,
            labels: meta.labels,
            spec: own,
        }
    }

    fn namespace(&self) -> &Arc<str> {
        &self.namespace
    }

    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn uid(&self) -> &Uid {
        &self.uid
    }

    fn revision(&self) -> Revision {
        self.revision
    }
}

/// Which taints a pod puts up with (`v1.Toleration`).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct Toleration {
    pub key: Arc<str>,
    pub operator: TolerationOperator,
    pub value: Arc<str>,
    /// `None` tolerates every effect.
    pub effect: Option<Effect>,
}

/// `v1.TolerationOperator`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum TolerationOperator {
    /// Key and value must be the same.
    #[default]
    Equal,
    /// The key is enough; with an empty key, any taint.
    Exists,
}

impl Toleration {
    /// Whether it covers the taint (`v1.Toleration.ToleratesTaint`).
    pub fn tolerates(&self, taint: &Taint) -> bool {
        self.effect.is_none_or(|effect| effect == taint.effect)
            && (self.key.is_empty() || self.key == taint.key)
            && match self.operator {
                TolerationOperator::Equal => self.value == taint.value,
                TolerationOperator::Exists => true,
            }
    }
}

/// Transport of a host port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[allow(missing_docs, reason = "the names are those of the API")]
pub enum Protocol {
    #[default]
    #[serde(rename = "TCP")]
    Tcp,
    #[serde(rename = "UDP")]
    Udp,
    #[serde(rename = "SCTP")]
    Sctp,
}

/// A port of the node that a pod takes for itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// `hostPort`.
    pub port: u16,
    /// `protocol`.
    pub protocol: Protocol,
    /// `hostIP`; `None` is every address (empty and `0.0.0.0` alike).
    pub ip: Option<Arc<str>>,
}

impl HostPort {
    /// Whether both cannot be on one node.
    pub fn conflicts_with(&self, other: &HostPort) -> bool {
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip.is_none() || other.ip.is_none() || self.ip == other.ip)
    }
}

/// What the template asks for; equal templates share one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodSpec {
    /// `schedulerName`.
    pub scheduler_name: Arc<str>,
    /// `priority`.
    pub priority: i32,
    /// `preemptionPolicy: Never`.
    pub never_preempts: bool,
    /// `schedulingGates[].name`.
    pub scheduling_gates: Vec<Arc<str>>,
    /// What the pod takes from a node.
    pub requests: Resources,
    /// CPU and memory with [`ASSUMED_REQUEST`] for each container without a request.
    pub scoring_requests: (MilliCpu, Bytes),
    /// `tolerations`.
    pub tolerations: Vec<Toleration>,
    /// `nodeSelector` as one term; `None` when empty.
    pub node_selector: Option<Term>,
    /// `affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution`.
    pub required_nodes: Option<NodeSelector>,
    /// `affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution`.
    pub preferred_nodes: Vec<Preference>,
    /// `hostPort`s of all containers.
    pub host_ports: Vec<HostPort>,
    /// Images of init and other containers, in order, with `:latest` where no tag was given.
    pub images: Vec<Arc<str>>,
}

impl PodSpec {
    /// Whether the taint is tolerated.
    pub fn tolerates(&self, taint: &Taint) -> bool {
        self.tolerations
            .iter()
            .any(|toleration| toleration.tolerates(taint))
    }

    fn new(spec: &PodObjectSpec) -> Self {
        let scoring = pod_requests(spec, Some(ASSUMED_REQUEST));
        let affinity = spec
            .affinity
            .as_ref()
            .and_then(|affinity| affinity.node_affinity.as_ref());
        let all = || spec.init_containers.iter().chain(&spec.containers);
        PodSpec {
            requests: pod_requests(spec, None),
            scoring_requests: (scoring.cpu, scoring.memory),
            node_selector: node_selector_term(&spec.node_selector),
            required_nodes: affinity.and_then(|affinity| affinity.required.clone()),
            preferred_nodes: affinity.map_or(Vec::new(), |affinity| affinity.preferred.clone()),
            host_ports: all().flat_map(host_ports).collect(),
            images: all()
                .map(|container| image_name(&container.image))
                .collect(),
            scheduler_name: spec.scheduler_name.clone(),
            priority: spec.priority,
            never_preempts: spec.preemption_policy.as_ref() == "Never",
            scheduling_gates: spec
                .scheduling_gates
                .iter()
                .map(|gate| gate.name.clone())
                .collect(),
            tolerations: spec.tolerations.clone(),
        }
    }
}

fn node_selector_term(labels: &BTreeMap<Arc<str>, Arc<str>>) -> Option<Term> {
    let require = |(key, value): (&Arc<str>, &Arc<str>)| Requirement {
        key: key.clone(),
        operator: Operator::In,
        values: vec![value.clone()],
    };
    let match_expressions: Vec<_> = labels.iter().map(require).collect();
    (!match_expressions.is_empty()).then(|| Term {
        match_expressions,
        match_fields: Vec::new(),
    })
}

/// Sums requests as `k8s.io/component-helpers/resource.PodRequests`: the containers together with
/// the sidecars, or the most that any step of initialisation needs, whichever is more; and
/// overhead.
fn pod_requests(spec: &PodObjectSpec, assumed: Option<(MilliCpu, Bytes)>) -> Resources {
    let of = |container: &PodObjectContainer| container_requests(container, assumed);
    let mut total = Resources::default();
    for container in &spec.containers {
        total.add(&of(container));
    }
    let mut sidecars = Resources::default();
    let mut initialising = Resources::default();
    for container in &spec.init_containers {
        let mut step = of(container);
        if container.restart_policy.as_ref() == "Always" {
            total.add(&step);
            sidecars.add(&step);
            step = sidecars.clone();
        } else {
            step.add(&sidecars);
        }
        initialising.raise_to(&step);
    }
    total.raise_to(&initialising);
    total.add(&Resources::parse(&spec.overhead));
    total
}

fn container_requests(
    container: &PodObjectContainer,
    assumed: Option<(MilliCpu, Bytes)>,
) -> Resources {
    let list = &container.resources.requests;
    let mut requests = Resources::parse(list);
    if let Some((cpu, memory)) = assumed {
        if !list.contains_key("cpu") {
            requests.cpu = cpu;
        }
        if !list.contains_key("memory") {
            requests.memory = memory;
        }
    }
    requests
}

fn host_ports(container: &PodObjectContainer) -> impl Iterator<Item = HostPort> {
    container
        .ports
        .iter()
        .filter(|port| port.host_port != 0)
        .map(|port| HostPort {
            port: port.host_port,
            protocol: port.protocol,
            ip: Some(&port.host_ip)
                .filter(|ip| !matches!(ip.as_ref(), "" | "0.0.0.0"))
                .cloned(),
        })
}

/// The name under which nodes report an image: `:latest` where the last part has no tag.
fn image_name(image: &Arc<str>) -> Arc<str> {
    match (image.rfind(':'), image.rfind('/')) {
        (Some(colon), Some(slash)) if colon > slash => Arc::clone(image),
        (Some(_), None) => Arc::clone(image),
        _ => format!("{image}:latest").into(),
    }
}

/// The fields of a Pod object, beyond its header, that the view is made from.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct PodObject {
    pub spec: PodObjectSpec,
    pub status: PodObjectStatus,
}

/// `spec` of a [`PodObject`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct PodObjectSpec {
    pub node_name: Arc<str>,
    pub scheduler_name: Arc<str>,
    pub priority: i32,
    pub preemption_policy: Arc<str>,
    pub scheduling_gates: Vec<PodObjectGate>,
    pub containers: Vec<PodObjectContainer>,
    pub init_containers: Vec<PodObjectContainer>,
    pub overhead: BTreeMap<Arc<str>, Quantity>,
    pub tolerations: Vec<Toleration>,
    pub node_selector: BTreeMap<Arc<str>, Arc<str>>,
    pub affinity: Option<PodObjectAffinity>,
}

/// `status` of a [`PodObject`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct PodObjectStatus {
    pub phase: Arc<str>,
    pub nominated_node_name: Arc<str>,
}

/// `spec.schedulingGates[]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct PodObjectGate {
    pub name: Arc<str>,
}

/// `spec.containers[]` and `spec.initContainers[]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct PodObjectContainer {
    pub image: Arc<str>,
    pub restart_policy: Arc<str>,
    pub resources: PodObjectResources,
    pub ports: Vec<PodObjectPort>,
}

/// `resources` of a container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct PodObjectResources {
    pub requests: BTreeMap<Arc<str>, Quantity>,
}

/// `ports[]` of a container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct PodObjectPort {
    #[serde(rename = "hostPort")]
    pub host_port: u16,
    pub protocol: Protocol,
    #[serde(rename = "hostIP")]
    pub host_ip: Arc<str>,
}

/// `spec.affinity`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the API")]
pub struct PodObjectAffinity {
    pub node_affinity: Option<PodObjectNodeAffinity>,
}

/// `spec.affinity.nodeAffinity`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are those of the API, shortened")]
pub struct PodObjectNodeAffinity {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    pub required: Option<NodeSelector>,
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution")]
    pub preferred: Vec<Preference>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(json: &str) -> Pod {
        Pod::new(
            Object::decode(json.as_bytes()).unwrap(),
            &mut Pool::default(),
        )
    }

    #[test]
    fn requests_are_those_of_the_hungriest_moment() {
        let pod = pod(r#"{"spec":{"overhead":{"cpu":"10m"},
            "initContainers":[
              {"image":"a","restartPolicy":"Always","resources":{"requests":{"cpu":"200m"}}},
              {"image":"b","resources":{"requests":{"cpu":"1"}}}],
            "containers":[
              {"image":"c","resources":{"requests":{"cpu":"300m","memory":"1Mi"}}}]}}"#);
        assert_eq!(pod.spec.requests.cpu, MilliCpu(1210));
        assert_eq!(pod.spec.requests.memory, Bytes(1 << 20));
        let mib = 1 << 20;
        assert_eq!(
            pod.spec.scoring_requests,
            (MilliCpu(1210), Bytes(400 * mib))
        );
    }

    #[test]
    fn images_get_the_tag_nodes_report_them_with() {
        let rows = [
            ("nginx", "nginx:latest"),
            ("nginx:1.27", "nginx:1.27"),
            ("host:5000/nginx", "host:5000/nginx:latest"),
            ("host:5000/nginx:1", "host:5000/nginx:1"),
        ];
        for (given, expected) in rows {
            assert_eq!(image_name(&given.into()).as_ref(), expected);
        }
    }

    #[test]
    fn equal_templates_are_one() {
        let mut pool = Pool::default();
        let json = r#"{"metadata":{"name":"a"},"spec":{"containers":[{"image":"x"}]}}"#;
        let a = Pod::new(Object::decode(json.as_bytes()).unwrap(), &mut pool);
        let json = json.replace("\"a\"", "\"b\"");
        let b = Pod::new(Object::decode(json.as_bytes()).unwrap(), &mut pool);
        assert!(Arc::ptr_eq(&a.spec, &b.spec));
    }
}
