//! `wavetank sim sweep`: many seeds, several at a time, and what they find.
//!
//! Book: `book/src/simulator/search.md`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use wavetank_api::guards::Guard;
use wavetank_sim::chaos::{self, Profile};
use wavetank_sim::trial::{self, Outcome};
use wavetank_sim::{Scenario, Seed, shrink, story};

/// What a sweep takes.
#[derive(Args)]
pub struct Sweep {
    /// The seeds: `0..1000`.
    #[arg(long, default_value = "0..100", value_parser = seeds)]
    seeds: (u64, u64),
    /// What is worked on (`replicas`, `rollout`, `pods`, …); all when absent.
    #[arg(long)]
    profile: Option<String>,
    /// Guards to take away: `M03`; may be given again.
    #[arg(long, value_parser = guard)]
    without: Vec<Guard>,
    /// How many runs at a time.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Only the seeds of this part of several: `0/4`, `1/4`, …
    #[arg(long, value_parser = shard)]
    shard: Option<(u64, u64)>,
    /// Where to leave what is found.
    #[arg(long, default_value = "sweep")]
    out: PathBuf,
    /// Stop at the first find.
    #[arg(long)]
    first: bool,
}

fn seeds(text: &str) -> Result<(u64, u64), String> {
    let bounds = text.split_once("..");
    let parsed = bounds.and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    match parsed {
        Some((from, to)) if from < to => Ok((from, to)),
        _ => Err(format!("{text:?} is not a range of seeds such as 0..1000")),
    }
}

fn shard(text: &str) -> Result<(u64, u64), String> {
    let parts = text.split_once('/');
    let parsed = parts.and_then(|(part, of)| Some((part.parse().ok()?, of.parse().ok()?)));
    match parsed {
        Some((part, of)) if part < of => Ok((part, of)),
        _ => Err(format!("{text:?} is not a shard such as 0/4")),
    }
}

fn guard(text: &str) -> Result<Guard, String> {
    Guard::parse(text).ok_or_else(|| format!("no guard {text:?}"))
}

/// What all workers of a sweep share.
struct Shared<'a> {
    sweep: &'a Sweep,
    profiles: Vec<&'static Profile>,
    /// The next trial: profile and seed as one number.
    next: AtomicU64,
    finds: Mutex<Vec<PathBuf>>,
}

