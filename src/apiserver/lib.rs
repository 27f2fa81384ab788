//! The API server: the one door to the cluster's state.
//!
//! Book: `book/src/control-plane/apiserver.md`.

pub mod field;
pub mod strategy;
