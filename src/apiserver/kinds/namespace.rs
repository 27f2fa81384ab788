//! Namespace: what all namespaced objects live in, and die with.
//!
//! Sources: `pkg/registry/core/namespace/strategy.go`, `pkg/apis/core/validation`.
//!
//! 1. A namespace always has the label `kubernetes.io/metadata.name` with its own name.
//! 2. A new namespace is Active and held by the finalizer `kubernetes` in `spec.finalizers`, which
//!    only its `/finalize` changes.
//!
//! Left out: deletion in two steps; the pipeline does it, because it is a write of its own.
//!
//! Book: `book/src/control-plane/kinds.md`.

use wavetank_api::json::{Value, json};
use wavetank_api::{Time, names};

use super::{age, edit, object_meta, plain, rules};
use crate::field::{Errors, Field};
use crate::strategy::{Column, Context, Strategy};

/// The row of the table.
pub(crate) const STRATEGY: Strategy = Strategy {
    default,
    defaulted: &["metadata", "status"],
    prepare_create,
    prepare_update,
    prepare_status: plain::keep_all_but_status,
    validate,
    validate_update: plain::no_update_rules,
    validate_status,
    name_rule: rules::label_name,
    has_status: true,
    has_generation: false,
    create_on_update: false,
    unconditional_update: true,
    fields,
    field_paths: &["metadata.name", "status.phase"],
    columns: COLUMNS,
    row,
    row_paths: &["status.phase"],
    graceful: plain::immediate,
};

const COLUMNS: &[Column] = &[
    plain::NAME,
    plain::column("Status", "string", "The status of the namespace"),
    plain::AGE,
];

fn default(namespace: &mut Value) {
    let name = edit::text(namespace, &["metadata", "name"]).to_string();
    if !name.is_empty()
        && let Some(metadata) = edit::object(namespace, "metadata")
        && let Some(labels) = edit::object(metadata, "labels")
    {
        edit::set(labels, "kubernetes.io/metadata.name", name);
    }
    if let Some(status) = edit::object(namespace, "status") {
        edit::default_text(status, "phase", "Active");
    }
}

fn prepare_create(namespace: &mut Value, _: &Context<'_>) {
    default(namespace);
    edit::set(namespace, "status", json!({"phase": "Active"}));
    if let Some(spec) = edit::object(namespace, "spec") {
        edit::default_to(spec, "finalizers", Vec::<Value>::new());
        let Some(finalizers) = spec.get_mut("finalizers").and_then(Value::as_array_mut) else {
            return;
        };
        if !finalizers.iter().any(|finalizer| finalizer == "kubernetes") {
            finalizers.push("kubernetes".into());
        }
    }
}

fn prepare_update(new: &mut Value, old: &Value) {
    plain::keep_status(new, old);
    if let Some(spec) = edit::object(new, "spec") {
        edit::copy(spec, "finalizers", old.get("spec").unwrap_or(&Value::Null));
    }
}

fn validate(namespace: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(namespace);
    for finalizer in root.child("spec").child("finalizers").items() {
        finalizer.must_be(&mut errors, names::qualified_name);
        object_meta::standard_or_qualified(&finalizer, &mut errors);
    }
    errors
}

fn validate_status(new: &Value, _: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(new);
    let status = root.child("status");
    let phase = status.child("phase");
    let terminating = root.child("metadata").child("deletionTimestamp").is_set();
    let (expected, when) = if terminating {
        (
            "Terminating",
            "may only be 'Terminating' if `deletionTimestamp` is not empty",
        )
    } else {
        (
            "Active",
            "may only be 'Active' if `deletionTimestamp` is empty",
        )
    };
    if phase.str() != expected {
        status
            .child("Phase")
            .invalid_as(&mut errors, phase.str(), when);
    }
    errors
}

fn fields(namespace: &Value) -> Vec<(&'static str, String)> {
    let phase = edit::text(namespace, &["status", "phase"]);
    let name = edit::text(namespace, &["metadata", "name"]);
    vec![("name", name.into()), ("status.phase", phase.into())]
}

fn row(namespace: &Value, now: Time) -> Vec<Value> {
    let phase = edit::text(namespace, &["status", "phase"]);
    vec![
        plain::name(namespace),
        phase.into(),
        age::of_object(namespace, now).into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_namespace_is_active_labelled_and_held() {
        let mut namespace = json!({"metadata": {"name": "shop"}, "status": {"phase": "Gone"}});
        let context = Context {
            now: Time::EPOCH,
            namespace: "",
            user: "admin",
            dry_run: false,
        };
        prepare_create(&mut namespace, &context);
        assert_eq!(
            namespace,
            json!({"metadata": {"name": "shop", "labels": {"kubernetes.io/metadata.name": "shop"}},
                "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}})
        );
        assert!(validate(&namespace).is_empty());
    }

    #[test]
    fn a_namespace_terminates_only_when_it_is_deleted() {
        let namespace = json!({"status": {"phase": "Terminating"}});
        assert_eq!(
            validate_status(&namespace, &namespace).to_string(),
            "status.Phase: Invalid value: \"Terminating\": may only be 'Active' if \
             `deletionTimestamp` is empty"
        );
    }
}
