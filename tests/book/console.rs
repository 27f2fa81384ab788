//! What the book shows of a terminal is typed: every `console` block of a chapter, and the README's.
//!
//! The blocks of one chapter share one cluster, in order. `cargo run --release -- …` is the program
//! of this build, `cargo run --release -- up` is the cluster, `cargo test …` names tests that exist,
//! and `kubectl` is the newest that is installed. What comes is compared with what is shown after
//! [`normal`]; a `kubectl get` may take a while until it fits. `…` alone on a line leaves lines out.
//! `UPDATE=1` writes what came where it does not fit.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, kubectls};
use crate::normal::{as_it_is, but_for_the_hash, normal};
use crate::patterns::fits;
use crate::tests_of::Tests;
use crate::{chapters, read, root, shown};

/// How long a command that reads may take until it shows what the page shows.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same for `UPDATE=1`, where most of what is waited for will not come.
const PATIENCE_TO_REWRITE: Duration = Duration::from_secs(12);
/// How many chapters are played at once.
const PLAYERS: usize = 2;
/// What stands for `wavetank` in what a reader types.
const CARGO_RUN: &str = "cargo run --release -- ";

/// A command of a page, and what the page shows below it.
struct Exchange {
    /// Index of the command's line in the page.
    at: usize,
    command: String,
    /// Indices of the first line of output, and of the one after the last.
    output: (usize, usize),
    shown: Vec<String>,
}

/// The commands in the `console` blocks of a page. A line that begins with `> ` goes on with the
/// command above it.
fn exchanges(text: &str) -> Result<Vec<Exchange>, String> {
    let mut all: Vec<Exchange> = Vec::new();
    let mut fence = None;
    for (at, line) in text.lines().enumerate() {
        if let Some(info) = line.strip_prefix("```") {
            fence = fence.is_none().then_some(info);
            continue;
        }
        match (fence, line.strip_prefix("$ ")) {
            (Some("console"), Some(command)) => all.push(Exchange {
                at,
                command: command.to_owned(),
                output: (at + 1, at + 1),
                shown: Vec::new(),
            }),
            (Some("console"), None) => {
                let Some(exchange) = all.last_mut().filter(|e| e.output.1 == at) else {
                    return Err(format!("line {}: output without a command", at + 1));
                };
                exchange.output.1 = at + 1;
                match line
                    .strip_prefix("> ")
                    .filter(|_| exchange.shown.is_empty())
                {
                    Some(more) => {
                        exchange.command.push('\n');
                        exchange.command.push_str(more);
                        exchange.output.0 = at + 1;
                    }
                    None => exchange.shown.push(line.to_owned()),
                }
            }
            (Some(info), Some(_)) => {
                return Err(format!("line {}: a command in a block of {info:?}", at + 1));
            }
            _ => {}
        }
    }
    Ok(all)
}

/// Who answers a command.
enum Kind<'a> {
    /// `export …`: the player has set the variable already.
    Setting,
    /// `wavetank up`, with the number of nodes.
    Up(u32),
    /// Another command of `wavetank`.
    Wavetank(&'a str),
    /// `cargo test …`.
    Tests(&'a str),
    Kubectl,
}

fn kind(command: &str) -> Result<Kind<'_>, String> {
    if command.starts_with("export KUBECONFIG=") {
        return Ok(Kind::Setting);
    }
    if let Some(rest) = command.strip_prefix(CARGO_RUN) {
        return match rest.strip_prefix("up").map(str::trim) {
            None => Ok(Kind::Wavetank(rest)),
            Some("") => Ok(Kind::Up(5)),
            Some(options) => match options.strip_prefix("--nodes ").map(str::parse) {
                Some(Ok(nodes)) => Ok(Kind::Up(nodes)),
                _ => Err(format!("the player knows no `up {options}`")),
            },
        };
    }
    match command {
        _ if command.starts_with("cargo test") => Ok(Kind::Tests(command)),
        _ if command.contains("kubectl ") => Ok(Kind::Kubectl),
        _ => Err(format!("the player does not know `{command}`")),
    }
}

/// Plays the commands of one page, on one cluster.
struct Player<'a> {
    name: String,
    kubectl: Option<&'a Path>,
    cluster: Option<Cluster>,
    tests: &'a Tests,
    patience: Duration,
}

