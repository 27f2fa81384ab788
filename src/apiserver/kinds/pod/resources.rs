//! Amounts of cpu, memory and other resources: their names, their numbers, requests within limits.
//!
//! Used for containers, pod overhead and node capacity. Sources: `ValidateResourceRequirements` in
//! `pkg/apis/core/validation`, `pkg/apis/core/helper/helpers.go`.
//!
//! 1. What is stored is canonical (`0.5` becomes `500m`) and no finer than a milli.
//!
//! Book: `book/src/control-plane/kinds.md`.

use std::borrow::Cow;

use wavetank_api::json::Value;
use wavetank_api::names;
use wavetank_api::quantity::Quantity;

use crate::field::{Errors, Field};
use crate::kinds::edit;

/// Resources that count things, so that parts of one make no sense.
const COUNTED: [&str; 9] = [
    "pods",
    "services",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

/// Resources without a domain that containers can ask for.
const OF_CONTAINERS: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// Makes the quantities of the map under `key` canonical, rounded up to whole millis; a text
/// that is no quantity stays for validation to refuse.
pub(crate) fn round_up(parent: &mut Value, key: &str) {
    let Some(map) = parent.get_mut(key).and_then(Value::as_object_mut) else {
        return;
    };
    for value in map.values_mut() {
        canonical(value);
    }
}

/// Makes one quantity canonical, rounded up to whole millis.
pub(crate) fn canonical(value: &mut Value) {
    let Some(quantity) = quantity_of(value) else {
        return;
    };
    let milli = quantity.milli_value();
    let rounded = Quantity::from_milli(milli);
    let text = if rounded == quantity {
        quantity
    } else {
        rounded
    }
    .to_string();
    if value.as_str() != Some(&text) {
        *value = text.into();
    }
}

/// A quantity as it may come in: a text, or a bare number.
pub(crate) fn quantity_of(value: &Value) -> Option<Quantity> {
    let text: Cow<'_, str> = match value {
        Value::String(text) => text.as_str().into(),
        Value::Number(number) => number.to_string().into(),
        _ => return None,
    };
    Quantity::parse(&text).ok()
}

/// Requests that are left out are the limits. Only for pods, never for templates: a limit that is
/// changed in a template later must not stand against a request that nobody wrote.
pub(crate) fn default_requests(container: &mut Value) {
    let limits = edit::at(container, &["resources", "limits"])
        .and_then(Value::as_object)
        .cloned();
    let (Some(limits), Some(resources)) = (limits, edit::object(container, "resources")) else {
        return;
    };
    if let Some(requests) = edit::object(resources, "requests") {
        for (name, limit) in limits {
            edit::default_to(requests, &name, limit);
        }
    }
}

/// Rules for a container's `resources`.
pub(crate) fn validate(resources: &Field<'_, '_>, errors: &mut Errors) {
    let (limits, requests) = (resources.child("limits"), resources.child("requests"));
    let (mut computes, mut huge) = (false, false);
    for (name, limit) in limits.entries() {
        validate_entry(name, &limit, errors);
        computes |= matches!(name, "cpu" | "memory");
        huge |= is_huge_pages(name);
    }
    for (name, request) in requests.entries() {
        validate_entry(name, &request, errors);
        validate_within(name, &request, &limits, &requests, errors);
        computes |= matches!(name, "cpu" | "memory");
        huge |= is_huge_pages(name);
    }
    if huge && !computes {
        resources.forbidden(errors, "HugePages require cpu or memory");
    }
}

/// Rules for a pod's `overhead`: those of limits.
pub(crate) fn validate_overhead(overhead: &Field<'_, '_>, errors: &mut Errors) {
    for (name, amount) in overhead.entries() {
        validate_entry(name, &amount, errors);
    }
}

fn validate_entry(name: &str, amount: &Field<'_, '_>, errors: &mut Errors) {
    validate_name(name, amount, errors);
    validate_quantity(name, amount, errors);
    if is_huge_pages(name)
        && let Some(quantity) = amount.value().and_then(quantity_of)
        && let Some(page) = name
            .strip_prefix("hugepages-")
            .and_then(|size| Quantity::parse(size).ok())
        && (page.value() <= 0 || quantity.value() % page.value() != 0)
    {
        let detail = format!("{quantity} is not positive integer multiple of {name}");
        amount.invalid(errors, detail);
    }
}

