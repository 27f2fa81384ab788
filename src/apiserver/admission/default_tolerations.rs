//! DefaultTolerationSeconds: a pod stays five minutes on a node that is not ready or not reachable.
//!
//! Source: `plugin/pkg/admission/defaulttolerationseconds`.
//!
//! 1. A toleration that the pod has for either taint is left alone.
//!
//! Book: `book/src/control-plane/admission.md`.

use wavetank_api::KindId;
use wavetank_api::json::{Value, json};

use crate::kinds::edit;
use crate::strategy::{Attributes, Denied, Operation, View};

const TAINTS: [&str; 2] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
];
const SECONDS: i64 = 300;

/// Adds the tolerations that a pod does not have in some form.
pub(super) fn admit(
    pod: Option<&mut Value>,
    write: &Attributes<'_>,
    _: &dyn View,
) -> Result<(), Denied> {
    let main = write.operation != Operation::Delete && write.subresource.is_empty();
    let (Some(pod), true, KindId::Pod) = (pod, main, write.kind) else {
        return Ok(());
    };
    for taint in TAINTS {
        let tolerated = edit::list(pod, &["spec", "tolerations"])
            .iter()
            .any(|toleration| {
                let (key, effect) = (
                    edit::text(toleration, &["key"]),
                    edit::text(toleration, &["effect"]),
                );
                (key.is_empty() || key == taint) && matches!(effect, "" | "NoExecute")
            });
        if !tolerated && let Some(spec) = edit::object(pod, "spec") {
            let toleration = json!({"key": taint, "operator": "Exists", "effect": "NoExecute",
                "tolerationSeconds": SECONDS});
            edit::append(spec, "tolerations", toleration);
        }
    }
    Ok(())
}
