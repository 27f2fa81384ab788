//! ReplicaSet: so many pods of one template.
//!
//! Sources: `pkg/registry/apps/replicaset/strategy.go`, `pkg/apis/apps/validation`,
//! `pkg/apis/apps/v1/defaults.go`.
//!
//! 1. The selector never changes: pods are found by it.
//!
//! Book: `book/src/control-plane/kinds.md`.

use wavetank_api::Time;
use wavetank_api::json::Value;

use super::{age, edit, plain, rules, template};
use crate::field::{Errors, Field};
use crate::strategy::{Column, Strategy};

/// The row of the table.
pub(crate) const STRATEGY: Strategy = Strategy {
    default,
    defaulted: &["spec"],
    prepare_create: plain::create_without_status,
    prepare_update: plain::keep_status,
    prepare_status: plain::keep_all_but_status_and_labels,
    validate,
    validate_update,
    validate_status,
    name_rule: rules::subdomain_name,
    has_status: true,
    has_generation: true,
    create_on_update: false,
    unconditional_update: true,
    fields,
    field_paths: &["status.replicas"],
    columns: COLUMNS,
    row,
    row_paths: &[
        "spec.replicas",
        "spec.selector",
        "spec.template.spec.containers.image",
        "spec.template.spec.containers.name",
        "status",
    ],
    graceful: plain::immediate,
};

const COLUMNS: &[Column] = &[
    plain::NAME,
    plain::column("Desired", "integer", ".spec.replicas"),
    plain::column("Current", "integer", ".status.replicas"),
    plain::column("Ready", "integer", ".status.readyReplicas"),
    plain::AGE,
    plain::wide(
        "Containers",
        "string",
        "Names of each container in the template.",
    ),
    plain::wide(
        "Images",
        "string",
        "Images referenced by each container in the template.",
    ),
    plain::wide("Selector", "string", ".spec.selector"),
];

fn default(set: &mut Value) {
    if let Some(spec) = edit::object(set, "spec") {
        edit::default_to(spec, "replicas", 1);
        template::default(spec);
    }
}

fn validate(set: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(set);
    let spec = root.child("spec");
    spec.child("replicas").non_negative(&mut errors);
    spec.child("minReadySeconds").non_negative(&mut errors);
    template::validate(&spec, &mut errors);
    errors
}

fn validate_update(new: &Value, old: &Value) -> Errors {
    let mut errors = validate(new);
    let (root, before) = (Field::root(new), Field::root(old));
    let (spec, old_spec) = (root.child("spec"), before.child("spec"));
    spec.child("selector")
        .immutable(&mut errors, &old_spec.child("selector"));
    errors
}

fn validate_status(new: &Value, _: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(new);
    let parts = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
    template::validate_counts(&root.child("status"), &parts, &mut errors);
    errors
}

fn fields(set: &Value) -> Vec<(&'static str, String)> {
    vec![(
        "status.replicas",
        edit::number(set, &["status", "replicas"]).to_string(),
    )]
}

fn row(set: &Value, now: Time) -> Vec<Value> {
    let number = |path: &[&str]| Value::from(edit::number(set, path));
    let mut cells = vec![
        plain::name(set),
        number(&["spec", "replicas"]),
        number(&["status", "replicas"]),
        number(&["status", "readyReplicas"]),
        age::of_object(set, now).into(),
    ];
    cells.extend(template::cells(set));
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use wavetank_api::json::json;

    fn web() -> Value {
        let mut set = json!({"metadata": {"name": "web"}, "spec": {"replicas": 3,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "nginx:1"}]}}},
            "status": {"replicas": 3, "readyReplicas": 2}});
        default(&mut set);
        set
    }

    #[test]
    fn bad_replica_sets_are_refused_in_upstreams_words() {
        assert_eq!(validate(&web()).to_string(), "[]");
        let mut set = web();
        set["spec"]["replicas"] = json!(-1);
        set["spec"]["template"]["metadata"]["labels"] = json!({"app": "other"});
        set["spec"]["template"]["spec"]["restartPolicy"] = json!("Never");
        assert_eq!(
            validate(&set).to_string(),
            "[spec.replicas: Invalid value: -1: must be greater than or equal to 0, \
             spec.template.metadata.labels: Invalid value: {\"app\":\"other\"}: `selector` does \
             not match template `labels`, \
             spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \
             \"Always\"]"
        );
    }

    #[test]
    fn the_selector_of_a_replica_set_stays() {
        let mut new = web();
        new["spec"]["selector"] = json!({"matchLabels": {"app": "b"}});
        new["spec"]["template"]["metadata"]["labels"] = json!({"app": "b"});
        assert_eq!(
            validate_update(&new, &web()).to_string(),
            "spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"b\"}}: field is immutable"
        );
    }

    #[test]
    fn a_status_never_counts_more_than_there_are() {
        let set = json!({"status": {"replicas": 1, "readyReplicas": 2, "availableReplicas": 3}});
        assert_eq!(
            validate_status(&set, &set).to_string(),
            "[status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas, \
             status.availableReplicas: Invalid value: 3: cannot be greater than status.replicas, \
             status.availableReplicas: Invalid value: 3: cannot be greater than readyReplicas]"
        );
    }

    #[test]
    fn a_row_shows_counts_and_the_template() {
        let cells = json!(["web", 3, 3, 2, "<unknown>", "web", "nginx:1", "app=web"]);
        assert_eq!(Value::from(row(&web(), Time::EPOCH)), cells);
    }
}
