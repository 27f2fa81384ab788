//! What an applied object names: its set of fields, and whether its types allow them.
//!
//! Book: `book/src/control-plane/patch.md`.

use core::fmt;

use crate::json::{Text, Value};

use super::typed::{Structure, Typed, item_element};
use crate::fields::{Set, element};
use crate::schema::Shape;

/// The fields that `object` names (`ToFieldSet`): leaves, items of lists, keys of maps.
pub(super) fn fields_of(object: &Value, typed: Typed<'_>) -> Set {
    let mut set = Set::default();
    collect(object, typed, &mut Vec::new(), &mut set);
    set
}

fn collect(value: &Value, at: Typed<'_>, path: &mut Vec<Text>, set: &mut Set) {
    let structure = at.structure(value);
    match value {
        Value::Object(fields) if structure == Structure::Fields => {
            for (name, value) in fields {
                path.push(element::field(name));
                collect(value, at.field(name), path, set);
                let is_empty = value.as_object().is_some_and(|fields| fields.is_empty());
                if is_empty || !at.declares(name) {
                    set.insert(path);
                }
                path.pop();
            }
        }
        Value::Array(items) if structure != Structure::Leaf => {
            for item in items {
                let Ok(element) = item_element(item, structure) else {
                    continue;
                };
                path.push(element);
                collect(item, at.inner(), path, set);
                set.insert(path);
                path.pop();
            }
        }
        _ => set.insert(path),
    }
}

/// What is wrong with an applied object, in the words of structured-merge-diff.
#[derive(Debug)]
pub(super) struct Errors(Vec<String>);

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => f.write_str(only),
            errors => write!(f, "errors:\n  {}", errors.join("\n  ")),
        }
    }
}

/// Checks names, types and keys of `object`.
pub(super) fn validate(object: &Value, typed: Typed<'_>) -> Result<(), Errors> {
    let mut errors = Vec::new();
    visit(object, typed, &mut String::new(), &mut errors);
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Errors(errors))
    }
}

fn visit(value: &Value, at: Typed<'_>, path: &mut String, errors: &mut Vec<String>) {
    let complain = |errors: &mut Vec<String>, path: &str, what: String| {
        errors.push(if path.is_empty() {
            what
        } else {
            format!("{path}: {what}")
        });
    };
    if let Some(what) = mismatch(value, at.shape()) {
        return complain(errors, path, what);
    }
    let length = path.len();
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                path.push_str(&element::display(&element::field(name)));
                if at.shape() == Shape::Struct && !at.declares(name) {
                    complain(errors, path, "field not declared in schema".to_owned());
                } else {
                    visit(value, at.field(name), path, errors);
                }
                path.truncate(length);
            }
        }
        Value::Array(items) => {
            let structure = at.structure(value);
            let mut seen: Vec<Text> = Vec::new();
            for (index, item) in items.iter().enumerate() {
                let element = match item_element(item, structure) {
                    _ if structure == Structure::Leaf => format!("i:{index}").into(),
                    Ok(element) => element,
                    Err(why) => {
                        return complain(errors, path, format!("element {index}: {why}"));
                    }
                };
                let shown = element::display(&element);
                if seen.contains(&element) {
                    complain(errors, path, format!("duplicate entries for key {shown}"));
                }
                seen.push(element);
                path.push_str(&shown);
                visit(item, at.inner(), path, errors);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

/// What a value is and should not be; null fits everywhere.
fn mismatch(value: &Value, shape: Shape) -> Option<String> {
    let (fits, expected) = match shape {
        Shape::Any => (true, ""),
        Shape::Struct | Shape::Map(_) => (value.is_object(), "map"),
        Shape::List(_) => (value.is_array(), "list"),
        Shape::Bool => (value.is_boolean(), "boolean"),
        Shape::Int32 | Shape::Int64 | Shape::Float => (value.is_number(), "numeric (int or float)"),
        Shape::String | Shape::Bytes => (value.is_string(), "string"),
        Shape::Time | Shape::MicroTime | Shape::Quantity | Shape::IntOrString => {
            (!value.is_object() && !value.is_array(), "any scalar")
        }
    };
    if fits || value.is_null() {
        return None;
    }
    // Upstream prints the Go value it holds; for numbers that is its type.
    let found = match (shape, value) {
        (Shape::Int32 | Shape::Int64 | Shape::Float, value) => go_type(value).to_owned(),
        (Shape::String | Shape::Bytes, Value::String(text)) => text.to_string(),
        (Shape::String | Shape::Bytes, value) => {
            format!("&value.valueUnstructured{{Value:{value}}}")
        }
        (_, Value::String(text)) => format!("&{{{text}}}"),
        (_, value) => format!("&{{{value}}}"),
    };
    Some(format!("expected {expected}, got {found}"))
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "bool",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        _ => "map[string]interface {}",
    }
}
