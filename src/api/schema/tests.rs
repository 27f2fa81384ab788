//! Claims about the schema and its tables of facts.
//!
//! Book: `book/src/ground/wire.md`.

use crate::json::{Value, json};
use k8s_openapi::DeepMerge;
use k8s_openapi::api::core::v1 as core;
use proptest::prelude::*;

use super::facts::{Facts, short};
use super::*;
use crate::kinds::{KINDS, VIRTUALS};

fn path(kind: KindId, path: &str) -> &'static Field {
    let schema = Schema::builtin();
    let mut ty = schema.kind(kind);
    let mut found = None;
    for name in path.split('.') {
        let field = schema
            .field(ty, name)
            .unwrap_or_else(|| panic!("{path}: no {name}"));
        ty = field.ty;
        while let Some(element) = schema.element(ty) {
            ty = element;
        }
        found = Some(field);
    }
    found.unwrap()
}

#[test]
fn every_kind_that_has_a_body_has_a_struct() {
    let schema = Schema::builtin();
    for kind in &KINDS {
        let ty = schema.get(schema.kind(kind.id));
        assert_eq!((ty.shape, ty.name.as_ref()), (Shape::Struct, kind.schema));
        let metadata = schema.field(schema.kind(kind.id), "metadata").unwrap();
        assert_eq!(schema.struct_name(metadata.ty), "ObjectMeta");
    }
    for row in &VIRTUALS {
        let shape = schema.shape(schema.virtual_kind(row.id));
        assert_eq!(shape == Shape::Struct, row.schema.is_some(), "{}", row.kind);
    }
}

#[test]
fn every_fact_names_a_field_of_the_schema() {
    let schema = Schema::builtin();
    let facts = Facts::read();
    let by_short = |wanted: &str| schema.definitions().find(|(name, _)| short(name) == wanted);
    for owner in &facts.atomic {
        assert!(
            by_short(owner).is_some_and(|(_, id)| schema.get(id).atomic),
            "{owner}"
        );
    }
    for ((owner, name), fact) in &facts.fields {
        let (_, id) = by_short(owner).unwrap_or_else(|| panic!("no type {owner}"));
        let field = schema
            .field(id, name)
            .unwrap_or_else(|| panic!("no {owner}.{name}"));
        let element = schema.element(field.ty);
        for key in keys(fact.merge.as_ref()).chain(fact.patch.key) {
            let item = element.unwrap_or_else(|| panic!("{owner}.{name} is no list"));
            assert!(
                schema.field(item, key).is_some(),
                "{owner}.{name} has no key {key}"
            );
        }
    }
    assert!(facts.fields.len() > 150);
}

fn keys(merge: Option<&Merge>) -> impl Iterator<Item = &'static str> {
    let keys = match merge {
        Some(Merge::Keyed(keys)) => keys.to_vec(),
        _ => Vec::new(),
    };
    keys.into_iter().map(|key| key.name)
}

proptest! {
    #[test]
    fn a_search_finds_every_field_and_no_other(
        kind in prop::sample::select(KINDS.iter().map(|kind| kind.id).collect::<Vec<_>>()),
        text in "[a-zA-Z]{0,12}",
    ) {
        let schema = Schema::builtin();
        let mut types = vec![schema.kind(kind)];
        while let Some(ty) = types.pop() {
            let fields = schema.fields(ty);
            prop_assert!(fields.is_sorted_by(|a, b| a.name < b.name));
            for field in fields {
                let found = schema.field(ty, &field.name).map(|found| &found.name);
                prop_assert_eq!(found, Some(&field.name));
                types.push(schema.element(field.ty).unwrap_or(field.ty));
            }
            let known = fields.iter().any(|field| *field.name == *text);
            prop_assert_eq!(schema.field(ty, &text).is_some(), known);
        }
    }
}

