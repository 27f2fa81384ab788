//! From k8s-openapi's JSON schemas to the arena.
//!
//! Each definition becomes one struct type; lists and maps of the same element share one type.
//!
//! Book: `book/src/ground/wire.md`.

use std::collections::BTreeMap;

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value}; // as schemars has them

use super::facts::{Facts, short};
use super::{Field, Merge, Schema, Shape, Type, TypeId, prefix};
use crate::kinds::{KINDS, VIRTUALS};

/// Reads every definition that a kind reaches.
pub(super) fn builtin() -> Schema {
    let definitions = definitions();
    let mut build = Build {
        definitions: &definitions,
        facts: Facts::read(),
        types: Vec::new(),
        fields: Vec::new(),
        names: BTreeMap::new(),
        shapes: BTreeMap::new(),
    };
    let any = build.plain(Shape::Any);
    let kinds = KINDS
        .iter()
        .map(|kind| build.definition(kind.schema))
        .collect();
    let virtuals = VIRTUALS
        .iter()
        .map(|v| v.schema.map_or(any, |name| build.definition(name)));
    let virtuals = virtuals.collect();
    Schema {
        types: build.types,
        prefixes: build
            .fields
            .iter()
            .map(|field| prefix(&field.name))
            .collect(),
        fields: build.fields,
        names: build
            .names
            .into_iter()
            .map(|(name, id)| (name.into(), id))
            .collect(),
        kinds,
        virtuals,
    }
}

/// The JSON schemas of all kinds and what they reach, by upstream's canonical names.
fn definitions() -> Map<String, Value> {
    use k8s_openapi::api::{apps, authentication, authorization, autoscaling, coordination, core};
    use k8s_openapi::api::{discovery, events, policy, scheduling};
    use k8s_openapi::apimachinery::pkg::apis::meta;

    let mut generator = SchemaSettings::openapi3().into_generator();
    macro_rules! include {
        ($($kind:ty),* $(,)?) => { $(generator.subschema_for::<$kind>();)* };
    }
    include![
        core::v1::ConfigMap,
        core::v1::Endpoints,
        core::v1::Event,
        core::v1::Namespace,
        core::v1::Node,
        core::v1::Pod,
        core::v1::Secret,
        core::v1::ServiceAccount,
        core::v1::Service,
        core::v1::Binding,
        apps::v1::Deployment,
        apps::v1::ReplicaSet,
        events::v1::Event,
        scheduling::v1::PriorityClass,
        coordination::v1::Lease,
        discovery::v1::EndpointSlice,
        autoscaling::v1::Scale,
        policy::v1::Eviction,
        authentication::v1::TokenRequest,
        authentication::v1::TokenReview,
        authentication::v1::SelfSubjectReview,
        authorization::v1::LocalSubjectAccessReview,
        authorization::v1::SelfSubjectAccessReview,
        authorization::v1::SelfSubjectRulesReview,
        authorization::v1::SubjectAccessReview,
        meta::v1::DeleteOptions,
        meta::v1::Status,
    ];
    take(generator)
}

fn take(mut generator: SchemaGenerator) -> Map<String, Value> {
    generator.take_definitions(true)
}

struct Build<'a> {
    definitions: &'a Map<String, Value>,
    facts: Facts,
    types: Vec<Type>,
    fields: Vec<Field>,
    names: BTreeMap<&'a str, TypeId>,
    /// Types without a name, by what they are.
    shapes: BTreeMap<String, TypeId>,
}

impl<'a> Build<'a> {
    /// The type of a definition; built on first use. A name without a definition is anything
    /// (a test holds that no kind is).
    fn definition(&mut self, name: &str) -> TypeId {
        let Some((name, schema)) = self.definitions.get_key_value(name) else {
            return self.plain(Shape::Any);
        };
        if let Some(known) = self.names.get(name.as_str()) {
            return *known;
        }
        let id = self.push(named_shape(name, schema), name, text(schema, "description"));
        self.names.insert(name, id);
        if self.types[id.0 as usize].shape == Shape::Struct {
            self.types[id.0 as usize].atomic = self.facts.atomic.contains(&short(name));
            self.fill(id, name, schema);
        }
        id
    }

