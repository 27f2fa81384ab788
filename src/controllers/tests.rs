//! Scenarios of the controllers that have no folder of their own.
//!
//! Book: `book/src/controllers/reconcile.md`.

mod mutants;
