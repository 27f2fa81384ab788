//! A value beside its type: the walk that refuses, reports, drops and makes canonical.
//!
//! The words are those of Go's decoder (`encoding/json/decode.go`, `UnmarshalTypeError`): it names
//! the innermost struct and the path of fields to the value, without list indices and map keys;
//! complaints of unknown fields name indices and keys as well.
//!
//! Book: `book/src/ground/wire.md`.

use core::fmt;

use crate::json::{List, Map, Number, Text, Value};
use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{DecodeError, alphabet};

use super::{COMPLAINTS_MAX, Error};
use crate::schema::{Field, Schema, Shape, TypeId};
use crate::{Quantity, Time};

/// As Go's `base64.StdEncoding`: padding is required, loose bits at the end are not looked at.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

pub(super) fn run(
    schema: &Schema,
    value: &mut Value,
    old: Option<&Value>,
    ty: TypeId,
) -> Result<Vec<String>, Error> {
    let mut walk = Walk {
        schema,
        unknown: Vec::new(),
    };
    walk.value(value, old, ty, &Place::Root)?;
    Ok(walk.unknown)
}

/// Where the walk is; rendered only for messages.
enum Place<'a> {
    Root,
    /// A field of the struct at `parent`.
    Field {
        parent: &'a Place<'a>,
        owner: TypeId,
        field: &'a Field,
    },
    Key {
        parent: &'a Place<'a>,
        key: &'a str,
    },
    Index {
        parent: &'a Place<'a>,
        index: usize,
    },
}

impl Place<'_> {
    /// The innermost field at or above this place, and the struct it belongs to.
    fn field(&self) -> Option<(TypeId, &Field)> {
        match self {
            Place::Root => None,
            Place::Field { owner, field, .. } => Some((*owner, field)),
            Place::Key { parent, .. } | Place::Index { parent, .. } => parent.field(),
        }
    }

    /// Field names only, as in messages about types.
    fn fields(&self) -> String {
        match self {
            Place::Root => String::new(),
            Place::Key { parent, .. } | Place::Index { parent, .. } => parent.fields(),
            Place::Field { parent, field, .. } => match parent.fields() {
                above if above.is_empty() => field.name.to_string(),
                above => format!("{above}.{}", field.name),
            },
        }
    }
}

impl fmt::Display for Place<'_> {
    /// The whole path, as in complaints; ends in a dot unless it is empty.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Root => Ok(()),
            Place::Field { parent, field, .. } => write!(f, "{parent}{}.", field.name),
            Place::Key { parent, key } => write!(f, "{parent}{key}."),
            Place::Index { parent, index } => {
                let above = parent.to_string();
                write!(f, "{}[{index}].", above.trim_end_matches('.'))
            }
        }
    }
}

struct Walk<'a> {
    schema: &'a Schema,
    unknown: Vec<String>,
}

