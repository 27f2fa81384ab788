//! Security contexts: as whom containers run, and what the kernel lets them do.
//!
//! Called by `pod/spec.rs` and `pod/containers.rs`. Source: `ValidateSecurityContext`,
//! `validatePodSpecSecurityContext` in `pkg/apis/core/validation`.
//!
//! 1. No setting takes back what another one gives (`privileged` without escalation).
//!
//! Left out: Windows options, beyond that a Linux pod may not have them.
//!
//! Book: `book/src/control-plane/kinds.md`.

use std::collections::BTreeSet;

use crate::field::{Errors, Field};

use super::containers::LISTS;

/// Rules for the security context of a container.
pub(super) fn validate_container(context: &Field<'_, '_>, host_users: bool, errors: &mut Errors) {
    context.child("runAsUser").id_number(errors);
    context.child("runAsGroup").id_number(errors);
    let proc_mount = context.child("procMount");
    if proc_mount.is_set() {
        if !["Default", "Unmasked"].contains(&proc_mount.str()) {
            proc_mount.not_one_of(errors, &["Default", "Unmasked"]);
        }
        if host_users && proc_mount.str() == "Unmasked" {
            proc_mount.invalid(errors, "`hostUsers` must be false to use `Unmasked`");
        }
    }
    validate_seccomp(&context.child("seccompProfile"), errors);
    if context.child("allowPrivilegeEscalation").boolean() == Some(false) {
        if context.child("privileged").is_true() {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            context.invalid(errors, detail);
        }
        let capabilities = context.child("capabilities");
        if capabilities
            .child("add")
            .items()
            .any(|name| name.str() == "CAP_SYS_ADMIN")
        {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` \
                          CAP_SYS_ADMIN";
            context.invalid(errors, detail);
        }
    }
    validate_app_armor(&context.child("appArmorProfile"), errors);
}

/// Rules for the security context of a pod.
pub(super) fn validate_pod(spec: &Field<'_, '_>, errors: &mut Errors) {
    let context = spec.child("securityContext");
    for id in ["fsGroup", "runAsUser", "runAsGroup"] {
        context.child(id).id_number(errors);
    }
    for group in context.child("supplementalGroups").items() {
        group.id_number(errors);
    }
    let shared = spec.child("shareProcessNamespace");
    if shared.is_true() && spec.child("hostPID").is_true() {
        let place = context.child("shareProcessNamespace");
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        place.invalid_as(errors, true, detail);
    }
    validate_sysctls(&context, spec, errors);
    for (name, supported) in [
        ("fsGroupChangePolicy", ["Always", "OnRootMismatch"]),
        ("supplementalGroupsPolicy", ["Merge", "Strict"]),
        ("seLinuxChangePolicy", ["MountOption", "Recursive"]),
    ] {
        let policy = context.child(name);
        if policy.is_set() && !supported.contains(&policy.str()) {
            policy.not_supported(errors, &supported);
        }
    }
    validate_seccomp(&context.child("seccompProfile"), errors);
    validate_app_armor(&context.child("appArmorProfile"), errors);
}

/// A pod with users of its own shares no other namespace with the host.
pub(super) fn validate_host_users(spec: &Field<'_, '_>, errors: &mut Errors) {
    if spec.child("hostUsers").boolean() != Some(false) {
        return;
    }
    for (name, shown) in [
        ("hostNetwork", "hostNetwork"),
        ("hostPID", "HostPID"),
        ("hostIPC", "HostIPC"),
    ] {
        if spec.child(name).is_true() {
            spec.child(shown)
                .forbidden(errors, "when `pod.Spec.HostUsers` is false");
        }
    }
}

/// Rules for `os`, and what a pod of one system may not have of the other.
pub(super) fn validate_os(spec: &Field<'_, '_>, errors: &mut Errors) {
    let os = spec.child("os");
    if !os.is_set() {
        return;
    }
    let name = os.child("name");
    match name.str() {
        "" => name.required(errors, "cannot be empty"),
        "linux" => {
            const DETAIL: &str = "windows options cannot be set for a linux pod";
            let options = |of: &Field<'_, '_>, errors: &mut Errors| {
                let context = of.child("securityContext");
                if context.child("windowsOptions").is_set() {
                    context.child("windowsOptions").forbidden(errors, DETAIL);
                }
            };
            options(spec, errors);
            for list in LISTS {
                for container in spec.child(list).items() {
                    options(&container, errors);
                }
            }
        }
        "windows" => {}
        _ => {
            let mut error = name.error(crate::field::FieldErrorKind::NotSupported, "");
            error.path = os.path();
            error.detail = "supported values: \"linux\", \"windows\"".into();
            errors.push(error);
        }
    }
}

fn validate_seccomp(profile: &Field<'_, '_>, errors: &mut Errors) {
    const TYPES: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];
    if !profile.is_set() {
        return;
    }
    let (of_type, local) = (profile.child("type"), profile.child("localhostProfile"));
    if of_type.is_empty() {
        of_type.required(errors, "type is required when seccompProfile is set");
    } else if !TYPES.contains(&of_type.str()) {
        of_type.not_one_of(errors, &TYPES);
    }
    if of_type.str() == "Localhost" {
        if local.is_set() {
            local.descending_path(errors);
        } else {
            local.required(errors, "must be set when seccomp type is Localhost");
        }
    } else if local.is_set() {
        local.invalid(errors, "can only be set when seccomp type is Localhost");
    }
}

fn validate_app_armor(profile: &Field<'_, '_>, errors: &mut Errors) {
    const TYPES: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];
    if !profile.is_set() {
        return;
    }
    let (of_type, local) = (profile.child("type"), profile.child("localhostProfile"));
    match of_type.str() {
        "Localhost" if local.str().trim().is_empty() && local.str().is_empty() => {
            local.required(errors, "must be set when AppArmor type is Localhost");
        }
        "Localhost" if local.str().trim() != local.str() => {
            local.invalid(errors, "must not be padded with whitespace");
        }
        "Localhost" if local.str().len() > 4_095 => local.too_long(errors, 4_095),
        "Localhost" => {}
        "RuntimeDefault" | "Unconfined" => {
            if local.is_set() {
                local.invalid(errors, "can only be set when AppArmor type is Localhost");
            }
        }
        "" => of_type.required(errors, "type is required when appArmorProfile is set"),
        _ => of_type.not_one_of(errors, &TYPES),
    }
}

fn validate_sysctls(context: &Field<'_, '_>, spec: &Field<'_, '_>, errors: &mut Errors) {
    const NAME: &str = "must have at most 253 characters and match regex \
        ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
    let mut seen = BTreeSet::new();
    for sysctl in context.child("sysctls").items() {
        let name = sysctl.child("name");
        if name.is_empty() {
            name.required(errors, "");
        } else if !is_sysctl(name.str()) {
            name.invalid(errors, NAME);
        } else if !seen.insert(name.str()) {
            name.duplicate(errors);
        }
        let dotted = name.str().replace('/', ".");
        let of_ipc = dotted.starts_with("fs.mqueue.")
            || ["kernel.shm", "kernel.msg"]
                .iter()
                .any(|prefix| dotted.starts_with(prefix))
            || dotted == "kernel.sem";
        if spec.child("hostNetwork").is_true() && dotted.starts_with("net.") {
            name.invalid(errors, "may not be specified when 'hostNetwork' is true");
        } else if spec.child("hostIPC").is_true() && of_ipc {
            name.invalid(errors, "may not be specified when 'hostIPC' is true");
        }
    }
}

fn is_sysctl(name: &str) -> bool {
    let word = |text: &str| {
        let ends = |byte: Option<&u8>| {
            byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        let bytes = text.as_bytes();
        let inner = |byte: &u8| matches!(byte, b'-' | b'_') || ends(Some(byte));
        ends(bytes.first()) && ends(bytes.last()) && bytes.iter().all(inner)
    };
    name.len() <= 253 && name.split(['.', '/']).all(word)
}
