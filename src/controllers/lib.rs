//! The controllers: each compares what is wished with what is, and writes until they agree.
//!
//! In Kubernetes this is `kube-controller-manager` (`pkg/controller`). The one idea: a controller
//! is a function from a key and the caches to a plan of writes; [`Manager`] carries out the plans,
//! holds a key back until the caches show what was written for it, and lets one process act at a
//! time. What a controller knows, it read through the API; what it does, it writes through the API.
//!
//! The way in: [`controllers::all`] is the table; `replicaset.rs` is the one to read first.
//!
//! Left out: controllers for kinds that are not served yet (jobs, stateful sets, volumes …).
//!
//! Book: `book/src/controllers/reconcile.md`.

pub mod absent_owners;
mod control_loop;
pub mod controller;
pub mod controllers;
pub mod deployment;
pub mod endpoint_slice;
pub mod endpoints;
pub mod garbage_collector;
#[cfg(test)]
mod harness;
pub mod informers;
mod manager;
pub mod namespace;
pub mod node_health;
pub mod node_lifecycle;
pub mod ownership;
pub mod pod_gc;
pub mod pods;
pub mod replicaset;
pub mod root_ca;
pub mod service_account;
pub mod service_endpoints;
pub mod taint_eviction;
#[cfg(test)]
mod tests;
pub mod views;

pub use controller::{Answers, Context, Controller, Step};
pub use informers::{Informers, News};
pub use manager::{Config, Manager};
