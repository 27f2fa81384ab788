//! Pod templates, and what the kinds that make pods from them have in common.
//!
//! Used by `deployment.rs` and `replica_set.rs`. Source: `ValidatePodTemplateSpecForReplicaSet` in
//! `pkg/apis/apps/validation`.
//!
//! 1. The selector selects the template's own pods: else a controller would make pods for ever.
//!
//! Book: `book/src/control-plane/kinds.md`.

use wavetank_api::json::Value;
use wavetank_api::selector::LabelSelector;

use super::pod::{self, defaults, spec};
use super::{edit, label_selector, object_meta, plain};
use crate::field::{Errors, Field};

/// Defaults of `spec.template`.
pub(crate) fn default(owner_spec: &mut Value) {
    if let Some(template) = owner_spec.get_mut("template")
        && let Some(pod_spec) = edit::object(template, "spec")
    {
        defaults::default_spec(pod_spec);
    }
}

/// Rules for the selector and the template of an owner's spec. Upstream says "deployment" of
/// replica sets too.
pub(crate) fn validate(owner_spec: &Field<'_, '_>, errors: &mut Errors) {
    let selector = owner_spec.child("selector");
    if !selector.is_set() {
        selector.required(errors, "");
    } else {
        label_selector::validate(&selector, errors);
        if label_selector::is_everything(&selector) {
            selector.invalid(errors, "empty selector is invalid for deployment");
        }
    }
    let template = owner_spec.child("template");
    match selector.value().map(LabelSelector::from_value) {
        Some(Err(_)) => selector.invalid(errors, "invalid label selector"),
        Some(Ok(parsed)) => {
            let metadata = template.child("metadata");
            let labels = metadata.child("labels");
            let matches = parsed.matches(&label_map(&labels));
            if !parsed.is_everything() && !matches {
                labels.invalid(errors, "`selector` does not match template `labels`");
            }
            validate_template(&template, errors);
        }
        None => validate_template(&template, errors),
    }
}

fn label_map(labels: &Field<'_, '_>) -> std::collections::BTreeMap<String, String> {
    labels
        .entries()
        .map(|(key, value)| (key.to_string(), value.str().to_string()))
        .collect()
}

fn validate_template(template: &Field<'_, '_>, errors: &mut Errors) {
    let metadata = template.child("metadata");
    object_meta::validate_template(&metadata, template, errors);
    let pod_spec = template.child("spec");
    pod::validate_annotations(&template.child("annotations"), &pod_spec, errors);
    spec::validate(&pod_spec, spec::Of::Template, errors);
    let ephemeral = pod_spec.child("ephemeralContainers");
    if !ephemeral.is_empty() {
        ephemeral.forbidden(errors, "ephemeral containers not allowed in pod template");
    }
    let policy = pod_spec.child("restartPolicy");
    if policy.str() != "Always" {
        policy.not_one_of(errors, &["Always"]);
    }
    let deadline = pod_spec.child("activeDeadlineSeconds");
    if deadline.is_set() {
        deadline.forbidden(
            errors,
            "activeDeadlineSeconds in ReplicaSet is not Supported",
        );
    }
}

/// Rules for the counts of a status: not negative, and no more than `replicas`.
pub(crate) fn validate_counts(status: &Field<'_, '_>, parts: &[&str], errors: &mut Errors) {
    let replicas = status.child("replicas");
    replicas.non_negative(errors);
    for part in parts {
        status.child(part).non_negative(errors);
    }
    status.child("observedGeneration").non_negative(errors);
    for part in parts.iter().filter(|part| **part != "unavailableReplicas") {
        let part = status.child(part);
        if part.number() > replicas.number() {
            part.invalid(errors, "cannot be greater than status.replicas");
        }
    }
    let (available, ready) = (
        status.child("availableReplicas"),
        status.child("readyReplicas"),
    );
    if available.number() > ready.number() {
        available.invalid(errors, "cannot be greater than readyReplicas");
    }
}

/// The last three cells of a row: names and images of the template's containers, and the selector.
pub(crate) fn cells(owner: &Value) -> [Value; 3] {
    let containers = edit::list(owner, &["spec", "template", "spec", "containers"]);
    let all = |field| {
        let texts: Vec<&str> = containers
            .iter()
            .map(|container| edit::text(container, &[field]))
            .collect();
        Value::from(texts.join(","))
    };
    [all("name"), all("image"), selector(owner).into()]
}

fn selector(owner: &Value) -> String {
    let selector = edit::at(owner, &["spec", "selector"]);
    let labels = selector.and_then(|selector| selector.get("matchLabels"));
    let mut terms: Vec<String> = Vec::new();
    if labels
        .and_then(Value::as_object)
        .is_some_and(|labels| !labels.is_empty())
    {
        terms.push(plain::labels(labels));
    }
    for requirement in edit::list(owner, &["spec", "selector", "matchExpressions"]) {
        let key = edit::text(requirement, &["key"]);
        let mut values: Vec<&str> = edit::list(requirement, &["values"])
            .iter()
            .filter_map(Value::as_str)
            .collect();
        values.sort_unstable();
        let values = values.join(",");
        terms.push(match edit::text(requirement, &["operator"]) {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_string(),
        });
    }
    plain::or_none(&terms.join(",")).to_string()
}
