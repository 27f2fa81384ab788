//! The component schemas of a document: every definition that its kinds reach.
//!
//! Book: `book/src/ground/wire.md`.

use std::collections::BTreeMap;

use crate::json::{Map, Value, json};

use crate::kinds::{KINDS, Kind, POSTED, SubresourceKind, VIRTUALS, VirtualId};
use crate::schema::{Field, Merge, Schema, Shape, Type, TypeId};

/// Definitions by name, for the kinds of one group and version.
pub(super) fn of_version(group: &str, version: &str) -> Map {
    let schema = Schema::builtin();
    let mut render = Render {
        schema,
        done: BTreeMap::new(),
    };
    for id in [VirtualId::DeleteOptions, VirtualId::Status] {
        render.definition(schema.virtual_kind(id));
    }
    for kind in KINDS
        .iter()
        .filter(|kind| (kind.group, kind.version) == (group, version))
    {
        render.definition(schema.kind(kind.id));
        render.done.insert(list_name(kind), list(kind));
        for subresource in kind.subresources {
            if let SubresourceKind::Virtual(id) = subresource.kind {
                render.definition(schema.virtual_kind(id));
            }
        }
    }
    for posted in &POSTED {
        let info = posted.kind.info();
        if (info.group, info.version) == (group, version) {
            render.definition(schema.virtual_kind(posted.kind));
        }
    }
    render.done.into_iter().collect()
}

/// The name of the definition of a kind's list.
pub(super) fn list_name(kind: &Kind) -> String {
    format!("{}List", kind.schema)
}

pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn list(kind: &Kind) -> Value {
    let gvk = gvk(kind.group, kind.version, &format!("{}List", kind.kind));
    json!({
        "description": format!("{0}List is a list of {0}.", kind.kind),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": { "type": "string" },
            "kind": { "type": "string" },
            "metadata": reference("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"),
            "items": { "type": "array", "items": reference(kind.schema) },
        },
        "x-kubernetes-group-version-kind": [gvk],
    })
}

/// `x-kubernetes-group-version-kind`: one entry.
pub(super) fn gvk(group: &str, version: &str, kind: &str) -> Value {
    json!({ "group": group, "version": version, "kind": kind })
}

struct Render {
    schema: &'static Schema,
    done: BTreeMap<String, Value>,
}

impl Render {
    fn definition(&mut self, id: TypeId) {
        let ty = self.schema.get(id);
        if ty.name.is_empty() || self.done.contains_key(ty.name.as_ref()) {
            return;
        }
        self.done.insert(ty.name.to_string(), Value::Null);
        let mut rendered = scalar(ty.shape);
        if !ty.description.is_empty() {
            rendered.insert("description", ty.description.as_ref().into());
        }
        if ty.shape == Shape::Struct {
            self.fields(id, &mut rendered);
        }
        extend_definition(ty, &mut rendered);
        self.done
            .insert(ty.name.to_string(), Value::Object(rendered));
    }

    fn fields(&mut self, id: TypeId, rendered: &mut Map) {
        let fields = self.schema.fields(id);
        let required: Vec<_> = fields
            .iter()
            .filter(|field| field.required)
            .map(|field| &*field.name)
            .collect();
        if !required.is_empty() {
            rendered.insert("required", required.into());
        }
        let properties: Map = fields
            .iter()
            .map(|field| (field.name.to_string(), self.property(field)))
            .collect();
        if !properties.is_empty() {
            rendered.insert("properties", Value::Object(properties));
        }
    }

    /// A field. A reference stands in an `allOf`, because in OpenAPI 3.0 nothing may stand beside
    /// a `$ref`, and the field has a description of its own.
    fn property(&mut self, field: &Field) -> Value {
        let mut rendered = match self.value(field.ty) {
            Value::Object(map) if map.contains_key("$ref") => {
                Map::from_iter([("allOf".to_string(), json!([map]))])
            }
            Value::Object(map) => map,
            _ => Map::new(),
        };
        if !field.description.is_empty() {
            rendered.insert("description", field.description.as_ref().into());
        }
        extend_property(field, self.schema.shape(field.ty), &mut rendered);
        Value::Object(rendered)
    }

    /// A type where it is used: definitions by reference, the rest in place.
    fn value(&mut self, id: TypeId) -> Value {
        let ty = self.schema.get(id);
        if !ty.name.is_empty() {
            self.definition(id);
            return reference(&ty.name);
        }
        match ty.shape {
            Shape::List(element) => json!({ "type": "array", "items": self.value(element) }),
            Shape::Map(element) => {
                json!({ "type": "object", "additionalProperties": self.value(element) })
            }
            shape => Value::Object(scalar(shape)),
        }
    }
}

// ANCHOR: extensions
/// The merge facts of a field, as kubectl and client-side apply read them.
fn extend_property(field: &Field, shape: Shape, rendered: &mut Map) {
    let is_list = matches!(shape, Shape::List(_));
    let mut extend = |name: &str, value: Value| {
        rendered.insert(format!("x-kubernetes-{name}"), value);
    };
    match &field.merge {
        Merge::Granular => {}
        Merge::Atomic if is_list => extend("list-type", "atomic".into()),
        Merge::Atomic => extend("map-type", "atomic".into()),
        Merge::Set => extend("list-type", "set".into()),
        Merge::Keyed(keys) => {
            let keys: Vec<_> = keys.iter().map(|key| key.name).collect();
            extend("list-type", "map".into());
            extend("list-map-keys", keys.into());
        }
    }
    let strategy = match (field.patch.merge, field.patch.retain_keys) {
        (true, true) => "merge,retainKeys",
        (true, false) => "merge",
        (false, true) => "retainKeys",
        (false, false) => return,
    };
    extend("patch-strategy", strategy.into());
    if let Some(key) = field.patch.key {
        extend("patch-merge-key", key.into());
    }
}
// ANCHOR_END: extensions

fn extend_definition(ty: &Type, rendered: &mut Map) {
    if ty.atomic {
        rendered.insert("x-kubernetes-map-type", "atomic".into());
    }
    let stored = KINDS.iter().filter(|kind| kind.schema == &*ty.name);
    let stored = stored.map(|kind| gvk(kind.group, kind.version, kind.kind));
    let spoken = VIRTUALS
        .iter()
        .filter(|kind| kind.schema == Some(&*ty.name));
    let spoken = spoken.map(|kind| gvk(kind.group, kind.version, kind.kind));
    let kinds: Vec<_> = stored.chain(spoken).collect();
    if !kinds.is_empty() {
        rendered.insert("x-kubernetes-group-version-kind", kinds.into());
    }
}

fn scalar(shape: Shape) -> Map {
    let schema = match shape {
        Shape::Any | Shape::Map(_) | Shape::Struct => json!({ "type": "object" }),
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Int32 => json!({ "type": "integer", "format": "int32" }),
        Shape::Int64 => json!({ "type": "integer", "format": "int64" }),
        Shape::Float => json!({ "type": "number", "format": "double" }),
        Shape::String => json!({ "type": "string" }),
        Shape::Bytes => json!({ "type": "string", "format": "byte" }),
        Shape::Time | Shape::MicroTime => json!({ "type": "string", "format": "date-time" }),
        Shape::Quantity => json!({ "oneOf": [{ "type": "string" }, { "type": "number" }] }),
        Shape::IntOrString => json!({
            "format": "int-or-string",
            "oneOf": [{ "type": "integer" }, { "type": "string" }],
        }),
        Shape::List(_) => json!({ "type": "array" }),
    };
    match schema {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
