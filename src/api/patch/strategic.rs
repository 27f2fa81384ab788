//! Strategic merge patch: a merge patch that knows which lists to merge, and by which key.
//!
//! `kubectl apply`, `edit` and `set` send it. What the type says about lists comes from
//! [`crate::schema`]; what a patch can say itself are directives
//! (`k8s.io/apimachinery/pkg/util/strategicpatch`):
//!
//! | directive | in | meaning |
//! |---|---|---|
//! | `$patch: replace` | an object, or a list's item | what else is there replaces the old |
//! | `$patch: delete` | an object, or a list's item | the object becomes empty, the item goes |
//! | `$retainKeys: [a, b]` | an object | other fields go |
//! | `$deleteFromPrimitiveList/x` | beside a list `x` | these items go |
//! | `$setElementOrder/x` | beside a list `x` | the order of the result |
//!
//! 1. A computed patch turns the one object into the other:
//!    `a_computed_patch_reproduces_the_target`.
//! 2. No patch makes it panic: `any_patch_is_an_answer_or_a_refusal`.
//!
//! Left out: three-way merges, which are kubectl's.
//!
//! Book: `book/src/control-plane/patch.md`.

mod diff;
mod list;

use crate::json::{Map, Value};

pub use diff::diff;

use super::{decode, go_json_type, unprocessable};
use crate::schema::{Patch, Schema, Shape, TypeId};
use crate::status::{Reason, Status};

type Fields = Map;

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM_LIST: &str = "$deleteFromPrimitiveList";
const SET_ORDER: &str = "$setElementOrder";

/// Why a patch cannot be applied; the texts are upstream's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("invalid patch format of primitive list")]
    PrimitiveListFormat,
    #[error("invalid patch format of retainKeys")]
    RetainKeysFormat,
    #[error("invalid patch format of setElementOrder list")]
    SetOrderFormat,
    #[error("lists of lists are not supported")]
    ListOfLists,
    /// Errors that upstream answers 500 for, though the patch is at fault.
    #[error("{0}")]
    Other(String),
}

impl From<Error> for Status {
    /// As `interpretStrategicMergePatchError`.
    fn from(error: Error) -> Status {
        match error {
            Error::ListOfLists => unprocessable(),
            Error::Other(message) => Status::failure(500, Reason::Unknown, message),
            format => Status::bad_request(format.to_string()),
        }
    }
}

/// Where in the types a walk is: a struct's type, or nothing known.
#[derive(Clone, Copy)]
pub(crate) struct Place<'s> {
    schema: &'s Schema,
    ty: Option<TypeId>,
}

impl<'s> Place<'s> {
    /// The field `name`: the type of its value, or of its items if it is a list, and the strategy.
    fn field(self, name: &str) -> (Place<'s>, Patch) {
        let (schema, unknown) = (self.schema, (Place { ty: None, ..self }, Patch::default()));
        let Some(ty) = self.ty else { return unknown };
        let (inner, patch) = match (schema.shape(ty), schema.field(ty, name)) {
            (Shape::Struct, Some(field)) => (field.ty, field.patch),
            (Shape::Map(inner), _) => (inner, Patch::default()),
            _ => return unknown,
        };
        let inner = match schema.shape(inner) {
            Shape::List(item) => item,
            _ => inner,
        };
        (
            Place {
                ty: Some(inner),
                schema,
            },
            patch,
        )
    }

    /// The name that errors use.
    fn name(self) -> &'s str {
        self.ty.map_or("", |ty| &self.schema.get(ty).name)
    }
}

