//! Field errors, and the cursor that makes validation read like the specification.
//!
//! Strategies walk an object with [`Field`] and report into [`Errors`]; the pipeline turns a list
//! that is not empty into a 422 with one cause per error.
//! Rule and words: `k8s.io/apimachinery/pkg/util/validation/field`.
//!
//! 1. A cursor never fails: a missing field is a cursor without a value.
//! 2. A path is put together only when there is an error to report.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use core::fmt;

use wavetank_api::json::{List, Value};

/// What is wrong with a field; the closed set of upstream's `field.ErrorType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldErrorKind {
    /// The field must be given.
    Required,
    /// The value breaks a rule.
    Invalid,
    /// The value is none of a closed set.
    NotSupported,
    /// The value must be unique and is not.
    Duplicate,
    /// Something that the value names does not exist.
    NotFound,
    /// The field may not be set (or changed) here.
    Forbidden,
    /// A text is longer than allowed.
    TooLong,
    /// A list has more items than allowed.
    TooMany,
    /// The value has the wrong JSON type.
    TypeInvalid,
    /// The server's own fault.
    Internal,
}

impl FieldErrorKind {
    /// The `reason` of a status cause.
    pub fn reason(self) -> &'static str {
        match self {
            FieldErrorKind::Required => "FieldValueRequired",
            FieldErrorKind::Invalid => "FieldValueInvalid",
            FieldErrorKind::NotSupported => "FieldValueNotSupported",
            FieldErrorKind::Duplicate => "FieldValueDuplicate",
            FieldErrorKind::NotFound => "FieldValueNotFound",
            FieldErrorKind::Forbidden => "FieldValueForbidden",
            FieldErrorKind::TooLong => "FieldValueTooLong",
            FieldErrorKind::TooMany => "FieldValueTooMany",
            FieldErrorKind::TypeInvalid => "FieldValueTypeInvalid",
            FieldErrorKind::Internal => "InternalError",
        }
    }

    fn words(self) -> &'static str {
        match self {
            FieldErrorKind::Required => "Required value",
            FieldErrorKind::Invalid | FieldErrorKind::TypeInvalid => "Invalid value",
            FieldErrorKind::NotSupported => "Unsupported value",
            FieldErrorKind::Duplicate => "Duplicate value",
            FieldErrorKind::NotFound => "Not found",
            FieldErrorKind::Forbidden => "Forbidden",
            FieldErrorKind::TooLong => "Too long",
            FieldErrorKind::TooMany => "Too many",
            FieldErrorKind::Internal => "Internal error",
        }
    }

    fn shows_value(self) -> bool {
        use FieldErrorKind::{Forbidden, Internal, Required, TooLong};
        !matches!(self, Required | Forbidden | TooLong | Internal)
    }
}

/// One thing wrong with an object. `Display` gives upstream's text with the path in front.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// `spec.template.spec.containers[0].name`.
    pub path: String,
    /// What is wrong.
    pub kind: FieldErrorKind,
    /// The offending value, where the kind shows it.
    pub value: Value,
    /// The rule, in upstream's words; may be empty.
    pub detail: String,
}

impl FieldError {
    /// The text without the path, as a status cause carries it.
    pub fn body(&self) -> String {
        let mut text = self.kind.words().to_string();
        if self.kind.shows_value() {
            text.push_str(": ");
            text.push_str(&self.value.to_string());
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.body())
    }
}

/// All that is wrong with an object, in the order found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Errors {
    list: Vec<FieldError>,
}

impl Errors {
    /// No errors yet.
    pub fn new() -> Self {
        Errors::default()
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The errors in order.
    pub fn iter(&self) -> impl Iterator<Item = &FieldError> {
        self.list.iter()
    }

    /// Adds one error.
    pub fn push(&mut self, error: FieldError) {
        self.list.push(error);
    }

    /// Adds all errors of another list behind this one.
    pub fn extend(&mut self, other: Errors) {
        self.list.extend(other.list);
    }
}

/// As upstream's `ErrorList.ToAggregate`: one error bare, several in brackets.
impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.list.as_slice() {
            [one] => one.fmt(f),
            many => {
                let texts: Vec<String> = many.iter().map(FieldError::to_string).collect();
                write!(f, "[{}]", texts.join(", "))
            }
        }
    }
}

