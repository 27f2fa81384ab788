//! The rules of services (`ValidateService` and its parts, in upstream's order).
//!
//! Called through the row in `kinds/service.rs`.
//!
//! 1. Every address family, port and policy that a service names is one this cluster has.
//!
//! Book: `book/src/control-plane/kinds.md`.

use std::collections::BTreeSet;

use wavetank_api::json::{Value, json};
use wavetank_api::names;

use super::{is_external, is_headless, needs_health_check};
use crate::field::{Errors, Field};
use crate::kinds::endpoints::PROTOCOLS;
use crate::kinds::{edit, rules};

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const POLICIES: [&str; 2] = ["Cluster", "Local"];
const STICKY_SECONDS_MAX: i64 = 86_400;

/// Rules for a whole service.
pub(super) fn validate(service: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(service);
    let spec = root.child("spec");
    let value = spec.value().unwrap_or(&Value::Null);
    let of_type = spec.child("type").str();
    if spec.child("ports").is_empty() && !is_headless(value) && of_type != "ExternalName" {
        spec.child("ports").required(&mut errors, "");
    }
    match of_type {
        "LoadBalancer" | "NodePort" if is_headless(value) => {
            let detail = format!("may not be set to 'None' for {of_type} services");
            spec.child("clusterIPs")
                .index(0)
                .invalid(&mut errors, detail);
        }
        "ExternalName" => validate_external_name(&spec, &mut errors),
        _ => {}
    }
    let mut port_names = BTreeSet::new();
    let ports = spec.child("ports");
    for port in ports.items() {
        validate_port(&port, ports.len() > 1, &mut port_names, &mut errors);
    }
    spec.child("selector").labels(&mut errors);
    validate_affinity(&spec, &mut errors);
    validate_cluster_ips(&spec, &mut errors);
    for ip in spec.child("externalIPs").items() {
        if ip.ip_address(&mut errors).is_some() {
            ip.endpoint_address(&mut errors);
        }
    }
    spec.child("type").required_one_of(&mut errors, &TYPES);
    validate_unique_ports(&spec, &mut errors);
    validate_load_balancer(&spec, &mut errors);
    validate_traffic(&spec, &mut errors);
    errors
}

fn validate_external_name(spec: &Field<'_, '_>, errors: &mut Errors) {
    for name in ["clusterIPs", "ipFamilies"] {
        if !spec.child(name).is_empty() {
            spec.child(name)
                .forbidden(errors, "may not be set for ExternalName services");
        }
    }
    if spec.child("ipFamilyPolicy").is_set() {
        let detail = "may not be set for ExternalName services";
        spec.child("ipFamilyPolicy").forbidden(errors, detail);
    }
    let name = spec.child("externalName");
    match name.str().strip_suffix('.').unwrap_or(name.str()) {
        "" => name.required(errors, ""),
        cname => {
            for complaint in names::dns1123_subdomain(cname) {
                name.invalid_as(errors, cname, complaint);
            }
        }
    }
}

fn validate_port<'v>(
    port: &Field<'_, 'v>,
    needs_name: bool,
    seen: &mut BTreeSet<&'v str>,
    errors: &mut Errors,
) {
    let name = port.child("name");
    if needs_name && name.is_empty() {
        name.required(errors, "");
    } else if !name.is_empty() {
        name.must_be(errors, names::dns1123_label);
        if !seen.insert(name.str()) {
            name.duplicate(errors);
        }
    }
    port.child("port").port_number(errors);
    port.child("protocol").required_one_of(errors, &PROTOCOLS);
    port.child("targetPort").port_number_or_name(errors);
    if port.child("appProtocol").is_set() {
        port.child("appProtocol")
            .must_be(errors, names::qualified_name);
    }
}

fn validate_affinity(spec: &Field<'_, '_>, errors: &mut Errors) {
    let (affinity, config) = (
        spec.child("sessionAffinity"),
        spec.child("sessionAffinityConfig"),
    );
    affinity.required_one_of(errors, &["ClientIP", "None"]);
    let client_ip = config.child("clientIP");
    let timeout = client_ip.child("timeoutSeconds");
    match affinity.str() {
        "ClientIP" => {
            let missing = [&config, &client_ip, &timeout]
                .into_iter()
                .find(|at| !at.is_set());
            if let Some(missing) = missing {
                missing.required(errors, "when session affinity type is ClientIP");
            } else if !(1..=STICKY_SECONDS_MAX).contains(&timeout.number()) {
                let detail = format!("must be greater than 0 and less than {STICKY_SECONDS_MAX}");
                timeout.invalid(errors, detail);
            }
        }
        "None" if config.is_set() => {
            config.forbidden(errors, "must not be set when session affinity is None");
        }
        _ => {}
    }
}

