//! The deterministic simulator: a whole cluster on one thread, in virtual time.
//!
//! The cores that `serve` runs against sockets, disks and the wall clock run here against a queue
//! of events. The one idea to hold in mind: nothing happens but what an event makes happen, and
//! events are ordered by virtual time and by nothing else, so one seed has one history.
//!
//! The way in: [`Scenario::parse`], [`World::new`], [`World::finish`], [`World::verdict`]. To look
//! for bugs: [`chaos::scenario`] writes a scenario, [`trial::run`] looks at every invariant of its
//! run, [`shrink::shrink`] makes what failed small, [`story::tell`] says what happened.
//!
//! Left out: streams to containers (`kubectl exec`), which end at a shell and not at a component.
//!
//! Book: `book/src/simulator/world.md`.

mod agenda;
pub mod catalogue;
pub mod chance;
pub mod chaos;
mod clock;
pub mod cluster;
mod commits;
mod crashes;
mod disk;
mod edges;
pub mod explain;
mod faults;
pub mod network;
mod operator;
pub mod oracle;
mod process;
pub mod runtime;
pub mod scenario;
mod server;
pub mod shrink;
pub mod story;
pub mod trace;
pub mod trial;
pub mod verdict;
mod watch;
pub mod world;

pub use chance::Seed;
pub use scenario::Scenario;
pub use trace::{Trace, TraceHash};
pub use verdict::Verdict;
pub use world::{BEGINNING, World};
