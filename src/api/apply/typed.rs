//! A type as apply sees it: what of a value is owned as one, and what is owned in parts.
//!
//! The walks of this module take an object apart beside one of these.
//!
//! Book: `book/src/control-plane/patch.md`.

use crate::json::{Map, Text, Value};

use crate::fields::element;
use crate::schema::{Merge, MergeKey, Schema, Shape, TypeId};

/// The type of a value in its place: its own, and how the field that holds it merges.
#[derive(Clone, Copy)]
pub(super) struct Typed<'s> {
    pub schema: &'s Schema,
    /// `None` where nothing is known, as below `FieldsV1`.
    pub ty: Option<TypeId>,
    merge: &'s Merge,
}

/// How a value is taken apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Structure<'s> {
    /// Not at all: a scalar, or what merges atomically.
    Leaf,
    /// By the names of its fields.
    Fields,
    /// By the values of its items.
    Set,
    /// By the keys of its items.
    Keyed(&'s [MergeKey]),
}

impl<'s> Typed<'s> {
    /// The type of a whole object.
    pub fn object(schema: &'s Schema, ty: TypeId) -> Self {
        Typed {
            schema,
            ty: Some(ty),
            merge: &Merge::Granular,
        }
    }

    // ANCHOR: structure
    /// How `value` is taken apart here.
    pub fn structure(self, value: &Value) -> Structure<'s> {
        let is_atomic_type = self.ty.is_some_and(|ty| self.schema.get(ty).atomic);
        let is_atomic = is_atomic_type || *self.merge == Merge::Atomic;
        match (value, self.merge) {
            (Value::Object(_), _) if !is_atomic => Structure::Fields,
            (Value::Array(_), Merge::Set) => Structure::Set,
            (Value::Array(_), Merge::Keyed(keys)) => Structure::Keyed(keys),
            _ => Structure::Leaf,
        }
    }
    // ANCHOR_END: structure

    pub fn shape(self) -> Shape {
        self.ty.map_or(Shape::Any, |ty| self.schema.shape(ty))
    }

    /// Whether `name` is a field of this struct; the keys of a map are not.
    pub fn declares(self, name: &str) -> bool {
        self.ty
            .is_some_and(|ty| self.schema.field(ty, name).is_some())
    }

    /// The type of the field or of the map's value at `name`.
    pub fn field(self, name: &str) -> Self {
        let field = self.ty.and_then(|ty| self.schema.field(ty, name));
        match field {
            Some(field) => Typed {
                ty: Some(field.ty),
                merge: &field.merge,
                ..self
            },
            None => self.inner(),
        }
    }

    /// The type of a list's items or of a map's values.
    pub fn inner(self) -> Self {
        let ty = self.ty.and_then(|ty| self.schema.element(ty));
        Typed {
            ty,
            merge: &Merge::Granular,
            ..self
        }
    }
}

/// The path element of a list's item; the error is upstream's.
pub(super) fn item_element(item: &Value, structure: Structure<'_>) -> Result<Text, String> {
    let refuse = |why: &str| Err(why.to_owned());
    let keys = match structure {
        Structure::Keyed(keys) => keys,
        Structure::Set => {
            return match item {
                Value::Object(_) => {
                    refuse("associative list without keys has an element that's a map type")
                }
                Value::Array(_) => refuse("not supported: associative list with lists as elements"),
                Value::Null => {
                    refuse("associative list without keys has an element that's an explicit null")
                }
                scalar => Ok(element::value(scalar)),
            };
        }
        _ => return refuse("invalid indexing of non-associative list"),
    };
    let fields = match item {
        Value::Object(fields) => fields,
        Value::Null => return refuse("associative list with keys may not have a null element"),
        _ => return refuse("associative list with keys may not have non-map elements"),
    };
    let mut found = Map::new();
    for key in keys {
        let value = fields
            .get(key.name)
            .cloned()
            .or(key.default.map(Value::from));
        found.extend(value.map(|value| (key.name.to_owned(), value)));
    }
    if found.is_empty() {
        let names: Vec<String> = keys
            .iter()
            .map(|key| crate::status::quote(key.name))
            .collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] (and doesn't \
             have default values for any key fields)",
            names.join(" ")
        ));
    }
    Ok(element::key(found))
}
