//! A process under a write load dies fifty times, or as often as `WAVETANK_KILLS` says, and forgets
//! nothing that it acknowledged.
//!
//! The parent starts this very test binary with a directory in the environment; the child serves
//! from it and prints each name that was acknowledged; the parent kills it in the middle.
//!
//! Book: `book/src/control-plane/serving.md`.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use wavetank_api::{Method, Time};
use wavetank_serve::FileLog;

use crate::cluster::{CONFIG_MAPS, Dir, call, config_map, start_core};

const DIR: &str = "WAVETANK_KILL_DIR";
const ROUND: &str = "WAVETANK_KILL_ROUND";
const ROUNDS: usize = 50; // unless the environment says otherwise
const WRITERS: usize = 8;

fn rounds() -> usize {
    let said = std::env::var("WAVETANK_KILLS");
    said.map_or(ROUNDS, |said| {
        said.parse().expect("WAVETANK_KILLS is a number")
    })
}

#[test]
fn kills_lose_no_acknowledged_write() {
    let (dir, rounds) = (Dir::new(), rounds());
    let mut acknowledged = BTreeSet::new();
    for round in 0..rounds {
        let mut child = spawn(&dir.0, round);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // The later the round, the more is written before the kill, up to three hundred.
        let wanted = 1 + round * 37 % 300;
        let mut of_this_round = 0;
        while of_this_round < wanted {
            let line = lines
                .next()
                .expect("the child writes until it is killed")
                .unwrap();
            of_this_round += usize::from(note(&line, &mut acknowledged));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines {
            note(&line.unwrap(), &mut acknowledged);
        }
    }
    let mut log = FileLog::open(dir.0.join("store")).unwrap();
    let store = wavetank_store::open(&mut log, Time::EPOCH).unwrap();
    for name in &acknowledged {
        let key = format!("/registry/configmaps/default/{name}");
        assert!(
            store.get(&key, None).unwrap().is_some(),
            "{name} was acknowledged"
        );
    }
    assert!(acknowledged.len() > rounds);
    println!(
        "{rounds} kills, {} acknowledged writes, all there",
        acknowledged.len()
    );
}

/// Takes note of a whole line that names an acknowledged write.
fn note(line: &str, acknowledged: &mut BTreeSet<String>) -> bool {
    let name = line
        .strip_prefix("created ")
        .and_then(|name| name.strip_suffix('.'));
    name.is_some_and(|name| acknowledged.insert(name.to_owned()))
}

fn spawn(dir: &Path, round: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "kill::a_child_writes_until_it_is_killed",
            "--nocapture",
        ])
        .env(DIR, dir)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Does nothing unless it is the child.
#[test]
fn a_child_writes_until_it_is_killed() {
    let (Ok(dir), Ok(round)) = (std::env::var(DIR), std::env::var(ROUND)) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (core, _) = start_core(Path::new(&dir));
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let (core, round) = (core.clone(), round.clone());
            writers.spawn(async move {
                for n in 0.. {
                    let name = format!("r{round}-w{writer}-{n}");
                    let body = config_map(&name, &"x".repeat(n * 97 % 2000));
                    let created = call(&core, Method::Post, CONFIG_MAPS, &body).await;
                    if created.status == 201 {
                        let line = format!("created {name}.\n");
                        std::io::stdout().write_all(line.as_bytes()).unwrap();
                        std::io::stdout().flush().unwrap();
                    }
                }
            });
        }
        while writers.join_next().await.is_some() {}
    });
}
