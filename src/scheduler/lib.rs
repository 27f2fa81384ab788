//! The scheduler: decides on which node each pending pod is to run.
//!
//! In Kubernetes this is kube-scheduler. The one idea: a decision counts before it is written. A
//! pod is *assumed* on its node the moment it is chosen, so that the next one sees the room as
//! taken, and the binding travels to the API server on its own.
//!
//! The way in: [`Scheduler`] is the process that a shell drives; [`engine::Engine`] is the
//! scheduler as a value, told what happened ([`engine::Event`]) and answering with
//! [`engine::Step`]s; `schedule_one` is one pod from queue to binding; `plugins` is the table of
//! who has a say, by the traits of [`framework`].
//!
//! Left out so far: evicting pods (preemption), volumes, inter-pod affinity and topology spreading,
//! extenders, reading KubeSchedulerConfiguration.
//!
//! Book: `book/src/scheduler/framework.md`.

pub mod cache;
pub mod engine;
pub mod framework;
pub mod node;
pub mod node_info;
mod nominated;
pub mod plugins;
pub mod pod;
pub mod queue;
pub mod resource;
mod schedule_one;
pub mod scheduler;
pub mod selector;
pub mod snapshot;
mod zones;

pub use engine::Engine;
pub use framework::{Plugin, Profile};
pub use plugins::{DEFAULT_SCHEDULER_NAME, default_profile};
pub use scheduler::{Config, Scheduler};
