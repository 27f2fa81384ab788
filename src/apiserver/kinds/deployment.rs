//! Deployment: replica sets that follow one another as the template changes.
//!
//! Sources: `pkg/registry/apps/deployment/strategy.go`, `pkg/apis/apps/validation`,
//! `pkg/apis/apps/v1/defaults.go`.
//!
//! 1. The selector never changes.
//! 2. A rolling update can always take a step: not both `maxSurge` and `maxUnavailable` are 0.
//!
//! Book: `book/src/control-plane/kinds.md`.

use wavetank_api::json::Value;
use wavetank_api::{Time, names};

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
    fields: plain::no_fields,
    field_paths: &[],
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
    plain::column("Ready", "string", "Number of the pod with ready state"),
    plain::column("Up-to-date", "string", ".status.updatedReplicas"),
    plain::column("Available", "string", ".status.availableReplicas"),
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

// ANCHOR: default
fn default(deployment: &mut Value) {
    let Some(spec) = edit::object(deployment, "spec") else {
        return;
    };
    edit::default_to(spec, "replicas", 1);
    edit::default_to(spec, "revisionHistoryLimit", 10);
    edit::default_to(spec, "progressDeadlineSeconds", 600);
    if let Some(strategy) = edit::object(spec, "strategy") {
        edit::default_text(strategy, "type", "RollingUpdate");
        if edit::text(strategy, &["type"]) == "RollingUpdate"
            && let Some(rolling) = edit::object(strategy, "rollingUpdate")
        {
            edit::default_to(rolling, "maxUnavailable", "25%");
            edit::default_to(rolling, "maxSurge", "25%");
        }
    }
    template::default(spec);
}
// ANCHOR_END: default

fn validate(deployment: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(deployment);
    let spec = root.child("spec");
    spec.child("replicas").non_negative(&mut errors);
    template::validate(&spec, &mut errors);
    validate_strategy(&spec.child("strategy"), &mut errors);
    let min_ready = spec.child("minReadySeconds");
    min_ready.non_negative(&mut errors);
    spec.child("revisionHistoryLimit").non_negative(&mut errors);
    let deadline = spec.child("progressDeadlineSeconds");
    deadline.non_negative(&mut errors);
    if deadline
        .integer()
        .is_some_and(|seconds| seconds <= min_ready.number())
    {
        deadline.invalid(&mut errors, "must be greater than minReadySeconds");
    }
    errors
}

fn validate_strategy(strategy: &Field<'_, '_>, errors: &mut Errors) {
    let rolling = strategy.child("rollingUpdate");
    match strategy.child("type").str() {
        "Recreate" if rolling.is_set() => {
            let detail = "may not be specified when strategy `type` is 'Recreate'";
            rolling.forbidden(errors, detail);
        }
        "Recreate" => {}
        "RollingUpdate" if !rolling.is_set() => {
            rolling.required(errors, "this should be defaulted and never be nil");
        }
        "RollingUpdate" => validate_rolling(&rolling, errors),
        _ => strategy.not_one_of(errors, &["Recreate", "RollingUpdate"]),
    }
}

// ANCHOR: rolling
fn validate_rolling(rolling: &Field<'_, '_>, errors: &mut Errors) {
    let unavailable = rolling.child("maxUnavailable");
    let surge = rolling.child("maxSurge");
    for bound in [&unavailable, &surge] {
        match bound.text() {
            Some(_) => bound.must_be(errors, names::percent),
            None => bound.non_negative(errors),
        }
    }
    if amount(&unavailable) == 0 && amount(&surge) == 0 {
        unavailable.invalid(errors, "may not be 0 when `maxSurge` is 0");
    }
    if unavailable.text().is_some() && amount(&unavailable) > 100 {
        unavailable.invalid(errors, "must not be greater than 100%");
    }
}
// ANCHOR_END: rolling

