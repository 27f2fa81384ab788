//! PriorityClass: a name for a number that says whose pod goes first.
//!
//! Sources: `pkg/registry/scheduling/priorityclass/strategy.go`, `pkg/apis/scheduling/validation`.
//!
//! 1. Only the two system classes are above 1,000,000,000.
//! 2. The value and the preemption policy never change: pods hold copies of both.
//!
//! Book: `book/src/control-plane/kinds.md`.

use wavetank_api::Time;
use wavetank_api::json::Value;

use super::{age, edit, plain, rules};
use crate::field::{Errors, Field};
use crate::strategy::{Column, Strategy};

/// The row of the table.
pub(crate) const STRATEGY: Strategy = Strategy {
    default,
    defaulted: &["preemptionPolicy"],
    prepare_create: plain::create_as_sent,
    prepare_update: plain::update_as_sent,
    prepare_status: plain::keep_all_but_status,
    validate,
    validate_update,
    validate_status: plain::no_update_rules,
    name_rule: rules::subdomain_name,
    has_status: false,
    has_generation: true,
    create_on_update: false,
    unconditional_update: true,
    fields: plain::no_fields,
    field_paths: &[],
    columns: COLUMNS,
    row,
    row_paths: &["globalDefault", "preemptionPolicy", "value"],
    graceful: plain::immediate,
};

const COLUMNS: &[Column] = &[
    plain::NAME,
    plain::column("Value", "integer", ".value"),
    plain::column("Global-Default", "boolean", ".globalDefault"),
    plain::AGE,
    plain::column("PreemptionPolicy", "string", ".preemptionPolicy"),
];

/// The largest value of a class that a user makes.
pub(crate) const HIGHEST_USER_PRIORITY: i64 = 1_000_000_000;

/// The classes every cluster has, and their values.
pub(crate) const SYSTEM_CLASSES: [(&str, i64); 2] = [
    ("system-cluster-critical", 2_000_000_000),
    ("system-node-critical", 2_000_001_000),
];

fn default(class: &mut Value) {
    edit::default_text(class, "preemptionPolicy", "PreemptLowerPriority");
}

fn validate(class: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(class);
    let metadata = root.child("metadata");
    let (name, value) = (metadata.child("name"), root.child("value"));
    if name.str().starts_with("system-") {
        if let Err(why) = known_system_class(&root, name.str(), value.number()) {
            let detail = format!(
                "priority class names with 'system-' prefix are reserved for system use only. \
                 error: {why}"
            );
            name.forbidden(&mut errors, detail);
        }
    } else if value.number() > HIGHEST_USER_PRIORITY {
        let detail =
            format!("maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}");
        value.forbidden(&mut errors, detail);
    }
    preemption_policy(&root.child("preemptionPolicy"), &mut errors);
    errors
}

fn known_system_class(root: &Field<'_, '_>, name: &str, value: i64) -> Result<(), String> {
    match SYSTEM_CLASSES.iter().find(|(known, _)| *known == name) {
        None => Err(format!("{name} is not a known system priority class")),
        Some((_, expected)) if *expected != value => {
            Err(format!("value of {name} PriorityClass must be {expected}"))
        }
        Some(_) if root.child("globalDefault").is_true() => Err(format!(
            "globalDefault of {name} PriorityClass must be false"
        )),
        Some(_) => Ok(()),
    }
}

/// Rules for a preemption policy, of a class or of a pod, if it is set.
pub(crate) fn preemption_policy(policy: &Field<'_, '_>, errors: &mut Errors) {
    const SUPPORTED: [&str; 2] = ["PreemptLowerPriority", "Never"];
    if policy.is_set() {
        match policy.required_text(errors) {
            Some(text) if !SUPPORTED.contains(&text) => policy.not_one_of(errors, &SUPPORTED),
            _ => {}
        }
    }
}

fn validate_update(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let (root, before) = (Field::root(new), Field::root(old));
    if root.child("value").number() != before.child("value").number() {
        root.child("value")
            .forbidden(&mut errors, "may not be changed in an update.");
    }
    root.child("preemptionPolicy")
        .immutable(&mut errors, &before.child("preemptionPolicy"));
    errors
}

fn row(class: &Value, now: Time) -> Vec<Value> {
    vec![
        plain::name(class),
        edit::number(class, &["value"]).into(),
        edit::flag(class, &["globalDefault"]).into(),
        age::of_object(class, now).into(),
        edit::text(class, &["preemptionPolicy"]).into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use wavetank_api::json::json;

    #[test]
    fn bad_classes_are_refused_in_upstreams_words() {
        for (class, expected) in [
            (
                json!({"metadata": {"name": "mine"}, "value": 1_000_000_001}),
                "value: Forbidden: maximum allowed value of a user defined priority is 1000000000",
            ),
            (
                json!({"metadata": {"name": "system-mine"}, "value": 1}),
                "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved \
                 for system use only. error: system-mine is not a known system priority class",
            ),
            (
                json!({"metadata": {"name": "mine"}, "value": 1, "preemptionPolicy": "Maybe"}),
                "preemptionPolicy: Unsupported value: \"Maybe\": supported values: \
                 \"PreemptLowerPriority\", \"Never\"",
            ),
        ] {
            assert_eq!(validate(&class).to_string(), expected);
        }
        let system = json!({"metadata": {"name": "system-node-critical"}, "value": 2_000_001_000});
        assert!(validate(&system).is_empty());
    }

    #[test]
    fn the_value_of_a_class_stays() {
        let errors = validate_update(&json!({"value": 2}), &json!({"value": 1}));
        assert_eq!(
            errors.to_string(),
            "value: Forbidden: may not be changed in an update."
        );
    }
}
