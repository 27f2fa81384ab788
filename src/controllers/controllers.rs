//! The table of controllers: which exist.
//!
//! Called by the manager when it starts to act.
//!
//! Book: `book/src/controllers/reconcile.md`.

use wavetank_informer::Guards;

use crate::control_loop::{ControlLoop, Loop};
use crate::controller::Controller;
use crate::replicaset::ReplicaSetController;

/// One loop per controller, in the order in which they get each input.
pub(crate) fn all(guards: Guards) -> Vec<Box<dyn Loop>> {
    vec![looped(ReplicaSetController, guards)]
}

fn looped<C: Controller + 'static>(controller: C, guards: Guards) -> Box<dyn Loop> {
    Box::new(ControlLoop::new(controller, guards))
}