    /// Builds the fields of a struct: first their types (which may push fields of their own), then
    /// the fields in one run.
    fn fill(&mut self, id: TypeId, owner: &'a str, schema: &'a Value) {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            return;
        };
        let required = schema.get("required").and_then(Value::as_array);
        let is_required =
            |name: &str| required.is_some_and(|list| list.iter().any(|r| r.as_str() == Some(name)));
        let mut fields = Vec::with_capacity(properties.len());
        for (name, property) in properties {
            let ty = self.of(property);
            let fact = self.facts.of(short(owner), name);
            fields.push(Field {
                name: name.as_str().into(),
                ty,
                description: text(property, "description").into(),
                required: is_required(name),
                merge: fact.merge.unwrap_or_else(|| self.default_merge(ty)),
                patch: fact.patch,
                go_type: fact.go_type,
            });
        }
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        let start = self.fields.len() as u32;
        self.fields.extend(fields);
        self.types[id.0 as usize].fields = (start, self.fields.len() as u32);
    }

    /// Lists are atomic unless a fact says otherwise, structs as their definition says.
    fn default_merge(&self, ty: TypeId) -> Merge {
        let ty = &self.types[ty.0 as usize];
        match ty.shape {
            Shape::List(_) => Merge::Atomic,
            _ if ty.atomic => Merge::Atomic,
            _ => Merge::Granular,
        }
    }

    /// The type of a property or an element.
    fn of(&mut self, schema: &'a Value) -> TypeId {
        if let Some(reference) = reference(schema) {
            return self.definition(reference);
        }
        let shape = match text(schema, "type") {
            "array" => schema.get("items").map(|items| Shape::List(self.of(items))),
            "object" => schema
                .get("additionalProperties")
                .filter(|values| values.is_object())
                .map(|values| Shape::Map(self.of(values))),
            _ => scalar(schema),
        };
        self.plain(shape.unwrap_or(Shape::Any))
    }

    /// The type without a name of this shape.
    fn plain(&mut self, shape: Shape) -> TypeId {
        let key = format!("{shape:?}");
        if let Some(known) = self.shapes.get(&key) {
            return *known;
        }
        let id = self.push(shape, "", "");
        self.shapes.insert(key, id);
        id
    }

    fn push(&mut self, shape: Shape, name: &str, description: &str) -> TypeId {
        let id = TypeId(self.types.len() as u32);
        self.types.push(Type {
            shape,
            name: name.into(),
            description: description.into(),
            atomic: false,
            fields: (0, 0),
        });
        id
    }
}

/// The shape of a definition: a few names stand for scalars, the rest are structs.
fn named_shape(name: &str, schema: &Value) -> Shape {
    match name.rsplit('.').next().unwrap_or_default() {
        "Quantity" => Shape::Quantity,
        "IntOrString" => Shape::IntOrString,
        "Time" => Shape::Time,
        "MicroTime" => Shape::MicroTime,
        "FieldsV1" | "RawExtension" => Shape::Any,
        _ if text(schema, "type") == "object" => Shape::Struct,
        _ => scalar(schema).unwrap_or(Shape::Any),
    }
}

fn scalar(schema: &Value) -> Option<Shape> {
    Some(match (text(schema, "type"), text(schema, "format")) {
        ("boolean", _) => Shape::Bool,
        ("integer", "int32") => Shape::Int32,
        ("integer", _) => Shape::Int64,
        ("number", _) => Shape::Float,
        ("string", "byte") => Shape::Bytes,
        ("string", _) => Shape::String,
        _ => return None,
    })
}

/// The definition a schema refers to, alone or, with a description beside it, in an `allOf`.
fn reference(schema: &Value) -> Option<&str> {
    let direct = schema.get("$ref");
    let wrapped = || schema.get("allOf")?.get(0)?.get("$ref");
    direct.or_else(wrapped)?.as_str()?.rsplit('/').next()
}

fn text<'a>(schema: &'a Value, key: &str) -> &'a str {
    schema.get(key).and_then(Value::as_str).unwrap_or_default()
}
