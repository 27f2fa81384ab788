//! The table of plugins: which there are, in which order they are asked, what their scores weigh.
//!
//! One plugin a file, all with one skeleton: a struct, `Plugin`, then the moments in the order of
//! `framework`, then tests. A crate of your own adds one with `Profile::with`.
//!
//! Upstream: `getDefaultPlugins` in `pkg/scheduler/apis/config/v1/default_plugins.go`. Left out so
//! far: volumes, PodTopologySpread, InterPodAffinity, DynamicResources; DefaultPreemption only says
//! whether preemption would help.
//!
//! Book: `book/src/scheduler/framework.md`.

use std::sync::Arc;

use crate::framework::{Plugin, Profile};

pub use default_binder::DefaultBinder;
pub use default_preemption::DefaultPreemption;
pub use image_locality::ImageLocality;
pub use node_affinity::NodeAffinity;
pub use node_name::NodeName;
pub use node_ports::NodePorts;
pub use node_resources_balanced_allocation::NodeResourcesBalancedAllocation;
pub use node_resources_fit::{NodeResourcesFit, Strategy};
pub use node_unschedulable::NodeUnschedulable;
pub use priority_sort::PrioritySort;
pub use scheduling_gates::SchedulingGates;
pub use taint_toleration::TaintToleration;

mod default_binder;
mod default_preemption;
mod image_locality;
mod node_affinity;
mod node_name;
mod node_ports;
mod node_resources_balanced_allocation;
mod node_resources_fit;
mod node_unschedulable;
mod priority_sort;
mod scheduling_gates;
mod taint_toleration;

/// The scheduler name of pods that name none.
pub const DEFAULT_SCHEDULER_NAME: &str = "default-scheduler";

// ANCHOR: table
/// The default profile, in upstream's order and with upstream's weights.
#[rustfmt::skip]
pub fn default_profile(scheduler_name: impl Into<Arc<str>>) -> Profile {
    let table: [(Box<dyn Plugin>, i64); 12] = [
        (Box::new(SchedulingGates), 0),
        (Box::new(PrioritySort), 0),
        (Box::new(NodeUnschedulable), 0),
        (Box::new(NodeName), 0),
        (Box::new(TaintToleration), 3),
        (Box::new(NodeAffinity), 2),
        (Box::new(NodePorts), 0),
        (Box::new(NodeResourcesFit::new(Strategy::LeastAllocated)), 1),
        (Box::new(DefaultPreemption), 0),
        (Box::new(NodeResourcesBalancedAllocation), 1),
        (Box::new(ImageLocality), 1),
        (Box::new(DefaultBinder), 0),
    ];
    let mut profile = Profile::new(scheduler_name);
    for (plugin, weight) in table {
        profile = profile.with(plugin, weight);
    }
    profile
}
// ANCHOR_END: table

#[cfg(test)]
mod tests;
