//! A kubelet over the simulated runtime, with an API server of a few lines, in virtual time.
//!
//! Book: `book/src/simulator/runtime.md`.

mod environment;
mod input;
mod mutants;
mod properties;
mod restarts;
mod rig;
mod scenarios;
mod volumes;