/// Runs the seeds.
///
/// # Errors
/// When there is no such profile, or what was found cannot be written.
pub fn sweep(sweep: &Sweep) -> Result<ExitCode> {
    let profiles = match &sweep.profile {
        None => chaos::profiles().iter().collect(),
        Some(name) => match chaos::profile(name) {
            Some(profile) => vec![profile],
            None => {
                let known: Vec<_> = chaos::profiles().iter().map(|each| each.name).collect();
                bail!("no profile {name:?}; there are {}", known.join(", "));
            }
        },
    };
    let shared = Shared {
        sweep,
        profiles,
        next: AtomicU64::new(0),
        finds: Mutex::new(Vec::new()),
    };
    let began = Instant::now();
    std::thread::scope(|scope| -> Result<()> {
        // Every worker holds an end of this channel: it closes when the last one is done.
        let (works, all_done) = mpsc::channel::<()>();
        let shared = &shared;
        let start = |_| {
            let works = works.clone();
            scope.spawn(move || {
                let done = shared.work();
                drop(works);
                done
            })
        };
        let workers: Vec<_> = (0..sweep.jobs.max(1)).map(start).collect();
        drop(works);
        shared.show_progress(began, &all_done);
        for worker in workers {
            match worker.join() {
                Ok(done) => done?,
                Err(_) => bail!("a worker of the sweep panicked; its message is above"),
            }
        }
        Ok(())
    })?;
    let finds = shared
        .finds
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let runs = shared
        .next
        .load(Ordering::Relaxed)
        .min(total(sweep, &shared.profiles));
    let seconds = began.elapsed().as_secs_f64();
    println!("{runs} runs in {seconds:.1}s, {} broken", finds.len());
    for find in &finds {
        println!("{}", find.display());
    }
    Ok(match finds.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// How many trials there are: each seed of the shard, in each profile.
fn total(sweep: &Sweep, profiles: &[&Profile]) -> u64 {
    let (from, to) = sweep.seeds;
    let (part, of) = sweep.shard.unwrap_or((0, 1));
    let mine = (from..to).filter(|seed| seed % of == part).count() as u64;
    mine * profiles.len() as u64
}

impl Shared<'_> {
    fn work(&self) -> Result<()> {
        let (from, to) = self.sweep.seeds;
        let (part, of) = self.sweep.shard.unwrap_or((0, 1));
        let seeds: Vec<u64> = (from..to).filter(|seed| seed % of == part).collect();
        let all = seeds.len() as u64;
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let profile = self.profiles.get((number / all.max(1)) as usize);
            let (Some(profile), Some(seed)) = (profile, seeds.get((number % all.max(1)) as usize))
            else {
                return Ok(());
            };
            if self.sweep.first && !self.finds().is_empty() {
                return Ok(());
            }
            self.try_seed(profile, Seed(*seed))?;
        }
    }

    fn finds(&self) -> std::sync::MutexGuard<'_, Vec<PathBuf>> {
        self.finds
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn try_seed(&self, profile: &Profile, seed: Seed) -> Result<()> {
        let mut scenario = chaos::scenario(profile, seed);
        scenario.without.clone_from(&self.sweep.without);
        let outcome = trial::run(&scenario, seed);
        if outcome.is_clean() {
            return Ok(());
        }
        let name = format!("{}-{}", profile.name, seed.0);
        let folder = self.sweep.out.join(name);
        leave(&folder, &scenario, seed, &outcome)
            .with_context(|| format!("writing {}", folder.display()))?;
        self.finds().push(folder);
        Ok(())
    }

    /// Says how far the sweep is, once a second, if anybody looks; until all is done.
    fn show_progress(&self, began: Instant, all_done: &mpsc::Receiver<()>) {
        let all = total(self.sweep, &self.profiles);
        let shows = std::io::stderr().is_terminal();
        let second = Duration::from_secs(1);
        while all_done.recv_timeout(second) == Err(mpsc::RecvTimeoutError::Timeout) {
            if !shows {
                continue;
            }
            let done = self.next.load(Ordering::Relaxed).min(all);
            let rate = done as f64 / began.elapsed().as_secs_f64();
            let left = (all - done) as f64 / rate.max(0.1);
            let broken = self.finds().len();
            eprint!(
                "\r{done} of {all} runs, {rate:.0} a second, {left:.0}s left, {broken} broken  "
            );
            // A terminal that cannot be written to is no reason to stop.
            let _ = std::io::stderr().flush();
        }
        if shows {
            eprint!("\r{:70}\r", "");
        }
    }
}

/// Leaves the smallest form of what was found: scenario, story, diagram and command.
fn leave(folder: &Path, scenario: &Scenario, seed: Seed, outcome: &Outcome) -> Result<()> {
    let Some(first) = outcome.violations.first() else {
        return Ok(());
    };
    fs::create_dir_all(folder)?;
    fs::write(folder.join("found.yaml"), scenario.to_yaml()?)?;
    let small = shrink::shrink(scenario, seed, first.invariant);
    let mut small = small.map_or_else(|| scenario.clone(), |(small, _)| small);
    small.breaks = BTreeSet::from([first.invariant]);
    fs::write(folder.join("scenario.yaml"), small.to_yaml()?)?;
    let told = story::tell(&small, seed);
    let path = folder.join("scenario.yaml");
    let command = format!("wavetank sim replay {} --seed {}\n", path.display(), seed.0);
    fs::write(folder.join("story.txt"), format!("{told}\n{command}"))?;
    fs::write(folder.join("story.svg"), told.to_svg())?;
    Ok(())
}
