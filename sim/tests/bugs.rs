//! Known bugs, found by taking away the line that prevents them; and nothing with all of them on.
#![allow(clippy::unwrap_used, reason = "the panic of a test is its verdict")]

use wavetank_sim::catalogue::BUGS;
use wavetank_sim::{Scenario, Seed, chaos, shrink, story, trial};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Chance finds nothing in a cluster that keeps its guards. `WAVETANK_TRIALS` seeds a profile;
/// `WAVETANK_PROFILE` one profile only.
#[test]
fn nothing_is_broken_with_all_guards_on() {
    let only = std::env::var("WAVETANK_PROFILE").ok();
    let (from, to) = (number("WAVETANK_FROM", 0), number("WAVETANK_TRIALS", 10));
    let mut broken = Vec::new();
    for profile in chaos::profiles() {
        if only.as_deref().is_some_and(|only| only != profile.name) {
            continue;
        }
        for seed in (from..to).map(Seed) {
            let scenario = chaos::scenario(profile, seed);
            let outcome = trial::run(&scenario, seed);
            for violation in &outcome.violations {
                broken.push(format!("{} seed {}: {violation}", profile.name, seed.0));
            }
            if let Some(first) = outcome.violations.first()
                && std::env::var("WAVETANK_SHRINK").is_ok()
            {
                let (small, outcome) = shrink::shrink(&scenario, seed, first.invariant).unwrap();
                broken.push(format!(
                    "{:#?}\n{}",
                    outcome.violations,
                    small.to_yaml().unwrap()
                ));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

fn stories() -> Vec<(String, Scenario)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/stories");
    let mut stories: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let scenario = Scenario::parse(&text).map_err(|error| format!("{path:?}: {error}"));
            (path.display().to_string(), scenario.unwrap())
        })
        .collect();
    stories.sort_by(|a, b| a.0.cmp(&b.0));
    stories
}

/// A stored story breaks what it says with its guard gone, in one run, and nothing with it on.
#[test]
fn each_story_breaks_what_it_says_and_nothing_when_guarded() {
    for (path, scenario) in stories() {
        assert!(!scenario.breaks.is_empty(), "{path} says nothing");
        assert!(
            scenario.steps.len() <= 12,
            "{path}: {} steps",
            scenario.steps.len()
        );
        let outcome = trial::run(&scenario, Seed(1));
        let broken = outcome
            .violations
            .iter()
            .any(|found| scenario.breaks.contains(&found.invariant));
        assert!(broken, "{path}: {:?}", outcome.violations);
        let told = story::tell(&scenario, Seed(1));
        assert!(told.lines.len() <= story::LINES_MAX, "{told}");
        let mut guarded = scenario.clone();
        guarded.without.clear();
        let outcome = trial::run(&guarded, Seed(1));
        assert!(outcome.is_clean(), "{path}: {:?}", outcome.violations);
    }
}

#[test]
fn what_is_shrunk_still_breaks() {
    let found = BUGS[0].find(0..200).unwrap();
    let (small, outcome) = shrink::shrink(&found.scenario, found.seed, found.invariant).unwrap();
    assert!(outcome.breaks(found.invariant));
    assert!(trial::run(&small, found.seed).breaks(found.invariant));
    assert!(small.steps.len() <= found.scenario.steps.len() && small.steps.len() <= 12);
}

/// Each bug of the catalogue is found by chance within so many seeds (`WAVETANK_TRIALS`), and the
/// scenario that shows it is clean with the guard on. `WAVETANK_BUG`: one of them only.
#[test]
fn every_bug_is_found_when_its_guard_is_gone() {
    let only = std::env::var("WAVETANK_BUG").ok();
    for bug in BUGS {
        if only.as_deref().is_some_and(|only| only != bug.name()) {
            continue;
        }
        let trials = number("WAVETANK_TRIALS", 200);
        let found = bug.find(0..trials);
        let found = found.unwrap_or_else(|| panic!("{} is not found", bug.name()));
        println!(
            "{} breaks {} at seed {}",
            bug.name(),
            found.invariant.name(),
            found.seed.0
        );
        let mut guarded = found.scenario.clone();
        guarded.without.clear();
        let outcome = trial::run(&guarded, found.seed);
        assert!(
            outcome.is_clean(),
            "{}: {:#?}",
            bug.name(),
            outcome.violations
        );
        if std::env::var("WAVETANK_SHRINK").is_ok() {
            let (small, outcome) =
                shrink::shrink(&found.scenario, found.seed, found.invariant).unwrap();
            println!("{:#?}\n{}", outcome.violations, small.to_yaml().unwrap());
        }
    }
}
