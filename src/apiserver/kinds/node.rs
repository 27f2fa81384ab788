//! Node: a machine that runs pods, as its kubelet describes it.
//!
//! Sources: `pkg/registry/core/node/strategy.go`, `pkg/apis/core/validation`,
//! `pkg/apis/core/v1/defaults.go`.
//!
//! 1. Taints are unique by key and effect.
//! 2. Pod networks and the provider's id are set once and stay.
//!
//! A new node may bring a status: the kubelet registers with one. The `not-ready` taint is put on
//! by admission (`admission/taint_nodes.rs`).
//!
//! Book: `book/src/control-plane/kinds.md`.

use std::collections::BTreeSet;

use wavetank_api::json::Value;
use wavetank_api::{Time, names};

use super::pod::resources;
use super::{age, edit, plain, rules};
use crate::field::{Errors, Field, FieldErrorKind};
use crate::strategy::{Column, Strategy};

/// The row of the table.
pub(crate) const STRATEGY: Strategy = Strategy {
    default,
    defaulted: &["status"],
    prepare_create: plain::create_as_sent,
    prepare_update: plain::keep_status,
    prepare_status: plain::keep_all_but_status,
    validate,
    validate_update,
    validate_status: validate_update,
    name_rule: rules::subdomain_name,
    has_status: true,
    has_generation: false,
    create_on_update: false,
    unconditional_update: true,
    fields,
    field_paths: &["spec.unschedulable"],
    columns: COLUMNS,
    row,
    row_paths: &[
        "metadata.labels",
        "spec.unschedulable",
        "status.addresses",
        "status.conditions",
        "status.nodeInfo",
    ],
    graceful: plain::immediate,
};

const COLUMNS: &[Column] = &[
    plain::NAME,
    plain::column("Status", "string", "The status of the node"),
    plain::column("Roles", "string", "The roles of the node"),
    plain::AGE,
    plain::column("Version", "string", ".status.nodeInfo.kubeletVersion"),
    plain::wide("Internal-IP", "string", ".status.addresses"),
    plain::wide("External-IP", "string", ".status.addresses"),
    plain::wide("OS-Image", "string", ".status.nodeInfo.osImage"),
    plain::wide("Kernel-Version", "string", ".status.nodeInfo.kernelVersion"),
    plain::wide(
        "Container-Runtime",
        "string",
        ".status.nodeInfo.containerRuntimeVersion",
    ),
];

/// What a taint does to pods that do not tolerate it.
pub(crate) const TAINT_EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

fn default(node: &mut Value) {
    let Some(status) = edit::object(node, "status") else {
        return;
    };
    for list in ["capacity", "allocatable"] {
        resources::round_up(status, list);
    }
    if let Some(capacity) = status
        .get("capacity")
        .filter(|value| value.is_object())
        .cloned()
    {
        edit::default_to(status, "allocatable", capacity);
    }
}

fn validate(node: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(node);
    let spec = root.child("spec");
    validate_taints(&root, &mut errors);
    validate_resources(&root, &mut errors);
    let networks = spec.child("podCIDRs");
    for network in networks.items() {
        network.cidr(&mut errors);
    }
    if networks.len() > 1 {
        let addresses: Vec<&str> = networks
            .items()
            .map(|network| network.str().split('/').next().unwrap_or_default())
            .collect();
        if !rules::is_dual_stack(&addresses) {
            let detail = "may specify no more than one CIDR for each IP family";
            networks.invalid(&mut errors, detail);
        }
        let mut seen = BTreeSet::new();
        for network in networks.items() {
            if !seen.insert(network.str()) {
                network.duplicate(&mut errors);
            }
        }
    }
    errors
}

/// Upstream reports taints under `metadata`, where they were annotations once.
fn validate_taints(root: &Field<'_, '_>, errors: &mut Errors) {
    let spec = root.child("spec");
    let metadata = root.child("metadata");
    let shown = metadata.child("taints");
    let mut seen = BTreeSet::new();
    for (at, taint) in spec.child("taints").items().enumerate() {
        let place = shown.index(at);
        let (key, value, effect) = (
            taint.child("key"),
            taint.child("value"),
            taint.child("effect"),
        );
        for complaint in names::qualified_name(key.str()) {
            place.child("key").invalid_as(errors, key.str(), complaint);
        }
        let complaints = names::label_value(value.str());
        if !complaints.is_empty() {
            place
                .child("value")
                .invalid_as(errors, value.str(), complaints.join(";"));
        }
        if effect.is_empty() {
            place.child("effect").required(errors, "");
        } else if !TAINT_EFFECTS.contains(&effect.str()) {
            let mut error = effect_error(&effect);
            error.path = place.child("effect").path();
            errors.push(error);
        }
        if !seen.insert((key.str(), effect.str())) {
            let mut error = taint.error(
                FieldErrorKind::Duplicate,
                "taints must be unique by key and effect pair",
            );
            error.path = place.path();
            errors.push(error);
        }
    }
}

fn effect_error(effect: &Field<'_, '_>) -> crate::field::FieldError {
    let names: Vec<String> = TAINT_EFFECTS
        .iter()
        .map(|name| format!("\"{name}\""))
        .collect();
    let detail = format!("supported values: {}", names.join(", "));
    effect.error(FieldErrorKind::NotSupported, detail)
}

fn validate_resources(root: &Field<'_, '_>, errors: &mut Errors) {
    let status = root.child("status");
    for list in ["capacity", "allocatable"] {
        let list = status.child(list);
        for (name, _) in list.entries() {
            // Upstream writes these paths with a dot: `status.capacity.cpu`.
            resources::validate_quantity(name, &list.child(name), errors);
        }
    }
}

