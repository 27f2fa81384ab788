//! DefaultBinder: binds through the Binding subresource.
//!
//! Upstream: `pkg/scheduler/framework/plugins/defaultbinder`.
//!
//! Book: `book/src/scheduler/framework.md`.

use std::sync::Arc;

use crate::framework::{Bind, Binding, CycleState, Plugin, Status};
use crate::pod::Pod;

/// Binds every pod.
pub struct DefaultBinder;

impl Plugin for DefaultBinder {
    fn name(&self) -> &'static str {
        "DefaultBinder"
    }

    fn as_bind(&self) -> Option<&dyn Bind> {
        Some(self)
    }
}

impl Bind for DefaultBinder {
    fn bind(&self, _state: &CycleState, pod: &Pod, node: &Arc<str>) -> Result<Binding, Status> {
        Ok(Binding {
            namespace: Arc::clone(&pod.namespace),
            name: Arc::clone(&pod.name),
            uid: pod.uid.clone(),
            node: Arc::clone(node),
        })
    }
}
