//! Service: one stable address and name in front of the pods that a selector finds.
//!
//! Sources: `pkg/registry/core/service/{strategy,storage/storage}.go`,
//! `pkg/apis/core/validation`, `pkg/apis/core/v1/defaults.go`.
//!
//! 1. `clusterIP` is always the first of `clusterIPs`.
//! 2. A cluster IP never changes while the service has one: clients have cached it.
//! 3. An update that leaves out what the server allocated (addresses, node ports) keeps it.
//!
//! The pipeline allocates addresses and ports after `prepare_create` and before `validate`.
//! Left out: dual-stack clusters; a service that insists on one is refused in upstream's words.
//!
//! Book: `book/src/control-plane/kinds.md`.

use wavetank_api::Time;
use wavetank_api::json::{Value, json};

use super::{age, edit, plain, rules};
use crate::strategy::{Column, Context, Strategy};

mod validation;

/// The row of the table.
pub(crate) const STRATEGY: Strategy = Strategy {
    default,
    defaulted: &["spec", "status"],
    prepare_create,
    prepare_update,
    prepare_status: plain::keep_all_but_status,
    validate: validation::validate,
    validate_update: validation::validate_update,
    validate_status: validation::validate_status,
    name_rule: rules::service_name,
    has_status: true,
    has_generation: false,
    create_on_update: true,
    unconditional_update: true,
    fields,
    field_paths: &["spec.clusterIP", "spec.type"],
    columns: COLUMNS,
    row,
    row_paths: &[
        "spec.clusterIPs",
        "spec.externalIPs",
        "spec.externalName",
        "spec.ports",
        "spec.selector",
        "spec.type",
        "status.loadBalancer",
    ],
    graceful: plain::immediate,
};

const COLUMNS: &[Column] = &[
    plain::NAME,
    plain::column("Type", "string", ".spec.type"),
    plain::column("Cluster-IP", "string", ".spec.clusterIP"),
    plain::column("External-IP", "string", ".spec.externalIPs"),
    plain::column("Port(s)", "string", ".spec.ports"),
    plain::AGE,
    plain::wide("Selector", "string", ".spec.selector"),
];

const STICKY_SECONDS: i64 = 10_800;

fn default(service: &mut Value) {
    let Some(spec) = edit::object(service, "spec") else {
        return;
    };
    edit::default_text(spec, "sessionAffinity", "None");
    match edit::text(spec, &["sessionAffinity"]) {
        "None" => drop(edit::remove(spec, "sessionAffinityConfig")),
        "ClientIP" => {
            let path = ["sessionAffinityConfig", "clientIP", "timeoutSeconds"];
            if edit::at(spec, &path).is_none() {
                let config = json!({"clientIP": {"timeoutSeconds": STICKY_SECONDS}});
                edit::set(spec, "sessionAffinityConfig", config);
            }
        }
        _ => {}
    }
    edit::default_text(spec, "type", "ClusterIP");
    for port in edit::items(spec, "ports") {
        edit::default_text(port, "protocol", "TCP");
        let unset = matches!(port.get("targetPort"), None | Some(Value::Null))
            || port.get("targetPort") == Some(&json!(0))
            || port.get("targetPort") == Some(&json!(""));
        if unset && let Some(number) = port.get("port").cloned() {
            edit::set(port, "targetPort", number);
        }
    }
    if is_external(spec) {
        edit::default_text(spec, "externalTrafficPolicy", "Cluster");
    }
    let of_type = edit::text(spec, &["type"]).to_string();
    if matches!(of_type.as_str(), "ClusterIP" | "NodePort" | "LoadBalancer") {
        edit::default_to(spec, "internalTrafficPolicy", "Cluster");
    }
    if of_type == "LoadBalancer" {
        edit::default_to(spec, "allocateLoadBalancerNodePorts", true);
    }
    if let Some(status) = edit::object(service, "status")
        && let Some(balancer) = edit::object(status, "loadBalancer")
        && of_type == "LoadBalancer"
    {
        for ingress in edit::items(balancer, "ingress") {
            if !edit::text(ingress, &["ip"]).is_empty() {
                edit::default_to(ingress, "ipMode", "VIP");
            }
        }
    }
}

/// Whether traffic from outside the cluster can come in (`ExternallyAccessible`).
fn is_external(spec: &Value) -> bool {
    match edit::text(spec, &["type"]) {
        "NodePort" | "LoadBalancer" => true,
        "ClusterIP" => !edit::list(spec, &["externalIPs"]).is_empty(),
        _ => false,
    }
}

