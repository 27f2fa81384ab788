//! `wavetank sim`: scenarios in virtual time.
//!
//! The simulator itself is the crate `wavetank-sim`; this file reads files, measures the wall
//! clock, and prints.
//!
//! Book: `book/src/simulator/scenarios.md`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

use wavetank_sim::explain::explain;
use wavetank_sim::oracle::Invariant;
use wavetank_sim::scenario::{ObjectName, Span, parse_span};
use wavetank_sim::{BEGINNING, Scenario, Seed, World, shrink, trial};

use crate::{bugs, replay, sweep};

/// Commands of `wavetank sim`.
#[derive(Subcommand)]
pub enum Command {
    /// Run a scenario, look at its checks and at every invariant, and print the trace hash.
    ///
    /// Exits with 1 when a check does not hold, the cluster refuses a step, or an invariant is
    /// broken that the scenario does not say is (`breaks`), or the other way round.
    Run(Arguments),
    /// Run a scenario and tell in a dozen lines what led to the first broken invariant.
    Replay {
        #[command(flatten)]
        arguments: Arguments,
        /// Also draw it: a sequence diagram, as an SVG file.
        #[arg(long)]
        svg: Option<PathBuf>,
        /// Stop at this virtual time (`5m10s`), and show objects as they were then.
        #[arg(long, value_parser = span)]
        until: Option<Span>,
        /// An object to show in YAML: `pods/default/web-0`; may be given again.
        #[arg(long)]
        show: Vec<String>,
        /// Show the objects at this revision instead of the last one.
        #[arg(long)]
        revision: Option<u64>,
        /// Show how the objects differ from this revision on.
        #[arg(long)]
        since: Option<u64>,
    },
    /// Run a scenario and say why an object exists: from the scenario to its first write.
    Explain {
        /// The object: `pods/shop/web-5d9c7-x2x4k`, or a prefix of its name.
        object: String,
        #[command(flatten)]
        arguments: Arguments,
    },
    /// Make a scenario that breaks an invariant as small as possible, and print it.
    Shrink(Arguments),
    /// Let chance write scenarios, seed by seed, and look for a broken invariant.
    ///
    /// What is found is shrunk and left in a folder: scenario, story, diagram, and the command that
    /// replays it. Exits with 1 when anything is found.
    Sweep(sweep::Sweep),
    /// Find every bug of the catalogue again, each with its guard gone, and print the table.
    ///
    /// Exits with 1 when one is not found, or its scenario breaks something with the guard on.
    Bugs(bugs::Bugs),
}

/// What every command of `wavetank sim` takes.
#[derive(Args)]
pub struct Arguments {
    /// The scenario, a YAML file.
    scenario: PathBuf,
    /// The seed: one seed, one history.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep all guards, also those that the scenario takes away (`without`).
    #[arg(long)]
    guarded: bool,
}

fn span(text: &str) -> Result<Span, String> {
    let found = parse_span(text).map(Span);
    found.ok_or_else(|| format!("{text:?} is not a span such as 90s, 1h30m or 250ms"))
}

/// Runs the command.
///
/// # Errors
/// When the scenario cannot be read, or the object was never written.
pub fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Run(arguments) => run_scenario(&arguments),
        Command::Replay {
            arguments,
            svg,
            until,
            show,
            revision,
            since,
        } => {
            let look = replay::Look {
                until,
                show,
                revision,
                since,
            };
            replay::replay(&arguments.read()?, arguments.seed, svg.as_deref(), &look)
        }
        Command::Explain { object, arguments } => explain_object(&object, &arguments),
        Command::Shrink(arguments) => shrink_scenario(&arguments),
        Command::Sweep(arguments) => sweep::sweep(&arguments),
        Command::Bugs(arguments) => bugs::bugs(&arguments),
    }
}

impl Arguments {
    fn read(&self) -> Result<Scenario> {
        let mut scenario = read(&self.scenario)?;
        if self.guarded {
            scenario.without.clear();
            scenario.breaks.clear();
        }
        Ok(scenario)
    }
}

fn read(path: &Path) -> Result<Scenario> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    Scenario::parse(&text).with_context(|| path.display().to_string())
}

fn run_scenario(arguments: &Arguments) -> Result<ExitCode> {
    let scenario = arguments.read()?;
    let began = Instant::now();
    let mut world = World::new(&scenario, Seed(arguments.seed), false);
    world.watch_invariants();
    play(&mut world, &scenario);
    if scenario.calm.is_some() {
        world.settle();
    }
    let verdict = world.verdict();
    for failure in &verdict.failures {
        println!("FAILED {failure}");
    }
    let violations = world.violations();
    for violation in violations {
        println!("BROKEN {violation}");
    }
    println!(
        "checks {} held, {} failed",
        verdict.passed,
        verdict.failures.len()
    );
    println!(
        "trace {} events {} virtual {} wall {:.3}s",
        world.trace().hash(),
        world.trace().events(),
        scenario.until,
        began.elapsed().as_secs_f64()
    );
    let broken: BTreeSet<Invariant> = violations.iter().map(|found| found.invariant).collect();
    for missing in scenario.breaks.difference(&broken) {
        println!("FAILED {} should have been broken", missing.name());
    }
    let as_said = match scenario.breaks.is_empty() {
        true => broken.is_empty(),
        false => scenario.breaks.is_subset(&broken),
    };
    Ok(if verdict.is_clean() && as_said {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn shrink_scenario(arguments: &Arguments) -> Result<ExitCode> {
    let scenario = arguments.read()?;
    let seed = Seed(arguments.seed);
    let outcome = trial::run(&scenario, seed);
    let Some(first) = outcome.violations.first() else {
        bail!("no invariant is broken with seed {}", seed.0);
    };
    let Some((mut small, _)) = shrink::shrink(&scenario, seed, first.invariant) else {
        bail!("{} was broken once and not again", first.invariant.name());
    };
    small.breaks = BTreeSet::from([first.invariant]);
    print!("{}", small.to_yaml()?);
    Ok(ExitCode::SUCCESS)
}

/// Runs to the end; on a terminal it says how far it is, once a second.
fn play(world: &mut World, scenario: &Scenario) {
    let end = BEGINNING + scenario.until.0;
    if !std::io::stderr().is_terminal() {
        return world.run_until(end);
    }
    let mut shown = Instant::now();
    let mut shows = false;
    while world.now() < end {
        world.run_until((world.now() + Duration::from_millis(500)).min(end));
        if shown.elapsed() >= Duration::from_secs(1) {
            shown = Instant::now();
            shows = true;
            let at = Span(Duration::from_secs(world.now().since(BEGINNING).as_secs()));
            eprint!("\rvirtual {at} of {}   ", scenario.until);
            // A terminal that cannot be written to is no reason to stop.
            let _ = std::io::stderr().flush();
        }
    }
    if shows {
        eprint!("\r{:60}\r", "");
    }
}

fn explain_object(object: &str, arguments: &Arguments) -> Result<ExitCode> {
    let scenario = arguments.read()?;
    let name = ObjectName::parse(object).map_err(anyhow::Error::msg)?;
    let mut world = World::new(&scenario, Seed(arguments.seed), true);
    play(&mut world, &scenario);
    let records = world.trace().records();
    let Some((key, story)) = explain(records, &name.key()) else {
        bail!(
            "no {} with a name that begins with {:?} was ever written",
            name.kind.info().plural,
            name.name
        );
    };
    println!("{key}\n{story}");
    Ok(ExitCode::SUCCESS)
}
