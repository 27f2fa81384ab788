//! The verbs, end to end over a store.
//!
//! Book: `book/src/control-plane/apiserver.md`.

mod chaos;
mod events;
mod membership;
mod mutants;
mod reviews;
mod verbs;
mod watches;
