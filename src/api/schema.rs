//! The types of every kind: what a field holds, what it is for, and how it merges.
//!
//! Strict decoding, protobuf, patches, server-side apply and OpenAPI all walk an object beside its
//! type. The types come from k8s-openapi when the process starts; how lists and maps merge is our
//! own table of facts ([`facts`]). Both end in one arena of small numbered types, so that a walk is
//! array look-ups and one binary search per field.
//!
//! 1. Every kind and every virtual kind that has a body has a struct type here:
//!    `every_kind_that_has_a_body_has_a_struct`.
//! 2. Every field that a table of facts names exists: `every_fact_names_a_field_of_the_schema`.
//! 3. A search finds every field and no other: `a_search_finds_every_field_and_no_other`.
//! 4. The merge keys are those of k8s-openapi: `the_merge_keys_are_those_of_deep_merge`.
//!
//! Left out: schemas of CustomResourceDefinitions.
//!
//! Book: `book/src/ground/wire.md`.

use std::sync::LazyLock;

use crate::kinds::{KindId, VirtualId};

mod build;
mod facts;

pub(crate) use facts::short;

/// Names a type of the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeId(u32);

/// What a value of a type looks like in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Anything: `FieldsV1`, `RawExtension`.
    Any,
    /// `true` or `false`.
    Bool,
    /// A whole number of 32 bits.
    Int32,
    /// A whole number of 64 bits.
    Int64,
    /// A number.
    Float,
    /// Text.
    String,
    /// Bytes as base64 text.
    Bytes,
    /// `metav1.Time`: RFC 3339 to the second.
    Time,
    /// `metav1.MicroTime`: RFC 3339 to the microsecond.
    MicroTime,
    /// `resource.Quantity`: text or number.
    Quantity,
    /// `intstr.IntOrString`: a port number or its name, a count or a percentage.
    IntOrString,
    /// A list of one type.
    List(TypeId),
    /// A map from text to one type.
    Map(TypeId),
    /// Named fields: [`Schema::fields`].
    Struct,
}

/// A type: its shape, and for definitions their name and description.
#[derive(Debug)]
pub struct Type {
    /// What its values look like.
    pub shape: Shape,
    /// `io.k8s.api.core.v1.Container`; empty for types that are not definitions of their own.
    pub name: Box<str>,
    /// What it is for, in upstream's words.
    pub description: Box<str>,
    /// Whether server-side apply gives all of it to one manager (`+structType=atomic`).
    pub atomic: bool,
    /// First and one past the last of its fields in the arena.
    fields: (u32, u32),
}

/// A field of a struct.
#[derive(Debug)]
pub struct Field {
    /// Name in JSON.
    pub name: Box<str>,
    /// Type of its value.
    pub ty: TypeId,
    /// What it is for, in upstream's words.
    pub description: Box<str>,
    /// Whether the schema demands it.
    pub required: bool,
    /// How server-side apply merges it.
    pub merge: Merge,
    /// How a strategic merge patch merges it.
    pub patch: Patch,
    /// Name of its Go type where that is not the plain one: `PullPolicy`, `[]FinalizerName`.
    go_type: &'static str,
}

// ANCHOR: merge
/// Who can own what of a field under server-side apply (`x-kubernetes-list-type`,
/// `x-kubernetes-map-type`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merge {
    /// Each field or key of a struct or map, or the scalar, has its own owners.
    Granular,
    /// The whole value is one; what is applied replaces it.
    Atomic,
    /// A list whose scalar items are each owned; no item twice.
    Set,
    /// A list of structs that are told apart by these keys.
    Keyed(Box<[MergeKey]>),
}

/// How a strategic merge patch treats a field (`x-kubernetes-patch-strategy`,
/// `x-kubernetes-patch-merge-key`). The default: lists are replaced, structs and
/// maps merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    /// Merge the list instead of replacing it.
    pub merge: bool,
    /// What tells the items of a merged list apart; `None` for lists of scalars.
    pub key: Option<&'static str>,
    /// Drop the fields that `$retainKeys` does not name.
    pub retain_keys: bool,
}
// ANCHOR_END: merge

/// One key of a keyed list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeKey {
    /// The item's field.
    pub name: &'static str,
    /// What an item without the field counts as: `protocol` is `TCP`.
    pub default: Option<&'static str>,
}

