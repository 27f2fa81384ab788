//! What is typed to a container, and what comes of it.
//!
//! Book: `book/src/simulator/runtime.md`.

use serde_json::{Value, json};
use wavetank_cri::ContainerId;

use super::rig::Rig;
use crate::runtime::logs::LogOptions;

/// A pod that runs `cat`, and its container once it runs.
fn cat(rig: &mut Rig, more: &[(&str, Value)]) -> ContainerId {
    let mut container = json!({"name": "cat", "image": "busybox:1", "command": ["cat"]});
    for (field, value) in more {
        container[field] = value.clone();
    }
    let spec = json!({"containers": [container], "restartPolicy": "Never"});
    rig.create("p", spec, json!({}));
    rig.run_secs(5);
    rig.runtime.find(&rig.uid("p"), "cat", false).unwrap()
}

fn lines(rig: &Rig, id: &ContainerId) -> Vec<String> {
    let lines = rig.runtime.log_lines(id, &LogOptions::default(), rig.now);
    lines.unwrap().into_iter().map(|line| line.text).collect()
}

#[test]
fn without_stdin_a_program_reads_nothing_and_ends() {
    let mut rig = Rig::new(1);
    let id = cat(&mut rig, &[]);
    assert_eq!(rig.phase("p"), "Succeeded");
    rig.runtime.write_stdin(&id, b"late\n", rig.now);
    assert!(lines(&rig, &id).is_empty());
}

#[test]
fn what_is_typed_is_written_and_logged_until_the_input_ends() {
    let mut rig = Rig::new(1);
    let id = cat(&mut rig, &[("stdin", json!(true))]);
    assert_eq!(rig.phase("p"), "Running");
    let mut seen = rig.runtime.seen_before(&id, rig.now);
    rig.runtime.write_stdin(&id, b"one\ntw", rig.now);
    assert_eq!(rig.runtime.output(&id, &mut seen, rig.now), b"one\ntw");
    assert_eq!(lines(&rig, &id), ["one"]);
    rig.run_secs(60);
    rig.runtime.write_stdin(&id, b"o", rig.now);
    assert_eq!(rig.runtime.output(&id, &mut seen, rig.now), b"o");
    rig.runtime.close_stdin(&id, rig.now);
    rig.run_secs(2);
    assert_eq!(rig.phase("p"), "Succeeded");
    rig.runtime.write_stdin(&id, b"three\n", rig.now);
    assert_eq!(lines(&rig, &id), ["one", "two"]);
}

#[test]
fn the_script_ends_as_it_says_when_the_input_does() {
    let mut rig = Rig::new(1);
    let command = json!(["sh", "-c", "echo ready; cat; exit 3"]);
    let id = cat(&mut rig, &[("stdin", json!(true)), ("command", command)]);
    rig.runtime.write_stdin(&id, b"set\n", rig.now);
    rig.runtime.close_stdin(&id, rig.now);
    rig.run_secs(2);
    let ended = &rig.status("p")["containerStatuses"][0]["state"]["terminated"];
    assert_eq!(ended["exitCode"], 3);
    assert_eq!(lines(&rig, &id), ["ready", "set"]);
}

#[test]
fn keys_of_a_terminal_end_the_input_or_the_program() {
    for (typed, code) in [(&b"a\n\x04b"[..], 0), (b"a\n\x03b", 130)] {
        let mut rig = Rig::new(1);
        let id = cat(&mut rig, &[("stdin", json!(true)), ("tty", json!(true))]);
        rig.runtime.write_stdin(&id, typed, rig.now);
        rig.run_secs(2);
        let ended = &rig.status("p")["containerStatuses"][0]["state"]["terminated"];
        assert_eq!(ended["exitCode"], code);
        assert_eq!(lines(&rig, &id), ["a"]);
    }
}
