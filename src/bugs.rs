//! `wavetank sim bugs`: finds every bug of the catalogue again, and writes the table of them.
//!
//! Book: `book/src/simulator/bugs.md`.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;

use wavetank_sim::catalogue::{BUGS, Bug};
use wavetank_sim::{shrink, story, trial};

/// What the table takes.
#[derive(Args)]
pub struct Bugs {
    /// Only the bug of this guard: `M03`, `M05+M06`.
    #[arg(long)]
    only: Option<String>,
    /// How many seeds chance has for each.
    #[arg(long, default_value_t = 2000)]
    seeds: u64,
    /// The commit that is looked at, for the last column.
    #[arg(long, default_value = "")]
    commit: String,
    /// Write the table into this page.
    #[arg(long)]
    write: Option<PathBuf>,
}

/// One row.
struct Row {
    runs: u64,
    millis: u128,
    invariant: &'static str,
    steps: usize,
    lines: usize,
}

/// Finds the bugs and prints the table.
///
/// # Errors
/// When there is no such bug, or the page cannot be written.
pub fn bugs(wanted: &Bugs) -> Result<ExitCode> {
    let is_wanted = |bug: &&Bug| wanted.only.as_ref().is_none_or(|only| *only == bug.name());
    let bugs: Vec<&Bug> = BUGS.iter().filter(is_wanted).collect();
    if bugs.is_empty() {
        bail!(
            "the catalogue has no {}",
            wanted.only.as_deref().unwrap_or("bug")
        );
    }
    let mut table = String::from(
        "| guard | what stands there | seen upstream | breaks | runs | ms | steps | lines | \
         commit |\n| --- | --- | --- | --- | ---: | ---: | ---: | ---: | --- |\n",
    );
    let mut missed = 0;
    for bug in &bugs {
        let row = find(bug, wanted.seeds);
        missed += usize::from(row.is_none());
        let line = line(bug, row.as_ref(), &wanted.commit);
        print!("{line}");
        table.push_str(&line);
    }
    println!("{} of {} found", bugs.len() - missed, bugs.len());
    if let Some(path) = &wanted.write {
        let found = bugs.len() - missed;
        let page = format!(
            "# The table of bugs\n\n\
             <!-- Written by `wavetank sim bugs --write`, which `.ci/run --full` runs. -->\n\
             For each guard that chance looks behind: the invariant that broke when it was gone, \
             after how many runs and milliseconds, and the size of the smallest story. With the \
             guard on, the same scenario breaks nothing. Found: {found} of {}.\n\n{table}",
            bugs.len()
        );
        fs::write(path, page).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(match missed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn find(bug: &Bug, seeds: u64) -> Option<Row> {
    let began = Instant::now();
    let found = bug.find(0..seeds)?;
    let millis = began.elapsed().as_millis();
    let mut guarded = found.scenario.clone();
    guarded.without.clear();
    if !trial::run(&guarded, found.seed).is_clean() {
        return None;
    }
    let (small, _) = shrink::shrink(&found.scenario, found.seed, found.invariant)?;
    Some(Row {
        runs: found.seed.0 + 1,
        millis,
        invariant: found.invariant.name(),
        steps: small.steps.len(),
        lines: story::tell(&small, found.seed).lines.len(),
    })
}

fn line(bug: &Bug, row: Option<&Row>, commit: &str) -> String {
    let says = bug.guards.first().map_or("", |guard| guard.says());
    let mut line = format!("| {} | {says} | {} | ", bug.name(), bug.anchor);
    // Writing to a String cannot fail.
    let _ = match row {
        Some(row) => writeln!(
            line,
            "{} | {} | {} | {} | {} | {commit} |",
            row.invariant, row.runs, row.millis, row.steps, row.lines
        ),
        None => writeln!(line, "not found | | | | | {commit} |"),
    };
    line
}