/// Whether a load balancer asks this port which nodes have endpoints (`NeedsHealthCheck`).
fn needs_health_check(spec: &Value) -> bool {
    edit::text(spec, &["type"]) == "LoadBalancer"
        && edit::text(spec, &["externalTrafficPolicy"]) == "Local"
}

fn is_headless(spec: &Value) -> bool {
    edit::list(spec, &["clusterIPs"])
        .first()
        .is_some_and(|ip| ip == "None")
}

fn needs_cluster_ip(spec: &Value) -> bool {
    matches!(
        edit::text(spec, &["type"]),
        "ClusterIP" | "NodePort" | "LoadBalancer"
    )
}

fn needs_node_ports(spec: &Value) -> bool {
    match edit::text(spec, &["type"]) {
        "NodePort" => true,
        "LoadBalancer" => edit::flag(spec, &["allocateLoadBalancerNodePorts"]),
        _ => false,
    }
}

fn prepare_create(service: &mut Value, _: &Context<'_>) {
    edit::set(service, "status", json!({"loadBalancer": {}}));
    let Some(spec) = edit::object(service, "spec") else {
        return;
    };
    let ip = edit::text(spec, &["clusterIP"]).to_string();
    if !ip.is_empty() && edit::list(spec, &["clusterIPs"]).is_empty() {
        edit::set(spec, "clusterIPs", json!([ip]));
    }
    families(spec);
}

/// Which address families a service has, as upstream's allocator decides it on a cluster with
/// IPv4 only: headless services without a selector are taken for both, since whoever writes their
/// endpoints may know more.
fn families(spec: &mut Value) {
    if !needs_cluster_ip(spec) {
        return;
    }
    let selects = edit::at(spec, &["selector"]).and_then(Value::as_object);
    let anything = is_headless(spec) && selects.is_none_or(wavetank_api::json::Map::is_empty);
    edit::default_text(
        spec,
        "ipFamilyPolicy",
        if anything {
            "RequireDualStack"
        } else {
            "SingleStack"
        },
    );
    if edit::list(spec, &["ipFamilies"]).is_empty() {
        let both = anything && edit::text(spec, &["ipFamilyPolicy"]) != "SingleStack";
        edit::set(
            spec,
            "ipFamilies",
            if both {
                json!(["IPv4", "IPv6"])
            } else {
                json!(["IPv4"])
            },
        );
    }
}

fn prepare_update(new: &mut Value, old: &Value) {
    plain::keep_status(new, old);
    let (Some(spec), Some(before)) = (edit::object(new, "spec"), old.get("spec")) else {
        return;
    };
    drop_what_the_type_lost(spec, before);
    keep_allocated(spec, before);
    align_cluster_ips(spec, before);
    families(spec);
}

/// A change of type to `ExternalName` or back lets go of what the old type had, unless the client
/// changed it by hand, which is then an error to report (`dropTypeDependentFields`).
fn drop_what_the_type_lost(spec: &mut Value, before: &Value) {
    let same = |spec: &Value, key| spec.get(key) == before.get(key);
    if needs_cluster_ip(before) && !needs_cluster_ip(spec) {
        for key in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            if same(spec, key) {
                edit::remove(spec, key);
            }
        }
    }
    if needs_node_ports(before) && !needs_node_ports(spec) {
        let kept: Vec<Value> = edit::list(before, &["ports"])
            .iter()
            .filter_map(|port| port.get("nodePort").cloned())
            .collect();
        for port in edit::items(spec, "ports") {
            if port
                .get("nodePort")
                .is_some_and(|number| kept.contains(number))
            {
                edit::remove(port, "nodePort");
            }
        }
    }
    if needs_health_check(before) && !needs_health_check(spec) && same(spec, "healthCheckNodePort")
    {
        edit::remove(spec, "healthCheckNodePort");
    }
    let balanced = |spec: &Value| edit::text(spec, &["type"]) == "LoadBalancer";
    if balanced(before) && !balanced(spec) {
        for key in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
            if same(spec, key) {
                edit::remove(spec, key);
            }
        }
    }
    if is_external(before) && !is_external(spec) && same(spec, "externalTrafficPolicy") {
        edit::remove(spec, "externalTrafficPolicy");
    }
}

