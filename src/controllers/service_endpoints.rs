//! Which pods stand behind a Service, on which ports, and in which state.
//!
//! Pure: shared by the two controllers that publish it, [`crate::endpoint_slice`] and
//! [`crate::endpoints`]. Upstream: `staging/src/k8s.io/endpointslice/utils.go`.
//!
//! 1. A pod that has finished, or has no address, or is not bound, is no endpoint (M75).
//! 2. The result is in the order of pod names: the same state gives the same result.
//!
//! Left out: IPv6 and dual stack; the service's `trafficDistribution`.
//!
//! Book: `book/src/controllers/endpoints.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use wavetank_api::KindId;
use wavetank_informer::{Guard, Guards, Key, Object};

use crate::informers::Informers;
use crate::pods::is_finished;
use crate::views::{Endpoint, EndpointConditions, EndpointSlicePort, Pod, Service, TargetRef};

/// Endpoints by the ports they serve: pods whose named ports have different numbers stand in
/// different groups.
pub type Groups = BTreeMap<Vec<EndpointSlicePort>, Vec<Endpoint>>;

/// The endpoints of a Service with a selector.
pub fn groups(service: &Object<Service>, world: &Informers, guards: Guards) -> Groups {
    let mut groups = Groups::new();
    let selector = &service.view.spec.selector;
    let selected = |pod: &&Arc<Object<Pod>>| {
        selector
            .iter()
            .all(|(key, value)| pod.meta.labels.get(key) == Some(value))
    };
    for pod in world
        .pods
        .cache()
        .in_namespace(&service.meta.namespace)
        .filter(selected)
    {
        let status = &pod.view.status;
        let is_over = is_finished(pod) && guards.on(Guard::M75);
        if status.pod_ip.is_empty() || pod.view.spec.node_name.is_empty() || is_over {
            continue;
        }
        let ports = ports(service, pod);
        groups
            .entry(ports)
            .or_default()
            .push(endpoint(service, pod, world));
    }
    groups
}

fn endpoint(service: &Object<Service>, pod: &Object<Pod>, world: &Informers) -> Endpoint {
    let serving = pod.view.status.ready.is_ready;
    let terminating = pod.meta.is_terminating();
    let published = service.view.spec.publish_not_ready_addresses;
    let node_name = pod.view.spec.node_name.clone();
    let node = world.nodes.cache().get(&Key::cluster(node_name.clone()));
    let zone = node.and_then(|node| node.meta.labels.get("topology.kubernetes.io/zone"));
    Endpoint {
        addresses: vec![pod.view.status.pod_ip.clone()],
        conditions: EndpointConditions {
            ready: Some(published || (serving && !terminating)),
            serving: Some(serving),
            terminating: Some(terminating),
        },
        hostname: None,
        node_name: Some(node_name),
        zone: zone.cloned(),
        target_ref: Some(TargetRef {
            kind: KindId::Pod.info().kind.into(),
            namespace: pod.meta.namespace.clone(),
            name: pod.meta.name.clone(),
            uid: pod.meta.uid.clone(),
        }),
    }
}

/// The ports of a service as this pod serves them; a named port that the pod lacks is left out.
fn ports(service: &Object<Service>, pod: &Object<Pod>) -> Vec<EndpointSlicePort> {
    let mut ports: Vec<EndpointSlicePort> = Vec::new();
    for port in &service.view.spec.ports {
        let number = match &port.target_port {
            Value::Number(number) => number.as_u64().and_then(|n| u16::try_from(n).ok()),
            Value::String(name) => named_port(pod, name, &port.protocol),
            _ => Some(port.port),
        };
        let Some(number) = number else { continue };
        ports.push(EndpointSlicePort {
            name: Some(port.name.clone()),
            protocol: Some(port.protocol.clone()),
            port: Some(if number == 0 { port.port } else { number }),
            app_protocol: port.app_protocol.clone(),
        });
    }
    ports.sort();
    ports
}

fn named_port(pod: &Object<Pod>, name: &str, protocol: &str) -> Option<u16> {
    let ports = pod
        .view
        .spec
        .containers
        .iter()
        .flat_map(|container| &container.ports);
    let same = |wanted: &str, found: &str| found == wanted || (found.is_empty() && wanted == "TCP");
    let mut fitting = ports.filter(|port| &*port.name == name && same(protocol, &port.protocol));
    fitting.next().map(|port| port.container_port)
}
