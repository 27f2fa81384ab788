//! Conflicts of an apply, and the words in which kubectl shows them.
//!
//! Book: `book/src/control-plane/patch.md`.

use super::managers::Entry;
use crate::fields::Set;
use crate::status::{Cause, Status, quote};

/// What one other manager owns with another value.
#[derive(Clone, Debug)]
pub(super) struct Conflict {
    /// `"kubectl-edit" using apps/v1`.
    pub manager: String,
    pub fields: Set,
}

impl Conflict {
    /// What `entry` owns of `taken`.
    pub fn between(entry: &Entry, taken: &Set) -> Conflict {
        let mut fields = entry.fields.clone();
        fields.intersect(taken);
        let mut manager = quote(&entry.manager);
        if !entry.subresource.is_empty() {
            manager.push_str(&format!(" with subresource {}", quote(&entry.subresource)));
        }
        if !entry.applied {
            manager.push_str(&format!(" using {}", entry.api_version));
        }
        Conflict { manager, fields }
    }
}

// ANCHOR: status
/// The 409 for these conflicts, one cause a field (`internal/conflict.go`).
pub(super) fn status(conflicts: &[Conflict]) -> Status {
    let mut causes = Vec::new();
    let mut lines = Vec::new();
    for Conflict { manager, fields } in conflicts {
        lines.push(format!("conflicts with {manager}:"));
        for path in fields.paths() {
            lines.push(format!("- {path}"));
            let message = format!("conflict with {manager}");
            causes.push(Cause::new("FieldManagerConflict", message, path));
        }
    }
    let message = match causes.as_slice() {
        [only] => format!(
            "Apply failed with 1 conflict: {}: {}",
            only.message, only.field
        ),
        many => format!(
            "Apply failed with {} conflicts: {}",
            many.len(),
            lines.join("\n")
        ),
    };
    Status::apply_conflict(causes, message)
}
// ANCHOR_END: status
