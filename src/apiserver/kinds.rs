//! One file per kind, all with one skeleton; and the rules that several kinds share.
//!
//! Every kind's file holds, in this order: `STRATEGY` (its row of the table in `strategies.rs`),
//! defaulting, prepare, validation, selectable fields, columns and row, and graceful deletion where
//! it is not immediate. Read `kinds/lease.rs` first: it is the shortest whole one.
//!
//! Validation walks the object with a [`Field`](crate::field::Field) cursor and follows upstream's
//! `pkg/apis/*/validation/validation.go` in order, paths and words, so that kubectl shows the same
//! list. Defaulting follows `pkg/apis/*/v1/defaults.go`; rows, `pkg/printers/internalversion`.
//!
//! 1. Defaulting is idempotent: `defaulting_twice_is_defaulting_once`.
//! 2. A valid object stays valid when it is defaulted again: `good_objects_stay_good`.
//! 3. No function here panics on any JSON at all: `no_function_panics_on_arbitrary_json`.
//! 4. A row has as many cells as its kind has columns: `a_row_has_a_cell_for_each_column`.
//!
//! Left out: rules that only matter to feature gates that are off in v1.33.
//!
//! Book: `book/src/control-plane/kinds.md`.

pub mod age;
pub mod object_meta;

pub(crate) mod base64;
pub(crate) mod config_map;
pub(crate) mod deployment;
pub(crate) mod edit;
pub(crate) mod endpoint_slice;
pub(crate) mod endpoints;
pub(crate) mod event;
pub(crate) mod label_selector;
pub(crate) mod lease;
pub(crate) mod namespace;
pub(crate) mod node;
pub(crate) mod plain;
pub(crate) mod pod;
pub(crate) mod priority_class;
pub(crate) mod replica_set;
pub(crate) mod rules;
pub(crate) mod secret;
pub(crate) mod service;
pub(crate) mod service_account;
pub(crate) mod template;

#[cfg(test)]
mod tests;
