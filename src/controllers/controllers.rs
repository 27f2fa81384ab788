//! The table of controllers: which exist.
//!
//! Called by the manager when it starts to act.
//!
//! Book: `book/src/controllers/reconcile.md`.

use wavetank_informer::Guards;
use wavetank_informer::own_writes::ReadYourWrites;

use crate::control_loop::{ControlLoop, Loop};
use crate::controller::Controller;
use crate::deployment::DeploymentController;
use crate::endpoint_slice::EndpointSliceController;
use crate::endpoints::EndpointsController;
use crate::garbage_collector::GarbageCollector;
use crate::manager::Config;
use crate::namespace::NamespaceController;
use crate::node_lifecycle::NodeLifecycle;
use crate::pod_gc::PodGc;
use crate::replicaset::ReplicaSetController;
use crate::root_ca::RootCaPublisher;
use crate::service_account::ServiceAccountController;
use crate::taint_eviction::TaintEviction;

/// One loop per controller that is to run, in the order in which they get each input.
pub(crate) fn all(config: &Config) -> Vec<Box<dyn Loop>> {
    let guards = config.guards;
    let root_ca = config.root_ca.clone();
    let mut loops: Vec<Box<dyn Loop>> = vec![
        Box::new(ControlLoop::new(
            ReplicaSetController,
            guards,
            config.read_your_writes,
        )),
        looped(DeploymentController, guards),
        looped(EndpointSliceController, guards),
        looped(EndpointsController, guards),
        looped(NamespaceController, guards),
        looped(ServiceAccountController, guards),
        looped(RootCaPublisher { root_ca }, guards),
        looped(GarbageCollector::default(), guards),
        looped(NodeLifecycle::default(), guards),
        looped(PodGc::default(), guards),
        looped(TaintEviction::default(), guards),
    ];
    let only = config.only;
    loops.retain(|each| only.is_none_or(|names| names.contains(&each.name())));
    loops
}

fn looped<C: Controller + 'static>(controller: C, guards: Guards) -> Box<dyn Loop> {
    Box::new(ControlLoop::new(
        controller,
        guards,
        ReadYourWrites::Barrier,
    ))
}
