//! A trial: a scenario and a seed, run with every invariant looked at.
//!
//! A trial ends at the first violation. When the scenario has a calm, it ends as soon after it as
//! the cluster has come to rest, and at the scenario's end at the latest.
//!
//! Book: `book/src/simulator/search.md`.

use core::time::Duration;

use crate::chance::Seed;
use crate::oracle::{Invariant, Violation};
use crate::scenario::Scenario;
use crate::trace::TraceHash;
use crate::world::{BEGINNING, World};

/// How often a cluster that is coming to rest is looked at.
const LOOK: Duration = Duration::from_secs(10);

/// What came of a trial.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The first invariants seen broken, of one event all.
    pub violations: Vec<Violation>,
    /// Hash of the history.
    pub hash: TraceHash,
    /// How many events it had.
    pub events: u64,
    /// How long it lasted in virtual time.
    pub lasted: Duration,
}

impl Outcome {
    /// Whether nothing was broken.
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// Whether this invariant was broken.
    pub fn breaks(&self, invariant: Invariant) -> bool {
        self.violations
            .iter()
            .any(|found| found.invariant == invariant)
    }
}

/// Runs a scenario with a seed until something is broken, or all is well.
pub fn run(scenario: &Scenario, seed: Seed) -> Outcome {
    let mut world = World::new(scenario, seed, false);
    play(&mut world, scenario);
    Outcome {
        violations: world.violations().to_vec(),
        hash: world.trace().hash(),
        events: world.trace().events(),
        lasted: world.now().since(BEGINNING),
    }
}

// ANCHOR: play
/// Runs a world that has not begun yet until something is broken, or all is well.
pub fn play(world: &mut World, scenario: &Scenario) {
    world.watch_invariants();
    let end = BEGINNING + scenario.until.0;
    let Some(calm) = scenario.calm.map(|calm| BEGINNING + calm.0) else {
        return world.run_until_broken(end);
    };
    world.run_until_broken(calm);
    while world.violations().is_empty() && world.now() < end {
        world.run_until_broken((world.now() + LOOK).min(end));
        let is_last = world.now() >= end;
        if world.violations().is_empty() && (is_last || world.has_settled()) {
            return world.settle();
        }
    }
}
// ANCHOR_END: play
