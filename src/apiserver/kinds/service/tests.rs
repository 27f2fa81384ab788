//! What services are defaulted to, refused for and shown as.
//!
//! Book: `book/src/control-plane/kinds.md`.

use wavetank_api::Time;
use wavetank_api::json::{Value, json};

use super::{STRATEGY, ports};
use crate::strategy::Context;

fn created(spec: Value) -> Value {
    let mut service = json!({"metadata": {"name": "web", "namespace": "default"}, "spec": spec});
    let context = Context {
        now: Time::EPOCH,
        namespace: "default",
        user: "admin",
        dry_run: false,
    };
    (STRATEGY.default)(&mut service);
    (STRATEGY.prepare_create)(&mut service, &context);
    service
}

fn complaints(spec: Value) -> String {
    (STRATEGY.validate)(&created(spec)).to_string()
}

#[test]
fn a_small_service_gets_upstreams_defaults() {
    assert_eq!(
        created(json!({"ports": [{"port": 80}], "selector": {"app": "web"}})),
        json!({"metadata": {"name": "web", "namespace": "default"},
            "spec": {"type": "ClusterIP", "sessionAffinity": "None",
                "internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv4"],
                "ipFamilyPolicy": "SingleStack", "selector": {"app": "web"},
                "ports": [{"port": 80, "targetPort": 80, "protocol": "TCP"}]},
            "status": {"loadBalancer": {}}})
    );
}

#[test]
fn bad_services_are_refused_in_upstreams_words() {
    for (spec, expected) in [
        (json!({}), "spec.ports: Required value"),
        (
            json!({"ports": [{"port": 0}]}),
            "[spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive, \
             spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive]",
        ),
        (
            json!({"ports": [{"port": 80}, {"port": 81, "name": "b"}]}),
            "spec.ports[0].name: Required value",
        ),
        (
            json!({"ports": [{"port": 80, "nodePort": 30080}]}),
            "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
        ),
        (
            json!({"type": "Magic", "ports": [{"port": 80}]}),
            "spec.type: Unsupported value: \"Magic\": supported values: \
             \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\"",
        ),
        (
            json!({"type": "ExternalName"}),
            "spec.externalName: Required value",
        ),
        (
            json!({"clusterIP": "10.96.0.300", "ports": [{"port": 80}]}),
            "spec.clusterIPs[0]: Invalid value: \"10.96.0.300\": must be a valid IP address, \
             (e.g. 10.9.8.7 or 2001:db8::ffff)",
        ),
        (
            json!({"ipFamilyPolicy": "RequireDualStack", "ports": [{"port": 80}]}),
            "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not \
             configured for dual-stack services",
        ),
        (
            json!({"type": "NodePort", "clusterIP": "None", "ports": [{"port": 80}]}),
            "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort \
             services",
        ),
        (
            json!({"ports": [{"port": 80, "name": "a"}, {"port": 80, "name": "b"}]}),
            "spec.ports[1]: Duplicate value: {\"port\":80,\"protocol\":\"TCP\"}",
        ),
    ] {
        assert_eq!(complaints(spec), expected);
    }
    assert_eq!(
        complaints(json!({"clusterIP": "None", "selector": {"app": "web"}})),
        "[]"
    );
}

#[test]
fn a_cluster_ip_stays_and_what_was_allocated_is_kept() {
    let mut old = created(json!({"type": "NodePort", "ports": [{"port": 80}]}));
    old["spec"]["clusterIP"] = json!("10.96.0.7");
    old["spec"]["clusterIPs"] = json!(["10.96.0.7"]);
    old["spec"]["ports"][0]["nodePort"] = json!(30080);

    let mut same = json!({"metadata": old["metadata"],
        "spec": {"type": "NodePort", "ports": [{"port": 80}]}});
    (STRATEGY.default)(&mut same);
    (STRATEGY.prepare_update)(&mut same, &old);
    assert_eq!(same["spec"], old["spec"]);
    assert!((STRATEGY.validate_update)(&same, &old).is_empty());

    let mut moved = old.clone();
    moved["spec"]["clusterIP"] = json!("10.96.0.8");
    (STRATEGY.prepare_update)(&mut moved, &old);
    assert_eq!(
        (STRATEGY.validate_update)(&moved, &old).to_string(),
        "spec.clusterIPs[0]: Invalid value: [\"10.96.0.8\"]: may not change once set"
    );

    let mut external = old.clone();
    external["spec"]["type"] = json!("ExternalName");
    external["spec"]["externalName"] = json!("example.com");
    (STRATEGY.prepare_update)(&mut external, &old);
    assert_eq!(
        (STRATEGY.validate_update)(&external, &old).to_string(),
        "[]"
    );
    assert_eq!(external["spec"].get("clusterIP"), None);
}

#[test]
fn rows_show_ports_and_outside_addresses() {
    let spec = json!({"ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"},
        {"port": 53, "protocol": "UDP"}]});
    assert_eq!(ports(&spec), "80:30080/TCP,53/UDP");
    let service = created(json!({"type": "LoadBalancer", "ports": [{"port": 80}]}));
    let cells = json!([
        "web",
        "LoadBalancer",
        "<none>",
        "<pending>",
        "80/TCP",
        "<unknown>",
        "<none>"
    ]);
    assert_eq!(Value::from((STRATEGY.row)(&service, Time::EPOCH)), cells);
}
