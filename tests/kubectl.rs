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
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long `$~` tries: longer than the 65 seconds for which a controller leaves an object alone
/// when it does not know whether its write took effect (`src/informer/barrier.rs`), which a machine
/// that is busy enough to let a request time out can bring about.
const PATIENCE: Duration = Duration::from_secs(90);

/// What is shown of a cluster whose transcript failed.
const LOOK_AROUND: &str = "kubectl get nodes,deploy,rs,pods,events -A -o wide | tail -n 60; \
     kubectl get rs,pods -A -o jsonpath='{range .items[*]}{.metadata.name} {.metadata.uid} \
     {.metadata.ownerReferences}{\"\\n\"}{end}'";

/// A running `wavetank up` with a folder of its own, both gone when it is dropped.
struct Cluster {
    process: Child,
    folder: PathBuf,
}

impl Cluster {
    /// Between the choice of a free port and its use another process may take it: then another.
    fn start(name: &str, nodes: u32) -> Self {
        let mut attempts = (0..5).filter_map(|_| Self::try_start(name, nodes));
        attempts.next().expect("wavetank up serves")
    }

    fn try_start(name: &str, nodes: u32) -> Option<Self> {
        let folder = std::env::temp_dir().join(format!("wavetank-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a temporary folder");
        let mut process = Command::new(env!("CARGO_BIN_EXE_wavetank"))
            .args(["up", "--nodes", &nodes.to_string()])
            .args(["--listen", &format!("127.0.0.1:{}", free_port())])
            .arg("--data-dir")
            .arg(folder.join("data"))
            .arg("--kubeconfig")
            .arg(folder.join("kubeconfig"))
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("wavetank starts");
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let ready = lines
            .by_ref()
            .map_while(Result::ok)
            .any(|l| l.contains("export KUBECONFIG="));
        std::thread::spawn(move || lines.for_each(drop));
        let cluster = Cluster { process, folder };
        ready.then_some(cluster)
    }

    fn run(&self, kubectl: &Path, line: &str) -> (String, i32) {
        let bin = self.folder.join("bin");
        fs::create_dir_all(&bin).expect("a folder for the link");
        let link = bin.join("kubectl");
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(kubectl, &link).expect("a link to kubectl");
        let path = std::env::var("PATH").unwrap_or_default();
        let output = Command::new("sh")
            .arg("-c")
            .arg(line)
            .current_dir(&self.folder)
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("HOME", &self.folder)
            .env("KUBECONFIG", self.folder.join("kubeconfig"))
            .env("EDITOR", "sed -i s/before/after/")
            .env("TERM", "dumb")
            .stdin(Stdio::null())
            .output()
            .expect("sh runs");
        let text = [output.stdout, output.stderr].concat();
        (
            String::from_utf8_lossy(&text).into_owned(),
            output.status.code().unwrap_or(-1),
        )
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // SIGINT, as Ctrl-C: leaving nothing behind is part of what is tested.
        let id = self.process.id().to_string();
        let _ = Command::new("kill").args(["-INT", &id]).status();
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(10) {
            if matches!(self.process.try_wait(), Ok(Some(_))) {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it has an address").port()
}

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

/// Whether a line fits a pattern in which `…` stands for any text.
fn line_fits(pattern: &str, line: &str) -> bool {
    let mut rest = line.trim_end();
    let parts: Vec<&str> = pattern.trim_end().split('…').collect();
    let last = parts.len() - 1;
    for (at, part) in parts.iter().enumerate() {
        let found = match at {
            0 => rest.strip_prefix(part),
            _ if at == last && part.is_empty() => Some(""),
            _ if at == last => rest.ends_with(part).then_some(""),
            _ => rest.find(part).map(|from| &rest[from + part.len()..]),
        };
        match found {
            Some(after) => rest = after,
            None => return false,
        }
    }
    rest.is_empty()
}

/// Whether the output fits: each pattern a line, `…` alone any number of lines.
fn fits(patterns: &[String], lines: &[&str]) -> bool {
    match patterns.split_first() {
        None => lines.is_empty(),
        Some((any, rest)) if any == "…" => {
            (0..=lines.len()).any(|skip| fits(rest, &lines[skip..]))
        }
        Some((pattern, rest)) => {
            lines.first().is_some_and(|line| line_fits(pattern, line)) && fits(rest, &lines[1..])
        }
    }
}

/// The kubectls beside the one on PATH: `kubectl.1.31` and on; else the one itself.
fn kubectls() -> Vec<(String, PathBuf)> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|p| p.join("kubectl"))
        .find(|p| p.is_file());
    let Some(kubectl) = found.and_then(|p| fs::canonicalize(p).ok()) else {
        let what = "skipped: kubectl is not on PATH";
        assert!(std::env::var_os("WAVETANK_REQUIRE_ALL").is_none(), "{what}");
        eprintln!("{what}");
        return Vec::new();
    };
    let beside = |version: &str| {
        let name = format!("{}.{version}", kubectl.file_name()?.to_str()?);
        let path = kubectl.with_file_name(name);
        path.is_file().then(|| (version.to_owned(), path))
    };
    let versions: Vec<_> = ["1.31", "1.32", "1.33"]
        .into_iter()
        .filter_map(beside)
        .collect();
    if versions.is_empty() {
        vec![("path".to_owned(), kubectl)]
    } else {
        versions
    }
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
        let lines: Vec<&str> = output.lines().filter(|l| !l.trim().is_empty()).collect();
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
