//! The deterministic simulator: a whole cluster on one thread, in virtual time.
//!
//! The cores that `serve` runs against sockets, disks and the wall clock run here against a queue
//! of events. The one idea to hold in mind: nothing happens but what an event makes happen, and
//! events are ordered by virtual time and by nothing else, so one seed has one history.
//!
//! The way in: [`Scenario::parse`], [`World::new`], [`World::finish`], [`World::verdict`].
//!
//! Left out: streams to containers (`kubectl exec`), which end at a shell and not at a component.
//!
//! Book: `book/src/simulator/world.md`.

mod agenda;
pub mod chance;
pub mod cluster;
mod disk;
pub mod explain;
mod faults;
pub mod network;
mod operator;
mod process;
pub mod runtime;
pub mod scenario;
mod server;
pub mod trace;
pub mod verdict;
pub mod world;

pub use chance::Seed;
pub use scenario::Scenario;
pub use trace::{Trace, TraceHash};
pub use verdict::Verdict;
pub use world::{BEGINNING, World};
