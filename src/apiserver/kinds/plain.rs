//! What a kind does where it does nothing special: the entries of most rows of the table.
//!
//! Used by the kinds' `STRATEGY` rows, so that a reader sees at once which parts are ordinary.
//!
//! Book: `book/src/control-plane/kinds.md`.

use wavetank_api::json::Value;

use super::edit;
use crate::field::Errors;
use crate::strategy::{Column, Context, DeleteOptions, Grace};

/// Defaulting of a kind without defaults.
pub(crate) fn no_defaults(_: &mut Value) {}

/// A create that keeps all that the client sent.
pub(crate) fn create_as_sent(_: &mut Value, _: &Context<'_>) {}

/// A create of a kind with a status: it begins empty, whatever the client sent.
pub(crate) fn create_without_status(object: &mut Value, _: &Context<'_>) {
    edit::set(object, "status", wavetank_api::json::Map::new());
}

/// An update that keeps all that the client sent.
pub(crate) fn update_as_sent(_: &mut Value, _: &Value) {}

/// An update of the main resource: the status stays as it was.
pub(crate) fn keep_status(new: &mut Value, old: &Value) {
    edit::copy(new, "status", old);
}

/// An update of `/status`: only the status and the metadata are the client's.
pub(crate) fn keep_all_but_status(new: &mut Value, old: &Value) {
    let Some(fields) = new
        .as_object()
        .map(|map| map.keys().cloned().collect::<Vec<_>>())
    else {
        return;
    };
    let old_fields = old
        .as_object()
        .into_iter()
        .flat_map(|map| map.keys().cloned());
    for field in fields.into_iter().chain(old_fields) {
        if field != "metadata" && field != "status" {
            edit::copy(new, &field, old);
        }
    }
}

/// As [`keep_all_but_status`], and the labels stay too (deployments, replica sets).
pub(crate) fn keep_all_but_status_and_labels(new: &mut Value, old: &Value) {
    keep_all_but_status(new, old);
    if let (Some(metadata), Some(old)) = (new.get_mut("metadata"), old.get("metadata")) {
        edit::copy(metadata, "labels", old);
    }
}

/// A kind whose only rules are those of all objects' metadata.
pub(crate) fn no_rules(_: &Value) -> Errors {
    Errors::new()
}

/// A change that has no rules of its own.
pub(crate) fn no_update_rules(_: &Value, _: &Value) -> Errors {
    Errors::new()
}

/// A kind that can only be selected by name and namespace.
pub(crate) fn no_fields(_: &Value) -> Vec<(&'static str, String)> {
    Vec::new()
}

/// A delete that takes effect at once.
pub(crate) fn immediate(_: &Value, _: &DeleteOptions) -> Grace {
    Grace::Immediate
}

/// A column that `kubectl get` always shows. A description that begins with `.` is that of the
/// kind's field of that path.
pub(crate) const fn column(
    name: &'static str,
    of_type: &'static str,
    description: &'static str,
) -> Column {
    Column {
        name,
        of_type,
        format: "",
        description,
        priority: 0,
    }
}

/// A column that only `kubectl get -o wide` shows.
pub(crate) const fn wide(
    name: &'static str,
    of_type: &'static str,
    description: &'static str,
) -> Column {
    Column {
        name,
        of_type,
        format: "",
        description,
        priority: 1,
    }
}

/// The first column of every kind but Event.
pub(crate) const NAME: Column = Column {
    name: "Name",
    of_type: "string",
    format: "name",
    description: ".metadata.name",
    priority: 0,
};

/// How long ago the object was made.
pub(crate) const AGE: Column = column("Age", "string", ".metadata.creationTimestamp");

/// The cell under [`NAME`].
pub(crate) fn name(object: &Value) -> Value {
    edit::text(object, &["metadata", "name"]).into()
}

/// A text, or `<none>` where there is none.
pub(crate) fn or_none(text: &str) -> &str {
    if text.is_empty() { "<none>" } else { text }
}

/// Labels as a column shows them: `a=1,b=2`, or `<none>`.
pub(crate) fn labels(labels: Option<&Value>) -> String {
    let pairs: Vec<String> = labels
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    or_none(&pairs.join(",")).to_string()
}
