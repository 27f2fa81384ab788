//! Admission: what the cluster adds to an object, or refuses it for, before it is validated.
//!
//! The pipeline runs [`PLUGINS`] in order on each create, update and delete. A plugin sees the
//! write ([`Attributes`](crate::strategy::Attributes)), may change the object, and may look at
//! other objects through a view of this server's watch cache. Source:
//! `pkg/kubeapiserver/options/plugins.go` (the order).
//!
//! 1. A plugin that has run once changes nothing when it runs again: a write may be retried.
//! 2. A plugin never changes an object that it refuses.
//! 3. Object, write and view give the answer, and nothing else does. The view may lag.
//!
//! Left out of the default set: LimitRanger, PodSecurity, storage and certificate plugins,
//! webhooks and policies: their kinds are not built yet. Upstream's ServiceAccount and
//! NamespaceLifecycle wait a little for what may just have been made; here a client retries.
//!
//! Book: `book/src/control-plane/admission.md`.

use crate::strategy::Admit;

mod default_tolerations;
mod namespace_lifecycle;
mod priority;
mod service_account;
mod taint_nodes;

// ANCHOR: plugins
/// The plugins in upstream's order, with upstream's names.
pub const PLUGINS: &[(&str, Admit)] = &[
    ("NamespaceLifecycle", namespace_lifecycle::admit),
    ("ServiceAccount", service_account::admit),
    ("TaintNodesByCondition", taint_nodes::admit),
    ("Priority", priority::admit),
    ("DefaultTolerationSeconds", default_tolerations::admit),
];
// ANCHOR_END: plugins

#[cfg(test)]
mod tests;
