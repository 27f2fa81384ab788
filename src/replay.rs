//! `wavetank sim replay`: the story of a run, and any object at any time of it.
//!
//! A run is played again from its beginning: one seed has one history, so to step back is to play
//! to an earlier time.
//!
//! Book: `book/src/simulator/search.md`.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use wavetank_api::Revision;
use wavetank_sim::scenario::{ObjectName, Span};
use wavetank_sim::{BEGINNING, Scenario, Seed, World, story, trial};

/// What of a run is to be shown, beside its story.
pub struct Look {
    pub until: Option<Span>,
    pub show: Vec<String>,
    pub revision: Option<u64>,
    pub since: Option<u64>,
}

/// Plays a scenario, tells its story, and shows objects.
pub fn replay(scenario: &Scenario, seed: u64, svg: Option<&Path>, look: &Look) -> Result<ExitCode> {
    let mut scenario = scenario.clone();
    if let Some(until) = look.until {
        scenario.until = until.min(scenario.until);
        scenario.calm = scenario.calm.filter(|calm| *calm <= until);
    }
    let told = story::tell(&scenario, Seed(seed));
    print!("{told}");
    if let Some(path) = svg {
        fs::write(path, told.to_svg()).with_context(|| format!("writing {}", path.display()))?;
    }
    if !look.show.is_empty() {
        let mut world = World::new(&scenario, Seed(seed), false);
        trial::play(&mut world, &scenario);
        for object in &look.show {
            show(&world, object, look)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(world: &World, object: &str, look: &Look) -> Result<()> {
    let name = ObjectName::parse(object).map_err(anyhow::Error::msg)?;
    let key = name.key();
    let at = |revision: Option<u64>| {
        let found = world.object_at(&key, revision.map(Revision));
        found.with_context(|| {
            let revision = revision.map_or("the end".to_owned(), |r| format!("revision {r}"));
            format!("{object} at {revision}")
        })
    };
    let then = world.now().since(BEGINNING);
    let shown = look
        .revision
        .map_or(format!("{then:?}"), |r| format!("revision {r}"));
    println!("\n# {object} at {shown}");
    let Some(now) = at(look.revision)? else {
        if look.since.is_none() {
            bail!("there is no {object} then");
        }
        println!("# it is gone");
        return Ok(());
    };
    match look.since {
        None => print!("{}", yaml(&now)?),
        Some(since) => {
            let before = at(Some(since))?.unwrap_or_default();
            let diff = wavetank_api::patch::merge::diff(&before, &now);
            println!("# what has changed since revision {since}, as a merge patch");
            print!("{}", yaml(&diff)?);
        }
    }
    Ok(())
}

fn yaml(value: &wavetank_api::json::Value) -> Result<String> {
    Ok(wavetank_sim::scenario::to_yaml(value)?)
}
