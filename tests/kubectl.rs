//! What a user types, typed: transcripts of the real kubectl against `wavetank up`.
//!
//! A transcript is a text file in `tests/transcripts`, run with each kubectl that is installed:
//!
//! ```text
//! # A comment.
//! $ kubectl create namespace shop
//! namespace/shop created
//!
//! $~ kubectl -n shop get pods          (tried again for a minute until the output fits)
//! NAME…STATUS…
//! web-…1/1…Running…
//! …                                    (any number of lines)
//! [exit 1]                             (otherwise the command must succeed)
//! ```
//!
//! `…` stands for any text of a line; empty lines are not compared. Standard error follows standard
//! output. The versions play at once, each on a cluster of its own, to the end of the transcript.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a test of a whole system waits for it"
)]

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cluster::{Cluster, free_port, kubectls};
use patterns::{fits, line_fits};

#[path = "player/cluster.rs"]
mod cluster;
#[path = "player/patterns.rs"]
mod patterns;

/// How long `$~` tries: longer than the 65 seconds for which a controller leaves an object alone
/// when it does not know whether its write took effect (`src/informer/barrier.rs`), which a machine
/// that is busy enough to let a request time out can bring about.
const PATIENCE: Duration = Duration::from_secs(90);

/// What is shown of a cluster whose transcript failed.
const LOOK_AROUND: &str = "kubectl get nodes,deploy,rs,pods,events -A -o wide | tail -n 60; \
     kubectl get rs,pods -A -o jsonpath='{range .items[*]}{.metadata.name} {.metadata.uid} \
     {.metadata.ownerReferences}{\"\\n\"}{end}'";

/// One command of a transcript.
struct Exchange {
    line: usize,
    command: String,
    retried: bool,
    expected: Vec<String>,
    exit: i32,
}

fn parse(text: &str) -> Vec<Exchange> {
    let mut all: Vec<Exchange> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let (command, retried) = match (line.strip_prefix("$ "), line.strip_prefix("$~ ")) {
            (Some(command), _) => (Some(command), false),
            (_, Some(command)) => (Some(command), true),
            _ => (None, false),
        };
        if let Some(command) = command {
            let command = command.to_owned();
            all.push(Exchange {
                line: at + 1,
                command,
                retried,
                expected: Vec::new(),
                exit: 0,
            });
        } else if line.starts_with("# ") || line.is_empty() {
        } else if let Some(exchange) = all.last_mut() {
            match line
                .strip_prefix("[exit ")
                .and_then(|l| l.strip_suffix(']'))
            {
                Some(code) => exchange.exit = code.parse().expect("[exit N]"),
                None => exchange.expected.push(line.to_owned()),
            }
        }
    }
    all
}

fn play(name: &str, nodes: u32) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/transcripts/{name}.txt"));
    let exchanges = parse(&fs::read_to_string(&file).expect("the transcript is there"));
    assert!(
        !exchanges.is_empty(),
        "{name}: an empty transcript asserts nothing"
    );
    let failures: Vec<String> = std::thread::scope(|scope| {
        let players: Vec<_> = kubectls()
            .into_iter()
            .map(|(version, kubectl)| {
                let exchanges = &exchanges;
                scope.spawn(move || {
                    let cluster = Cluster::start(&format!("{name}-{version}"), nodes);
                    let played = exchanges.iter().map(|e| answer(&cluster, &kubectl, e));
                    let failed = played.filter_map(Result::err);
                    let mut failed: Vec<String> = failed
                        .map(|what| format!("{name}.txt, kubectl {version}, line {what}"))
                        .collect();
                    if !failed.is_empty() {
                        failed.push(cluster.run(&kubectl, LOOK_AROUND).0);
                    }
                    failed
                })
            })
            .collect();
        let ended = players.into_iter().flat_map(|p| p.join().expect("plays"));
        ended.collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// Runs one command until its output fits, or once.
fn answer(cluster: &Cluster, kubectl: &Path, exchange: &Exchange) -> Result<(), String> {
    let began = Instant::now();
    loop {
        let (output, exit) = cluster.run(kubectl, &exchange.command);
        let lines = output.lines().filter(|line| !line.trim().is_empty());
        let lines: Vec<&str> = lines.collect();
        if exit == exchange.exit && fits(&exchange.expected, &lines) {
            return Ok(());
        }
        if !exchange.retried || began.elapsed() > PATIENCE {
            return Err(format!(
                "{}\n$ {}\n{output}[exit {exit}]\nexpected:\n{}\n[exit {}]",
                exchange.line,
                exchange.command,
                exchange.expected.join("\n"),
                exchange.exit
            ));
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}

#[test]
fn a_deployment_is_created_scaled_updated_and_rolled_back() {
    play("deployment", 3);
}

#[test]
fn objects_are_applied_edited_patched_and_replaced() {
    play("objects", 1);
}

#[test]
fn nodes_are_cordoned_drained_and_tainted() {
    play("nodes", 3);
}

#[test]
fn the_api_describes_itself() {
    play("discovery", 1);
}

#[test]
fn every_kind_is_described_and_shown() {
    play("describe", 1);
}

#[test]
fn logs_exec_attach_and_watches_flow() {
    play("streams", 1);
}

#[test]
fn containers_get_what_their_pod_says() {
    play("containers", 1);
}

#[test]
fn refusals_read_as_the_originals() {
    play("refusals", 1);
}

#[test]
fn patterns_match_as_their_words_say() {
    assert!(line_fits(
        "web-…Running…",
        "web-5d9c   1/1   Running   0   3s"
    ));
    assert!(!line_fits(
        "web-…Running",
        "web-5d9c   1/1   Running   0   3s"
    ));
    let patterns: Vec<String> = ["a", "…", "z"].map(str::to_owned).into();
    assert!(fits(&patterns, &["a", "b", "c", "z"]));
    assert!(!fits(&patterns, &["a", "b"]));
}

#[test]
fn a_second_up_on_the_same_data_directory_is_refused() {
    let cluster = Cluster::start("second", 1);
    let mut second = Command::new(env!("CARGO_BIN_EXE_wavetank"))
        .args(["up", "--listen", &format!("127.0.0.1:{}", free_port())])
        .arg("--data-dir")
        .arg(cluster.folder.join("data"))
        .arg("--kubeconfig")
        .arg(cluster.folder.join("other"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("wavetank starts");
    let mut said = String::new();
    second
        .stderr
        .take()
        .expect("piped")
        .read_to_string(&mut said)
        .expect("UTF-8");
    assert!(!second.wait().expect("it ends").success());
    assert!(said.contains("--data-dir"), "{said}");
}
