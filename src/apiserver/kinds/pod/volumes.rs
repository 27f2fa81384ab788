//! Volumes of a pod: one source each, of some thirty kinds.
//!
//! Called by `pod/spec.rs`. Source: `ValidateVolumes` in `pkg/apis/core/validation`. The kinds that
//! the cluster itself serves are checked in depth; of the others, what must be there.
//!
//! 1. A volume has exactly one source.
//!
//! Book: `book/src/control-plane/kinds.md`.

use std::collections::BTreeSet;

use wavetank_api::names;

use super::environment::{FILE_FIELDS, validate_field_ref, validate_resource_ref};
use super::mounts::Volumes;
use super::resources::quantity_of;
use crate::field::{Errors, Field};
use crate::kinds::label_selector;

/// Every kind of source in upstream's order, with the fields that it must have.
const SOURCES: [(&str, &[&str]); 30] = [
    ("emptyDir", &[]),
    ("hostPath", &["path"]),
    ("gitRepo", &["repository"]),
    ("gcePersistentDisk", &["pdName"]),
    ("awsElasticBlockStore", &["volumeID"]),
    ("secret", &["secretName"]),
    ("nfs", &["server", "path"]),
    ("iscsi", &["targetPortal", "iqn"]),
    ("glusterfs", &["endpoints", "path"]),
    ("flocker", &[]),
    ("persistentVolumeClaim", &["claimName"]),
    ("rbd", &["monitors", "image"]),
    ("cinder", &["volumeID"]),
    ("cephfs", &["monitors"]),
    ("quobyte", &["registry", "volume"]),
    ("downwardAPI", &[]),
    ("fc", &[]),
    ("flexVolume", &["driver"]),
    ("configMap", &["name"]),
    ("azureFile", &["secretName", "shareName"]),
    ("vsphereVolume", &["volumePath"]),
    ("photonPersistentDisk", &["pdID"]),
    ("portworxVolume", &["volumeID"]),
    ("azureDisk", &["diskName", "diskURI"]),
    ("storageos", &["volumeName"]),
    ("projected", &[]),
    ("scaleIO", &["gateway", "system", "volumeName"]),
    ("csi", &["driver"]),
    ("ephemeral", &["volumeClaimTemplate"]),
    ("image", &["reference"]),
];

const HOST_PATH_TYPES: [&str; 8] = [
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
];

/// Rules for `volumes`; answers those without errors, for the containers' mounts to name.
/// `pod_name` is empty in a template.
pub(super) fn validate(volumes: &Field<'_, '_>, pod_name: &str, errors: &mut Errors) -> Volumes {
    let mut sound = Volumes::new();
    for volume in volumes.items() {
        let mut own = Errors::new();
        let kind = validate_source(&volume, &mut own);
        let name = volume.child("name");
        if kind == Some("ephemeral") && !pod_name.is_empty() && !name.is_empty() {
            let claim = format!("{pod_name}-{}", name.str());
            for complaint in names::dns1123_subdomain(&claim) {
                name.invalid(&mut own, format!("PVC name \"{claim}\": {complaint}"));
            }
        }
        name.required_name(&mut own, names::dns1123_label);
        if sound.contains_key(name.str()) {
            name.duplicate(&mut own);
        }
        if let Some(kind) = kind
            && own.is_empty()
        {
            sound.insert(name.str().to_string(), kind);
        }
        errors.extend(own);
    }
    sound
}

fn validate_source(volume: &Field<'_, '_>, errors: &mut Errors) -> Option<&'static str> {
    let mut found = None;
    for (kind, required) in SOURCES {
        let source = volume.child(kind);
        if !source.is_set() {
            continue;
        }
        if found.is_some() {
            source.forbidden(errors, "may not specify more than 1 volume type");
            continue;
        }
        found = Some(kind);
        for name in required {
            if source.child(name).is_empty() {
                source.child(name).required(errors, "");
            }
        }
        validate_known(kind, &source, errors);
    }
    if found.is_none() {
        volume.required(errors, "must specify a volume type");
    }
    found
}

fn validate_known(kind: &str, source: &Field<'_, '_>, errors: &mut Errors) {
    match kind {
        "emptyDir" => {
            let limit = source.child("sizeLimit");
            let negative = limit
                .value()
                .and_then(quantity_of)
                .is_some_and(|size| size.signum() < 0);
            if negative {
                limit.forbidden(errors, "SizeLimit field must be a valid resource quantity");
            }
        }
        "hostPath" if !source.child("path").is_empty() => {
            source.child("path").path_without_backsteps(errors);
            let of_type = source.child("type");
            if of_type.is_set() && !HOST_PATH_TYPES.contains(&of_type.str()) {
                of_type.not_supported(errors, &HOST_PATH_TYPES);
            }
        }
        "gitRepo" => source.child("directory").descending_path(errors),
        "nfs" if !source.child("path").str().starts_with('/') => {
            let path = source.child("path");
            path.invalid_as(errors, path.str(), "must be an absolute path");
        }
        "secret" | "configMap" => {
            source.child("defaultMode").file_mode(errors);
            for item in source.child("items").items() {
                validate_item(&item, errors);
            }
        }
        "downwardAPI" => {
            source.child("defaultMode").file_mode(errors);
            for file in source.child("items").items() {
                validate_file(&file, source, errors);
            }
        }
        "projected" => {
            source.child("defaultMode").file_mode(errors);
            validate_projected(source, errors);
        }
        "csi" => {
            let secret = source.child("nodePublishSecretRef");
            if secret.is_set() {
                secret
                    .child("name")
                    .required_name(errors, names::dns1123_subdomain);
            }
        }
        "image" => source
            .child("pullPolicy")
            .required_one_of(errors, &["Always", "IfNotPresent", "Never"]),
        _ => {}
    }
}

