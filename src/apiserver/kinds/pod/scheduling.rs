//! Where a pod may run: affinity, tolerations, topology spread, scheduling gates.
//!
//! Called by `pod/spec.rs` and `pod/update.rs`. Source: `validateAffinity`, `ValidateTolerations`,
//! `validateTopologySpreadConstraints` in `pkg/apis/core/validation`.
//!
//! 1. What passes can be evaluated by the scheduler without another check.
//!
//! Book: `book/src/control-plane/kinds.md`.

use std::collections::BTreeSet;

use wavetank_api::names;

use crate::field::{Errors, Field};
use crate::kinds::label_selector;
use crate::kinds::node::TAINT_EFFECTS;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
const NOT_AN_OPERATOR: &str = "not a valid selector operator";

/// Rules for `affinity`.
pub(super) fn validate_affinity(affinity: &Field<'_, '_>, errors: &mut Errors) {
    let nodes = affinity.child("nodeAffinity");
    let required = nodes.child(REQUIRED);
    if required.is_set() {
        let terms = required.child("nodeSelectorTerms");
        if terms.is_empty() {
            terms.required(errors, "must have at least one node selector term");
        }
        for term in terms.items() {
            validate_node_term(&term, true, errors);
        }
    }
    for term in nodes.child(PREFERRED).items() {
        validate_weight(&term.child("weight"), errors);
        validate_node_term(&term.child("preference"), false, errors);
    }
    for of_pods in ["podAffinity", "podAntiAffinity"] {
        let pods = affinity.child(of_pods);
        for term in pods.child(REQUIRED).items() {
            validate_pod_term(&term, errors);
        }
        for term in pods.child(PREFERRED).items() {
            validate_weight(&term.child("weight"), errors);
            validate_pod_term(&term.child("podAffinityTerm"), errors);
        }
    }
}

fn validate_weight(weight: &Field<'_, '_>, errors: &mut Errors) {
    if !(1..=100).contains(&weight.number()) {
        weight.invalid_as(errors, weight.number(), "must be in the range 1-100");
    }
}

fn validate_node_term(term: &Field<'_, '_>, values_too: bool, errors: &mut Errors) {
    for requirement in term.child("matchExpressions").items() {
        validate_node_requirement(&requirement, values_too, errors);
    }
    for requirement in term.child("matchFields").items() {
        let (operator, values) = (requirement.child("operator"), requirement.child("values"));
        match operator.str() {
            "In" | "NotIn" if values.len() != 1 => values.required(
                errors,
                "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
            ),
            "In" | "NotIn" => {}
            other => operator.invalid_as(errors, other, NOT_AN_OPERATOR),
        }
        let key = requirement.child("key");
        if key.str() != "metadata.name" {
            key.invalid_as(errors, key.str(), "not a valid field selector key");
            continue;
        }
        for value in values.items() {
            value.must_be(errors, names::dns1123_subdomain);
        }
    }
}

