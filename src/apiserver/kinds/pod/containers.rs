//! Containers of a pod: the regular ones, those that run first, sidecars, and those added to debug.
//!
//! Called by `pod/spec.rs`. Source: `validateContainers`, `validateInitContainers`,
//! `validateEphemeralContainers` in `pkg/apis/core/validation`.
//!
//! 1. No two containers of a pod, of whatever sort, have the same name.
//! 2. An init container without `restartPolicy: Always` has no probes and no hooks: it ends.
//!
//! Book: `book/src/control-plane/kinds.md`.

use std::collections::BTreeSet;

use wavetank_api::json::Value;
use wavetank_api::names;

use super::mounts::{self, Volumes};
use super::{environment, probes, resources, security};
use crate::field::{Errors, Field};
use crate::kinds::endpoints::PROTOCOLS;

/// The three lists of containers.
pub(crate) const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// What an ephemeral container, which is not restarted and has no part in the pod's work, may not
/// have (`allowedEphemeralContainerFields`, the other way round).
const NOT_EPHEMERAL: [&str; 6] = [
    "ports",
    "resources",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
];

/// What the rules of a container need to know of its pod.
pub(super) struct Pod<'a> {
    /// Its volumes that are sound.
    pub volumes: &'a Volumes,
    /// `terminationGracePeriodSeconds`.
    pub grace: Option<i64>,
    /// `restartPolicy`.
    pub restart_policy: &'a str,
    /// Whether users inside are users outside.
    pub host_users: bool,
}

/// Rules for all containers of a pod spec.
pub(super) fn validate(spec: &Field<'_, '_>, pod: &Pod<'_>, errors: &mut Errors) {
    let regular = spec.child("containers");
    if regular.is_empty() {
        regular.required(errors, "");
    }
    let mut seen = BTreeSet::new();
    for container in regular.items() {
        validate_any(&container, pod, errors);
        unique_name(&container, &mut seen, errors);
        probes::validate_all(&container, pod.grace, errors);
        if container.child("restartPolicy").is_set() {
            let detail = "may not be set for non-init containers";
            container.child("restartPolicy").forbidden(errors, detail);
        }
    }
    host_ports_differ(&regular, &mut BTreeSet::new(), errors);
    for container in spec.child("initContainers").items() {
        validate_any(&container, pod, errors);
        validate_init(&container, pod, errors);
        unique_name(&container, &mut seen, errors);
    }
    let known = seen.clone();
    for container in spec.child("ephemeralContainers").items() {
        validate_any(&container, pod, errors);
        padded_image(&container, errors);
        unique_name(&container, &mut seen, errors);
        validate_ephemeral(&container, &known, errors);
    }
}

fn unique_name<'v>(container: &Field<'_, 'v>, seen: &mut BTreeSet<&'v str>, errors: &mut Errors) {
    let name = container.child("name");
    if !name.is_empty() && !seen.insert(name.str()) {
        name.duplicate(errors);
    }
}

fn validate_any(container: &Field<'_, '_>, pod: &Pod<'_>, errors: &mut Errors) {
    container
        .child("name")
        .required_name(errors, names::dns1123_label);
    container.child("image").required_text(errors);
    let policy = container.child("terminationMessagePolicy");
    match policy.required_text(errors) {
        Some("File" | "FallbackToLogsOnError") | None => {}
        Some(_) => policy.not_one_of(errors, &["File", "FallbackToLogsOnError"]),
    }
    validate_ports(&container.child("ports"), errors);
    environment::validate(container, errors);
    mounts::validate(container, pod.volumes, errors);
    container
        .child("imagePullPolicy")
        .required_one_of(errors, &["Always", "IfNotPresent", "Never"]);
    resources::validate(&container.child("resources"), errors);
    validate_resize(&container.child("resizePolicy"), pod.restart_policy, errors);
    security::validate_container(&container.child("securityContext"), pod.host_users, errors);
}

