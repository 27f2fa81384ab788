//! Which API servers the Service `kubernetes` leads to.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use core::time::Duration;

use wavetank_api::json::{Value, json};

use wavetank_api::{Method, Request};
use wavetank_store::{Op, Txn};

use crate::testing::Cluster;

const ENDPOINTS: &str = "/api/v1/namespaces/default/endpoints/kubernetes";
const SLICE: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

/// Another server renews its key.
fn another(cluster: &mut Cluster) {
    let lease = cluster.grant(seconds(15)).granted;
    let (key, value) = ("/registry/masterleases/192.0.2.7".into(), "{}".into());
    cluster.commit(Txn::new(vec![Op::Put { key, value, lease }]));
}

/// The addresses in the Endpoints and in the EndpointSlice, which must be the same.
fn named(cluster: &mut Cluster) -> Value {
    let endpoints = cluster.get(ENDPOINTS)["subsets"][0]["addresses"].clone();
    let endpoints = endpoints
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a["ip"].clone());
    let endpoints = Value::from(endpoints.collect::<Vec<_>>());
    let slice = cluster.get(SLICE)["endpoints"].clone();
    let slice = slice
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["addresses"][0].clone());
    assert_eq!(Value::from(slice.collect::<Vec<_>>()), endpoints);
    endpoints
}

#[test]
fn servers_are_named_while_they_renew_their_keys() {
    let mut cluster = Cluster::new();
    cluster.join();
    let (own, both) = (json!(["192.0.2.1"]), json!(["192.0.2.1", "192.0.2.7"]));
    assert_eq!(named(&mut cluster), own);
    another(&mut cluster);
    cluster.settle();
    assert_eq!(named(&mut cluster), own, "not before the next look");
    cluster.pass(seconds(10));
    cluster.settle();
    assert_eq!(named(&mut cluster), both);
    let version = cluster.get(ENDPOINTS)["metadata"]["resourceVersion"].clone();
    another(&mut cluster);
    cluster.pass(seconds(10));
    cluster.settle();
    let unchanged = cluster.get(ENDPOINTS)["metadata"]["resourceVersion"].clone();
    assert_eq!(unchanged, version, "what is right is not written again");
    cluster.pass(seconds(10));
    cluster.settle();
    assert_eq!(named(&mut cluster), own, "its key went with its lease");
}

#[test]
fn a_server_that_cannot_see_its_own_key_names_nobody() {
    let mut cluster = Cluster::empty();
    for step in cluster.server.bootstrap(cluster.now) {
        cluster.finish(step);
    }
    cluster.server.join(cluster.now);
    let begun = cluster.server.own(cluster.now);
    assert_eq!(begun.len(), 1, "a lease is asked for");
    cluster.observe();
    assert!(cluster.server.own(cluster.now).is_empty());
    let (code, _) = cluster.call(wavetank_api::Method::Get, ENDPOINTS, Value::Null);
    assert_eq!(code, 404);
}

/// `pkg/controlplane/reconcilers/lease.go` writes its key through `storage.Interface`, its
/// Endpoints through a client.
#[test]
fn a_renewal_is_no_request_and_what_it_leads_to_is() {
    let mut cluster = Cluster::new();
    let counted = |cluster: &mut Cluster| {
        let response = cluster.respond(Request::new(Method::Get, "/metrics"));
        let text = String::from_utf8(response.bytes().to_vec()).unwrap();
        let is_count = |line: &&str| line.starts_with("apiserver_request_total{");
        let is_look = |line: &str| line.contains("verb=\"GET\"");
        let counts = text.lines().filter(is_count).filter(|line| !is_look(line));
        counts.map(str::to_owned).collect::<Vec<_>>()
    };
    let before = counted(&mut cluster);
    cluster.join();
    let joined = counted(&mut cluster);
    assert_eq!(joined.len(), before.len() + 2, "{joined:?}");
    cluster.pass(seconds(10));
    cluster.settle();
    assert_eq!(counted(&mut cluster), joined);
}