/// All types of all kinds.
#[derive(Debug)]
pub struct Schema {
    types: Vec<Type>,
    fields: Vec<Field>,
    /// The [`prefix`] of each field's name: what a search looks at first, packed for the cache.
    prefixes: Vec<u64>,
    /// Definitions by name, sorted.
    names: Vec<(Box<str>, TypeId)>,
    kinds: Vec<TypeId>,
    virtuals: Vec<TypeId>,
}

static BUILTIN: LazyLock<Schema> = LazyLock::new(build::builtin);

impl Schema {
    /// The schema of the built-in kinds; built on first use (a few milliseconds).
    pub fn builtin() -> &'static Schema {
        &BUILTIN
    }

    /// The type of a kind's objects.
    pub fn kind(&self, kind: KindId) -> TypeId {
        self.kinds[kind as usize]
    }

    /// The type of a virtual kind's bodies; [`Shape::Any`] for those that have none.
    pub fn virtual_kind(&self, kind: VirtualId) -> TypeId {
        self.virtuals[kind as usize]
    }

    /// The definition of this name.
    pub fn by_name(&self, name: &str) -> Option<TypeId> {
        let at = self
            .names
            .binary_search_by(|(n, _)| n.as_ref().cmp(name))
            .ok()?;
        Some(self.names[at].1)
    }

    /// All definitions in the order of their names.
    pub fn definitions(&self) -> impl Iterator<Item = (&str, TypeId)> {
        self.names.iter().map(|(name, id)| (name.as_ref(), *id))
    }

    /// What is known of a type.
    pub fn get(&self, id: TypeId) -> &Type {
        &self.types[id.0 as usize]
    }

    /// The shape of a type.
    pub fn shape(&self, id: TypeId) -> Shape {
        self.get(id).shape
    }

    /// The fields of a struct in the order of their names; none for other shapes.
    pub fn fields(&self, id: TypeId) -> &[Field] {
        let (start, end) = self.get(id).fields;
        &self.fields[start as usize..end as usize]
    }

    /// The field of this name of a struct.
    pub fn field(&self, id: TypeId, name: &str) -> Option<&Field> {
        let (start, end) = self.get(id).fields;
        let (start, end) = (start as usize, end as usize);
        let wanted = prefix(name);
        let prefixes = &self.prefixes[start..end];
        let first = start + prefixes.partition_point(|prefix| *prefix < wanted);
        let mut fields = self.fields[first..end].iter();
        fields
            .find(|field| &*field.name >= name)
            .filter(|field| &*field.name == name)
    }

    /// What a list or a map holds.
    pub fn element(&self, id: TypeId) -> Option<TypeId> {
        match self.shape(id) {
            Shape::List(element) | Shape::Map(element) => Some(element),
            _ => None,
        }
    }

    /// The name of a field's Go type, as error messages say it: `int32`, `[]v1.Container`.
    pub fn go_type_of(&self, field: &Field) -> String {
        match field.go_type {
            "" => self.go_type(field.ty),
            named if named.contains('.') => named.to_string(),
            named => match named.strip_prefix("[]") {
                Some(element) => format!("[]v1.{element}"),
                None => format!("v1.{named}"),
            },
        }
    }

    /// The name of a type's Go type.
    pub fn go_type(&self, id: TypeId) -> String {
        let ty = self.get(id);
        match ty.shape {
            Shape::Any => "runtime.RawExtension".to_string(),
            Shape::Bool => "bool".to_string(),
            Shape::Int32 | Shape::IntOrString => "int32".to_string(),
            Shape::Int64 => "int64".to_string(),
            Shape::Float => "float64".to_string(),
            Shape::String | Shape::Time | Shape::MicroTime => "string".to_string(),
            Shape::Bytes => "[]uint8".to_string(),
            Shape::Quantity => "resource.Quantity".to_string(),
            Shape::List(element) => format!("[]{}", self.go_type(element)),
            Shape::Map(element) => format!("map[string]{}", self.go_type(element)),
            Shape::Struct => format!("v1.{}", self.struct_name(id)),
        }
    }

    /// The last part of a definition's name: `DeploymentSpec`.
    pub fn struct_name(&self, id: TypeId) -> &str {
        self.get(id).name.rsplit('.').next().unwrap_or_default()
    }
}

/// The first eight bytes of a name as a number that sorts as the name does.
fn prefix(name: &str) -> u64 {
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests;
