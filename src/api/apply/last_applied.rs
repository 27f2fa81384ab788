//! The way from `kubectl apply` to `kubectl apply --server-side`: its annotation counts as consent.
//!
//! Who applied with kubectl's client side left the applied object in an annotation. A first
//! server-side apply by `kubectl` may take what is unchanged since, without `--force-conflicts`
//! (`lastappliedmanager.go`), and keeps the annotation up to date (`lastappliedupdater.go`), so
//! that the way back stays open too.
//!
//! Book: `book/src/control-plane/patch.md`.

use crate::json::{Text, Value};

use super::compare::compare;
use super::conflict::Conflict;
use super::extent::fields_of;
use super::{Set, Writer};

const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The most bytes that all annotations of an object may have together.
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;

fn annotation(object: &Value) -> Option<&str> {
    let annotations = object.get("metadata")?.get("annotations")?;
    annotations
        .get(ANNOTATION)?
        .as_str()
        .filter(|text| !text.is_empty())
}

/// The conflicts that the annotation of `live` does not excuse; none are left if it excuses all.
pub(super) fn not_allowed(
    mut conflicts: Vec<Conflict>,
    live: &Value,
    writer: &Writer<'_>,
) -> Vec<Conflict> {
    let Some(allowed) = allowed(live, writer) else {
        return conflicts;
    };
    for conflict in &mut conflicts {
        conflict.fields.subtract(&allowed);
    }
    conflicts.retain(|conflict| !conflict.fields.is_empty());
    conflicts
}

/// What was applied last and has its value still.
fn allowed(live: &Value, writer: &Writer<'_>) -> Option<Set> {
    let last: Value = serde_json::from_str(annotation(live)?).ok()?;
    if last.get("apiVersion")?.as_str()? != writer.api_version {
        return None;
    }
    let typed = writer.typed();
    let mut allowed = fields_of(&last, typed);
    let changes = compare(Some(&last), Some(live), typed, &Set::default());
    for changed in [&changes.modified, &changes.added, &changes.removed] {
        allowed.subtract(changed);
    }
    Some(allowed)
}

/// Writes `applied` into the annotation of `object`, if it has one and there is room.
pub(super) fn refresh(object: &mut Value, applied: &Value) {
    if annotation(object).is_none() {
        return;
    }
    let mut applied = applied.clone();
    if let Some(Value::Object(annotations)) = applied.pointer_mut("/metadata/annotations") {
        annotations.remove(ANNOTATION);
    }
    let text = format!("{applied}\n");
    let Some(Value::Object(annotations)) = object.pointer_mut("/metadata/annotations") else {
        return;
    };
    annotations.remove(ANNOTATION);
    let length = |(key, value): (&Text, &Value)| key.len() + value.as_str().map_or(0, str::len);
    let others: usize = annotations.iter().map(length).sum();
    if others + ANNOTATION.len() + text.len() <= ANNOTATIONS_BYTES_MAX {
        annotations.insert(ANNOTATION.to_owned(), text.into());
    }
}
