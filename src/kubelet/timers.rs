//! When somebody wants to be looked at again: one entry per worker.
//!
//! Held by `kubelet.rs`.
//!
//! 1. A worker has at most one entry; a new time replaces the old.
//!
//! Book: `book/src/node/kubelet.md`.

use std::collections::BTreeSet;

use wavetank_api::Time;

use crate::context::WorkerId;

/// Times by worker, earliest first.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeSet<(Time, WorkerId)>,
}

impl Timers {
    /// Replaces a worker's entry.
    pub fn set(&mut self, worker: WorkerId, old: Option<Time>, new: Option<Time>) {
        if old == new {
            return;
        }
        if let Some(old) = old {
            self.due.remove(&(old, worker));
        }
        self.due.extend(new.map(|new| (new, worker)));
    }

    /// Takes the earliest entry that is due.
    pub fn pop(&mut self, now: Time) -> Option<WorkerId> {
        let first = *self.due.first().filter(|(at, _)| *at <= now)?;
        self.due.remove(&first);
        Some(first.1)
    }

    /// The earliest time.
    pub fn next(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }
}
