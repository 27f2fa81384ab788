//! How a component sees the cluster and changes it: through requests that a shell carries.
//!
//! In Kubernetes this is `k8s.io/client-go` (reflector, informer, workqueue, leader election).
//! The one idea: a component is a value that is told what happened and answers with what it wants
//! done ([`Component`]); a socket, a thread or a clock is always somebody else's.
//!
//! The way in: a [`Reflector`] lists and watches one kind into a [`Cache`] of [`Object`]s; a
//! [`client::Client`] builds the requests; `queue` says which key is next; `executor` carries out a
//! controller's plan, and `own_writes` holds the key back until the caches have seen it.
//!
//! Left out: websockets and HTTP (`serve`), and any copy of the typed API: a component decodes the
//! fields it uses into a [`View`] of its own.
//!
//! Book: `book/src/control-plane/informers.md`.

pub mod backoff;
pub mod barrier;
pub mod cache;
pub mod client;
pub mod component;
pub mod election;
pub mod events;
pub mod executor;
pub mod expectations;
pub mod intern;
pub mod json;
pub mod own_writes;
pub mod queue;
pub mod reflector;
mod sorted;
pub mod view;
mod wire;

pub use cache::{Cache, Change};
pub use client::{ApiError, Client};
pub use component::{CallId, CallIds, Component, Failure, Input, Note, Nothing, Output};
pub use reflector::Reflector;
pub use view::{Cached, Key, Object, View};
pub use wavetank_api::{Guard, Guards};
