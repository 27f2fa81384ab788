//! The one binary: `wavetank up | nodes | sim …`. Each command is one file of this package.
//!
//! Who calls it: a person. What it calls: [`up`] joins the serving shell with simulated nodes,
//! [`nodes`] attaches such nodes to another API server, [`simulate`] runs the simulator.
//!
//! Book: `book/src/start/map.md`.

#![allow(
    clippy::disallowed_types,
    reason = "the binary is a shell: it measures the wall clock and shares machines"
)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bugs;
mod machines;
mod nodes;
mod refusals;
mod replay;
mod simulate;
mod sweep;
mod told;
mod up;

/// Objects are trees of small allocations, made in one thread and often freed in another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Docker and Kubernetes rebuilt in Rust: readable, real, and deterministic under simulation.
#[derive(Parser)]
#[command(name = "wavetank", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a cluster of simulated nodes that kubectl can use.
    Up(up::Arguments),
    /// Attach simulated nodes to any Kubernetes API server.
    Nodes(nodes::Arguments),
    /// Run scenarios in virtual time.
    #[command(subcommand)]
    Sim(simulate::Command),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Up(arguments) => up::run(arguments),
        Command::Nodes(arguments) => nodes::run(arguments),
        Command::Sim(command) => simulate::run(command),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("wavetank: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Waits for Ctrl-C or a polite kill.
async fn interrupted() -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