fn validate_ports(ports: &Field<'_, '_>, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for port in ports.items() {
        let name = port.child("name");
        if !name.is_empty() {
            let complaints = names::port_name(name.str());
            if complaints.is_empty() && !seen.insert(name.str()) {
                name.duplicate(errors);
            }
            for complaint in complaints {
                name.invalid(errors, complaint);
            }
        }
        if port.child("containerPort").number() == 0 {
            port.child("containerPort").required(errors, "");
        } else {
            port.child("containerPort").port_number(errors);
        }
        if port.child("hostPort").number() != 0 {
            port.child("hostPort").port_number(errors);
        }
        port.child("protocol").required_one_of(errors, &PROTOCOLS);
    }
}

fn validate_resize(policies: &Field<'_, '_>, restart_policy: &str, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for policy in policies.items() {
        let (resource, restart) = (policy.child("resourceName"), policy.child("restartPolicy"));
        if !seen.insert(resource.str()) {
            policy.duplicate_as(errors, resource.str());
        }
        for (word, supported) in [
            (&resource, &["cpu", "memory"]),
            (&restart, &["NotRequired", "RestartContainer"]),
        ] {
            if word.is_empty() {
                policies.required(errors, "");
            } else if !supported.contains(&word.str()) {
                word.not_supported(errors, supported);
            }
        }
        if restart_policy == "Never" && restart.str() != "NotRequired" {
            let detail = "must be 'NotRequired' when `restartPolicy` is 'Never'";
            policies.invalid_as(errors, restart.str(), detail);
        }
    }
}

fn validate_init(container: &Field<'_, '_>, pod: &Pod<'_>, errors: &mut Errors) {
    const DETAIL: &str = "may not be set for init containers without restartPolicy=Always";
    let policy = container.child("restartPolicy");
    if policy.is_set() && policy.str() != "Always" {
        policy.not_one_of(errors, &["Always"]);
    }
    host_ports_differ_in(container, &mut BTreeSet::new(), errors);
    if policy.str() == "Always" {
        return probes::validate_all(container, pod.grace, errors);
    }
    for name in ["lifecycle"].into_iter().chain(probes::PROBES) {
        if container.child(name).is_set() {
            container.child(name).forbidden(errors, DETAIL);
        }
    }
}

fn validate_ephemeral(container: &Field<'_, '_>, others: &BTreeSet<&str>, errors: &mut Errors) {
    const DETAIL: &str = "cannot be set for an Ephemeral Container";
    let target = container.child("targetContainerName");
    if !target.is_empty() && !others.contains(target.str()) {
        target.not_found(errors);
    }
    for name in NOT_EPHEMERAL {
        let field = container.child(name);
        let is_empty_object = matches!(field.value(), Some(Value::Object(map)) if map.is_empty());
        if field.is_set() && !is_empty_object {
            field.forbidden(errors, DETAIL);
        }
    }
    for mount in container.child("volumeMounts").items() {
        for path in ["subPath", "subPathExpr"] {
            if !mount.child(path).is_empty() {
                mount.child(path).forbidden(errors, DETAIL);
            }
        }
    }
}

fn host_ports_differ<'v>(
    containers: &Field<'_, 'v>,
    seen: &mut BTreeSet<(&'v str, &'v str, i64)>,
    errors: &mut Errors,
) {
    for container in containers.items() {
        host_ports_differ_in(&container, seen, errors);
    }
}

fn host_ports_differ_in<'v>(
    container: &Field<'_, 'v>,
    seen: &mut BTreeSet<(&'v str, &'v str, i64)>,
    errors: &mut Errors,
) {
    for port in container.child("ports").items() {
        let (protocol, ip) = (port.child("protocol").str(), port.child("hostIP").str());
        let number = port.child("hostPort").number();
        if number != 0 && !seen.insert((protocol, ip, number)) {
            let place = port.child("hostPort");
            place.duplicate_as(errors, format!("{protocol}/{ip}/{number}"));
        }
    }
}

/// A pod's image has no white space around it; a template's may, since it always could.
pub(super) fn padded_image(container: &Field<'_, '_>, errors: &mut Errors) {
    let image = container.child("image");
    if image.str().trim() != image.str() {
        image.invalid(errors, "must not have leading or trailing whitespace");
    }
}