/// Where a cursor stands, as a chain back to the root on the callers' stacks.
#[derive(Clone, Copy)]
struct Path<'p> {
    parent: Option<&'p Path<'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Root,
    Child(&'p str),
    Index(usize),
    Key(&'p str),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        let dot = self
            .parent
            .is_some_and(|parent| !matches!(parent.step, Step::Root));
        match self.step {
            Step::Root => Ok(()),
            Step::Child(name) if dot => write!(f, ".{name}"),
            Step::Child(name) => f.write_str(name),
            Step::Index(at) => write!(f, "[{at}]"),
            Step::Key(key) => write!(f, "[{key}]"),
        }
    }
}

/// A place in an object: the value there, if any, and the path that leads to it.
///
/// ```text
/// let spec = root.child("spec");
/// spec.child("replicas").non_negative(&mut errors);
/// for container in spec.child("containers").items() {
///     container.child("name").required_text(&mut errors);
/// }
/// ```
#[derive(Clone, Copy)]
pub struct Field<'p, 'v> {
    path: Path<'p>,
    value: Option<&'v Value>,
}

impl<'v> Field<'static, 'v> {
    /// The whole object.
    pub fn root(value: &'v Value) -> Self {
        Field {
            path: Path {
                parent: None,
                step: Step::Root,
            },
            value: Some(value),
        }
    }
}