impl Walk<'_> {
    /// What `value` shares with `old` has been checked before.
    fn value(
        &mut self,
        value: &mut Value,
        old: Option<&Value>,
        ty: TypeId,
        at: &Place,
    ) -> Result<(), Error> {
        if old.is_some_and(|old| old.is_same(value)) {
            return Ok(());
        }
        match (self.schema.shape(ty), &mut *value) {
            (Shape::Any, _)
            | (Shape::Bool, Value::Bool(_))
            | (Shape::String | Shape::IntOrString, Value::String(_))
            | (Shape::Float, Value::Number(_)) => Ok(()),
            (Shape::Struct, Value::Object(map)) => {
                self.fields(map, old.and_then(Value::as_object), ty, at)
            }
            (Shape::Map(element), Value::Object(map)) => {
                self.entries(map, old.and_then(Value::as_object), element, at)
            }
            (Shape::List(element), Value::Array(list)) => {
                let old = old.and_then(Value::as_array).map(List::as_slice);
                self.items(list.make_mut(), old.unwrap_or_default(), element, at)
            }
            (Shape::Int32 | Shape::IntOrString, Value::Number(number)) => {
                let fits = number.as_i64().is_some_and(|n| i32::try_from(n).is_ok());
                if fits {
                    Ok(())
                } else {
                    Err(self.number(number, ty, at))
                }
            }
            (Shape::Int64, Value::Number(number)) => {
                if number.is_i64() {
                    Ok(())
                } else {
                    Err(self.number(number, ty, at))
                }
            }
            (Shape::Bytes, Value::String(text)) => canonical_base64(text),
            (Shape::Time, Value::String(text)) => canonical_time(text, 20, Time::to_rfc3339),
            (Shape::MicroTime, Value::String(text)) => {
                canonical_time(text, 27, Time::to_rfc3339_micros)
            }
            (Shape::Quantity, _) => canonical_quantity(value),
            _ => Err(self.wrong(kind_of(value), ty, at)),
        }
    }

    // ANCHOR: fields
    fn fields(
        &mut self,
        map: &mut Map,
        old: Option<&Map>,
        ty: TypeId,
        at: &Place,
    ) -> Result<(), Error> {
        let mut drop = false;
        for (name, value) in map.iter_mut() {
            let old = old.and_then(|old| old.get(name));
            if old.is_some_and(|old| old.is_same(value)) {
                continue;
            }
            match self.schema.field(ty, name) {
                None => {
                    self.complain(name, at);
                    drop = true;
                }
                Some(_) if value.is_null() => drop = true,
                Some(field) => {
                    let at = Place::Field {
                        parent: at,
                        owner: ty,
                        field,
                    };
                    self.value(value, old, field.ty, &at)?;
                    drop |= self.is_left_out(value, field);
                }
            }
        }
        if drop {
            map.retain(|name, value| {
                let field = self.schema.field(ty, name);
                field.is_some_and(|field| !self.is_left_out(value, field))
            });
        }
        Ok(())
    }
    // ANCHOR_END: fields

    /// What Go's `omitempty` does not write: `null`, and optional lists and maps that are empty.
    /// (An empty struct says something: `emptyDir: {}`. Text and numbers may lie behind a pointer.)
    fn is_left_out(&self, value: &Value, field: &Field) -> bool {
        match (self.schema.shape(field.ty), value) {
            (_, Value::Null) => true,
            (Shape::List(_), Value::Array(list)) => list.is_empty() && !field.required,
            (Shape::Map(_), Value::Object(map)) => map.is_empty() && !field.required,
            _ => false,
        }
    }

    fn entries(
        &mut self,
        map: &mut Map,
        old: Option<&Map>,
        element: TypeId,
        at: &Place,
    ) -> Result<(), Error> {
        for (key, value) in map.iter_mut() {
            if value.is_null() {
                *value = self.zero(element);
            }
            let old = old.and_then(|old| old.get(key));
            self.value(value, old, element, &Place::Key { parent: at, key })?;
        }
        Ok(())
    }

    fn items(
        &mut self,
        list: &mut [Value],
        old: &[Value],
        element: TypeId,
        at: &Place,
    ) -> Result<(), Error> {
        for (index, value) in list.iter_mut().enumerate() {
            if value.is_null() {
                *value = self.zero(element);
            }
            self.value(
                value,
                old.get(index),
                element,
                &Place::Index { parent: at, index },
            )?;
        }
        Ok(())
    }

    /// What Go makes of a `null` where a value must stand.
    fn zero(&self, ty: TypeId) -> Value {
        match self.schema.shape(ty) {
            Shape::Any => Value::Null,
            Shape::Bool => Value::Bool(false),
            Shape::Int32 | Shape::Int64 | Shape::IntOrString => Value::from(0),
            Shape::Float => Value::from(0.0),
            Shape::String | Shape::Bytes => Value::from(""),
            Shape::Time | Shape::MicroTime => Value::from("0001-01-01T00:00:00Z"),
            Shape::Quantity => Value::from("0"),
            Shape::List(_) => Value::Array(List::new()),
            Shape::Map(_) | Shape::Struct => Value::Object(Map::new()),
        }
    }

    fn complain(&mut self, name: &str, at: &Place) {
        if self.unknown.len() < COMPLAINTS_MAX {
            self.unknown.push(format!("unknown field \"{at}{name}\""));
        }
    }

    fn number(&self, number: &Number, ty: TypeId, at: &Place) -> Error {
        self.wrong(&format!("number {number}"), ty, at)
    }

    fn wrong(&self, what: &str, ty: TypeId, at: &Place) -> Error {
        let schema = self.schema;
        let Some((owner, field)) = at.field() else {
            let into = schema.go_type(ty);
            return Error::Type(format!(
                "json: cannot unmarshal {what} into Go value of type {into}"
            ));
        };
        let mut into = schema.go_type_of(field);
        if !matches!(at, Place::Field { .. }) {
            into = match into
                .strip_prefix("[]")
                .or_else(|| into.strip_prefix("map[string]"))
            {
                Some(element) => element.to_string(),
                None => schema.go_type(ty),
            };
        }
        let (owner, fields) = (schema.struct_name(owner), at.fields());
        Error::Type(format!(
            "json: cannot unmarshal {what} into Go struct field {owner}.{fields} of type {into}"
        ))
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn canonical_base64(text: &mut Text) -> Result<(), Error> {
    if text.contains(['\r', '\n']) {
        *text = text.replace(['\r', '\n'], "").into();
    }
    let at = match BASE64.decode(text.as_str()) {
        Ok(_) => return Ok(()),
        Err(DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _)) => at,
        Err(DecodeError::InvalidLength(_) | DecodeError::InvalidPadding) => text.len(),
    };
    Err(Error::Type(format!(
        "illegal base64 data at input byte {at}"
    )))
}

/// Rewrites a time, unless it has its canonical form already.
fn canonical_time(
    text: &mut Text,
    canonical_length: usize,
    write: fn(Time) -> String,
) -> Result<(), Error> {
    let Some(time) = Time::parse(text) else {
        let layout = "2006-01-02T15:04:05Z07:00";
        return Err(Error::Type(format!(
            "parsing time {text:?} as {layout:?}: cannot parse {text:?} as \"2006\""
        )));
    };
    let is_canonical = text.len() == canonical_length && text.ends_with('Z') && text.contains('T');
    if !is_canonical {
        *text = write(time).into();
    }
    Ok(())
}

fn canonical_quantity(value: &mut Value) -> Result<(), Error> {
    let text = match &*value {
        Value::String(text) => Quantity::canonical(text),
        Value::Number(number) => {
            *value = number.to_string().into();
            return canonical_quantity(value);
        }
        _ => Err(crate::quantity::Error::Format),
    };
    let text = text.map_err(|error| Error::Type(error.to_string()))?;
    if let std::borrow::Cow::Owned(canonical) = text {
        *value = canonical.into();
    }
    Ok(())
}
