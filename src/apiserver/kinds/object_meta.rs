//! The rules of every object's `metadata`.
//!
//! Called by the pipeline before a kind's own `validate` and `validate_update`. Source:
//! `k8s.io/apimachinery/pkg/api/validation/objectmeta.go`, and the finalizers' rule of
//! `pkg/apis/core/validation`.
//!
//! 1. A change of name, namespace, uid or creationTimestamp is always refused.
//!
//! Left out: `managedFields`, which the pipeline writes itself.
//!
//! Book: `book/src/control-plane/kinds.md`.

use wavetank_api::json::Value;
use wavetank_api::{Guard, Guards, names};

use crate::field::{Errors, Field};

/// Finalizers that need no domain (`helper.IsStandardFinalizerName`).
const STANDARD_FINALIZERS: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];

/// Rules for the metadata of a new object, or of the whole object after a change.
/// `name_rule` is the kind's own (see `Strategy::name_rule`).
pub fn validate(
    object: &Value,
    namespaced: bool,
    name_rule: fn(&str, bool) -> Vec<String>,
) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(object);
    let metadata = root.child("metadata");
    let prefix = metadata.child("generateName");
    if !prefix.is_empty() {
        for complaint in name_rule(prefix.str(), true) {
            prefix.invalid(&mut errors, complaint);
        }
    }
    let name = metadata.child("name");
    if name.is_empty() {
        name.required(&mut errors, "name or generateName is required");
    } else {
        for complaint in name_rule(name.str(), false) {
            name.invalid(&mut errors, complaint);
        }
    }
    let namespace = metadata.child("namespace");
    if namespaced {
        namespace.required_name(&mut errors, names::dns1123_label);
    } else if !namespace.is_empty() {
        namespace.forbidden(&mut errors, "not allowed on this type");
    }
    metadata.child("generation").non_negative(&mut errors);
    shared(&metadata, &mut errors);
    errors
}

/// Rules for a change of metadata.
pub fn validate_update(new: &Value, old: &Value, guards: Guards) -> Errors {
    let mut errors = Errors::new();
    let (root, old_root) = (Field::root(new), Field::root(old));
    let (metadata, before) = (root.child("metadata"), old_root.child("metadata"));
    if before.child("deletionTimestamp").is_set() && guards.on(Guard::M41) {
        no_new_finalizers(
            &metadata.child("finalizers"),
            &before.child("finalizers"),
            &mut errors,
        );
    }
    let generation = metadata.child("generation");
    if generation.number() < before.child("generation").number() {
        generation.invalid(&mut errors, "must not be decremented");
    }
    for name in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        metadata
            .child(name)
            .immutable(&mut errors, &before.child(name));
    }
    shared(&metadata, &mut errors);
    errors
}

/// Labels and annotations of a pod template: the only metadata there that has rules. Upstream's
/// paths leave `metadata` out.
pub(crate) fn validate_template(
    metadata: &Field<'_, '_>,
    template: &Field<'_, '_>,
    errors: &mut Errors,
) {
    let mut own = Errors::new();
    metadata.child("labels").labels(&mut own);
    metadata.child("annotations").annotations(&mut own);
    for error in own.iter() {
        let mut error = error.clone();
        let (long, short) = (metadata.path(), template.path());
        error.path = error.path.replacen(&long, &short, 1);
        errors.push(error);
    }
}

fn shared(metadata: &Field<'_, '_>, errors: &mut Errors) {
    metadata.child("labels").labels(errors);
    metadata.child("annotations").annotations(errors);
    owner_references(&metadata.child("ownerReferences"), errors);
    finalizers(&metadata.child("finalizers"), errors);
}

fn owner_references(references: &Field<'_, '_>, errors: &mut Errors) {
    let mut controller: Option<String> = None;
    for reference in references.items() {
        let at = |name, detail, errors: &mut Errors| {
            if reference.child(name).is_empty() {
                references.child(name).invalid_as(errors, "", detail);
            }
        };
        at("apiVersion", "version must not be empty", errors);
        at("kind", "must not be empty", errors);
        at("name", "must not be empty", errors);
        at("uid", "must not be empty", errors);
        let (version, kind) = (reference.child("apiVersion"), reference.child("kind"));
        if version.str() == "v1" && kind.str() == "Event" {
            let value = reference.value().cloned().unwrap_or_default();
            let detail = "/v1, Kind=Event is disallowed from being an owner";
            references.invalid_as(errors, value, detail);
        }
        if reference.child("controller").is_true() {
            let this = format!("{}/{}", kind.str(), reference.child("name").str());
            match &controller {
                Some(first) => references.invalid(
                    errors,
                    format!(
                        "Only one reference can have Controller set to true. Found \"true\" in \
                         references for {first} and {this}"
                    ),
                ),
                None => controller = Some(this),
            }
        }
    }
}

