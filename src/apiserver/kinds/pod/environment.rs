//! Environment variables of a container, and what they and files can be told about the pod.
//!
//! Called by `pod/containers.rs`; the downward API's selectors also by `pod/volumes.rs`. Source:
//! `ValidateEnv`, `ValidateEnvFrom` in `pkg/apis/core/validation`.
//!
//! 1. A variable has a value or one source of it, not both.
//!
//! Book: `book/src/control-plane/kinds.md`.

use wavetank_api::names;

use crate::field::{Errors, Field};

use super::resources::quantity_of;

const SOURCES: [&str; 4] = [
    "fieldRef",
    "resourceFieldRef",
    "configMapKeyRef",
    "secretKeyRef",
];

/// Fields of a pod that a variable can have.
const VARIABLE_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// Fields of a pod that a file can have.
pub(super) const FILE_FIELDS: [&str; 5] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
];

const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

const DIVISORS: [&str; 13] = [
    "1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei",
];

/// Rules for `env` and `envFrom` of a container.
pub(super) fn validate(container: &Field<'_, '_>, errors: &mut Errors) {
    for variable in container.child("env").items() {
        variable
            .child("name")
            .required_name(errors, names::relaxed_env_var_name);
        if variable.child("valueFrom").is_set() {
            let has_value = !variable.child("value").is_empty();
            validate_value_from(&variable.child("valueFrom"), has_value, errors);
        }
    }
    let all = container.child("envFrom");
    for source in all.items() {
        source
            .child("prefix")
            .may_be(errors, names::relaxed_env_var_name);
        let mut found = 0;
        for kind in ["configMapRef", "secretRef"] {
            let reference = source.child(kind);
            if reference.is_set() {
                found += 1;
                reference
                    .child("name")
                    .required_name(errors, names::dns1123_subdomain);
            }
        }
        match found {
            0 => all.invalid_as(
                errors,
                "",
                "must specify one of: `configMapRef` or `secretRef`",
            ),
            1 => {}
            _ => all.invalid_as(
                errors,
                "",
                "may not have more than one field specified at a time",
            ),
        }
    }
}

fn validate_value_from(source: &Field<'_, '_>, has_value: bool, errors: &mut Errors) {
    let mut found = 0;
    for kind in SOURCES {
        let reference = source.child(kind);
        if !reference.is_set() {
            continue;
        }
        found += 1;
        match kind {
            "fieldRef" => validate_field_ref(&reference, &VARIABLE_FIELDS, errors),
            "resourceFieldRef" => validate_resource_ref(&reference, false, errors),
            _ => {
                reference
                    .child("name")
                    .must_be(errors, names::dns1123_subdomain);
                reference
                    .child("key")
                    .required_name(errors, names::config_map_key);
            }
        }
    }
    if found == 0 {
        let detail = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or \
                      `secretKeyRef`";
        source.invalid_as(errors, "", detail);
    } else if has_value {
        source.invalid_as(errors, "", "may not be specified when `value` is not empty");
    } else if found > 1 {
        source.invalid_as(
            errors,
            "",
            "may not have more than one field specified at a time",
        );
    }
}

/// Rules for a `fieldRef`: `metadata.name`, or `metadata.labels['key']`.
pub(super) fn validate_field_ref(
    reference: &Field<'_, '_>,
    supported: &[&str],
    errors: &mut Errors,
) {
    if reference
        .child("apiVersion")
        .required_text(errors)
        .is_none()
    {
        return;
    }
    let field = reference.child("fieldPath");
    let Some(path) = field.required_text(errors) else {
        return;
    };
    match path
        .strip_suffix("']")
        .and_then(|path| path.split_once("['"))
    {
        Some(("metadata.annotations", key)) => {
            for complaint in names::qualified_name(&key.to_lowercase()) {
                reference.invalid_as(errors, key.to_lowercase(), complaint);
            }
        }
        Some(("metadata.labels", key)) => {
            for complaint in names::qualified_name(key) {
                reference.invalid_as(errors, key, complaint);
            }
        }
        Some((path, _)) => reference.invalid_as(errors, path, "does not support subscript"),
        None if !VARIABLE_FIELDS.contains(&path) && !FILE_FIELDS.contains(&path) => {
            let detail = format!("error converting fieldPath: field label not supported: {path}");
            field.invalid(errors, detail);
        }
        None if !supported.contains(&path) => field.not_supported(errors, supported),
        None => {}
    }
}

/// Rules for a `resourceFieldRef`. A file must say of which container.
pub(super) fn validate_resource_ref(reference: &Field<'_, '_>, is_file: bool, errors: &mut Errors) {
    let resource = reference.child("resource");
    let name = resource.str();
    let huge = name.starts_with("limits.hugepages-") || name.starts_with("requests.hugepages-");
    if is_file && reference.child("containerName").is_empty() {
        reference.child("containerName").required(errors, "");
    } else if name.is_empty() {
        resource.required(errors, "");
    } else if !RESOURCES.contains(&name) && !huge {
        resource.not_supported(errors, &RESOURCES);
    }
    let divisor = reference.child("divisor");
    let Some(quantity) = divisor.value().and_then(quantity_of) else {
        return;
    };
    let (allowed, of): (&[&str], _) = match name {
        _ if quantity.is_zero() => return,
        "limits.cpu" | "requests.cpu" => (&["1m", "1"], "cpu"),
        "limits.memory" | "requests.memory" => (&DIVISORS, "memory"),
        _ if huge => (&DIVISORS, "hugepages"),
        "limits.ephemeral-storage" | "requests.ephemeral-storage" => {
            (&DIVISORS, "local ephemeral storage")
        }
        _ => return,
    };
    if !allowed.contains(&quantity.to_string().as_str()) {
        let list = if of == "cpu" {
            "1m and 1".to_string()
        } else {
            DIVISORS.join(", ")
        };
        let detail = format!("only divisor's values {list} are supported with the {of} resource");
        divisor.invalid_as(errors, name, detail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wavetank_api::json::json;

    #[test]
    fn bad_environments_are_refused_in_upstreams_words() {
        for (container, expected) in [
            (
                json!({"env": [{"value": "1"}]}),
                "env[0].name: Required value",
            ),
            (
                json!({"env": [{"name": "A", "valueFrom": {}}]}),
                "env[0].valueFrom: Invalid value: \"\": must specify one of: `fieldRef`, \
                 `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`",
            ),
            (
                json!({"env": [{"name": "A", "value": "1",
                    "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}),
                "env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not \
                 empty",
            ),
            (
                json!({"env": [{"name": "A",
                    "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "spec.x"}}}]}),
                "env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"spec.x\": error converting \
                 fieldPath: field label not supported: spec.x",
            ),
            (
                json!({"env": [{"name": "A", "valueFrom":
                    {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "2"}}}]}),
                "env[0].valueFrom.resourceFieldRef.divisor: Invalid value: \"limits.cpu\": only \
                 divisor's values 1m and 1 are supported with the cpu resource",
            ),
            (
                json!({"envFrom": [{"prefix": "P_"}]}),
                "envFrom: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`",
            ),
        ] {
            let mut errors = Errors::new();
            validate(&Field::root(&container), &mut errors);
            assert_eq!(errors.to_string(), expected);
        }
    }
}
