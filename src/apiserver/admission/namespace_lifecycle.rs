//! NamespaceLifecycle: nothing new in a namespace that is missing or on its way out.
//!
//! Source: `k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle`.
//!
//! 1. `default`, `kube-system` and `kube-public` are never deleted.
//! 2. All that is in a terminating namespace can be changed and deleted: else it could not end.
//!
//! Book: `book/src/control-plane/admission.md`.

use wavetank_api::json::Value;
use wavetank_api::{Guard, KindId};

use crate::kinds::edit;
use crate::strategy::{Attributes, Denied, Operation, View};

const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

// ANCHOR: admit
/// Refuses creates where nothing more may come, and deletes of what must stay.
pub(super) fn admit(
    _: Option<&mut Value>,
    write: &Attributes<'_>,
    view: &dyn View,
) -> Result<(), Denied> {
    let deletes = write.operation == Operation::Delete;
    if write.kind == KindId::Namespace {
        return if deletes && IMMORTAL.contains(&write.name) {
            Err(Denied::Forbidden(
                "this namespace may not be deleted".into(),
            ))
        } else {
            Ok(())
        };
    }
    if deletes || write.namespace.is_empty() {
        return Ok(());
    }
    let Some(namespace) = view.object(KindId::Namespace, "", write.namespace) else {
        return Err(Denied::NamespaceNotFound(write.namespace.into()));
    };
    let terminating = edit::text(&namespace, &["status", "phase"]) == "Terminating";
    let refused = terminating && write.guards.on(Guard::M35);
    if write.operation == Operation::Create && refused {
        return Err(Denied::NamespaceTerminating(write.namespace.into()));
    }
    Ok(())
}
// ANCHOR_END: admit
