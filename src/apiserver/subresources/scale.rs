//! `…/scale`: how many, without the rest of the object (`autoscaling/v1` Scale).
//!
//! Upstream: `pkg/registry/apps/{deployment,replicaset}/storage/storage.go`, `scaleFrom…`.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use wavetank_api::json::{Map, Value, json};

use wavetank_api::selector::LabelSelector;
use wavetank_api::{Revision, Time};

use crate::kinds::age;
use crate::metadata;
use crate::reply::Answer;
use crate::table::meta_version;

/// The Scale of an object.
pub(crate) fn scale_of(object: &Value) -> Value {
    let mut kept = Map::new();
    for field in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
    ] {
        if let Some(value) = object
            .get("metadata")
            .and_then(|metadata| metadata.get(field))
        {
            kept.insert(field, value.clone());
        }
    }
    let selector = object
        .pointer("/spec/selector")
        .cloned()
        .unwrap_or_default();
    let selector = LabelSelector::from_value(&selector)
        .map(|s| s.to_string())
        .unwrap_or_default();
    let count = |path: &str| object.pointer(path).and_then(Value::as_i64).unwrap_or(0);
    json!({
        "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": kept,
        "spec": {"replicas": count("/spec/replicas")},
        "status": {"replicas": count("/status/replicas"), "selector": selector},
    })
}

/// The object with the Scale's number; name, UID and resourceVersion are the Scale's, so that the
/// checks of an update meet them.
pub(crate) fn apply_scale(object: &Value, scale: &Value) -> Value {
    let mut new = object.clone();
    let replicas = scale
        .pointer("/spec/replicas")
        .cloned()
        .unwrap_or_else(|| 0.into());
    if let Some(spec) = new.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert("replicas", replicas);
    }
    let said = |field: &str| {
        scale
            .get("metadata")
            .and_then(|metadata| metadata.get(field))
            .cloned()
    };
    let version = said("resourceVersion").unwrap_or_else(|| "".into());
    let name = said("name");
    let uid = said("uid");
    let map = metadata::of(&mut new);
    map.insert("resourceVersion", version);
    for (field, value) in [("name", name), ("uid", uid)] {
        if let Some(value) = value {
            map.insert(field, value);
        }
    }
    new
}

/// The answer to a request on `/scale`: the Scale of the object at this revision.
pub(crate) fn answer(object: &Value, revision: Revision) -> Answer {
    let mut object = object.clone();
    metadata::of(&mut object).insert("resourceVersion", revision.to_string().into());
    Answer::Value(200, scale_of(&object))
}

/// A Scale as a table of one row.
pub(crate) fn table(scale: &Value, beta: bool, now: Time) -> Value {
    let column = |name: &str, of_type: &str, description: &str| {
        json!({"name": name, "type": of_type, "format": "", "description": description,
               "priority": 0})
    };
    let cells = json!([
        metadata::text(scale, "name"),
        scale.pointer("/spec/replicas"),
        scale.pointer("/status/replicas"),
        age::of_object(scale, now),
    ]);
    json!({
        "kind": "Table", "apiVersion": meta_version(beta),
        "metadata": {"resourceVersion": metadata::text(scale, "resourceVersion")},
        "columnDefinitions": [
            column("Name", "string", "The object's name."),
            column("Desired", "integer", "How many there shall be."),
            column("Available", "integer", "How many there are."),
            column("Age", "string", "Time since it was created."),
        ],
        "rows": [{"cells": cells, "object": {"kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1", "metadata": scale.get("metadata")}}],
    })
}