impl<'v> Field<'_, 'v> {
    /// The field `name` of an object.
    pub fn child<'b>(&'b self, name: &'b str) -> Field<'b, 'v> {
        let path = Path {
            parent: Some(&self.path),
            step: Step::Child(name),
        };
        Field {
            path,
            value: self.value.and_then(|value| value.get(name)),
        }
    }

    /// The entry `key` of a map; its path is written `labels[key]`.
    pub fn key<'b>(&'b self, key: &'b str) -> Field<'b, 'v> {
        let path = Path {
            parent: Some(&self.path),
            step: Step::Key(key),
        };
        Field {
            path,
            value: self.value.and_then(|value| value.get(key)),
        }
    }

    /// The item `at` of a list.
    pub fn index(&self, at: usize) -> Field<'_, 'v> {
        let path = Path {
            parent: Some(&self.path),
            step: Step::Index(at),
        };
        Field {
            path,
            value: self.value.and_then(|value| value.get(at)),
        }
    }

    /// All items of a list; none when this is no list.
    pub fn items<'b>(&'b self) -> impl Iterator<Item = Field<'b, 'v>> {
        let list = self
            .value
            .and_then(Value::as_array)
            .map(List::as_slice)
            .unwrap_or_default();
        list.iter().enumerate().map(|(at, value)| Field {
            path: Path {
                parent: Some(&self.path),
                step: Step::Index(at),
            },
            value: Some(value),
        })
    }

    /// All entries of a map with their keys; none when this is no map.
    pub fn entries<'b>(&'b self) -> impl Iterator<Item = (&'v str, Field<'b, 'v>)>
    where
        'v: 'b,
    {
        self.value
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(key, value)| {
                let path = Path {
                    parent: Some(&self.path),
                    step: Step::Key(key),
                };
                (
                    key.as_str(),
                    Field {
                        path,
                        value: Some(value),
                    },
                )
            })
    }

    /// The value; JSON `null` counts as absent.
    pub fn value(&self) -> Option<&'v Value> {
        self.value.filter(|value| !value.is_null())
    }

    /// Whether there is a value.
    pub fn is_set(&self) -> bool {
        self.value().is_some()
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&'v str> {
        self.value.and_then(Value::as_str)
    }

    /// The whole number, if it is one.
    pub fn integer(&self) -> Option<i64> {
        self.value.and_then(Value::as_i64)
    }

    /// The truth value, if it is one.
    pub fn boolean(&self) -> Option<bool> {
        self.value.and_then(Value::as_bool)
    }

    /// Number of items of a list or entries of a map; 0 for anything else.
    pub fn len(&self) -> usize {
        match self.value {
            Some(Value::Array(items)) => items.len(),
            Some(Value::Object(entries)) => entries.len(),
            _ => 0,
        }
    }

    /// Whether it is absent, or an empty list, map or text.
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.text().is_none_or(str::is_empty)
    }

    /// The path in upstream's notation.
    pub fn path(&self) -> String {
        self.path.to_string()
    }

    /// An error at this place.
    pub fn error(&self, kind: FieldErrorKind, detail: impl Into<String>) -> FieldError {
        let value = self.value.cloned().unwrap_or(Value::Null);
        FieldError {
            path: self.path(),
            kind,
            value,
            detail: detail.into(),
        }
    }

    /// Reports that the field must be given.
    pub fn required(&self, errors: &mut Errors, detail: &str) {
        errors.push(self.error(FieldErrorKind::Required, detail));
    }

    /// Reports that the value breaks a rule.
    pub fn invalid(&self, errors: &mut Errors, detail: impl Into<String>) {
        errors.push(self.error(FieldErrorKind::Invalid, detail));
    }

    /// Reports that the field may not be set (or changed).
    pub fn forbidden(&self, errors: &mut Errors, detail: impl Into<String>) {
        errors.push(self.error(FieldErrorKind::Forbidden, detail));
    }

    /// Reports a value that must be unique and is not.
    pub fn duplicate(&self, errors: &mut Errors) {
        errors.push(self.error(FieldErrorKind::Duplicate, ""));
    }

    /// Reports a value that is none of `supported` (printed sorted, as upstream does).
    pub fn not_supported(&self, errors: &mut Errors, supported: &[&str]) {
        let mut names: Vec<String> = supported.iter().map(|name| format!("\"{name}\"")).collect();
        names.sort();
        let detail = format!("supported values: {}", names.join(", "));
        errors.push(self.error(FieldErrorKind::NotSupported, detail));
    }

    /// A number, if given, must be at least 0.
    pub fn non_negative(&self, errors: &mut Errors) {
        if self.integer().is_some_and(|number| number < 0) {
            self.invalid(errors, "must be greater than or equal to 0");
        }
    }

    /// A text must be given and not empty; answers it.
    pub fn required_text(&self, errors: &mut Errors) -> Option<&'v str> {
        let text = self.text().filter(|text| !text.is_empty());
        if text.is_none() {
            self.required(errors, "");
        }
        text
    }

    /// A text, if given and not empty, must be one of `supported`.
    pub fn one_of(&self, errors: &mut Errors, supported: &[&str]) {
        if self
            .text()
            .is_some_and(|text| !text.is_empty() && !supported.contains(&text))
        {
            self.not_supported(errors, supported);
        }
    }

    /// The field must be as it was in the old object (`apimachinery`'s `ValidateImmutableField`).
    pub fn immutable(&self, errors: &mut Errors, old: &Field<'_, '_>) {
        if self.value() != old.value() {
            self.invalid(errors, "field is immutable");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wavetank_api::json::json;

    #[test]
    fn paths_and_texts_are_upstreams() {
        let object = json!({"metadata": {"labels": {"a b": "x"}}, "spec": {"replicas": -1,
            "containers": [{"name": "a"}, {}], "policy": "Sometimes"}});
        let root = Field::root(&object);
        let spec = root.child("spec");
        let mut errors = Errors::new();
        spec.child("replicas").non_negative(&mut errors);
        for container in spec.child("containers").items() {
            container.child("name").required_text(&mut errors);
        }
        spec.child("policy")
            .one_of(&mut errors, &["Never", "Always"]);
        for (_, label) in root.child("metadata").child("labels").entries() {
            label.duplicate(&mut errors);
        }
        assert_eq!(
            errors.to_string(),
            "[spec.replicas: Invalid value: -1: must be greater than or equal to 0, \
             spec.containers[1].name: Required value, \
             spec.policy: Unsupported value: \"Sometimes\": supported values: \"Always\", \
             \"Never\", \
             metadata.labels[a b]: Duplicate value: \"x\"]"
        );
    }
}
