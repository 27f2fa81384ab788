//! What of a pod can change: almost nothing, because containers that run cannot be remade.
//!
//! Called by `pod.rs`. Source: `ValidatePodUpdate`, `ValidatePodEphemeralContainersUpdate`,
//! `ValidatePodStatusUpdate` in `pkg/apis/core/validation`.
//!
//! 1. Besides metadata: images, more tolerations, a shorter deadline, fewer scheduling gates; and,
//!    while gated, a narrower choice of nodes.
//!
//! Book: `book/src/control-plane/kinds.md`.

use wavetank_api::json::{Text, Value};
use wavetank_api::names;

use super::scheduling;
use crate::field::{Errors, Field};
use crate::kinds::edit;
use crate::kinds::rules::MAX_INT32;

const UPDATABLE: &str = "pod updates may not change fields other than \
    `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
    `spec.tolerations` (only additions to existing tolerations),\
    `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// Rules for a change of the main resource, after those of the whole pod. The list of containers is
/// looked at first: when it changed in length nothing else is worth saying.
pub(super) fn validate(new: &Value, old: &Value, errors: &mut Errors) {
    let (root, before) = (Field::root(new), Field::root(old));
    let (spec, old_spec) = (root.child("spec"), before.child("spec"));
    for list in ["containers", "initContainers"] {
        let (now, then) = (spec.child(list), old_spec.child(list));
        if now.len() != then.len() {
            now.forbidden(errors, "pod updates may not add or remove containers");
            return;
        }
    }
    if !validate_deadline(&spec, &old_spec, errors) {
        return;
    }
    validate_tolerations(
        &spec.child("tolerations"),
        &old_spec.child("tolerations"),
        errors,
    );
    let old_gates: Vec<&str> = old_spec
        .child("schedulingGates")
        .items()
        .map(|gate| gate.child("name").str())
        .collect();
    for gate in spec.child("schedulingGates").items() {
        let name = gate.child("name").str();
        if !old_gates.contains(&name) {
            let detail =
                format!("only deletion is allowed, but found new scheduling gate '{name}'");
            gate.child("name").forbidden(errors, detail);
        }
    }
    let (Some(now), Some(then)) = (spec.value(), old_spec.value()) else {
        return;
    };
    let mut rest = now.clone();
    set_back_updatable(&mut rest, then);
    if !old_gates.is_empty() {
        set_back_while_gated(&mut rest, now, then, errors);
    }
    if !edit::same(&rest, then) {
        let detail = format!("{UPDATABLE}\n{}", differences(then, &rest));
        spec.forbidden(errors, detail);
    }
}

/// A deadline can be set, and shortened; not lengthened or taken away. Whether to go on.
fn validate_deadline(spec: &Field<'_, '_>, before: &Field<'_, '_>, errors: &mut Errors) -> bool {
    let deadline = spec.child("activeDeadlineSeconds");
    let old = before.child("activeDeadlineSeconds").integer();
    match (deadline.integer(), old) {
        (Some(now), _) if !(0..=MAX_INT32).contains(&now) => {
            deadline.invalid(
                errors,
                format!("must be between 0 and {MAX_INT32}, inclusive"),
            );
            false
        }
        (Some(now), Some(then)) if then < now => {
            deadline.invalid(errors, "must be less than or equal to previous value");
            false
        }
        (None, Some(_)) => {
            let detail = "must not update from a positive integer to nil value";
            deadline.invalid(errors, detail);
            true
        }
        _ => true,
    }
}

fn validate_tolerations(new: &Field<'_, '_>, old: &Field<'_, '_>, errors: &mut Errors) {
    let without_seconds = |toleration: &Field<'_, '_>| {
        let mut value = toleration.value().cloned().unwrap_or_default();
        edit::remove(&mut value, "tolerationSeconds");
        value
    };
    let now: Vec<Value> = new
        .items()
        .map(|toleration| without_seconds(&toleration))
        .collect();
    if old
        .items()
        .any(|toleration| !now.contains(&without_seconds(&toleration)))
    {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        return new.forbidden(errors, detail);
    }
    scheduling::validate_tolerations(new, errors);
}

/// Takes what may change out of the comparison, by setting it back.
fn set_back_updatable(spec: &mut Value, old: &Value) {
    for list in ["containers", "initContainers"] {
        for (container, old) in edit::items(spec, list).zip(edit::list(old, &[list])) {
            edit::copy(container, "image", old);
        }
    }
    for field in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        edit::copy(spec, field, old);
    }
    let grace = &["terminationGracePeriodSeconds"];
    if edit::number(old, grace) < 0 && edit::number(spec, grace) == 1 {
        edit::copy(spec, "terminationGracePeriodSeconds", old);
    }
}

/// A pod that is not up for scheduling yet may be told more about where it may go, never less.
fn set_back_while_gated(rest: &mut Value, now: &Value, old: &Value, errors: &mut Errors) {
    let root = Field::root(now);
    let selector = root.child("nodeSelector");
    let narrower = edit::at(old, &["nodeSelector"])
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .all(|(key, value)| selector.key(key).value() == Some(value));
    if !narrower {
        let mut error = selector.error(
            crate::field::FieldErrorKind::Invalid,
            "only additions to spec.nodeSelector are allowed (no mutations or deletions)",
        );
        error.path = "spec.nodeSelector".into();
        errors.push(error);
    }
    edit::copy(rest, "nodeSelector", old);
    let path = [
        "affinity",
        "nodeAffinity",
        "requiredDuringSchedulingIgnoredDuringExecution",
    ];
    if edit::at(old, &path).is_none() {
        let affinity = old.get("affinity").cloned().unwrap_or(Value::Null);
        if let Some(own) = rest.get_mut("affinity") {
            edit::copy(own, "nodeAffinity", &affinity);
            let empty = own
                .as_object()
                .is_none_or(wavetank_api::json::Map::is_empty);
            if empty && affinity.is_null() {
                edit::remove(rest, "affinity");
            }
        }
    }
}

/// The top-level fields that differ, one a line: upstream prints a Go diff there, which is for eyes
/// and not for programs.
fn differences(old: &Value, new: &Value) -> String {
    let keys = |value: &Value| -> Vec<Text> {
        value
            .as_object()
            .into_iter()
            .flat_map(|map| map.keys().cloned())
            .collect()
    };
    let mut names = keys(old);
    names.extend(keys(new));
    names.sort();
    names.dedup();
    let mut text = String::new();
    for name in names {
        let (was, is) = (old.get(name.as_str()), new.get(name.as_str()));
        let null = &Value::Null;
        if !edit::same(was.unwrap_or(null), is.unwrap_or(null)) {
            let shown = |value: Option<&Value>| value.map_or("nil".into(), Value::to_string);
            text.push_str(&format!(
                "- \t{name}: {}\n+ \t{name}: {}\n",
                shown(was),
                shown(is)
            ));
        }
    }
    text
}

/// Rules for `/ephemeralcontainers`: containers are added, never changed or taken away.
pub(super) fn validate_ephemeral(new: &Value, old: &Value, errors: &mut Errors) {
    let (root, before) = (Field::root(new), Field::root(old));
    let (spec, old_spec) = (root.child("spec"), before.child("spec"));
    let (list, old_list) = (
        spec.child("ephemeralContainers"),
        old_spec.child("ephemeralContainers"),
    );
    let same = |now: &Field<'_, '_>, old: &Field<'_, '_>| {
        let (now, old) = (
            now.value().unwrap_or(&Value::Null),
            old.value().unwrap_or(&Value::Null),
        );
        edit::same(now, old)
    };
    for old in old_list.items() {
        let name = old.child("name").str();
        let found = list.items().find(|now| now.child("name").str() == name);
        match found {
            Some(now) if same(&now, &old) => {}
            Some(_) => {
                let detail =
                    format!("existing ephemeral containers \"{name}\" may not be changed\n");
                list.forbidden(errors, detail);
            }
            None => {
                let detail =
                    format!("existing ephemeral containers \"{name}\" may not be removed\n");
                list.forbidden(errors, detail);
            }
        }
    }
}

/// Rules for `/status`: what has ended stays ended, unless it may be restarted.
pub(super) fn validate_status(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let (root, before) = (Field::root(new), Field::root(old));
    let (status, old_status) = (root.child("status"), before.child("status"));
    let old_spec = before.child("spec");
    let nominated = status.child("nominatedNodeName");
    if nominated.str() != old_status.child("nominatedNodeName").str() {
        nominated.may_be(&mut errors, names::dns1123_subdomain);
    }
    let (class, old_class) = (status.child("qosClass"), old_status.child("qosClass"));
    if old_class.is_set() {
        class.immutable(&mut errors, &old_class);
    }
    let policy = old_spec.child("restartPolicy").str();
    for (list, policy) in [
        ("containerStatuses", policy),
        ("initContainerStatuses", policy),
        ("ephemeralContainerStatuses", "Never"),
    ] {
        for (at, old) in old_status.child(list).items().enumerate() {
            let name = old.child("name").str();
            let state = old.child("state");
            let ended = state.child("terminated");
            let may_restart = policy == "Always"
                || (policy == "OnFailure" && ended.child("exitCode").number() != 0)
                || (list == "initContainerStatuses" && is_sidecar(&old_spec, name));
            let now = status.child(list);
            let revived = now.items().any(|now| {
                let state = now.child("state");
                now.child("name").str() == name && !state.child("terminated").is_set()
            });
            if ended.is_set() && !may_restart && revived {
                let detail = "may not be transitioned to non-terminated state";
                now.index(at).child("state").forbidden(&mut errors, detail);
            }
        }
    }
    for ip in status.child("podIPs").items() {
        if ip.child("ip").str().parse::<core::net::IpAddr>().is_err() {
            let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            ip.invalid_as(&mut errors, ip.child("ip").str(), detail);
        }
    }
    errors
}

fn is_sidecar(spec: &Field<'_, '_>, name: &str) -> bool {
    let containers = spec.child("initContainers");
    containers.items().any(|container| {
        container.child("name").str() == name && container.child("restartPolicy").str() == "Always"
    })
}
