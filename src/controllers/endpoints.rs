//! Publishes the pods behind each Service as one Endpoints object, the older form.
//!
//! Upstream: `pkg/controller/endpoint/endpoints_controller.go`. Kept because clients still read it;
//! deprecated in v1.33 in favour of EndpointSlices.
//!
//! 1. An address stands in `addresses` when it is ready, else in `notReadyAddresses`, never in
//!    both.
//!
//! Left out: the cut at a thousand addresses (`endpoints.kubernetes.io/over-capacity`).
//!
//! Book: `book/src/controllers/endpoints.md`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use wavetank_api::{KindId, Time};
use wavetank_informer::client::DeleteOptions;
use wavetank_informer::executor::Plan;
use wavetank_informer::queue::Queue;
use wavetank_informer::{Key, Object};

use crate::controller::{Answers, Context, Controller, Step, first_error};
use crate::endpoint_slice::services_of_pod;
use crate::informers::{Informers, News};
use crate::service_endpoints::{Groups, groups};
use crate::views::{Endpoint, EndpointSlicePort, Service};

/// See the file's header.
pub struct EndpointsController;

impl Controller for EndpointsController {
    type Key = Key;
    type Memory = ();

    fn name(&self) -> &'static str {
        "endpoint-controller"
    }

    fn kind(&self) -> KindId {
        KindId::Service
    }

    fn workers(&self) -> usize {
        5
    }

    fn observe(&mut self, news: &News, world: &Informers, _: Time, keys: &mut Queue<Key>) {
        match news {
            News::Service(change) => keys.add(change.object().key(), "service changed"),
            News::Endpoints(change) => keys.add(change.object().key(), "endpoints changed"),
            _ => services_of_pod(news, world, keys),
        }
    }

    fn reconcile(&mut self, key: &Key, cx: &mut Context<'_>) -> Step<()> {
        let existing = cx.world.endpoints.cache().get(key);
        let Some(service) = cx.world.services.cache().get(key) else {
            return orphaned(key, cx);
        };
        if service.meta.is_terminating() || service.view.spec.selector.is_empty() {
            return Step::Done;
        }
        let subsets = subsets(groups(service, cx.world, cx.guards));
        let write = match existing {
            Some(existing) if existing.view.subsets == subsets => return Step::Done,
            Some(existing) => {
                let mut object = endpoints_object(service, subsets);
                object["metadata"]["uid"] = json!(&*existing.meta.uid.0);
                let revision = existing.meta.resource_version.to_string();
                object["metadata"]["resourceVersion"] = json!(revision);
                cx.client.update(KindId::Endpoints, key, &object)
            }
            None => {
                let object = endpoints_object(service, subsets);
                cx.client.create(KindId::Endpoints, &key.namespace, &object)
            }
        };
        cx.note("endpoints differ from the pods behind the service");
        Step::Plan(Plan::one(write), ())
    }

    fn resume(&mut self, _: &Key, (): (), answers: Answers, _: &mut Context<'_>) -> Step<()> {
        match first_error(&answers.written()) {
            Some(error) => Step::Retry(error),
            None => Step::Done,
        }
    }
}

/// The service is gone: what we published for it goes too. Endpoints without our label belong to
/// somebody else.
fn orphaned(key: &Key, cx: &Context<'_>) -> Step<()> {
    match cx.world.endpoints.cache().get(key) {
        Some(endpoints) if endpoints.meta.labels.contains_key(MANAGED_BY) => {
            let options = DeleteOptions::of(&endpoints.meta.uid);
            Step::Plan(
                Plan::one(cx.client.delete(KindId::Endpoints, key, &options)),
                (),
            )
        }
        _ => Step::Done,
    }
}

/// Label of v1.33: who keeps the object.
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";

fn endpoints_object(service: &Object<Service>, subsets: Vec<Value>) -> Value {
    let mut labels: BTreeMap<&str, &str> = service
        .meta
        .labels
        .iter()
        .map(|(k, v)| (&**k, &**v))
        .collect();
    labels.insert(MANAGED_BY, "endpoint-controller");
    json!({
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": &*service.meta.name,
            "namespace": &*service.meta.namespace,
            "labels": labels,
        },
        "subsets": subsets,
    })
}

fn subsets(groups: Groups) -> Vec<Value> {
    groups
        .into_iter()
        .map(|(ports, endpoints)| subset(&ports, &endpoints))
        .collect()
}

fn subset(ports: &[EndpointSlicePort], endpoints: &[Endpoint]) -> Value {
    let living = endpoints
        .iter()
        .filter(|endpoint| endpoint.conditions.terminating != Some(true));
    let (ready, unready): (Vec<&Endpoint>, Vec<&Endpoint>) =
        living.partition(|endpoint| endpoint.conditions.ready == Some(true));
    let mut subset = json!({});
    for (field, list) in [("addresses", ready), ("notReadyAddresses", unready)] {
        if !list.is_empty() {
            subset[field] = list.into_iter().map(address).collect();
        }
    }
    let ports = ports.iter().map(|port| {
        let mut object = json!({ "port": port.port, "protocol": port.protocol });
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            object["name"] = json!(name);
        }
        object
    });
    subset["ports"] = ports.collect();
    subset
}

fn address(endpoint: &Endpoint) -> Value {
    let mut address = json!({
        "ip": endpoint.addresses.first(),
        "nodeName": endpoint.node_name,
    });
    if let Some(target) = &endpoint.target_ref {
        address["targetRef"] = json!({
            "kind": &*target.kind,
            "namespace": &*target.namespace,
            "name": &*target.name,
            "uid": &*target.uid.0,
        });
    }
    address
}
