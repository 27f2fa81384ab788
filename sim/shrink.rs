//! Makes a failing scenario small: fewer steps, a smaller cluster, shorter faults, rounder times.
//!
//! Delta debugging (Zeller and Hildebrandt 2002) over the steps, then one simplification after the
//! other, each kept when the same invariant is still broken. Nothing here knows what the scenario
//! is about.
//!
//! 1. What comes out breaks the invariant that what went in broke: `what_is_shrunk_still_breaks`.
//! 2. At most [`TRIALS_MAX`] trials are run.
//!
//! Book: `book/src/simulator/search.md`.

use core::time::Duration;

use wavetank_api::json::Value;

use crate::chance::Seed;
use crate::oracle::Invariant;
use crate::scenario::{Action, Scenario, Span, Step};
use crate::trial::{self, Outcome};
use crate::world::BEGINNING;

/// Most trials of one shrinking.
pub const TRIALS_MAX: u32 = 600;

/// A scenario on its way to its smallest form.
struct Shrinker {
    best: Scenario,
    outcome: Outcome,
    seed: Seed,
    invariant: Invariant,
    left: u32,
}

/// The smallest scenario found that still breaks `invariant` with this seed, and its outcome;
/// nothing when the scenario does not break it.
pub fn shrink(
    scenario: &Scenario,
    seed: Seed,
    invariant: Invariant,
) -> Option<(Scenario, Outcome)> {
    let outcome = trial::run(scenario, seed);
    if !outcome.breaks(invariant) {
        return None;
    }
    let mut shrinker = Shrinker {
        best: scenario.clone(),
        outcome,
        seed,
        invariant,
        left: TRIALS_MAX,
    };
    loop {
        let before = shrinker.size();
        shrinker.cut_the_end();
        shrinker.drop_steps();
        shrinker.shrink_cluster();
        shrinker.simplify_steps();
        if shrinker.size() >= before || shrinker.left == 0 {
            break;
        }
    }
    shrinker.round_times();
    shrinker.cut_the_end();
    Some((shrinker.best, shrinker.outcome))
}

impl Shrinker {
    /// Keeps a candidate that still fails; whether it does.
    fn try_out(&mut self, candidate: Scenario) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        let outcome = trial::run(&candidate, self.seed);
        let still = outcome.breaks(self.invariant);
        if still {
            self.best = candidate;
            self.outcome = outcome;
        }
        still
    }

    fn size(&self) -> usize {
        serde_json::to_string(&self.best).map_or(0, |text| text.len())
    }

    /// Nothing after the violation matters.
    fn cut_the_end(&mut self) {
        let Some(first) = self.outcome.violations.first() else {
            return;
        };
        let broken = first.at.since(BEGINNING);
        let calm = self.best.calm.map(|calm| calm.0);
        let end = Duration::from_secs(broken.as_secs() + 1);
        let mut candidate = self.best.clone();
        // What must come about has until the end to do so: that is not to be shortened.
        if calm.is_none_or(|calm| broken < calm) {
            candidate.calm = None;
            candidate.until = Span(end);
            candidate.steps.retain(|step| step.at.0 <= end);
            self.try_out(candidate);
        }
    }

    /// Drops runs of steps, long ones first.
    fn drop_steps(&mut self) {
        let mut chunk = self.best.steps.len().div_ceil(2);
        while chunk > 0 {
            let mut from = 0;
            while from < self.best.steps.len() {
                let mut candidate = self.best.clone();
                let end = (from + chunk).min(candidate.steps.len());
                candidate.steps.drain(from..end);
                if !self.try_out(candidate) {
                    from += chunk;
                }
            }
            chunk /= 2;
        }
    }

    fn shrink_cluster(&mut self) {
        for nodes in 0..self.best.cluster.nodes {
            let mut candidate = self.best.clone();
            candidate.cluster.nodes = nodes;
            if candidate.is_possible() && self.try_out(candidate) {
                break;
            }
        }
        for apiservers in 1..self.best.cluster.apiservers {
            let mut candidate = self.best.clone();
            candidate.cluster.apiservers = apiservers;
            if candidate.is_possible() && self.try_out(candidate) {
                break;
            }
        }
    }

    /// Tries simpler forms of each step.
    fn simplify_steps(&mut self) {
        for at in 0..self.best.steps.len() {
            for simpler in simpler(&self.best.steps[at]) {
                let mut candidate = self.best.clone();
                candidate.steps[at] = simpler;
                if self.try_out(candidate) {
                    break;
                }
            }
        }
    }

    /// Whole seconds are easier to read.
    fn round_times(&mut self) {
        for at in 0..self.best.steps.len() {
            let mut candidate = self.best.clone();
            let step = &mut candidate.steps[at];
            let rounded = Duration::from_secs(step.at.0.as_secs());
            if step.at.0 != rounded {
                step.at = Span(rounded);
                self.try_out(candidate);
            }
        }
    }
}

impl Scenario {
    /// Whether it could be read from a file.
    pub(crate) fn is_possible(&self) -> bool {
        self.to_yaml()
            .is_ok_and(|text| Scenario::parse(&text).is_ok())
    }
}

/// Simpler forms of a step, the simplest first.
fn simpler(step: &Step) -> Vec<Step> {
    let mut all = Vec::new();
    if let Some(Span(lasting)) = step.lasting {
        for divisor in [8, 2] {
            let shorter = Duration::from_secs(lasting.as_secs() / divisor);
            if !shorter.is_zero() && shorter < lasting {
                let lasting = Some(Span(shorter));
                all.push(Step {
                    lasting,
                    ..step.clone()
                });
            }
        }
    }
    let actions = match &step.action {
        Action::Create(objects) => simpler_objects(objects),
        Action::Crash(crash) => (1..crash.writes)
            .map(|writes| {
                let mut crash = crash.clone();
                crash.writes = writes;
                Action::Crash(crash)
            })
            .collect(),
        _ => Vec::new(),
    };
    let with = |action| Step {
        action,
        ..step.clone()
    };
    all.extend(actions.into_iter().map(with));
    all
}

/// The same objects with fewer replicas, or without what is not needed.
fn simpler_objects(objects: &[Value]) -> Vec<Action> {
    let mut all = Vec::new();
    let mut with = |change: &dyn Fn(&mut serde_json::Value) -> bool| {
        let mut changed = Vec::new();
        let mut differs = false;
        for object in objects {
            let Ok(mut tree) = serde_json::to_value(object) else {
                return;
            };
            differs |= change(&mut tree);
            changed.push(Value::from(tree));
        }
        if differs {
            all.push(Action::Create(changed));
        }
    };
    for replicas in 1..4u64 {
        with(&|tree| match tree.pointer_mut("/spec/replicas") {
            Some(field) if field.as_u64().is_some_and(|now| now > replicas) => {
                *field = replicas.into();
                true
            }
            _ => false,
        });
    }
    let needless = [
        ("/spec/template/metadata", "annotations"),
        ("/metadata", "annotations"),
        ("/spec/template/spec/containers/0", "resources"),
        ("/spec/containers/0", "resources"),
        ("/spec/template/spec", "terminationGracePeriodSeconds"),
        ("/spec", "terminationGracePeriodSeconds"),
        ("/spec", "revisionHistoryLimit"),
        ("/spec", "strategy"),
    ];
    for (place, field) in needless {
        with(&|tree| {
            let fields = tree
                .pointer_mut(place)
                .and_then(|value| value.as_object_mut());
            fields.is_some_and(|fields| fields.remove(field).is_some())
        });
    }
    all
}