/// `ValidateServiceClusterIPsRelatedFields`.
fn validate_cluster_ips(spec: &Field<'_, '_>, errors: &mut Errors) {
    if spec.child("type").str() == "ExternalName" {
        return;
    }
    let (ip, ips) = (spec.child("clusterIP"), spec.child("clusterIPs"));
    match (ip.str(), ips.index(0).str()) {
        ("", _) if ips.is_empty() => {}
        ("", _) => ips.invalid(errors, "must be empty when `clusterIP` is not specified"),
        (_, _) if ips.is_empty() => ips.required(errors, ""),
        (one, first) if one != first => ips.invalid(errors, "first value must match `clusterIP`"),
        _ => {}
    }
    validate_families(spec, errors);
    let mut bad = false;
    for (at, ip) in ips.items().enumerate() {
        if at == 0 && ip.str() == "None" {
            if ips.len() > 1 {
                bad = true;
                ips.invalid(errors, "'None' must be the first and only value");
            }
            continue;
        }
        bad |= ip.ip_address(errors).is_none();
    }
    if ips.len() > 2 {
        ips.invalid(errors, "may only hold up to 2 values");
    }
    if bad {
        return;
    }
    let addresses: Vec<&str> = ips.items().map(|ip| ip.str()).collect();
    if addresses.len() > 1 && !rules::is_dual_stack(&addresses) {
        ips.invalid(errors, "may specify no more than one IP for each IP family");
    }
    let families = spec.child("ipFamilies");
    for (at, (ip, family)) in ips.items().zip(families.items()).enumerate() {
        let is_six = rules::is_ipv6(ip.str());
        let expected = match family.str() {
            _ if ip.str() == "None" => continue,
            "IPv4" if is_six => "an IPv4",
            "IPv6" if !is_six => "an IPv6",
            _ => continue,
        };
        let detail = format!("expected {expected} value as indicated by `ipFamilies[{at}]`");
        ip.invalid(errors, detail);
    }
}

fn validate_families(spec: &Field<'_, '_>, errors: &mut Errors) {
    let (families, policy) = (spec.child("ipFamilies"), spec.child("ipFamilyPolicy"));
    let mut seen = BTreeSet::new();
    for family in families.items() {
        if !["IPv4", "IPv6"].contains(&family.str()) {
            family.not_supported(errors, &["IPv4", "IPv6"]);
        }
        if !seen.insert(family.str()) {
            family.duplicate(errors);
        }
    }
    policy.one_of(
        errors,
        &["PreferDualStack", "RequireDualStack", "SingleStack"],
    );
    let value = spec.value().unwrap_or(&Value::Null);
    if is_headless(value) && spec.child("selector").is_empty() {
        return;
    }
    if policy.str() == "RequireDualStack" {
        policy.invalid(
            errors,
            "this cluster is not configured for dual-stack services",
        );
    } else if families.len() > 1 && policy.str() == "SingleStack" {
        let detail = "may only hold up to 1 value when `ipFamilyPolicy` is 'SingleStack'";
        families.invalid(errors, detail);
    }
    for family in families.items().filter(|family| family.str() == "IPv6") {
        family.invalid(errors, "not configured on this cluster");
    }
}

fn validate_unique_ports(spec: &Field<'_, '_>, errors: &mut Errors) {
    let ports = spec.child("ports");
    if spec.child("type").str() == "ClusterIP" {
        for port in ports
            .items()
            .filter(|port| port.child("nodePort").number() != 0)
        {
            let detail = "may not be used when `type` is 'ClusterIP'";
            port.child("nodePort").forbidden(errors, detail);
        }
    }
    let mut seen = BTreeSet::new();
    for port in ports.items() {
        let node_port = port.child("nodePort");
        let pair = (port.child("protocol").str(), node_port.number());
        if node_port.number() != 0 && !seen.insert(pair) {
            node_port.duplicate(errors);
        }
    }
    let mut seen = BTreeSet::new();
    for port in ports.items() {
        let (protocol, number) = (port.child("protocol").str(), port.child("port").number());
        if !seen.insert((protocol, number)) {
            port.duplicate_as(errors, json!({"protocol": protocol, "port": number}));
        }
    }
}

fn validate_load_balancer(spec: &Field<'_, '_>, errors: &mut Errors) {
    const ONLY: &str = "may only be used when `type` is 'LoadBalancer'";
    let balanced = spec.child("type").str() == "LoadBalancer";
    let ranges = spec.child("loadBalancerSourceRanges");
    if !ranges.is_empty() {
        let shown = spec.child("LoadBalancerSourceRanges");
        if !balanced {
            shown.forbidden(errors, ONLY);
        }
        for range in ranges.items() {
            range.cidr(errors);
        }
    }
    let allocate = spec.child("allocateLoadBalancerNodePorts");
    if allocate.is_set() && !balanced {
        allocate.forbidden(errors, ONLY);
    }
    let class = spec.child("loadBalancerClass");
    if class.is_set() {
        if !balanced {
            class.forbidden(errors, "may only be used when `type` is 'LoadBalancer'");
        }
        class.must_be(errors, names::qualified_name);
    }
}