/// Rules for `{key, path, mode}` of a secret or config map.
fn validate_item(item: &Field<'_, '_>, errors: &mut Errors) {
    item.child("key").required_text(errors);
    item.child("path").required_text(errors);
    item.child("path").unreserved_path(errors);
    item.child("mode").file_mode(errors);
}

/// Rules for one file of the downward API. Upstream's paths stop at the volume.
fn validate_file(file: &Field<'_, '_>, volume: &Field<'_, '_>, errors: &mut Errors) {
    let path = file.child("path");
    if path.is_empty() {
        volume.child("path").required(errors, "");
    }
    path.unreserved_path(errors);
    let (field, resource) = (file.child("fieldRef"), file.child("resourceFieldRef"));
    if field.is_set() {
        validate_field_ref(&field, &FILE_FIELDS, errors);
        if resource.is_set() {
            let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
            volume.invalid_as(errors, "resource", detail);
        }
    } else if resource.is_set() {
        validate_resource_ref(&resource, true, errors);
    } else {
        volume.required(errors, "one of fieldRef and resourceFieldRef is required");
    }
    file.child("mode").file_mode(errors);
}

fn validate_projected(volume: &Field<'_, '_>, errors: &mut Errors) {
    let mut paths = BTreeSet::new();
    let mut claim = |path: &str, shown: &str, errors: &mut Errors| {
        if !path.is_empty() && !paths.insert(path.to_string()) {
            volume.invalid_as(errors, shown, "conflicting duplicate paths");
        }
    };
    for source in volume.child("sources").items() {
        let mut found = 0;
        for kind in ["secret", "configMap"] {
            let part = source.child(kind);
            if !part.is_set() {
                continue;
            }
            found += 1;
            part.child("name").required_text(errors);
            for item in part.child("items").items() {
                validate_item(&item, errors);
                claim(item.child("path").str(), part.child("name").str(), errors);
            }
        }
        let downward = source.child("downwardAPI");
        if downward.is_set() {
            found += 1;
            for file in downward.child("items").items() {
                validate_file(&file, &downward, errors);
                let path = file.child("path").str();
                claim(path, path, errors);
            }
        }
        let token = source.child("serviceAccountToken");
        if token.is_set() {
            found += 1;
            validate_token(&token, volume, errors);
        }
        let bundle = source.child("clusterTrustBundle");
        if bundle.is_set() {
            found += 1;
            validate_bundle(&bundle, errors);
            let path = bundle.child("path").str();
            claim(path, path, errors);
        }
        if found > 1 {
            let detail = "may not specify more than 1 volume type per source";
            source.forbidden(errors, detail);
        }
    }
}

fn validate_token(token: &Field<'_, '_>, volume: &Field<'_, '_>, errors: &mut Errors) {
    let seconds = token.child("expirationSeconds");
    if seconds.number() < 600 {
        let detail = "may not specify a duration less than 10 minutes";
        seconds.invalid_as(errors, seconds.number(), detail);
    }
    if seconds.number() > 1 << 32 {
        seconds.invalid(
            errors,
            "may not specify a duration larger than 2^32 seconds",
        );
    }
    if token.child("path").is_empty() {
        volume.child("path").required(errors, "");
    } else {
        token.child("path").unreserved_path(errors);
    }
}

fn validate_bundle(bundle: &Field<'_, '_>, errors: &mut Errors) {
    match (
        bundle.child("name").is_set(),
        bundle.child("signerName").is_set(),
    ) {
        (true, true) => bundle.invalid(errors, "only one of name and signerName may be used"),
        (true, false) => {
            if bundle.child("name").is_empty() {
                bundle
                    .child("name")
                    .required(errors, "must be a valid object name");
            }
            if bundle.child("labelSelector").is_set() {
                let detail = "labelSelector must be unset if name is specified";
                bundle.child("labelSelector").invalid(errors, detail);
            }
        }
        (false, true) => {
            if bundle.child("signerName").is_empty() {
                bundle
                    .child("signerName")
                    .required(errors, "must be a valid signer name");
            }
            label_selector::validate(&bundle.child("labelSelector"), errors);
        }
        (false, false) => {
            bundle.required(errors, "either name or signerName must be specified");
        }
    }
    bundle.child("path").required_text(errors);
    bundle.child("path").unreserved_path(errors);
}
