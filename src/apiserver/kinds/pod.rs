//! Pod: containers that run together on one node.
//!
//! Sources: `pkg/registry/core/pod/strategy.go`, `pkg/apis/core/validation`,
//! `pkg/apis/core/v1/defaults.go`. The parts are in `kinds/pod/`.
//!
//! 1. A new pod is Pending, and its QoS class is worked out once and stays.
//! 2. A pod that never ran, or has ended, is deleted at once; any other gets its grace period.
//!
//! Left out: resource claims and pod-level resources, whose feature gates are off in v1.33: they
//! are dropped, as upstream drops them. The `resize` subresource.
//!
//! Book: `book/src/control-plane/kinds.md`.

use wavetank_api::json::{Value, json};

use super::{edit, plain, rules};
use crate::field::{Errors, Field};
use crate::strategy::{Column, Context, DeleteOptions, Grace, Strategy};

pub(crate) mod containers;
pub(crate) mod defaults;
mod environment;
mod mounts;
mod probes;
pub(crate) mod qos;
pub(crate) mod resources;
mod row;
mod scheduling;
mod security;
pub(crate) mod spec;
mod update;
mod volumes;

#[cfg(test)]
mod tests;

/// The row of the table.
pub(crate) const STRATEGY: Strategy = Strategy {
    default,
    defaulted: &["spec"],
    prepare_create,
    prepare_update,
    prepare_status,
    validate,
    validate_update,
    validate_status: update::validate_status,
    name_rule: rules::subdomain_name,
    has_status: true,
    has_generation: true,
    create_on_update: false,
    unconditional_update: true,
    fields,
    field_paths: FIELD_PATHS,
    columns: COLUMNS,
    row: row::row,
    row_paths: row::PATHS,
    graceful,
};

const COLUMNS: &[Column] = &[
    plain::NAME,
    plain::column(
        "Ready",
        "string",
        "The aggregate readiness state of this pod for accepting traffic.",
    ),
    plain::column(
        "Status",
        "string",
        "The aggregate status of the containers in this pod.",
    ),
    plain::column(
        "Restarts",
        "string",
        "The number of times the containers in this pod have been restarted and when the last \
         container in this pod has restarted.",
    ),
    plain::AGE,
    plain::wide("IP", "string", ".status.podIP"),
    plain::wide("Node", "string", ".spec.nodeName"),
    plain::wide("Nominated Node", "string", ".status.nominatedNodeName"),
    plain::wide("Readiness Gates", "string", ".spec.readinessGates"),
];

/// What a pod can be selected by.
const FIELD_PATHS: &[&str] = &[
    "spec.hostNetwork",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.nominatedNodeName",
    "status.phase",
    "status.podIP",
];

fn default(pod: &mut Value) {
    if let Some(spec) = edit::object(pod, "spec") {
        defaults::default_spec(spec);
        defaults::default_pod_only(spec);
    }
}

fn prepare_create(pod: &mut Value, _: &Context<'_>) {
    if let Some(spec) = edit::object(pod, "spec") {
        for off in ["resourceClaims", "resources"] {
            edit::remove(spec, off);
        }
        for list in containers::LISTS {
            for container in edit::items(spec, list) {
                if let Some(resources) = container.get_mut("resources") {
                    edit::remove(resources, "claims");
                }
            }
        }
    }
    let class = qos::class(pod);
    let mut status = json!({"phase": "Pending", "qosClass": class});
    if !edit::list(pod, &["spec", "schedulingGates"]).is_empty() {
        let condition = json!({"type": "PodScheduled", "status": "False", "reason":
            "SchedulingGated", "message": "Scheduling is blocked due to non-empty scheduling gates",
            "lastProbeTime": null, "lastTransitionTime": null});
        edit::set(&mut status, "conditions", json!([condition]));
    }
    edit::set(pod, "status", status);
}

/// Ephemeral containers are only changed through their own subresource, the status not at all.
fn prepare_update(new: &mut Value, old: &Value) {
    plain::keep_status(new, old);
    if let Some(spec) = edit::object(new, "spec") {
        edit::copy(
            spec,
            "ephemeralContainers",
            old.get("spec").unwrap_or(&Value::Null),
        );
    }
}