#[test]
fn shapes_and_go_types_are_those_of_types_go() {
    let schema = Schema::builtin();
    let is = |kind, at, shape: Shape, go: &str| {
        let field = path(kind, at);
        assert_eq!(schema.shape(field.ty), shape, "{at}");
        assert_eq!(schema.go_type_of(field), go, "{at}");
    };
    use KindId::{Deployment, Lease, Pod, Secret, Service};
    is(Deployment, "spec.replicas", Shape::Int32, "int32");
    is(
        Deployment,
        "spec.strategy.rollingUpdate.maxSurge",
        Shape::IntOrString,
        "int32",
    );
    is(
        Pod,
        "spec.containers.imagePullPolicy",
        Shape::String,
        "v1.PullPolicy",
    );
    is(
        Pod,
        "spec.terminationGracePeriodSeconds",
        Shape::Int64,
        "int64",
    );
    is(Pod, "metadata.creationTimestamp", Shape::Time, "string");
    is(Pod, "metadata.uid", Shape::String, "types.UID");
    is(Lease, "spec.renewTime", Shape::MicroTime, "string");
    assert_eq!(
        schema.go_type_of(path(Pod, "spec.containers")),
        "[]v1.Container"
    );
    assert_eq!(
        schema.go_type_of(path(Pod, "metadata.labels")),
        "map[string]string"
    );
    assert_eq!(
        schema.go_type_of(path(Pod, "spec.containers.resources.limits")),
        "v1.ResourceList"
    );
    assert_eq!(
        schema.go_type_of(path(Secret, "data")),
        "map[string][]uint8"
    );
    assert_eq!(schema.go_type_of(path(Service, "spec")), "v1.ServiceSpec");
    let fields_v1 = path(Pod, "metadata.managedFields.fieldsV1");
    assert_eq!(schema.shape(fields_v1.ty), Shape::Any);
}

#[test]
fn lists_merge_as_their_markers_say() {
    let keyed = |at, keys: &[&str]| {
        let found: Vec<_> = self::keys(Some(&path(KindId::Pod, at).merge)).collect();
        assert_eq!(found, keys, "{at}");
    };
    keyed("spec.containers", &["name"]);
    keyed("spec.containers.ports", &["containerPort", "protocol"]);
    keyed(
        "spec.topologySpreadConstraints",
        &["topologyKey", "whenUnsatisfiable"],
    );
    let Merge::Keyed(ports) = &path(KindId::Service, "spec.ports").merge else {
        panic!("keyed")
    };
    assert_eq!(
        ports[1],
        MergeKey {
            name: "protocol",
            default: Some("TCP")
        }
    );
    assert_eq!(path(KindId::Pod, "metadata.finalizers").merge, Merge::Set);
    assert_eq!(
        path(KindId::Pod, "spec.containers.command").merge,
        Merge::Atomic
    );
    assert_eq!(path(KindId::Pod, "spec.nodeSelector").merge, Merge::Atomic);
    assert_eq!(
        path(KindId::Deployment, "spec.selector").merge,
        Merge::Atomic
    );
    assert_eq!(path(KindId::Pod, "metadata.labels").merge, Merge::Granular);
    let volumes = path(KindId::Pod, "spec.volumes").patch;
    assert_eq!(
        volumes,
        Patch {
            merge: true,
            key: Some("name"),
            retain_keys: true
        }
    );
}

/// Two items that differ in everything but the patch key become one under `DeepMerge`, and stay
/// two when the key differs.
fn merge_key_is<T>(list: &str, key: &str, values: [Value; 2], wrap: fn(Value) -> Value)
where
    T: DeepMerge + serde::de::DeserializeOwned + serde::Serialize,
{
    let read = |item: Value| T::deserialize(&wrap(json!({ list: [item] }))).unwrap();
    let count = |left: &Value, right: &Value| {
        let mut merged = read(json!({ key: left }));
        merged.merge_from(read(json!({ key: right })));
        let merged = serde_json::to_value(merged).unwrap();
        let inner = merged.get("spec").unwrap_or(&merged);
        inner[list].as_array().unwrap().len()
    };
    assert_eq!(count(&values[0], &values[0]), 1, "{list} merges by {key}");
    assert_eq!(count(&values[0], &values[1]), 2, "{list} tells {key} apart");
}

#[test]
fn the_merge_keys_are_those_of_deep_merge() {
    let names = || [json!("a"), json!("b")];
    let numbers = || [json!(1), json!(2)];
    let own: fn(Value) -> Value = |value| value;
    let spec: fn(Value) -> Value = |value| json!({ "spec": value });
    let key = |at| path(KindId::Pod, at).patch.key.unwrap();
    merge_key_is::<core::PodSpec>("containers", key("spec.containers"), names(), own);
    merge_key_is::<core::PodSpec>("volumes", key("spec.volumes"), names(), own);
    merge_key_is::<core::PodSpec>("hostAliases", key("spec.hostAliases"), names(), own);
    merge_key_is::<core::PodSpec>(
        "topologySpreadConstraints",
        key("spec.topologySpreadConstraints"),
        names(),
        own,
    );
    merge_key_is::<core::Container>("env", key("spec.containers.env"), names(), own);
    merge_key_is::<core::Container>("ports", key("spec.containers.ports"), numbers(), own);
    merge_key_is::<core::Container>(
        "volumeMounts",
        key("spec.containers.volumeMounts"),
        names(),
        own,
    );
    let ports = path(KindId::Service, "spec.ports").patch.key.unwrap();
    merge_key_is::<core::Service>("ports", ports, numbers(), spec);
}
