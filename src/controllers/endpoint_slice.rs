//! Publishes the pods behind each Service as EndpointSlices of at most a hundred endpoints.
//!
//! Upstream: `pkg/controller/endpointslice`, with `staging/src/k8s.io/endpointslice/reconciler.go`.
//! Slices are changed as little as possible: an endpoint stays in the slice it is in, so that a
//! pod's change costs one small write however many pods there are.
//!
//! 1. No endpoint stands twice across the slices of one service (C27). The barrier of the frame
//!    sees to it that our own slices are in the cache before we decide again (M74).
//! 2. A slice has at most a hundred endpoints; only slices labelled as ours are touched.
//!
//! Book: `book/src/controllers/endpoints.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use wavetank_api::{KindId, StringMap, Time, Uid};
use wavetank_informer::client::{DeleteOptions, Write};
use wavetank_informer::executor::Plan;
use wavetank_informer::queue::Queue;
use wavetank_informer::{Guard, Key, Object};

use crate::controller::{Answers, Context, Controller, Step, first_error};
use crate::informers::{Informers, News};
use crate::pods::controller_reference;
use crate::service_endpoints::groups;
use crate::views::{Endpoint, EndpointSlice, EndpointSlicePort, Service};

/// `--max-endpoints-per-slice`.
const ENDPOINTS_PER_SLICE: usize = 100;
/// Label: the service whose slice it is.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Label: who keeps the slice; others are left alone.
const MANAGED_BY: (&str, &str) = (
    "endpointslice.kubernetes.io/managed-by",
    "endpointslice-controller.k8s.io",
);

/// See the file's header.
pub struct EndpointSliceController;

impl Controller for EndpointSliceController {
    type Key = Key;
    type Memory = ();

    fn name(&self) -> &'static str {
        "endpoint-slice-controller"
    }

    fn kind(&self) -> KindId {
        KindId::Service
    }

    fn workers(&self) -> usize {
        5
    }

    fn barrier_guard(&self) -> Guard {
        Guard::M74
    }

    fn observe(&mut self, news: &News, world: &Informers, _: Time, keys: &mut Queue<Key>) {
        match news {
            News::Service(change) => keys.add(change.object().key(), "service changed"),
            News::EndpointSlice(change) => {
                let meta = &change.object().meta;
                let ours = is_ours(&change.object().meta.labels);
                if let Some(service) = meta.labels.get(SERVICE_NAME).filter(|_| ours) {
                    keys.add(
                        Key::new(meta.namespace.clone(), service.clone()),
                        "slice changed",
                    );
                }
            }
            _ => services_of_pod(news, world, keys),
        }
    }

    fn reconcile(&mut self, key: &Key, cx: &mut Context<'_>) -> Step<()> {
        let Some(service) = cx.world.services.cache().get(key) else {
            return Step::Done;
        };
        // Without a selector somebody else publishes the endpoints.
        if service.meta.is_terminating() || service.view.spec.selector.is_empty() {
            return Step::Done;
        }
        let plan = plan(service, cx);
        if plan.is_empty() {
            return Step::Done;
        }
        cx.note("endpoints differ from its slices");
        Step::Plan(plan, ())
    }

    fn resume(&mut self, _: &Key, (): (), answers: Answers, _: &mut Context<'_>) -> Step<()> {
        match first_error(&answers.written()) {
            Some(error) => Step::Retry(error),
            None => Step::Done,
        }
    }
}

/// The services that a change of a pod concerns: those that select it now or selected it before.
pub(crate) fn services_of_pod(news: &News, world: &Informers, keys: &mut Queue<Key>) {
    let News::Pod(change) = news else { return };
    if let (Some(old), false) = (change.old(), change.is_deleted())
        && old.view == change.object().view
        && old.meta.labels == change.object().meta.labels
        && old.meta.is_terminating() == change.object().meta.is_terminating()
    {
        return;
    }
    let revisions = [Some(change.object()), change.old()];
    for service in world
        .services
        .cache()
        .in_namespace(&change.object().meta.namespace)
    {
        let selector = &service.view.spec.selector;
        let selects = |labels: &StringMap| {
            !selector.is_empty() && selector.iter().all(|(k, v)| labels.get(k) == Some(v))
        };
        if revisions
            .iter()
            .flatten()
            .any(|pod| selects(&pod.meta.labels))
        {
            keys.add(service.key(), "a pod behind it changed");
        }
    }
}