/// What the server chose stays when a client that never knew of it leaves it out
/// (`patchAllocatedValues`): else a `kubectl replace` of the original file would be refused.
fn keep_allocated(spec: &mut Value, before: &Value) {
    if needs_cluster_ip(before) && needs_cluster_ip(spec) {
        if edit::text(spec, &["clusterIP"]).is_empty() {
            edit::copy(spec, "clusterIP", before);
        }
        let same = edit::text(spec, &["clusterIP"]) == edit::text(before, &["clusterIP"]);
        if same && edit::list(spec, &["clusterIPs"]).is_empty() {
            edit::copy(spec, "clusterIPs", before);
        }
    }
    if needs_node_ports(before) && needs_node_ports(spec) {
        let old_ports = edit::list(before, &["ports"]);
        let same = |a: &Value, b: &Value, key| a.get(key) == b.get(key);
        for port in edit::items(spec, "ports") {
            let old = old_ports
                .iter()
                .find(|old| same(old, port, "port") && same(old, port, "protocol"));
            if edit::number(port, &["nodePort"]) == 0
                && let Some(old) = old
            {
                edit::copy(port, "nodePort", old);
            }
        }
    }
    if needs_health_check(before)
        && needs_health_check(spec)
        && edit::number(spec, &["healthCheckNodePort"]) == 0
    {
        edit::copy(spec, "healthCheckNodePort", before);
    }
    for key in ["ipFamilies", "ipFamilyPolicy"] {
        if needs_cluster_ip(spec) && edit::at(spec, &[key]).is_none() {
            edit::copy(spec, key, before);
        }
    }
}

/// A client that changed only one of `clusterIP` and `clusterIPs` meant both
/// (`NormalizeClusterIPs`).
fn align_cluster_ips(spec: &mut Value, before: &Value) {
    let (ip, old_ip) = (
        edit::text(spec, &["clusterIP"]),
        edit::text(before, &["clusterIP"]),
    );
    let same_list = edit::list(spec, &["clusterIPs"]) == edit::list(before, &["clusterIPs"]);
    let no_list = edit::list(spec, &["clusterIPs"]).is_empty();
    if ip.is_empty() && !old_ip.is_empty() && same_list {
        edit::remove(spec, "clusterIPs");
    } else if !ip.is_empty() && (no_list || (ip != old_ip && same_list)) {
        let list = json!([ip]);
        edit::set(spec, "clusterIPs", list);
    }
}

fn fields(service: &Value) -> Vec<(&'static str, String)> {
    let text = |field| edit::text(service, &["spec", field]).to_string();
    vec![
        ("spec.clusterIP", text("clusterIP")),
        ("spec.type", text("type")),
    ]
}

fn row(service: &Value, now: Time) -> Vec<Value> {
    let spec = service.get("spec").unwrap_or(&Value::Null);
    let cluster_ip = edit::list(spec, &["clusterIPs"])
        .first()
        .and_then(Value::as_str);
    vec![
        plain::name(service),
        edit::text(spec, &["type"]).into(),
        plain::or_none(cluster_ip.unwrap_or_default()).into(),
        external_ip(service, spec).into(),
        plain::or_none(&ports(spec)).into(),
        age::of_object(service, now).into(),
        plain::labels(spec.get("selector")).into(),
    ]
}

fn external_ip(service: &Value, spec: &Value) -> String {
    let texts = |list: &[Value]| -> Vec<String> {
        list.iter()
            .filter_map(Value::as_str)
            .map(str::to_string)
            .collect()
    };
    let mut ips = texts(edit::list(spec, &["externalIPs"]));
    match edit::text(spec, &["type"]) {
        "ClusterIP" | "NodePort" => plain::or_none(&ips.join(",")).to_string(),
        "LoadBalancer" => {
            let ingress = edit::list(service, &["status", "loadBalancer", "ingress"]);
            let mut all: Vec<String> = ingress
                .iter()
                .map(|entry| match edit::text(entry, &["ip"]) {
                    "" => edit::text(entry, &["hostname"]).to_string(),
                    ip => ip.to_string(),
                })
                .filter(|address| !address.is_empty())
                .collect();
            all.sort();
            all.dedup();
            all.append(&mut ips);
            if all.is_empty() {
                "<pending>".into()
            } else {
                all.join(",")
            }
        }
        "ExternalName" => edit::text(spec, &["externalName"]).into(),
        _ => "<unknown>".into(),
    }
}

fn ports(spec: &Value) -> String {
    let ports: Vec<String> = edit::list(spec, &["ports"])
        .iter()
        .map(|port| {
            let (number, protocol) = (
                edit::number(port, &["port"]),
                edit::text(port, &["protocol"]),
            );
            match edit::number(port, &["nodePort"]) {
                0 => format!("{number}/{protocol}"),
                node_port => format!("{number}:{node_port}/{protocol}"),
            }
        })
        .collect();
    ports.join(",")
}

#[cfg(test)]
mod tests;