fn validate_node_requirement(requirement: &Field<'_, '_>, values_too: bool, errors: &mut Errors) {
    let (operator, values) = (requirement.child("operator"), requirement.child("values"));
    match operator.str() {
        "In" | "NotIn" if values.is_empty() => {
            values.required(
                errors,
                "must be specified when `operator` is 'In' or 'NotIn'",
            );
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            values.forbidden(errors, detail);
        }
        "Gt" | "Lt" if values.len() != 1 => {
            let detail = "must be specified single value when `operator` is 'Lt' or 'Gt'";
            values.required(errors, detail);
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => operator.invalid_as(errors, other, NOT_AN_OPERATOR),
    }
    requirement
        .child("key")
        .must_be(errors, names::qualified_name);
    if values_too {
        for value in values.items() {
            value.must_be(errors, names::label_value);
        }
    }
}

fn validate_pod_term(term: &Field<'_, '_>, errors: &mut Errors) {
    let selector = term.child("labelSelector");
    label_selector::validate(&selector, errors);
    label_selector::validate(&term.child("namespaceSelector"), errors);
    for namespace in term.child("namespaces").items() {
        for complaint in names::dns1123_label(namespace.str()) {
            term.child("namespace")
                .invalid_as(errors, namespace.str(), complaint);
        }
    }
    let (matching, mismatching) = (
        term.child("matchLabelKeys"),
        term.child("mismatchLabelKeys"),
    );
    for keys in [&matching, &mismatching] {
        if !keys.is_empty() && !selector.is_set() {
            keys.forbidden(
                errors,
                "must not be specified when labelSelector is not set",
            );
            continue;
        }
        for key in keys.items() {
            key.must_be(errors, names::qualified_name);
        }
    }
    let others: Vec<&str> = mismatching.items().map(|key| key.str()).collect();
    for key in matching.items().filter(|key| others.contains(&key.str())) {
        key.invalid(
            errors,
            "exists in both matchLabelKeys and mismatchLabelKeys",
        );
    }
    let topology = term.child("topologyKey");
    if topology.is_empty() {
        topology.required(errors, "can not be empty");
    }
    topology.must_be(errors, names::qualified_name);
}

/// Rules for `tolerations`.
pub(super) fn validate_tolerations(tolerations: &Field<'_, '_>, errors: &mut Errors) {
    for toleration in tolerations.items() {
        let (key, operator) = (toleration.child("key"), toleration.child("operator"));
        let (value, effect) = (toleration.child("value"), toleration.child("effect"));
        key.may_be(errors, names::qualified_name);
        if key.is_empty() && operator.str() != "Exists" {
            let detail = "operator must be Exists when `key` is empty, which means \"match all \
                          values and all keys\"";
            operator.invalid_as(errors, operator.str(), detail);
        }
        if toleration.child("tolerationSeconds").is_set() && effect.str() != "NoExecute" {
            let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            effect.invalid_as(errors, effect.str(), detail);
        }
        match operator.str() {
            "" | "Equal" => {
                let complaints = names::label_value(value.str());
                if !complaints.is_empty() {
                    operator.invalid_as(errors, value.str(), complaints.join(";"));
                }
            }
            "Exists" if !value.is_empty() => {
                let detail = "value must be empty when `operator` is 'Exists'";
                operator.invalid_as(errors, value.str(), detail);
            }
            "Exists" => {}
            _ => operator.not_one_of(errors, &["Equal", "Exists"]),
        }
        if !effect.is_empty() && !TAINT_EFFECTS.contains(&effect.str()) {
            effect.not_one_of(errors, &TAINT_EFFECTS);
        }
    }
}

/// Rules for `topologySpreadConstraints`.
pub(super) fn validate_spread(constraints: &Field<'_, '_>, errors: &mut Errors) {
    const ACTIONS: [&str; 2] = ["DoNotSchedule", "ScheduleAnyway"];
    let pair = |constraint: &Field<'_, '_>| {
        let text = |name| {
            constraint
                .child(name)
                .text()
                .unwrap_or_default()
                .to_string()
        };
        (text("topologyKey"), text("whenUnsatisfiable"))
    };
    let pairs: Vec<_> = constraints
        .items()
        .map(|constraint| pair(&constraint))
        .collect();
    for (at, constraint) in constraints.items().enumerate() {
        let (skew, action) = (
            constraint.child("maxSkew"),
            constraint.child("whenUnsatisfiable"),
        );
        if skew.number() <= 0 {
            skew.invalid_as(errors, skew.number(), "must be greater than zero");
        }
        if constraint.child("topologyKey").is_empty() {
            constraint
                .child("topologyKey")
                .required(errors, "can not be empty");
        }
        if !ACTIONS.contains(&action.str()) {
            action.not_one_of(errors, &ACTIONS);
        }
        let own = pair(&constraint);
        if pairs.iter().skip(at + 1).any(|other| *other == own) {
            let place = constraint.child("{topologyKey, whenUnsatisfiable}");
            place.duplicate_as(errors, format!("{{{}, {}}}", own.0, own.1));
        }
        validate_spread_details(&constraint, errors);
    }
}

fn validate_spread_details(constraint: &Field<'_, '_>, errors: &mut Errors) {
    const POLICIES: [&str; 2] = ["Honor", "Ignore"];
    let domains = constraint.child("minDomains");
    let action = constraint.child("whenUnsatisfiable").str();
    if domains.is_set() {
        if domains.number() <= 0 {
            domains.invalid(errors, "must be greater than zero");
        }
        if action != "DoNotSchedule" {
            let detail =
                format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
            domains.invalid(errors, detail);
        }
    }
    for policy in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
        let policy = constraint.child(policy);
        if policy.is_set() && !POLICIES.contains(&policy.str()) {
            policy.not_supported(errors, &POLICIES);
        }
    }
    let (keys, selector) = (
        constraint.child("matchLabelKeys"),
        constraint.child("labelSelector"),
    );
    if !keys.is_empty() && !selector.is_set() {
        keys.forbidden(
            errors,
            "must not be specified when labelSelector is not set",
        );
    }
    let selected = label_selector::keys(&selector);
    for key in keys.items() {
        key.must_be(errors, names::qualified_name);
        if selected.contains(&key.str()) {
            key.invalid(errors, "exists in both matchLabelKeys and labelSelector");
        }
    }
    label_selector::validate(&selector, errors);
}