fn is_ours(labels: &StringMap) -> bool {
    labels
        .get(MANAGED_BY.0)
        .is_some_and(|by| &**by == MANAGED_BY.1)
}

/// A slice as it should be.
struct Wanted<'a> {
    /// The slice that is there; `None`: a new one.
    slice: Option<&'a Arc<Object<EndpointSlice>>>,
    endpoints: Vec<Endpoint>,
}

// ANCHOR: plan
/// The writes that make the slices of a service what they should be.
fn plan(service: &Arc<Object<Service>>, cx: &Context<'_>) -> Plan {
    let mut existing = slices_by_ports(service, cx);
    let mut wanted: BTreeMap<Vec<EndpointSlicePort>, Vec<Wanted<'_>>> = BTreeMap::new();
    for (ports, endpoints) in groups(service, cx.world, cx.guards) {
        let slices = existing.remove(&ports).unwrap_or_default();
        wanted.insert(ports, distribute(endpoints, slices));
    }
    let mut writes = Vec::new();
    for (ports, slices) in &wanted {
        for slice in slices {
            writes.extend(write(service, ports, slice, cx));
        }
    }
    // Slices of ports that nobody serves any more.
    for slice in existing.into_values().flatten() {
        writes.push(delete(slice, cx));
    }
    Plan::together(writes)
}
// ANCHOR_END: plan

type SlicesByPorts<'a> = BTreeMap<Vec<EndpointSlicePort>, Vec<&'a Arc<Object<EndpointSlice>>>>;

fn slices_by_ports<'a>(service: &Object<Service>, cx: &Context<'a>) -> SlicesByPorts<'a> {
    let mut slices = SlicesByPorts::new();
    for slice in cx
        .world
        .endpoint_slices
        .cache()
        .in_namespace(&service.meta.namespace)
    {
        let of = slice.meta.labels.get(SERVICE_NAME);
        let terminating = slice.meta.is_terminating();
        if of == Some(&service.meta.name) && is_ours(&slice.meta.labels) && !terminating {
            let mut ports = slice.view.ports.clone();
            ports.sort();
            slices.entry(ports).or_default().push(slice);
        }
    }
    slices
}

/// Leaves each endpoint in the slice that has its pod, and fills the rest in from the front.
fn distribute<'a>(
    endpoints: Vec<Endpoint>,
    slices: Vec<&'a Arc<Object<EndpointSlice>>>,
) -> Vec<Wanted<'a>> {
    let mut homes: BTreeMap<Uid, usize> = BTreeMap::new();
    for (at, slice) in slices.iter().enumerate() {
        let targets = slice
            .view
            .endpoints
            .iter()
            .filter_map(|e| e.target_ref.as_ref());
        for target in targets {
            homes.entry(target.uid.clone()).or_insert(at);
        }
    }
    let mut wanted: Vec<Wanted<'a>> = slices
        .into_iter()
        .map(|slice| Wanted {
            slice: Some(slice),
            endpoints: Vec::new(),
        })
        .collect();
    let mut homeless = Vec::new();
    for endpoint in endpoints {
        let uid = endpoint.target_ref.as_ref().map(|target| &target.uid);
        match uid
            .and_then(|uid| homes.get(uid))
            .and_then(|at| wanted.get_mut(*at))
        {
            Some(home) => home.endpoints.push(endpoint),
            None => homeless.push(endpoint),
        }
    }
    for endpoint in homeless {
        match wanted
            .iter_mut()
            .find(|slice| slice.endpoints.len() < ENDPOINTS_PER_SLICE)
        {
            Some(slice) => slice.endpoints.push(endpoint),
            None => wanted.push(Wanted {
                slice: None,
                endpoints: vec![endpoint],
            }),
        }
    }
    wanted
}

