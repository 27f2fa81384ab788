//! The rules of `metadata`, the same for every kind.
//!
//! Upstream: `k8s.io/apiserver/pkg/registry/rest/{meta,create,update}.go`. What labels, annotations
//! and owners may look like is checked in `kinds/object_meta.rs`.
//!
//! 1. uid, creationTimestamp, name and namespace of an object never change (A9).
//! 2. deletionTimestamp is set by deletes only, and never unset (A11).
//! 3. No finalizer is added once deletionTimestamp is set (A12).
//!
//! Book: `book/src/control-plane/apiserver.md`.

use wavetank_api::json::{Map, Text, Value};

use wavetank_api::status::quote;
use wavetank_api::{Guard, Guards, KindId, Revision, Status, Time};

use crate::field::{Errors, Field, FieldErrorKind};
use crate::registry;
use crate::reply::Refusal;
use crate::route::{Route, named};

/// `metadata` of an object in work; made when it is missing.
pub(crate) fn of(object: &mut Value) -> &mut Map {
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let metadata = &mut object["metadata"];
    if !metadata.is_object() {
        *metadata = Value::Object(Map::new());
    }
    match metadata {
        Value::Object(map) => map,
        // It was made an object on the line above.
        _ => unreachable!("metadata is an object"),
    }
}

/// A text of `metadata`; empty when it is not there.
pub(crate) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object
        .get("metadata")
        .and_then(|m| m.get(field))
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A number of `metadata`.
pub(crate) fn number(object: &Value, field: &str) -> Option<i64> {
    object.get("metadata")?.get(field)?.as_i64()
}

/// `metadata.finalizers`.
pub(crate) fn finalizers(object: &Value) -> Vec<String> {
    let list = object
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_string)
        .collect()
}

/// Whether a delete has been asked for.
pub(crate) fn is_terminating(object: &Value) -> bool {
    !text(object, "deletionTimestamp").is_empty()
}

/// The body's namespace must be that of the path, or be left out.
pub(crate) fn check_namespace(object: &mut Value, namespace: &str) -> Result<(), Refusal> {
    let said = text(object, "namespace").to_string();
    let metadata = of(object);
    if namespace.is_empty() {
        metadata.remove("namespace");
    } else if said.is_empty() {
        metadata.insert("namespace", namespace.into());
    } else if said != namespace {
        let message = "the namespace of the provided object does not match the namespace sent on \
                       the request";
        return Err(Status::bad_request(message).into());
    }
    Ok(())
}

/// The body's name must be that of the path.
pub(crate) fn check_name(object: &mut Value, route: &Route) -> Result<(), Refusal> {
    let said = text(object, "name");
    if said == route.name {
        return Ok(());
    }
    let message = format!(
        "the name of the object ({said}) does not match the name on the URL ({})",
        route.name
    );
    Err(Status::bad_request(message).into())
}

/// First values of a new object.
pub(crate) fn begin_life(object: &mut Value, kind: KindId, uid: String, now: Time) {
    let has_generation = registry::strategy(kind).has_generation;
    let metadata = of(object);
    for field in [
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "generation",
    ] {
        metadata.remove(field);
    }
    metadata.insert("uid", uid.into());
    metadata.insert("creationTimestamp", now.to_rfc3339().into());
    if has_generation {
        metadata.insert("generation", 1.into());
    }
}

/// Keeps what no update changes; a UID that is another's is a conflict.
pub(crate) fn carry_over(new: &mut Value, old: &Value, route: &Route) -> Result<(), Refusal> {
    let (said, is) = (text(new, "uid").to_string(), text(old, "uid").to_string());
    if !said.is_empty() && said != is {
        let why =
            format!("Precondition failed: UID in precondition: {said}, UID in object meta: {is}");
        return Err(Status::conflict(route.resource(), &route.name, &why).into());
    }
    let kept = [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "selfLink",
        "generateName",
    ];
    let old = old.get("metadata");
    let metadata = of(new);
    for field in kept {
        match old.and_then(|old| old.get(field)) {
            Some(value) => metadata.insert(field, value.clone()),
            None => metadata.remove(field),
        };
    }
    Ok(())
}

/// The resourceVersion of a PUT or patch must be the object's (A2), or be left out where the kind
/// allows that.
pub(crate) fn check_version(
    new: &Value,
    current: Revision,
    route: &Route,
    is_put: bool,
    guards: Guards,
) -> Result<(), Refusal> {
    let said = text(new, "resourceVersion");
    if said.is_empty() || said == "0" {
        if !is_put || registry::strategy(route.kind.stored_as()).unconditional_update {
            return Ok(());
        }
        let mut errors = Errors::new();
        let root = Value::from("");
        let mut error =
            Field::root(&root).error(FieldErrorKind::Invalid, "must be specified for an update");
        error.path = "metadata.resourceVersion".to_string();
        errors.push(error);
        return Err(invalid(route, &errors));
    }
    match said.parse::<u64>() {
        Ok(number) if number == current.0 || !guards.on(Guard::M89) => Ok(()),
        Ok(_) => Err(Status::modified(route.resource(), &route.name).into()),
        Err(_) => {
            let quoted = quote(said);
            let message = format!(
                "Invalid value: {quoted}: strconv.ParseUint: parsing {quoted}: invalid syntax"
            );
            Err(Status::bad_request(message).into())
        }
    }
}

/// The generation grows by one when anything outside metadata and status has changed (A13).
pub(crate) fn count_generation(new: &mut Value, old: &Value) {
    let rest = |object: &Value| -> Vec<(Text, Value)> {
        let fields = object.as_object().into_iter().flatten();
        let desired = fields.filter(|(k, _)| !matches!(k.as_str(), "metadata" | "status"));
        desired
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    };
    let is_same = match (new.as_object(), old.as_object()) {
        (Some(a), Some(b)) if a.len() == b.len() => a
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), "metadata" | "status"))
            .all(|(key, value)| b.get(key) == Some(value)),
        _ => rest(new) == rest(old),
    };
    if !is_same {
        let generation = number(old, "generation").unwrap_or(0).saturating_add(1);
        of(new).insert("generation", generation.into());
    }
}

/// 422 with one cause per error.
pub(crate) fn invalid(route: &Route, errors: &Errors) -> Refusal {
    let stored = route.kind;
    let of = wavetank_api::status::Named {
        group: stored.info().group,
        resource: stored.info().kind,
    };
    let cause = |error: &crate::field::FieldError| {
        wavetank_api::status::Cause::new(error.kind.reason(), error.body(), error.path.clone())
    };
    Status::invalid(of, &route.name, errors.iter().map(cause).collect()).into()
}

/// 404 for a namespace.
pub(crate) fn namespace_not_found(name: &str) -> Refusal {
    Status::not_found(named(KindId::Namespace), name).into()
}
