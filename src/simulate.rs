//! `wavetank sim`: scenarios in virtual time.
//!
//! The simulator itself is the crate `wavetank-sim`; this file reads files, measures the wall
//! clock, and prints.
//!
//! Book: `book/src/simulator/scenarios.md`.

use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

use wavetank_sim::explain::explain;
use wavetank_sim::scenario::ObjectName;
use wavetank_sim::{BEGINNING, Scenario, Seed, World};

/// Commands of `wavetank sim`.
#[derive(Subcommand)]
pub enum Command {
    /// Run a scenario, look at its checks, and print the trace hash.
    ///
    /// Exits with 1 when a check does not hold or the cluster refuses a step.
    Run(Arguments),
    /// Run a scenario and say why an object exists: from the scenario to its first write.
    Explain {
        /// The object: `pods/shop/web-5d9c7-x2x4k`, or a prefix of its name.
        object: String,
        #[command(flatten)]
        arguments: Arguments,
    },
}

/// What every command of `wavetank sim` takes.
#[derive(Args)]
pub struct Arguments {
    /// The scenario, a YAML file.
    scenario: PathBuf,
    /// The seed: one seed, one history.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs the command.
///
/// # Errors
/// When the scenario cannot be read, or the object was never written.
pub fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Run(arguments) => run_scenario(&arguments),
        Command::Explain { object, arguments } => explain_object(&object, &arguments),
    }
}

fn read(path: &Path) -> Result<Scenario> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    Scenario::parse(&text).with_context(|| path.display().to_string())
}

fn run_scenario(arguments: &Arguments) -> Result<ExitCode> {
    let scenario = read(&arguments.scenario)?;
    let began = Instant::now();
    let mut world = World::new(&scenario, Seed(arguments.seed), false);
    play(&mut world, &scenario);
    let verdict = world.verdict();
    for failure in &verdict.failures {
        println!("FAILED {failure}");
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
        humantime(scenario.until.0),
        began.elapsed().as_secs_f64()
    );
    Ok(if verdict.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
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
            let at = humantime(Duration::from_secs(world.now().since(BEGINNING).as_secs()));
            eprint!("\rvirtual {at} of {}   ", humantime(scenario.until.0));
            // A terminal that cannot be written to is no reason to stop.
            let _ = std::io::stderr().flush();
        }
    }
    if shows {
        eprint!("\r{:60}\r", "");
    }
}

fn explain_object(object: &str, arguments: &Arguments) -> Result<ExitCode> {
    let scenario = read(&arguments.scenario)?;
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

/// `1h2m3s`, as scenarios write it.
fn humantime(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [
        (seconds / 3600, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let text: String = parts
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, unit)| format!("{n}{unit}"))
        .collect();
    if text.is_empty() {
        "0s".to_owned()
    } else {
        text
    }
}
