//! ServiceAccount: every pod is somebody, and finds the proof of it in a file.
//!
//! Source: `plugin/pkg/admission/serviceaccount`.
//!
//! 1. A pod is only created when its service account is there.
//! 2. A container that mounts something of its own at the token's place keeps it.
//! 3. The volume's name is made from the pod's, not drawn: one request, one result.
//!
//! Left out: the `enforce-mountable-secrets` annotation, deprecated since 1.32.
//!
//! Book: `book/src/control-plane/admission.md`.

use wavetank_api::KindId;
use wavetank_api::json::{Value, json};

use crate::kinds::edit;
use crate::kinds::pod::defaults;
use crate::strategy::{Attributes, Denied, Operation, View};

const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME_PREFIX: &str = "kube-api-access-";
const MIRROR: &str = "kubernetes.io/config.mirror";
/// An hour and seven seconds: a value of its own, by which a token of this kind is known, so that
/// the server can give it longer while its user has not learnt to read it again.
const TOKEN_SECONDS: i64 = 3_607;

/// Gives a new pod its service account, and what comes with it.
pub(super) fn admit(
    pod: Option<&mut Value>,
    write: &Attributes<'_>,
    view: &dyn View,
) -> Result<(), Denied> {
    let creates = write.operation == Operation::Create && write.subresource.is_empty();
    let (Some(pod), true, KindId::Pod) = (pod, creates, write.kind) else {
        return Ok(());
    };
    if edit::at(pod, &["metadata", "annotations", MIRROR]).is_some() {
        return admit_mirror(pod);
    }
    let name = match edit::text(pod, &["spec", "serviceAccountName"]) {
        "" => "default".to_string(),
        name => name.to_string(),
    };
    let Some(account) = view.object(KindId::ServiceAccount, write.namespace, &name) else {
        return Err(Denied::Forbidden(format!(
            "error looking up service account {}/{name}: serviceaccount \"{name}\" not found",
            write.namespace
        )));
    };
    let Some(spec) = edit::object(pod, "spec") else {
        return Ok(());
    };
    edit::set(spec, "serviceAccountName", name);
    defaults::same_service_account(spec);
    if wants_token(spec, &account) {
        mount_token(spec, &volume_suffix(write));
    }
    let secrets = edit::list(&account, &["imagePullSecrets"]);
    if !secrets.is_empty() && edit::list(spec, &["imagePullSecrets"]).is_empty() {
        edit::set(spec, "imagePullSecrets", secrets.to_vec());
    }
    Ok(())
}

/// A mirror pod stands for one that runs already, and cannot be given anything more.
fn admit_mirror(pod: &Value) -> Result<(), Denied> {
    let refuse = |what: &str| Err(Denied::Forbidden(format!("a mirror pod may not {what}")));
    if !edit::text(pod, &["spec", "serviceAccountName"]).is_empty() {
        return refuse("reference service accounts");
    }
    for volume in edit::list(pod, &["spec", "volumes"]) {
        if edit::at(volume, &["secret"]).is_some() {
            return refuse("reference secrets");
        }
        let sources = edit::list(volume, &["projected", "sources"]);
        if sources
            .iter()
            .any(|source| edit::at(source, &["serviceAccountToken"]).is_some())
        {
            return refuse("use ServiceAccountToken volume projections");
        }
    }
    Ok(())
}

/// The pod decides; then its account; then yes.
fn wants_token(spec: &Value, account: &Value) -> bool {
    let of = |object: &Value| {
        edit::at(object, &["automountServiceAccountToken"]).and_then(Value::as_bool)
    };
    of(spec).or_else(|| of(account)).unwrap_or(true)
}

// ANCHOR: mount
fn mount_token(spec: &mut Value, suffix: &str) {
    let volumes = edit::list(spec, &["volumes"]);
    let mut names = volumes.iter().map(|volume| edit::text(volume, &["name"]));
    let existing = names
        .find(|name| name.starts_with(VOLUME_PREFIX))
        .map(str::to_string);
    let has_volume = existing.is_some();
    let name = existing.unwrap_or_else(|| format!("{VOLUME_PREFIX}{suffix}"));
    let mut needs_volume = false;
    for list in ["initContainers", "containers"] {
        for container in edit::items(spec, list) {
            let mounts = edit::list(container, &["volumeMounts"]);
            if mounts
                .iter()
                .any(|mount| edit::text(mount, &["mountPath"]) == MOUNT_PATH)
            {
                continue;
            }
            let mount = json!({"name": name, "mountPath": MOUNT_PATH,
                "readOnly": true});
            edit::append(container, "volumeMounts", mount);
            needs_volume = true;
        }
    }
    if needs_volume && !has_volume {
        edit::append(spec, "volumes", token_volume(&name));
    }
}
// ANCHOR_END: mount

fn token_volume(name: &str) -> Value {
    json!({"name": name, "projected": {"defaultMode": 0o644, "sources": [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt",
            "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace",
            "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
    ]}})
}

/// Five letters, none of which make words, from a hash (FNV-1a) of who is made where and when.
fn volume_suffix(write: &Attributes<'_>) -> String {
    const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let now = write.now.as_micros().to_le_bytes();
    let bytes = write
        .namespace
        .bytes()
        .chain([b'/'])
        .chain(write.name.bytes())
        .chain(now);
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let letter = |at: u32| {
        let index = (hash >> (at * 12)) % LETTERS.len() as u64;
        char::from(LETTERS.iter().copied().nth(index as usize).unwrap_or(b'b'))
    };
    (0..5).map(letter).collect()
}
