//! The node agent: makes the containers of one machine be what the API says its pods should be.
//!
//! In Kubernetes this is `pkg/kubelet`. The one idea: each pod has a worker, a value that holds
//! what is wanted (the pod), what is there (sandbox and containers as the runtime told) and what
//! is under way (at most one operation per container). After every input the worker looks at all
//! three and starts what is missing. Nothing waits: a pull, a SIGTERM or a back-off is a field
//! and a time.
//!
//! The way in: [`Kubelet::handle`](kubelet::Kubelet), which sorts inputs; then `worker.rs`, where a
//! pod lives; then `sync.rs` and `terminate.rs`, the two halves of its life.
//!
//! Who drives it: a shell, through [`wavetank_informer::Component`]; what it does to its machine is
//! an [`Effect`].
//!
//! Left out: static pods, in-place resize, device and CPU managers, eviction on memory and
//! disk pressure, image garbage collection, streams (the shell joins them).
//!
//! Book: `book/src/node/kubelet.md`.

pub mod config;
pub mod effect;
pub mod kubelet;

mod admission;
mod backoff;
mod conditions;
mod container_config;
mod context;
mod downward;
mod environment;
mod hooks;
mod lease;
mod node;
mod node_object;
mod pod;
mod pod_status;
mod probe_spec;
mod probes;
mod pull;
mod qos;
mod recovery;
mod relist;
mod report;
mod sandbox;
mod slot;
mod sources;
mod start;
mod status;
mod stop;
mod sync;
mod terminate;
mod timers;
mod volume_spec;
mod volumes;
mod worker;

pub use config::{Config, Resources};
pub use effect::{Effect, Files, Outcome, Probe, ProbeId, ProbeResult, Target};
pub use kubelet::Kubelet;
pub use node_object::VERSION;
