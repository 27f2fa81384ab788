//! What plugins note down for themselves during one cycle of one pod.
//!
//! PreFilter and PreScore compute what Filter and Score would compute again for each node. Each
//! plugin stores a value of a type of its own, so that plugins cannot read one another's by
//! mistake.
//!
//! Upstream: `pkg/scheduler/framework/cycle_state.go`, keyed by string.
//!
//! Book: `book/src/scheduler/framework.md`.

use std::any::Any;

/// Values by type, for one cycle of one pod.
#[derive(Default)]
pub struct CycleState {
    /// A handful of entries: a scan is faster than a map.
    values: Vec<Box<dyn Any + Send>>,
    /// Bit i: the Filter of the profile's plugin i is left out of this cycle.
    pub(crate) skipped_filters: u64,
    /// Bit i: the same for Score.
    pub(crate) skipped_scores: u64,
}

impl CycleState {
    /// Stores `value`, replacing the one of the same type.
    pub fn write<T: Any + Send>(&mut self, value: T) {
        match self
            .values
            .iter_mut()
            .find_map(|stored| stored.downcast_mut::<T>())
        {
            Some(stored) => *stored = value,
            None => self.values.push(Box::new(value)),
        }
    }

    /// The value of this type, if one was stored.
    pub fn read<T: Any + Send>(&self) -> Option<&T> {
        self.values
            .iter()
            .find_map(|stored| stored.downcast_ref::<T>())
    }
}