fn prepare_status(new: &mut Value, old: &Value) {
    plain::keep_all_but_status(new, old);
    let class = edit::text(old, &["status", "qosClass"]).to_string();
    if !class.is_empty()
        && let Some(status) = edit::object(new, "status")
    {
        edit::default_text(status, "qosClass", &class);
    }
    if let (Some(metadata), Some(before)) = (new.get_mut("metadata"), old.get("metadata")) {
        edit::copy(metadata, "ownerReferences", before);
    }
}

fn validate(pod: &Value) -> Errors {
    let mut errors = validate_whole(pod);
    let root = Field::root(pod);
    let spec = root.child("spec");
    if !spec.child("ephemeralContainers").is_empty() {
        spec.child("ephemeralContainers")
            .forbidden(&mut errors, "cannot be set on create");
    }
    if !spec.child("nodeName").is_empty() && !spec.child("schedulingGates").is_empty() {
        let detail = "cannot be set until all schedulingGates have been cleared";
        spec.child("nodeName").forbidden(&mut errors, detail);
    }
    errors
}

fn validate_whole(pod: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(pod);
    let spec = root.child("spec");
    let metadata = root.child("metadata");
    validate_annotations(&metadata.child("annotations"), &spec, &mut errors);
    spec::validate(
        &spec,
        spec::Of::Pod(metadata.child("name").str()),
        &mut errors,
    );
    if spec.child("serviceAccountName").is_empty() {
        for volume in spec.child("volumes").items() {
            let projected = volume.child("projected");
            for source in projected.child("sources").items() {
                let token = source.child("serviceAccountToken");
                if token.is_set() {
                    let detail = "must not be specified when serviceAccountName is not set";
                    token.forbidden(&mut errors, detail);
                }
            }
        }
    }
    for list in ["containers", "initContainers"] {
        for container in spec.child(list).items() {
            containers::padded_image(&container, &mut errors);
        }
    }
    errors
}

/// Rules for annotations that mean something to the cluster.
pub(crate) fn validate_annotations(
    annotations: &Field<'_, '_>,
    spec: &Field<'_, '_>,
    errors: &mut Errors,
) {
    let mirror = annotations.key("kubernetes.io/config.mirror");
    if mirror.is_set() && spec.child("nodeName").is_empty() {
        mirror.invalid(
            errors,
            "must set spec.nodeName if mirror pod annotation is set",
        );
    }
    let cost = annotations.key("controller.kubernetes.io/pod-deletion-cost");
    if cost.is_set() && cost.str().parse::<i32>().is_err() {
        cost.invalid(errors, "must be a 32bit integer");
    }
}

fn validate_update(new: &Value, old: &Value) -> Errors {
    let mut errors = validate_whole(new);
    update::validate(new, old, &mut errors);
    errors
}

/// Rules for a change through `/ephemeralcontainers`: the whole pod must still be sound.
pub(crate) fn validate_ephemeral(new: &Value, old: &Value) -> Errors {
    let mut errors = validate_whole(new);
    update::validate_ephemeral(new, old, &mut errors);
    errors
}

fn fields(pod: &Value) -> Vec<(&'static str, String)> {
    let text = |path: &[&str]| edit::text(pod, path).to_string();
    let account = text(&["spec", "serviceAccountName"]);
    vec![
        ("spec.nodeName", text(&["spec", "nodeName"])),
        ("spec.restartPolicy", text(&["spec", "restartPolicy"])),
        ("spec.schedulerName", text(&["spec", "schedulerName"])),
        ("spec.serviceAccountName", account),
        (
            "spec.hostNetwork",
            edit::flag(pod, &["spec", "hostNetwork"]).to_string(),
        ),
        ("status.phase", text(&["status", "phase"])),
        ("status.podIP", text(&["status", "podIP"])),
        (
            "status.nominatedNodeName",
            text(&["status", "nominatedNodeName"]),
        ),
    ]
}

// ANCHOR: graceful
/// A pod with containers that may run gets the time asked for, or its own.
fn graceful(pod: &Value, options: &DeleteOptions) -> Grace {
    let own = edit::number(pod, &["spec", "terminationGracePeriodSeconds"]);
    let never_ran = edit::text(pod, &["spec", "nodeName"]).is_empty();
    let ended = matches!(
        edit::text(pod, &["status", "phase"]),
        "Failed" | "Succeeded"
    );
    match options.grace_period_seconds.unwrap_or(own) {
        _ if never_ran || ended => Grace::Immediate,
        0 => Grace::Immediate,
        negative if negative < 0 => Grace::Seconds(1),
        seconds => Grace::Seconds(seconds),
    }
}
// ANCHOR_END: graceful
