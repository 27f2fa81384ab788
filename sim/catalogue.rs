//! The catalogue of bugs: each guard, where chance looks for what happens without it, and which
//! invariant must then be seen broken.
//!
//! Book: `book/src/simulator/bugs.md`.

use wavetank_api::guards::Guard;

use crate::chance::Seed;
use crate::chaos::{self, Profile};
use crate::oracle::Invariant;
use crate::scenario::Scenario;
use crate::trial::{self, Outcome};

/// A known bug: what is taken away, and what must then be found.
pub struct Bug {
    /// The guards that are taken away: one, or two that stand in for each other.
    pub guards: &'static [Guard],
    /// The profile in which chance looks.
    pub profile: &'static str,
    /// Any of these shows the bug.
    pub breaks: &'static [Invariant],
    /// Where it was seen upstream: `kubernetes#129795`; empty: nowhere we know of.
    pub anchor: &'static str,
}

const fn bug(
    guards: &'static [Guard],
    profile: &'static str,
    breaks: &'static [Invariant],
    anchor: &'static str,
) -> Bug {
    Bug {
        guards,
        profile,
        breaks,
        anchor,
    }
}

use Guard::*;
use Invariant::*;

/// Every bug that is looked for, by the number of its guard.
pub static BUGS: &[Bug] = &[
    bug(&[M01], "replicas", &[C1, C2], "kubernetes#41675"),
    bug(&[M03], "stale", &[C1], "kubernetes#129795"),
];

/// A bug that was found.
pub struct Found {
    /// The seed of scenario and run.
    pub seed: Seed,
    /// What chance wrote, with the guards taken away.
    pub scenario: Scenario,
    /// What came of it.
    pub outcome: Outcome,
    /// The invariant that was broken.
    pub invariant: Invariant,
}

impl Bug {
    /// `M01`, or `M05+M06`.
    pub fn name(&self) -> String {
        let names: Vec<_> = self.guards.iter().map(|guard| guard.name()).collect();
        names.join("+")
    }

    /// Looks for the bug, seed by seed: the first that shows it.
    pub fn find(&self, seeds: impl Iterator<Item = u64>) -> Option<Found> {
        let profile = chaos::profile(self.profile)?;
        seeds
            .map(Seed)
            .find_map(|seed| self.try_seed(profile, seed))
    }

    // ANCHOR: try_seed
    fn try_seed(&self, profile: &Profile, seed: Seed) -> Option<Found> {
        let mut scenario = chaos::scenario(profile, seed);
        scenario.without = self.guards.to_vec();
        let outcome = trial::run(&scenario, seed);
        let mut found = outcome.violations.iter().map(|each| each.invariant);
        let invariant = found.find(|invariant| self.breaks.contains(invariant))?;
        Some(Found {
            seed,
            scenario,
            outcome,
            invariant,
        })
    }
    // ANCHOR_END: try_seed
}
