//! Defaults of pods and pod templates.
//!
//! Called by `pod.rs` and `template.rs`. Source: `SetDefaults_*` in `pkg/apis/core/v1/defaults.go`
//! and what `zz_generated.defaults.go` makes of the types' `+default` marks.
//!
//! 1. Idempotent.
//! 2. A template gets all defaults but those that would outlive a change of it (requests from
//!    limits, service links, host ports): these come with the pod.
//!
//! Book: `book/src/control-plane/kinds.md`.

use wavetank_api::json::{Map, Value};

use super::containers::LISTS;
use super::{probes, resources};
use crate::kinds::edit;

// ANCHOR: spec
/// Defaults of a pod spec, wherever it stands.
pub(crate) fn default_spec(spec: &mut Value) {
    edit::default_text(spec, "dnsPolicy", "ClusterFirst");
    edit::default_text(spec, "restartPolicy", "Always");
    edit::default_to(spec, "securityContext", Map::new());
    edit::default_to(spec, "terminationGracePeriodSeconds", 30);
    edit::default_text(spec, "schedulerName", "default-scheduler");
    resources::round_up(spec, "overhead");
    same_service_account(spec);
    for volume in edit::items(spec, "volumes") {
        default_volume(volume);
    }
    for list in LISTS {
        for container in edit::items(spec, list) {
            default_container(container);
        }
    }
}
// ANCHOR_END: spec

/// What only a pod gets, after [`default_spec`].
pub(crate) fn default_pod_only(spec: &mut Value) {
    let host_network = edit::flag(spec, &["hostNetwork"]);
    edit::default_to(spec, "enableServiceLinks", true);
    for list in ["initContainers", "containers"] {
        for container in edit::items(spec, list) {
            resources::default_requests(container);
            if !host_network {
                continue;
            }
            for port in edit::items(container, "ports") {
                let number = edit::number(port, &["containerPort"]);
                edit::default_number(port, "hostPort", number);
            }
        }
    }
}

/// `serviceAccount` is the older name of `serviceAccountName`; both are always written.
pub(crate) fn same_service_account(spec: &mut Value) {
    let older = edit::text(spec, &["serviceAccount"]).to_string();
    if !older.is_empty() {
        edit::default_text(spec, "serviceAccountName", &older);
    }
    let name = edit::text(spec, &["serviceAccountName"]).to_string();
    if !name.is_empty() {
        edit::set(spec, "serviceAccount", name);
    }
}

fn default_container(container: &mut Value) {
    let image = edit::text(container, &["image"]);
    edit::default_text(container, "imagePullPolicy", pull_policy(image));
    edit::default_text(container, "terminationMessagePath", "/dev/termination-log");
    edit::default_text(container, "terminationMessagePolicy", "File");
    edit::default_to(container, "resources", Map::new());
    for port in edit::items(container, "ports") {
        edit::default_text(port, "protocol", "TCP");
    }
    for variable in edit::items(container, "env") {
        if let Some(source) = variable.get_mut("valueFrom") {
            default_downward(source);
        }
    }
    if let Some(amounts) = container.get_mut("resources") {
        resources::round_up(amounts, "limits");
        resources::round_up(amounts, "requests");
    }
    for probe in probes::PROBES {
        if let Some(probe) = container.get_mut(probe).filter(|probe| probe.is_object()) {
            probes::default_probe(probe);
        }
    }
    for hook in ["postStart", "preStop"] {
        if let Some(hook) = container
            .get_mut("lifecycle")
            .and_then(|all| all.get_mut(hook))
        {
            probes::default_handler(hook);
        }
    }
}

/// An image without tag and digest means `:latest`, and `:latest` moves.
fn pull_policy(image: &str) -> &'static str {
    let (name, digest) = image
        .split_once('@')
        .map_or((image, ""), |(name, digest)| (name, digest));
    let last = name.rsplit('/').next().unwrap_or_default();
    match last.split_once(':').map(|(_, tag)| tag) {
        _ if image.is_empty() => "IfNotPresent",
        Some("latest") => "Always",
        None if digest.is_empty() => "Always",
        _ => "IfNotPresent",
    }
}

/// Defaults of something that names a field or a resource of the pod.
fn default_downward(source: &mut Value) {
    if let Some(field) = source.get_mut("fieldRef") {
        edit::default_text(field, "apiVersion", "v1");
    }
    if let Some(resource) = source.get_mut("resourceFieldRef") {
        edit::default_to(resource, "divisor", "0");
        if let Some(divisor) = resource.get_mut("divisor") {
            resources::canonical(divisor);
        }
    }
}

fn default_volume(volume: &mut Value) {
    const MODE: i64 = 0o644;
    let has_source = volume.as_object().is_some_and(|map| {
        map.iter()
            .any(|(key, value)| key != "name" && !value.is_null())
    });
    if !has_source {
        edit::set(volume, "emptyDir", Map::new());
    }
    for kind in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = volume.get_mut(kind) {
            edit::default_to(source, "defaultMode", MODE);
            for file in edit::items(source, "items") {
                default_downward(file);
            }
        }
    }
    if let Some(limit) = volume
        .get_mut("emptyDir")
        .and_then(|dir| dir.get_mut("sizeLimit"))
    {
        resources::canonical(limit);
    }
    for (kind, field, value) in [
        ("hostPath", "type", ""),
        ("iscsi", "iscsiInterface", "default"),
        ("rbd", "pool", "rbd"),
        ("rbd", "user", "admin"),
        ("rbd", "keyring", "/etc/ceph/keyring"),
        ("azureDisk", "cachingMode", "ReadWrite"),
        ("azureDisk", "fsType", "ext4"),
        ("azureDisk", "kind", "Shared"),
        ("scaleIO", "storageMode", "ThinProvisioned"),
        ("scaleIO", "fsType", "xfs"),
    ] {
        if let Some(source) = volume.get_mut(kind) {
            edit::default_to(source, field, value);
        }
    }
    if let Some(disk) = volume.get_mut("azureDisk") {
        edit::default_to(disk, "readOnly", false);
    }
    if let Some(image) = volume.get_mut("image") {
        let policy = pull_policy(edit::text(image, &["reference"]));
        edit::default_text(image, "pullPolicy", policy);
    }
    let template = volume
        .get_mut("ephemeral")
        .and_then(|e| e.get_mut("volumeClaimTemplate"));
    if let Some(spec) = template.and_then(|template| template.get_mut("spec")) {
        edit::default_to(spec, "volumeMode", "Filesystem");
    }
    default_projected(volume);
}

fn default_projected(volume: &mut Value) {
    const HOUR_SECONDS: i64 = 3_600;
    let Some(projected) = volume.get_mut("projected") else {
        return;
    };
    for source in edit::items(projected, "sources") {
        if let Some(token) = source.get_mut("serviceAccountToken") {
            edit::default_to(token, "expirationSeconds", HOUR_SECONDS);
        }
        if let Some(downward) = source.get_mut("downwardAPI") {
            for file in edit::items(downward, "items") {
                default_downward(file);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_can_move_is_always_pulled() {
        for (image, policy) in [
            ("nginx", "Always"),
            ("nginx:latest", "Always"),
            ("nginx:1.27", "IfNotPresent"),
            ("registry:5000/nginx", "Always"),
            ("registry:5000/nginx:1.27", "IfNotPresent"),
            ("nginx@sha256:00", "IfNotPresent"),
            ("nginx:latest@sha256:00", "Always"),
            ("", "IfNotPresent"),
        ] {
            assert_eq!(pull_policy(image), policy, "{image}");
        }
    }
}