impl Player<'_> {
    /// What came instead of what is shown; nothing when it fits or cannot be tried here.
    fn play(&mut self, exchange: &Exchange) -> Result<Option<String>, String> {
        match kind(&exchange.command)? {
            Kind::Setting if exchange.shown.is_empty() => Ok(None),
            Kind::Setting => Err("a setting has no output".to_owned()),
            Kind::Tests(command) => self.tests.play(command, &exchange.shown),
            Kind::Wavetank(command) => Ok(run_wavetank(command, &exchange.shown)),
            Kind::Up(nodes) => {
                let greeting = self.cluster(nodes).greeting.clone();
                let fits = fit(&exchange.shown, &greeting, normal);
                Ok((!fits).then(|| format!("{greeting}…")))
            }
            Kind::Kubectl => Ok(self.kubectl(exchange)),
        }
    }

    fn cluster(&mut self, nodes: u32) -> &Cluster {
        let name = format!("book-{}", self.name);
        self.cluster
            .get_or_insert_with(|| Cluster::start(&name, nodes))
    }

    fn kubectl(&mut self, exchange: &Exchange) -> Option<String> {
        let kubectl = self.kubectl?;
        let words: Vec<&str> = exchange.command.split(' ').collect();
        if words.contains(&"--watch") || words.contains(&"-w") {
            return self.watch(kubectl, exchange);
        }
        let reads = ["get", "describe", "logs"];
        let reads = reads.iter().any(|verb| words.contains(verb));
        let patience = self.patience;
        let cluster = self.cluster(5);
        let began = Instant::now();
        loop {
            let (output, _) = cluster.run(kubectl, &exchange.command);
            if fit(&exchange.shown, &output, normal) {
                return None;
            }
            if !reads || began.elapsed() > patience {
                return Some(output);
            }
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// A command that does not end: interrupted, as by Ctrl-C, when it has shown what the page
    /// shows or the patience is over.
    fn watch(&mut self, kubectl: &Path, exchange: &Exchange) -> Option<String> {
        let patience = self.patience;
        let cluster = self.cluster(5);
        let (output, stop) = (cluster.folder.join("watched"), cluster.folder.join("stop"));
        let _ = fs::remove_file(&stop);
        let line = format!(
            "{} >watched 2>&1 & while [ ! -e stop ]; do sleep 0.1; done; kill $!",
            exchange.command
        );
        let began = Instant::now();
        let seen = || format!("{}^C", fs::read_to_string(&output).unwrap_or_default());
        std::thread::scope(|scope| {
            scope.spawn(|| cluster.run(kubectl, &line));
            while !fit(&exchange.shown, &seen(), normal) && began.elapsed() < patience {
                std::thread::sleep(Duration::from_millis(100));
            }
            fs::write(&stop, "").expect("the cluster's folder is writable");
        });
        let seen = seen();
        (!fit(&exchange.shown, &seen, normal)).then_some(seen)
    }
}

fn run_wavetank(command: &str, shown: &[String]) -> Option<String> {
    let output = Command::new("sh")
        .arg("-c")
        .arg(format!("{} {command}", env!("CARGO_BIN_EXE_wavetank")))
        .current_dir(root())
        .output()
        .expect("sh runs");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    // One seed, one history: it is shown as it is. A check lets another hash pass, for whoever
    // changes what happens; a rewrite brings it up to date.
    let form = match rewrites() {
        true => as_it_is,
        false => but_for_the_hash,
    };
    (!fit(shown, &text, form)).then_some(text)
}

fn fit(shown: &[String], output: &str, form: fn(&str) -> String) -> bool {
    let full = |line: &&String| !line.trim().is_empty();
    let shown: Vec<String> = shown.iter().filter(full).map(|line| form(line)).collect();
    let came: Vec<String> = output
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(form)
        .collect();
    let came: Vec<&str> = came.iter().map(String::as_str).collect();
    fits(&shown, &came)
}

fn rewrites() -> bool {
    std::env::var_os("UPDATE").is_some()
}

/// Plays a page; with `UPDATE=1` what did not fit is written into it.
fn play_page(path: &Path, kubectl: Option<&Path>, tests: &Tests) -> Vec<String> {
    let text = read(path);
    let place = |at: usize| format!("{}:{}", shown(path), at + 1);
    let all = match exchanges(&text) {
        Ok(all) => all,
        Err(what) => return vec![format!("{}: {what}", shown(path))],
    };
    let mut player = Player {
        name: shown(path).replace(['/', '.'], "-"),
        kubectl,
        cluster: None,
        tests,
        patience: if rewrites() {
            PATIENCE_TO_REWRITE
        } else {
            PATIENCE
        },
    };
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut broken = Vec::new();
    let mut new = Vec::new();
    for exchange in &all {
        match player.play(exchange) {
            Err(what) => broken.push(format!("{}: {what}", place(exchange.at))),
            Ok(Some(came)) => new.push((exchange, came)),
            Ok(None) => {}
        }
    }
    for (exchange, came) in new.into_iter().rev() {
        if rewrites() {
            let came = came
                .trim_end()
                .lines()
                .map(|line| line.trim_end().to_owned());
            lines.splice(exchange.output.0..exchange.output.1, came);
        } else {
            broken.push(format!(
                "{}: $ {}\n{}\ncame, where the page shows\n{}\n(fix: UPDATE=1, then read)",
                place(exchange.at),
                exchange.command,
                came.trim_end(),
                exchange.shown.join("\n")
            ));
        }
    }
    if rewrites() {
        let mut new = lines.join("\n");
        new.push('\n');
        if new != text {
            fs::write(path, new).expect("a page is writable");
        }
    }
    broken
}

#[test]
fn what_the_book_shows_of_a_terminal_is_what_comes() {
    let kubectls = kubectls();
    let kubectl = kubectls.last().map(|(_, path)| path.as_path());
    let tests = Tests::of_the_tree();
    let mut pages: Vec<PathBuf> = chapters().into_iter().map(|(path, _)| path).collect();
    pages.push(root().join("README.md"));
    let pages = Mutex::new(VecDeque::from(pages));
    let broken = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..PLAYERS {
            scope.spawn(|| {
                loop {
                    let page = pages.lock().expect("no player panics").pop_front();
                    let Some(page) = page else { break };
                    let found = play_page(&page, kubectl, &tests);
                    broken.lock().expect("no player panics").extend(found);
                }
            });
        }
    });
    let broken = broken.into_inner().expect("no player panics");
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n\n"));
}