/// The number of `3` or `30%`, whichever it is; a text that is neither counts as 0.
fn amount(bound: &Field<'_, '_>) -> i64 {
    match bound.text() {
        Some(text) => text
            .strip_suffix('%')
            .and_then(|digits| digits.parse().ok())
            .unwrap_or(0),
        None => bound.number(),
    }
}

fn validate_update(new: &Value, old: &Value) -> Errors {
    let mut errors = validate(new);
    let (root, before) = (Field::root(new), Field::root(old));
    let (spec, old_spec) = (root.child("spec"), before.child("spec"));
    spec.child("selector")
        .immutable(&mut errors, &old_spec.child("selector"));
    errors
}

fn validate_status(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let (root, before) = (Field::root(new), Field::root(old));
    let (status, old_status) = (root.child("status"), before.child("status"));
    let parts = [
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
    ];
    template::validate_counts(&status, &parts, &mut errors);
    let (collisions, before) = (
        status.child("collisionCount"),
        old_status.child("collisionCount").integer(),
    );
    collisions.non_negative(&mut errors);
    if before.is_some() && collisions.integer() < before {
        let value = collisions.value().cloned().unwrap_or_default();
        collisions.invalid_as(&mut errors, value, "cannot be decremented");
    }
    errors
}

fn row(deployment: &Value, now: Time) -> Vec<Value> {
    let number = |path: &[&str]| edit::number(deployment, path);
    let desired = number(&["spec", "replicas"]);
    let mut cells = vec![
        plain::name(deployment),
        format!("{}/{desired}", number(&["status", "readyReplicas"])).into(),
        number(&["status", "updatedReplicas"]).into(),
        number(&["status", "availableReplicas"]).into(),
        age::of_object(deployment, now).into(),
    ];
    cells.extend(template::cells(deployment));
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use wavetank_api::json::json;

    fn web(strategy: Value) -> Value {
        let mut deployment = json!({"metadata": {"name": "web"}, "spec": {"strategy": strategy,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "nginx"}]}}}});
        default(&mut deployment);
        deployment
    }

    #[test]
    fn a_small_deployment_gets_upstreams_defaults() {
        let deployment = web(Value::Null);
        let spec = &deployment["spec"];
        assert_eq!(spec["replicas"], 1);
        assert_eq!(spec["revisionHistoryLimit"], 10);
        assert_eq!(spec["progressDeadlineSeconds"], 600);
        assert_eq!(
            spec["strategy"],
            json!({"type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}})
        );
        assert_eq!(
            spec["template"]["spec"],
            json!({"dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "securityContext": {},
                "schedulerName": "default-scheduler", "terminationGracePeriodSeconds": 30,
                "containers": [{"name": "web", "image": "nginx", "imagePullPolicy": "Always",
                    "resources": {}, "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File"}]})
        );
        assert_eq!(validate(&deployment).to_string(), "[]");
    }

    #[test]
    fn bad_strategies_are_refused_in_upstreams_words() {
        for (strategy, expected) in [
            (
                json!({"type": "Recreate", "rollingUpdate": {}}),
                "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` \
                 is 'Recreate'",
            ),
            (
                json!({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}),
                "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"0%\": may not be 0 \
                 when `maxSurge` is 0",
            ),
            (
                json!({"rollingUpdate": {"maxUnavailable": "101%"}}),
                "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be \
                 greater than 100%",
            ),
            (
                json!({"type": "Magic"}),
                "spec.strategy: Unsupported value: {\"type\":\"Magic\"}: supported values: \
                 \"Recreate\", \"RollingUpdate\"",
            ),
        ] {
            assert_eq!(validate(&web(strategy)).to_string(), expected);
        }
    }

    #[test]
    fn a_deadline_outlasts_getting_ready() {
        let mut deployment = web(Value::Null);
        deployment["spec"]["minReadySeconds"] = json!(600);
        assert_eq!(
            validate(&deployment).to_string(),
            "spec.progressDeadlineSeconds: Invalid value: 600: must be greater than \
             minReadySeconds"
        );
    }
}
