//! What every part of the cluster half agrees on: time, requests, object metadata, and the kinds.
//!
//! In Kubernetes this is `k8s.io/apimachinery` with the registration parts of `k8s.io/api`. The one
//! idea: an object is JSON bytes with a small decoded header ([`Meta`]); whoever needs more decodes
//! the fields it uses into a view of its own. Nothing here does I/O or knows what time it is.
//!
//! Left out: what a kind means (that is `apiserver`, and the controllers).
//!
//! Book: `book/src/ground/objects.md`.

pub mod apply;
pub mod discovery;
pub mod fields;
pub mod guards;
pub mod http;
pub mod json;
pub mod kinds;
pub mod meta;
pub mod names;
pub mod openapi;
pub mod patch;
pub mod protobuf;
pub mod quantity;
pub mod schema;
pub mod selector;
pub mod status;
pub mod strict;
pub mod string_map;
pub mod time;

pub use guards::{Guard, Guards};
pub use http::{Headers, Method, Request, Response};
pub use kinds::KindId;
pub use meta::{Meta, OwnerReference, Revision, Uid};
pub use quantity::Quantity;
pub use status::Status;
pub use string_map::StringMap;
pub use time::Time;
