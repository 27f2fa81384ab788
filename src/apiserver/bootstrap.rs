//! The objects that always exist, as the requests that create them.
//!
//! Upstream: `pkg/controlplane/{instance,controller}.go` and
//! `pkg/registry/scheduling/rest/storage_scheduling.go`. A create that finds its object already
//! there is refused with 409, which is as good; one server of several is enough to send them.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use wavetank_api::json::{Value, json};

use wavetank_api::http::Peer;
use wavetank_api::{Method, Request};

use crate::config::Config;
use crate::negotiate::{APPLY_PATCH, JSON};

/// Who creates them.
const LOOPBACK: &str = "system:apiserver";
/// Where the Service `kubernetes` and its Endpoints are.
pub(crate) const BASE: &str = "/api/v1/namespaces/default";
/// Where its EndpointSlice is.
pub(crate) const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
const NAMESPACES: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "default"];

/// The requests, in an order in which each finds what it needs.
pub(crate) fn requests(config: &Config) -> Vec<Request> {
    let mut requests = Vec::new();
    for name in NAMESPACES {
        let namespace = json!({"metadata": {"name": name}});
        requests.push(post("/api/v1/namespaces", &namespace));
    }
    requests.extend(priority_classes());
    requests.extend(kubernetes_service(config));
    requests
}

fn post(path: &str, object: &Value) -> Request {
    let mut request = Request::new(Method::Post, path).with_body(JSON, object.to_string());
    request.peer = Peer::Component(LOOPBACK.into());
    request
}

/// Created, or brought up to date.
pub(crate) fn apply(path: &str, object: &Value) -> Request {
    let target = format!("{path}?fieldManager=kube-apiserver&force=true");
    let mut request =
        Request::new(Method::Patch, target).with_body(APPLY_PATCH, object.to_string());
    request.peer = Peer::Component(LOOPBACK.into());
    request
}

fn priority_classes() -> Vec<Request> {
    let class = |name: &str, value: i64, description: &str| {
        let class = json!({"metadata": {"name": name}, "value": value, "description": description});
        post("/apis/scheduling.k8s.io/v1/priorityclasses", &class)
    };
    let node = "Used for system critical pods that must not be moved from their current node.";
    let cluster = "Used for system critical pods that must run in the cluster, but can be moved to \
                   another node if necessary.";
    vec![
        class("system-node-critical", 2_000_001_000, node),
        class("system-cluster-critical", 2_000_000_000, cluster),
    ]
}

/// The Service `kubernetes` at the first address of the range. `membership.rs` says where it leads.
fn kubernetes_service(config: &Config) -> Vec<Request> {
    let labels = json!({"component": "apiserver", "provider": "kubernetes"});
    let Some(ip) = config.service_cidr.nth(1) else {
        return Vec::new();
    };
    let port = config.advertise.port;
    let service = json!({
        "metadata": {"name": "kubernetes", "labels": labels},
        "spec": {"clusterIP": ip.to_string(), "sessionAffinity": "None", "type": "ClusterIP",
                 "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}]},
    });
    vec![post(&format!("{BASE}/services"), &service)]
}
