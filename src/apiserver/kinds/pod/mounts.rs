//! Where a container sees the pod's volumes: as directories, or as raw block devices.
//!
//! Called by `pod/containers.rs`. Source: `ValidateVolumeMounts`, `ValidateVolumeDevices` in
//! `pkg/apis/core/validation`.
//!
//! 1. A mount names a volume of the pod, and no two of a container are at the same path.
//!
//! Book: `book/src/control-plane/kinds.md`.

use std::collections::{BTreeMap, BTreeSet};

use crate::field::{Errors, Field};

/// The pod's sound volumes by name, each with the kind of its source.
pub(super) type Volumes = BTreeMap<String, &'static str>;

/// Rules for `volumeMounts` and `volumeDevices` of a container.
pub(super) fn validate(container: &Field<'_, '_>, volumes: &Volumes, errors: &mut Errors) {
    let (mounts, devices) = (
        container.child("volumeMounts"),
        container.child("volumeDevices"),
    );
    let devices_at: Vec<(&str, &str)> = devices
        .items()
        .map(|device| (device.child("name").str(), device.child("devicePath").str()))
        .collect();
    let mut paths = BTreeSet::new();
    for mount in mounts.items() {
        validate_mount(&mount, &mounts, volumes, errors);
        let (name, path) = (mount.child("name"), mount.child("mountPath"));
        if !paths.insert(path.str()) {
            path.invalid(errors, "must be unique");
        }
        if devices_at.iter().any(|(device, _)| *device == name.str()) {
            name.invalid(errors, "must not already exist in volumeDevices");
        }
        if devices_at.iter().any(|(_, at)| *at == path.str()) {
            path.invalid(errors, "must not already exist as a path in volumeDevices");
        }
        validate_propagation(&mount, &mounts, container, errors);
    }
    let (mut paths, mut names) = (BTreeSet::new(), BTreeSet::new());
    for device in devices.items() {
        let (name, path) = (device.child("name"), device.child("devicePath"));
        if name.required_text(errors).is_some() && !names.insert(name.str()) {
            name.invalid(errors, "must be unique");
        }
        match volumes.get(name.str()) {
            None => name.not_found(errors),
            Some(&("persistentVolumeClaim" | "ephemeral")) => {}
            Some(_) => {
                let detail = "can only use volume source type of PersistentVolumeClaim or \
                              Ephemeral for block mode";
                name.invalid(errors, detail);
            }
        }
        if path.required_text(errors).is_some() && !paths.insert(path.str()) {
            path.invalid(errors, "must be unique");
        }
        if path.str().split('/').any(|element| element == "..") {
            path.invalid(errors, "can not contain backsteps ('..')");
        }
    }
}

fn validate_mount(
    mount: &Field<'_, '_>,
    mounts: &Field<'_, '_>,
    volumes: &Volumes,
    errors: &mut Errors,
) {
    let name = mount.child("name");
    name.required_text(errors);
    let kind = volumes.get(name.str());
    if kind.is_none() {
        name.not_found(errors);
    }
    mount.child("mountPath").required_text(errors);
    let (sub_path, expression) = (mount.child("subPath"), mount.child("subPathExpr"));
    for path in [&sub_path, &expression] {
        if kind == Some(&"image") && !path.is_empty() {
            path.invalid(errors, "not allowed in image volume sources");
        }
    }
    // Upstream leaves the index out of these paths.
    if !sub_path.is_empty() {
        under(mounts, "subPath", sub_path.str(), errors);
    }
    if !expression.is_empty() {
        if !sub_path.is_empty() {
            expression.invalid(errors, "subPathExpr and subPath are mutually exclusive");
        }
        under(mounts, "subPathExpr", expression.str(), errors);
    }
}

fn under(mounts: &Field<'_, '_>, name: &str, path: &str, errors: &mut Errors) {
    if path.starts_with('/') {
        mounts
            .child(name)
            .invalid_as(errors, path, "must be a relative path");
    }
    if path.split('/').any(|element| element == "..") {
        mounts
            .child(name)
            .invalid_as(errors, path, "must not contain '..'");
    }
}

fn validate_propagation(
    mount: &Field<'_, '_>,
    mounts: &Field<'_, '_>,
    container: &Field<'_, '_>,
    errors: &mut Errors,
) {
    const MODES: [&str; 3] = ["Bidirectional", "HostToContainer", "None"];
    let mode = mount.child("mountPropagation");
    let context = container.child("securityContext");
    if mode.is_set() && !MODES.contains(&mode.str()) {
        let mut error = mode.error(crate::field::FieldErrorKind::NotSupported, "");
        error.path = mounts.child("mountPropagation").path();
        error.detail = "supported values: \"Bidirectional\", \"HostToContainer\", \"None\"".into();
        errors.push(error);
    } else if mode.str() == "Bidirectional" && !context.child("privileged").is_true() {
        let detail = "Bidirectional mount propagation is available only to privileged containers";
        mounts.child("mountPropagation").forbidden(errors, detail);
    }
    let recursive = mount.child("recursiveReadOnly");
    if !recursive.is_set() {
        return;
    }
    let shown = mounts.child("recursiveReadOnly");
    match recursive.str() {
        "Disabled" => {}
        "IfPossible" | "Enabled" => {
            if !mount.child("readOnly").is_true() {
                shown.forbidden(errors, "may only be specified when readOnly is true");
            }
            if !matches!(mode.str(), "" | "None") {
                let detail = "may only be specified when mountPropagation is None or not specified";
                shown.forbidden(errors, detail);
            }
        }
        _ => {
            let mut error = recursive.error(crate::field::FieldErrorKind::NotSupported, "");
            error.path = shown.path();
            error.detail = "supported values: \"Disabled\", \"Enabled\", \"IfPossible\"".into();
            errors.push(error);
        }
    }
}