fn finalizers(finalizers: &Field<'_, '_>, errors: &mut Errors) {
    let (mut orphan, mut foreground) = (false, false);
    for finalizer in finalizers.items() {
        for complaint in names::qualified_name(finalizer.str()) {
            finalizers.invalid_as(errors, finalizer.str(), complaint);
        }
        orphan |= finalizer.str() == "orphan";
        foreground |= finalizer.str() == "foregroundDeletion";
    }
    if orphan && foreground {
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        finalizers.invalid(errors, detail);
    }
    for finalizer in finalizers.items() {
        standard_or_qualified(&finalizer, errors);
    }
}

/// A finalizer has a domain in front, or is one of the few that Kubernetes itself began with.
pub(crate) fn standard_or_qualified(finalizer: &Field<'_, '_>, errors: &mut Errors) {
    let name = finalizer.str();
    if !name.contains('/') && !STANDARD_FINALIZERS.contains(&name) {
        let detail = "name is neither a standard finalizer name nor is it fully qualified";
        finalizer.invalid(errors, detail);
    }
}

fn no_new_finalizers(new: &Field<'_, '_>, old: &Field<'_, '_>, errors: &mut Errors) {
    let known: Vec<&str> = old.items().map(|item| item.str()).collect();
    let mut added: Vec<&str> = new
        .items()
        .map(|item| item.str())
        .filter(|name| !known.contains(name))
        .collect();
    added.sort_unstable();
    if !added.is_empty() {
        let names: Vec<String> = added.iter().map(|name| format!("\"{name}\"")).collect();
        let detail = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers \
             []string{{{}}}",
            names.join(", ")
        );
        new.forbidden(errors, detail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::rules::subdomain_name;
    use wavetank_api::json::json;

    #[test]
    fn bad_metadata_is_refused_in_upstreams_words() {
        let subdomain = names::dns1123_subdomain("Web_0").join("");
        let cases = [
            (
                json!({}),
                "[metadata.name: Required value: name or generateName is required, \
                metadata.namespace: Required value]"
                    .to_string(),
            ),
            (
                json!({"name": "Web_0", "namespace": "default"}),
                format!("metadata.name: Invalid value: \"Web_0\": {subdomain}"),
            ),
            (
                json!({"name": "a", "namespace": "b", "finalizers": ["mine"]}),
                "metadata.finalizers[0]: Invalid value: \"mine\": name is neither a standard \
                 finalizer name nor is it fully qualified"
                    .to_string(),
            ),
            (
                json!({"name": "a", "namespace": "b",
                    "finalizers": ["orphan", "foregroundDeletion"]}),
                "metadata.finalizers: Invalid value: [\"orphan\",\"foregroundDeletion\"]: \
                 finalizer orphan and foregroundDeletion cannot be both set"
                    .to_string(),
            ),
            (
                json!({"name": "a", "namespace": "b",
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r"}]}),
                "metadata.ownerReferences.uid: Invalid value: \"\": must not be empty".to_string(),
            ),
        ];
        for (metadata, expected) in cases {
            let errors = validate(&json!({"metadata": metadata}), true, subdomain_name);
            assert_eq!(errors.to_string(), expected);
        }
    }

    #[test]
    fn an_objects_identity_cannot_change() {
        let object = |name: &str, uid: &str| json!({"metadata": {"name": name, "uid": uid}});
        let errors = validate_update(&object("b", "2"), &object("a", "1"), Guards::default());
        assert_eq!(
            errors.to_string(),
            "[metadata.name: Invalid value: \"b\": field is immutable, \
             metadata.uid: Invalid value: \"2\": field is immutable]"
        );
        let same = validate_update(&object("a", "1"), &object("a", "1"), Guards::default());
        assert!(same.is_empty());
    }

    #[test]
    fn a_terminating_object_gets_no_new_finalizers() {
        let old = json!({"metadata": {"deletionTimestamp": "2026-01-02T03:04:05Z"}});
        let new = json!({"metadata": {"deletionTimestamp": "2026-01-02T03:04:05Z",
            "finalizers": ["example.com/mine"]}});
        assert_eq!(
            validate_update(&new, &old, Guards::default()).to_string(),
            "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being \
             deleted, found new finalizers []string{\"example.com/mine\"}"
        );
    }
}
