//! Chance writes a scenario: a workload, faults while it runs, then a calm.
//!
//! What comes out is a [`Scenario`] like any other: it can be stored, read, shrunk and run again.
//! A [`Profile`] says which part of the cluster is to be worked on; within it everything is drawn
//! from the seed.
//!
//! 1. The same profile and seed give the same scenario, on every machine.
//! 2. A scenario that is written here is possible: `what_chance_writes_is_possible`.
//!
//! Book: `book/src/simulator/search.md`.

use core::time::Duration;

use crate::chance::{Chance, Seed};
use crate::scenario::{Action, ClusterSpec, Scenario, Span, Step};

mod faults;
mod profiles;
mod work;

pub use profiles::{Profile, profile, profiles};

/// When the cluster is up, and the first thing is done.
pub(crate) const FIRST: Duration = Duration::from_secs(8);

/// A scenario being written.
pub(crate) struct Draft {
    pub(crate) chance: Chance,
    pub(crate) cluster: ClusterSpec,
    pub(crate) steps: Vec<Step>,
    /// Objects that earlier steps create, by kind of work: `replicasets.apps/default/web`.
    pub(crate) made: Vec<String>,
    /// When the calm begins.
    pub(crate) calm: Duration,
}

/// Writes the scenario of a seed.
pub fn scenario(profile: &Profile, seed: Seed) -> Scenario {
    let mut chance = seed.stream(profile.name);
    let cluster = (profile.cluster)(&mut chance);
    let mut draft = Draft {
        chance,
        cluster,
        steps: Vec::new(),
        made: Vec::new(),
        calm: profile.calm,
    };
    let works = 2 + draft.chance.below(u64::from(profile.works_max - 1));
    let faults = draft.chance.below(u64::from(profile.faults_max + 1));
    let mut times: Vec<Duration> = (0..works).map(|_| draft.time()).collect();
    times.sort();
    times[0] = FIRST;
    for at in times {
        draft.one_of(profile.works, at);
    }
    for _ in 0..faults {
        let at = draft.time();
        draft.one_of(profile.faults, at);
    }
    draft.steps.sort_by_key(|step| step.at);
    Scenario {
        about: format!("{}, seed {}", profile.about, seed.0),
        cluster: draft.cluster,
        steps: draft.steps,
        calm: Some(Span(profile.calm)),
        until: Span(profile.until),
        ..Scenario::default()
    }
}

/// A move that chance may make, and how often beside the others.
pub(crate) type Moves = &'static [(u32, fn(&mut Draft, Duration))];

impl Draft {
    fn one_of(&mut self, moves: Moves, at: Duration) {
        let all: u32 = moves.iter().map(|(weight, _)| weight).sum();
        let mut drawn = self.chance.below(u64::from(all));
        for (weight, make) in moves {
            let weight = u64::from(*weight);
            if drawn < weight {
                return make(self, at);
            }
            drawn -= weight;
        }
    }

    /// A time before the calm, to the tenth of a second: things that happen at once are what
    /// chance finds bugs with, so one in three times is that of an earlier step, or just after it.
    pub(crate) fn time(&mut self) -> Duration {
        let others = self.steps.len() as u64;
        if others > 0 && self.chance.below(3) == 0 {
            let at = self.steps[self.chance.below(others) as usize].at.0;
            return at + Duration::from_millis(self.chance.below(40) * self.chance.below(40));
        }
        let span = self.calm.saturating_sub(FIRST).as_millis() as u64 / 100;
        FIRST + Duration::from_millis(100 * self.chance.below(span))
    }

    pub(crate) fn add(&mut self, at: Duration, action: Action) {
        let (at, lasting) = (Span(at), None);
        self.steps.push(Step {
            at,
            lasting,
            action,
        });
    }

    pub(crate) fn add_for(&mut self, at: Duration, lasting: Duration, action: Action) {
        let (at, lasting) = (Span(at), Some(Span(lasting)));
        self.steps.push(Step {
            at,
            lasting,
            action,
        });
    }

    /// One of these.
    pub(crate) fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let at = self.chance.below(all.len() as u64) as usize;
        &all[at.min(all.len() - 1)]
    }

    /// One of the objects made so far whose name begins so.
    pub(crate) fn pick_made(&mut self, prefix: &str) -> Option<String> {
        let found = self.made.iter().filter(|name| name.starts_with(prefix));
        let found: Vec<String> = found.cloned().collect();
        (!found.is_empty()).then(|| self.pick(&found).clone())
    }

    pub(crate) fn node(&mut self) -> String {
        format!(
            "node-{}",
            self.chance.below(u64::from(self.cluster.nodes.max(1)))
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_chance_writes_is_possible() {
        for profile in profiles() {
            for seed in 0..50 {
                let scenario = scenario(profile, Seed(seed));
                let text = scenario.to_yaml().unwrap();
                let read = Scenario::parse(&text).map_err(|e| e.to_string());
                let read = read.unwrap_or_else(|error| panic!("{error}\n{text}"));
                assert_eq!(read.steps, scenario.steps);
            }
        }
    }
}
