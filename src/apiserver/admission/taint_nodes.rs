//! TaintNodesByCondition: a new node gets no pods until its controller has seen it ready.
//!
//! Source: `plugin/pkg/admission/nodetaint`.
//!
//! 1. Between the kubelet's registration and its first status no pod is scheduled there.
//!
//! Book: `book/src/control-plane/admission.md`.

use wavetank_api::KindId;
use wavetank_api::json::{Value, json};

use crate::kinds::edit;
use crate::strategy::{Attributes, Denied, Operation, View};

const NOT_READY: &str = "node.kubernetes.io/not-ready";

/// Taints a node at its creation.
pub(super) fn admit(
    node: Option<&mut Value>,
    write: &Attributes<'_>,
    _: &dyn View,
) -> Result<(), Denied> {
    let creates = write.operation == Operation::Create && write.subresource.is_empty();
    let (Some(node), true, KindId::Node) = (node, creates, write.kind) else {
        return Ok(());
    };
    let tainted = edit::list(node, &["spec", "taints"]).iter().any(|taint| {
        edit::text(taint, &["key"]) == NOT_READY && edit::text(taint, &["effect"]) == "NoSchedule"
    });
    if !tainted && let Some(spec) = edit::object(node, "spec") {
        edit::append(
            spec,
            "taints",
            json!({"key": NOT_READY, "effect": "NoSchedule"}),
        );
    }
    Ok(())
}