/// A request is at most the limit; and equal to it where a node cannot promise more than it has.
fn validate_within(
    name: &str,
    request: &Field<'_, '_>,
    limits: &Field<'_, '_>,
    requests: &Field<'_, '_>,
    errors: &mut Errors,
) {
    let limit = limits.key(name);
    let overcommits = is_native(name) && !is_huge_pages(name);
    let (Some(asked), limit) = (
        request.value().and_then(quantity_of),
        limit.value().and_then(quantity_of),
    ) else {
        return;
    };
    match limit {
        Some(limit) if asked != limit && !overcommits => {
            let detail = format!("must be equal to {name} limit of {limit}");
            requests.invalid_as(errors, asked.to_string(), detail);
        }
        Some(limit) if asked > limit => {
            let detail = format!("must be less than or equal to {name} limit of {limit}");
            requests.invalid_as(errors, asked.to_string(), detail);
        }
        None if !overcommits => {
            limits.required(errors, "Limit must be set for non overcommitable resources");
        }
        _ => {}
    }
}

/// An amount is a quantity, not negative, and whole where things are counted.
pub(crate) fn validate_quantity(name: &str, amount: &Field<'_, '_>, errors: &mut Errors) {
    let Some(quantity) = amount.value().and_then(quantity_of) else {
        let pattern = "quantities must match the regular expression \
                       '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
        return amount.invalid(errors, pattern);
    };
    if quantity.signum() < 0 {
        let detail = "must be greater than or equal to 0";
        amount.invalid_as(errors, quantity.to_string(), detail);
    }
    let counted = COUNTED.contains(&name) || is_extended(name);
    if counted && quantity.milli_value() % 1_000 != 0 {
        amount.invalid_as(errors, quantity.to_string(), "must be an integer");
    }
}

fn validate_name(name: &str, amount: &Field<'_, '_>, errors: &mut Errors) {
    let complaints = names::qualified_name(name);
    if !complaints.is_empty() {
        for complaint in complaints {
            amount.invalid_as(errors, name, complaint);
        }
    } else if !name.contains('/') {
        if !is_standard(name) {
            let detail = "must be a standard resource type or fully qualified";
            amount.invalid_as(errors, name, detail);
        }
        if !OF_CONTAINERS.contains(&name) && !is_huge_pages(name) {
            amount.invalid_as(errors, name, "must be a standard resource for containers");
        }
    } else if !is_native(name) && !is_extended(name) {
        amount.invalid_as(
            errors,
            name,
            "doesn't follow extended resource name standard",
        );
    }
}

fn is_standard(name: &str) -> bool {
    let plain = name
        .strip_prefix("requests.")
        .or(name.strip_prefix("limits."))
        .unwrap_or(name);
    OF_CONTAINERS.contains(&plain)
        || COUNTED.contains(&name)
        || plain == "storage"
        || is_huge_pages(plain)
}

fn is_huge_pages(name: &str) -> bool {
    name.starts_with("hugepages-")
}

fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with("requests.")
        && names::qualified_name(&format!("requests.{name}")).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wavetank_api::json::json;

    #[test]
    fn quantities_are_stored_canonical_and_no_finer_than_a_milli() {
        let mut resources =
            json!({"limits": {"cpu": 0.5, "memory": "1024Mi", "a": "100u", "b": "x"}});
        round_up(&mut resources, "limits");
        let expected = json!({"cpu": "500m", "memory": "1Gi", "a": "1m", "b": "x"});
        assert_eq!(resources["limits"], expected);
    }

    #[test]
    fn bad_resources_are_refused_in_upstreams_words() {
        for (resources, expected) in [
            (
                json!({"limits": {"cpu": "-1"}}),
                "limits[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
            ),
            (
                json!({"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}),
                "requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
            ),
            (
                json!({"requests": {"example.com/gpu": "1"}}),
                "limits: Required value: Limit must be set for non overcommitable resources",
            ),
            (
                json!({"limits": {"example.com/gpu": "1500m"}}),
                "limits[example.com/gpu]: Invalid value: \"1500m\": must be an integer",
            ),
            (
                json!({"limits": {"storage": "1Gi"}}),
                "limits[storage]: Invalid value: \"storage\": must be a standard resource for \
                 containers",
            ),
            (
                json!({"limits": {"hugepages-2Mi": "2Mi"}, "requests": {"hugepages-2Mi": "2Mi"}}),
                ": Forbidden: HugePages require cpu or memory",
            ),
        ] {
            let mut errors = Errors::new();
            validate(&Field::root(&resources), &mut errors);
            assert_eq!(errors.to_string(), expected);
        }
    }
}
