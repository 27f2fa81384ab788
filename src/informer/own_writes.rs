//! Read your writes, one way or the other: a controller's choice between barrier and expectations.
//!
//! Held by who drives a controller, which tells of plans before and after they are carried out, and
//! asks before it works on a key.
//!
//! 1. Both ways keep the same promise where answers arrive: a key is not worked on while the caches
//!    lack a create or a delete of its last plan.
//!
//! Book: `book/src/control-plane/expectations.md`.

use wavetank_api::{Guard, Guards, Time};

use crate::barrier::{Barrier, Caches};
use crate::client::Client;
use crate::component::{CallIds, Input, Output};
use crate::executor::{Plan, Written};
use crate::expectations::{Expectations, Seen};

/// How a controller reads its own writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadYourWrites {
    /// It waits for the revisions that answers named.
    #[default]
    Barrier,
    /// It counts what it has seen, as client-go's controllers do.
    Expectations,
}

/// What the keys of one controller wait for.
#[derive(Clone, Debug)]
pub enum OwnWrites<K> {
    /// Revisions and uids.
    Barrier(Barrier<K>),
    /// Counts.
    Expectations(Expectations<K>),
}

impl<K: Clone + Ord> OwnWrites<K> {
    /// Nothing is waited for. Without `gate` nothing ever is.
    pub fn new(how: ReadYourWrites, guards: Guards, gate: Guard) -> Self {
        match how {
            ReadYourWrites::Barrier => OwnWrites::Barrier(Barrier::new(guards, gate)),
            ReadYourWrites::Expectations => {
                OwnWrites::Expectations(Expectations::new(guards, gate))
            }
        }
    }

    /// A plan of `key` is about to be carried out.
    pub fn begin(&mut self, key: &K, plan: &Plan, now: Time) {
        if let OwnWrites::Expectations(expectations) = self {
            expectations.begin(key, plan, now);
        }
    }

    /// What became of the plan.
    pub fn ended(&mut self, key: &K, written: &[Written]) {
        match self {
            OwnWrites::Barrier(barrier) => barrier.expect(key, written),
            OwnWrites::Expectations(expectations) => expectations.ended(key, written),
        }
    }

    /// Takes what news says about a key's own writes; asked for only by who counts.
    pub fn saw(&mut self, seen: impl FnOnce() -> Option<(K, Seen)>) {
        if let OwnWrites::Expectations(expectations) = self
            && let Some((key, seen)) = seen()
        {
            expectations.saw(&key, &seen);
        }
    }

    /// Whether `key` may be worked on.
    pub fn is_clear(&mut self, key: &K, caches: &impl Caches, now: Time) -> bool {
        match self {
            OwnWrites::Barrier(barrier) => barrier.is_clear(key, caches, now),
            OwnWrites::Expectations(expectations) => expectations.is_clear(key, caches, now),
        }
    }

    /// Asks about lost writes whose time has come, and takes the answers.
    pub fn handle<O, E>(
        &mut self,
        input: &Input<O>,
        now: Time,
        client: &Client,
        ids: &mut CallIds,
        out: &mut Vec<Output<E>>,
    ) {
        if let OwnWrites::Barrier(barrier) = self {
            barrier.handle(input, now, client, ids, out);
        }
    }

    /// When it wants to be called though nothing happened. Expectations are looked at with the next
    /// input, as upstream looks at them with the next sync.
    pub fn next_wake(&self) -> Option<Time> {
        match self {
            OwnWrites::Barrier(barrier) => barrier.next_wake(),
            OwnWrites::Expectations(_) => None,
        }
    }
}