fn validate_traffic(spec: &Field<'_, '_>, errors: &mut Errors) {
    let value = spec.value().unwrap_or(&Value::Null);
    let external = spec.child("externalTrafficPolicy");
    if is_external(value) {
        external.required_one_of(errors, &POLICIES);
    } else if !external.is_empty() {
        external.invalid(errors, "may only be set for externally-accessible services");
    }
    let check = spec.child("healthCheckNodePort");
    match (needs_health_check(value), check.number()) {
        (false, 0) => {}
        (false, _) => {
            let detail = "may only be set when `type` is 'LoadBalancer' and \
                          `externalTrafficPolicy` is 'Local'";
            check.invalid(errors, detail);
        }
        (true, 0) => check.required(errors, ""),
        (true, _) => check.port_number(errors),
    }
    let internal = spec.child("internalTrafficPolicy");
    let needs_policy = matches!(
        spec.child("type").str(),
        "NodePort" | "LoadBalancer" | "ClusterIP"
    );
    if !internal.is_set() && needs_policy {
        internal.required(errors, "");
    }
    internal.one_of(errors, &POLICIES);
    let distribution = spec.child("trafficDistribution");
    if distribution.is_set() && distribution.str() != "PreferClose" {
        distribution.not_one_of(errors, &["PreferClose"]);
    }
}

/// Rules for a change of a service, those of a whole service included.
pub(super) fn validate_update(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let (root, before) = (Field::root(new), Field::root(old));
    let (spec, old_spec) = (root.child("spec"), before.child("spec"));
    validate_cluster_ips_stay(&spec, &old_spec, &mut errors);
    let class = spec.child("loadBalancerClass");
    let (value, old_value) = (spec.value(), old_spec.value());
    let balanced = |spec: &Field<'_, '_>| spec.child("type").str() == "LoadBalancer";
    if balanced(&spec)
        && balanced(&old_spec)
        && class.value() != old_spec.child("loadBalancerClass").value()
    {
        class.invalid(&mut errors, "may not change once set");
    }
    if let (Some(value), Some(old_value)) = (value, old_value)
        && needs_health_check(value)
        && needs_health_check(old_value)
        && edit::number(value, &["healthCheckNodePort"])
            != edit::number(old_value, &["healthCheckNodePort"])
    {
        spec.child("healthCheckNodePort")
            .forbidden(&mut errors, "field is immutable");
    }
    errors.extend(validate(new));
    errors
}

fn validate_cluster_ips_stay(spec: &Field<'_, '_>, before: &Field<'_, '_>, errors: &mut Errors) {
    let external = |spec: &Field<'_, '_>| spec.child("type").str() == "ExternalName";
    let headless = |spec: &Field<'_, '_>| spec.child("clusterIPs").index(0).str() == "None";
    if external(spec) || external(before) || (headless(spec) && headless(before)) {
        return;
    }
    let (ips, old_ips) = (spec.child("clusterIPs"), before.child("clusterIPs"));
    let shown = ips.value().cloned().unwrap_or_else(|| json!([]));
    if !old_ips.is_empty() && ips.is_empty() {
        ips.index(0)
            .invalid_as(errors, shown, "primary clusterIP can not be unset");
        return;
    }
    for (at, old_ip) in old_ips.items().enumerate().take(ips.len()) {
        if old_ip.str() != ips.index(at).str() {
            ips.index(at)
                .invalid_as(errors, shown.clone(), "may not change once set");
        }
    }
}

/// Rules for a change of a service's status.
pub(super) fn validate_status(new: &Value, _: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(new);
    let status = root.child("status");
    let balancer = status.child("loadBalancer");
    let ingress = balancer.child("ingress");
    if root.child("spec").child("type").str() != "LoadBalancer" && !ingress.is_empty() {
        let detail = "may only be used when `spec.type` is 'LoadBalancer'";
        ingress.forbidden(&mut errors, detail);
        return errors;
    }
    for entry in ingress.items() {
        let (ip, mode, host) = (
            entry.child("ip"),
            entry.child("ipMode"),
            entry.child("hostname"),
        );
        match (ip.is_empty(), mode.is_set()) {
            (false, false) => mode.required(&mut errors, "must be specified when `ip` is set"),
            (true, true) => {
                mode.forbidden(&mut errors, "may not be specified when `ip` is not set");
            }
            _ => mode.one_of(&mut errors, &["Proxy", "VIP"]),
        }
        if !ip.is_empty() {
            ip.ip_address(&mut errors);
        }
        host.may_be(&mut errors, names::dns1123_subdomain);
        if host.str().parse::<core::net::IpAddr>().is_ok() {
            host.invalid(&mut errors, "must be a DNS name, not an IP address");
        }
    }
    errors
}