/// The write that makes one slice what it should be; nothing when it is.
fn write(
    service: &Object<Service>,
    ports: &[EndpointSlicePort],
    wanted: &Wanted<'_>,
    cx: &Context<'_>,
) -> Option<Write> {
    let namespace = &service.meta.namespace;
    match wanted.slice {
        None => {
            let object = slice_object(service, ports, &wanted.endpoints);
            Some(cx.client.create(KindId::EndpointSlice, namespace, &object))
        }
        Some(slice) if wanted.endpoints.is_empty() => Some(delete(slice, cx)),
        Some(slice) if slice.view.endpoints == wanted.endpoints => None,
        Some(slice) => {
            let mut object = slice_object(service, ports, &wanted.endpoints);
            object["metadata"]["name"] = json!(&*slice.meta.name);
            object["metadata"]["uid"] = json!(&*slice.meta.uid.0);
            object["metadata"]["resourceVersion"] = json!(slice.meta.resource_version.to_string());
            Some(
                cx.client
                    .update(KindId::EndpointSlice, &slice.key(), &object),
            )
        }
    }
}

fn slice_object(
    service: &Object<Service>,
    ports: &[EndpointSlicePort],
    endpoints: &[Endpoint],
) -> Value {
    let mut labels: BTreeMap<&str, &str> = service
        .meta
        .labels
        .iter()
        .map(|(k, v)| (&**k, &**v))
        .collect();
    labels.insert(SERVICE_NAME, &service.meta.name);
    labels.insert(MANAGED_BY.0, MANAGED_BY.1);
    if &*service.view.spec.cluster_ip == "None" {
        labels.insert("service.kubernetes.io/headless", "");
    }
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": format!("{}-", service.meta.name),
            "namespace": &*service.meta.namespace,
            "labels": labels,
            "ownerReferences": [controller_reference(KindId::Service, &service.meta)],
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": ports,
    })
}

fn delete(slice: &Arc<Object<EndpointSlice>>, cx: &Context<'_>) -> Write {
    let options = DeleteOptions::of(&slice.meta.uid);
    cx.client
        .delete(KindId::EndpointSlice, &slice.key(), &options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(number: usize) -> Endpoint {
        let target = crate::views::TargetRef {
            uid: Uid(format!("uid-{number}").into()),
            ..crate::views::TargetRef::default()
        };
        Endpoint {
            target_ref: Some(target),
            ..Endpoint::default()
        }
    }

    fn slice(endpoints: std::ops::Range<usize>) -> Arc<Object<EndpointSlice>> {
        let endpoints = endpoints.map(endpoint).collect();
        let view = EndpointSlice {
            endpoints,
            ..EndpointSlice::default()
        };
        Arc::new(Object {
            meta: wavetank_api::Meta::default(),
            view,
        })
    }

    #[test]
    fn endpoints_stay_where_they_are_and_no_slice_has_more_than_a_hundred() {
        let (a, b) = (slice(0..100), slice(100..150));
        let now: Vec<Endpoint> = (1..160).map(endpoint).collect();
        let wanted = distribute(now, vec![&a, &b]);
        let sizes: Vec<usize> = wanted.iter().map(|w| w.endpoints.len()).collect();
        // One place is free in the first slice, the rest goes to the second.
        assert_eq!(sizes, [100, 59]);
        assert!(wanted[0].endpoints.contains(&endpoint(99)));
        assert!(wanted[1].endpoints.contains(&endpoint(149)));
        let fresh = distribute((0..250).map(endpoint).collect(), Vec::new());
        let sizes: Vec<usize> = fresh.iter().map(|w| w.endpoints.len()).collect();
        assert_eq!(sizes, [100, 100, 50]);
    }
}
