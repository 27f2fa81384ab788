//! How a component sees the cluster and changes it: through requests that a shell carries.
//!
//! In Kubernetes this is `k8s.io/client-go` (reflector, informer, workqueue, leader election).
//! The one idea: a component is a value that is told what happened and answers with what it wants
//! done ([`Component`]); a socket, a thread or a clock is always somebody else's.
//!
//! Book: `book/src/control-plane/informers.md`.

pub mod component;

pub use component::{CallId, Component, Failure, Input, Output};