/// Applies the patch in `body` to `object`, an object of type `ty`.
pub fn apply(object: Value, body: &[u8], schema: &Schema, ty: TypeId) -> Result<Value, Status> {
    let patch = match decode(body)? {
        Value::Object(patch) => patch,
        other => {
            let found = go_json_type(&other);
            return Err(Status::bad_request(format!(
                "json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
            )));
        }
    };
    let fields = match object {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    Ok(Value::Object(merge_object(
        fields,
        patch,
        Place {
            schema,
            ty: Some(ty),
        },
    )?))
}
/// Merges `patch` into `original`, field by field.
fn merge_object(mut original: Fields, mut patch: Fields, at: Place) -> Result<Fields, Error> {
    if let Some(directive) = patch.remove(DIRECTIVE) {
        return match directive.as_str() {
            Some("replace") => Ok(patch),
            Some("delete") => Ok(Map::new()),
            _ => Err(unknown_directive(directive, patch)),
        };
    }
    retain_keys(&mut original, &mut patch)?;
    list::set_orders(&mut original, &mut patch, at)?;
    for (name, change) in patch {
        if name.starts_with(DELETE_FROM_LIST) {
            let list = list::target(&name, DELETE_FROM_LIST, Error::PrimitiveListFormat)?;
            if let (Some(Value::Array(items)), Value::Array(gone)) =
                (original.get_mut(list), change)
            {
                items.retain(|item| !gone.contains(item));
            }
            continue;
        }
        if change.is_null() {
            original.remove(&name);
            continue;
        }
        let before = original.get_mut(&name).map(Value::take);
        match merge_value(before, change, &name, at)? {
            Some(merged) => drop(original.insert(name, merged)),
            None => drop(original.remove(&name)),
        }
    }
    Ok(original)
}

/// The new value of field `name`, or `None` when the patch says to leave it out.
fn merge_value(
    old: Option<Value>,
    change: Value,
    name: &str,
    at: Place,
) -> Result<Option<Value>, Error> {
    let (inside, strategy) = at.field(name);
    Ok(match (old, change) {
        (Some(Value::Object(old)), Value::Object(change)) => {
            Some(Value::Object(merge_object(old, change, inside)?))
        }
        (Some(Value::Array(old)), Value::Array(change)) if strategy.merge => {
            let (old, change) = (old.into_iter().collect(), change.into_iter().collect());
            Some(list::merge(old, change, strategy.key, inside)?.into())
        }
        (Some(Value::Array(_)), change @ Value::Array(_)) => Some(change),
        (Some(old), change)
            if core::mem::discriminant(&old) == core::mem::discriminant(&change) =>
        {
            without_directives(change)
        }
        (_, mut change) => {
            discard_nulls(&mut change);
            without_directives(change)
        }
    })
}

fn unknown_directive(directive: Value, mut patch: Fields) -> Error {
    let named = print(&directive);
    patch.insert(DIRECTIVE.to_owned(), directive);
    Error::Other(format!(
        "unknown patch type: {named} in map: {}",
        print(&Value::Object(patch))
    ))
}

/// Carries out `$retainKeys`: the fields it does not name go, and the patch may set no others.
fn retain_keys(original: &mut Fields, patch: &mut Fields) -> Result<(), Error> {
    let Some(directive) = patch.remove(RETAIN_KEYS) else {
        return Ok(());
    };
    let Value::Array(retained) = directive else {
        return Err(Error::RetainKeysFormat);
    };
    let is_retained = |name: &str| retained.iter().any(|kept| kept.as_str() == Some(name));
    let sets_other = patch.iter().any(|(name, value)| {
        let is_directive = name.starts_with(DELETE_FROM_LIST) || name.starts_with(SET_ORDER);
        !value.is_null() && !is_directive && !is_retained(name)
    });
    if sets_other {
        return Err(Error::RetainKeysFormat);
    }
    original.retain(|name, _| is_retained(name));
    Ok(())
}

/// A new value without what holds `$patch`; `None` when that is all of it.
fn without_directives(value: Value) -> Option<Value> {
    Some(match value {
        Value::Object(fields) if fields.contains_key(DIRECTIVE) => return None,
        Value::Object(fields) => {
            let kept = fields.into_iter();
            let kept = kept.filter_map(|(name, value)| Some((name, without_directives(value)?)));
            Value::Object(kept.collect())
        }
        Value::Array(items) => items.into_iter().filter_map(without_directives).collect(),
        other => other,
    })
}

/// Nulls that remove nothing are dropped with the fields that hold them.
fn discard_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(discard_nulls);
        }
        Value::Array(items) => items.make_mut().iter_mut().for_each(discard_nulls),
        _ => {}
    }
}

/// `value` as Go's `%v` prints it; upstream's messages hold such texts.
fn print(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.to_string(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(print).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(fields) => {
            let pairs = fields
                .iter()
                .map(|(name, value)| format!("{name}:{}", print(value)));
            format!("map[{}]", pairs.collect::<Vec<_>>().join(" "))
        }
        other => other.to_string(),
    }
}

/// The Go type that upstream's messages name.
fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "%!s(<nil>)",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

#[cfg(test)]
mod tests;