/// Rules for `schedulingGates` and `readinessGates`.
pub(super) fn validate_gates(spec: &Field<'_, '_>, errors: &mut Errors) {
    for gate in spec.child("readinessGates").items() {
        gate.child("conditionType")
            .must_be(errors, names::qualified_name);
    }
    let mut seen = BTreeSet::new();
    for gate in spec.child("schedulingGates").items() {
        let name = gate.child("name").str();
        for complaint in names::qualified_name(name) {
            gate.invalid_as(errors, name, complaint);
        }
        if !seen.insert(name) {
            gate.duplicate_as(errors, name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wavetank_api::json::json;

    #[test]
    fn bad_tolerations_are_refused_in_upstreams_words() {
        let tolerations = json!([{"operator": "Equal"}, {"key": "a", "operator": "In"},
            {"key": "a", "operator": "Exists", "value": "b", "tolerationSeconds": 3}]);
        let mut errors = Errors::new();
        validate_tolerations(&Field::root(&tolerations), &mut errors);
        assert_eq!(
            errors.to_string(),
            "[[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty, \
             which means \"match all values and all keys\", \
             [1].operator: Unsupported value: \"In\": supported values: \"Equal\", \"Exists\", \
             [2].effect: Invalid value: \"\": effect must be 'NoExecute' when `tolerationSeconds` \
             is set, \
             [2].operator: Invalid value: \"b\": value must be empty when `operator` is 'Exists']"
        );
    }

    #[test]
    fn bad_spread_is_refused_in_upstreams_words() {
        let constraints = json!([
            {"maxSkew": 0, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"},
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
                "matchLabelKeys": ["app"]}]);
        let mut errors = Errors::new();
        validate_spread(&Field::root(&constraints), &mut errors);
        assert_eq!(
            errors.to_string(),
            "[[0].maxSkew: Invalid value: 0: must be greater than zero, \
             [0].{topologyKey, whenUnsatisfiable}: Duplicate value: \"{zone, DoNotSchedule}\", \
             [1].matchLabelKeys: Forbidden: must not be specified when labelSelector is not set]"
        );
    }

    #[test]
    fn bad_affinity_is_refused_in_upstreams_words() {
        let affinity = json!({"nodeAffinity": {
            REQUIRED: {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "zone", "operator": "Gt", "values": []}]},
                {"matchFields": [{"key": "spec.x", "operator": "In", "values": ["a"]}]}]},
            PREFERRED: [{"weight": 101, "preference": {}}]},
            "podAntiAffinity": {REQUIRED: [{"topologyKey": "zone", "namespaces": ["A"]}]}});
        let mut errors = Errors::new();
        validate_affinity(&Field::root(&affinity), &mut errors);
        let label = names::dns1123_label("A").join("");
        let required = "requiredDuringSchedulingIgnoredDuringExecution";
        assert_eq!(
            errors.to_string(),
            format!(
                "[nodeAffinity.{required}.nodeSelectorTerms[0].matchExpressions[0].values: \
                 Required value: must be specified single value when `operator` is 'Lt' or 'Gt', \
                 nodeAffinity.{required}.nodeSelectorTerms[1].matchFields[0].key: Invalid value: \
                 \"spec.x\": not a valid field selector key, \
                 nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid \
                 value: 101: must be in the range 1-100, \
                 podAntiAffinity.{required}[0].namespace: Invalid value: \"A\": {label}]"
            )
        );
    }
}