fn validate_update(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let (root, before) = (Field::root(new), Field::root(old));
    let (spec, old_spec) = (root.child("spec"), before.child("spec"));
    validate_resources(&root, &mut errors);
    let mut seen = BTreeSet::new();
    for address in root.child("status").child("addresses").items() {
        let pair = (address.child("type").str(), address.child("address").str());
        if !seen.insert(pair) {
            address.duplicate(&mut errors);
        }
    }
    let networks = spec.child("podCIDRs");
    if !old_spec.child("podCIDRs").is_empty()
        && networks.value() != old_spec.child("podCIDRs").value()
    {
        let detail = "node updates may not change podCIDR except from \"\" to valid";
        networks.forbidden(&mut errors, detail);
    }
    let (provider, old_provider) = (spec.child("providerID"), old_spec.child("providerID"));
    if !old_provider.is_empty() && provider.str() != old_provider.str() {
        let detail = "node updates may not change providerID except from \"\" to valid";
        provider.forbidden(&mut errors, detail);
    }
    validate_taints(&root, &mut errors);
    errors
}

fn fields(node: &Value) -> Vec<(&'static str, String)> {
    let unschedulable = edit::flag(node, &["spec", "unschedulable"]);
    vec![("spec.unschedulable", unschedulable.to_string())]
}

fn row(node: &Value, now: Time) -> Vec<Value> {
    let info = |field| edit::text(node, &["status", "nodeInfo", field]);
    let or_unknown = |text: &'static str, value: String| {
        if value.is_empty() {
            Value::from(text)
        } else {
            Value::from(value)
        }
    };
    vec![
        plain::name(node),
        state(node).into(),
        plain::or_none(&roles(node)).into(),
        age::of_object(node, now).into(),
        info("kubeletVersion").into(),
        plain::or_none(address(node, "InternalIP")).into(),
        plain::or_none(address(node, "ExternalIP")).into(),
        or_unknown("<unknown>", info("osImage").into()),
        or_unknown("<unknown>", info("kernelVersion").into()),
        or_unknown("<unknown>", info("containerRuntimeVersion").into()),
    ]
}

fn state(node: &Value) -> String {
    let ready = edit::list(node, &["status", "conditions"])
        .iter()
        .find(|condition| edit::text(condition, &["type"]) == "Ready");
    let mut state = match ready {
        None => "Unknown",
        Some(condition) if edit::text(condition, &["status"]) == "True" => "Ready",
        Some(_) => "NotReady",
    }
    .to_string();
    if edit::flag(node, &["spec", "unschedulable"]) {
        state.push_str(",SchedulingDisabled");
    }
    state
}

fn roles(node: &Value) -> String {
    let labels = edit::at(node, &["metadata", "labels"]).and_then(Value::as_object);
    let roles: BTreeSet<&str> = labels
        .into_iter()
        .flatten()
        .filter_map(
            |(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
                None if key == "kubernetes.io/role" => value.as_str(),
                role => role,
            },
        )
        .filter(|role| !role.is_empty())
        .collect();
    Vec::from_iter(roles).join(",")
}

fn address<'a>(node: &'a Value, of_type: &str) -> &'a str {
    edit::list(node, &["status", "addresses"])
        .iter()
        .find(|address| edit::text(address, &["type"]) == of_type)
        .map_or("", |address| edit::text(address, &["address"]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wavetank_api::json::json;

    #[test]
    fn bad_nodes_are_refused_in_upstreams_words() {
        let node = json!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"},
            {"key": "a", "effect": "NoSchedule"}, {"key": "b", "effect": "Maybe"}]},
            "status": {"capacity": {"cpu": "-1"}}});
        assert_eq!(
            validate(&node).to_string(),
            "[metadata.taints[1]: Duplicate value: {\"effect\":\"NoSchedule\",\"key\":\"a\"}: \
             taints must be unique by key and effect pair, \
             metadata.taints[2].effect: Unsupported value: \"Maybe\": supported values: \
             \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\", \
             status.capacity.cpu: Invalid value: \"-1\": must be greater than or equal to 0]"
        );
    }

    #[test]
    fn a_nodes_network_and_provider_are_set_once() {
        let old = json!({"spec": {"podCIDRs": ["10.0.0.0/24"], "providerID": "sim://n1"}});
        let new = json!({"spec": {"podCIDRs": ["10.0.1.0/24"], "providerID": "sim://n2"}});
        let errors = validate_update(&new, &old);
        assert_eq!(
            errors.to_string(),
            "[spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to \
             valid, \
             spec.providerID: Forbidden: node updates may not change providerID except from \"\" \
             to valid]"
        );
        assert!(validate_update(&new, &json!({})).is_empty());
    }

    #[test]
    fn a_row_shows_state_and_roles() {
        let node = json!({"metadata": {"name": "n1", "labels": {
            "node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": ""}},
            "spec": {"unschedulable": true},
            "status": {"conditions": [{"type": "Ready", "status": "False"}],
                "addresses": [{"type": "InternalIP", "address": "10.1.0.1"}],
                "nodeInfo": {"kubeletVersion": "v1.33.1"}}});
        let cells = json!([
            "n1",
            "NotReady,SchedulingDisabled",
            "control-plane,worker",
            "<unknown>",
            "v1.33.1",
            "10.1.0.1",
            "<none>",
            "<unknown>",
            "<unknown>",
            "<unknown>"
        ]);
        assert_eq!(Value::from(row(&node, Time::EPOCH)), cells);
    }
}
