//! How a simulated program behaves: what its pod's annotations say, else what its command means,
//! else what its kind of container usually does.
//!
//! Read once per instance by `calls.rs`.
//!
//! Annotations begin with `sim.wavetank.dev/`; `.<container>` after the name makes one hold for one
//! container only (`sim.wavetank.dev/exit-after.init-db: 3s`). Durations as in Go (`300ms`).
//!
//! | annotation | value | what it does |
//! |---|---|---|
//! | `pull-time` | duration | the image takes this long to pull |
//! | `pull-error` | text | the image cannot be pulled: the registry says this |
//! | `start-time` | duration | from start to running |
//! | `exit-after` | duration | the program ends by itself after this time |
//! | `exit-code` | number | with this code (also without `exit-after`: after one second) |
//! | `crash` | duration, or `3x5s` | it exits with 1 after this time; only the first three do |
//! | `oom-after` | duration | it is killed for its memory after this time |
//! | `stop-time` | duration | from SIGTERM to its end; longer than the grace period: SIGKILL |
//! | `ready-after` | duration | probes fail before; a path with `live` in it does not |
//! | `unready-between` | `30s-60s,2m-3m` | they fail in these spans too |
//! | `hung-after` | duration | from then on nothing is answered at all |
//! | `log` | text | a line written again and again; `{n}` is its number |
//! | `log-interval` | duration | so often; one second by default |
//! | `exec-answers` | lines `command => output` | what an exec of that command prints |
//!
//! Book: `book/src/simulator/runtime.md`.

use core::time::Duration;
use std::sync::Arc;

use wavetank_cri::{ContainerConfig, Labels, names};
use wavetank_informer::backoff::Chance;

use super::exec::{self, Surroundings};
use super::instance::End;

/// The prefix of annotations.
pub const PREFIX: &str = "sim.wavetank.dev/";

/// What one instance will do.
#[derive(Clone, Debug, Default)]
pub struct Behavior {
    /// When it ends by itself, and how.
    pub ends: Option<(Duration, End)>,
    /// From SIGTERM to its end.
    pub stop_time: Duration,
    /// Before this, probes fail.
    pub ready_after: Duration,
    /// In these spans they fail too.
    pub unready: Vec<(Duration, Duration)>,
    /// From then on nothing is answered.
    pub hung_after: Option<Duration>,
    /// What it writes once, at its start.
    pub output: Arc<str>,
    /// It copies its standard input to its standard output, and ends so at the input's end.
    pub copies_input: Option<End>,
    /// What it writes again and again.
    pub log: Option<(Arc<str>, Duration)>,
}

/// The annotations of one container.
#[derive(Clone, Copy, Debug)]
pub struct Script<'a> {
    /// Those of the pod.
    pub annotations: &'a Labels,
    /// Its name.
    pub container: &'a str,
}

impl<'a> Script<'a> {
    /// The value for this container, else for the pod.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        let own = format!("{PREFIX}{name}.{}", self.container);
        let value = self.annotations.get(own.as_str());
        let value = value.or_else(|| self.annotations.get(format!("{PREFIX}{name}").as_str()));
        value.map(|text| &**text)
    }

    /// The same as a duration; text that is none counts as absent.
    pub fn duration(&self, name: &str) -> Option<Duration> {
        self.text(name).and_then(duration)
    }
}

impl Behavior {
    /// What an instance of this configuration will do.
    pub fn of(
        config: &ContainerConfig,
        annotations: &Labels,
        around: &Surroundings<'_>,
        chance: &mut Chance,
    ) -> Self {
        let script = Script {
            annotations,
            container: &config.metadata.name,
        };
        let kind = config
            .annotations
            .get(names::CONTAINER_KIND)
            .map_or("app", |kind| kind);
        let program = exec::program(config, around);
        let default = match (&program, kind) {
            (Some(program), _) => program.takes.map(|after| (after, End::with(program.code))),
            (None, "init") => {
                let after = Duration::from_millis(200) + chance.up_to(Duration::from_millis(800));
                Some((after, End::with(0)))
            }
            (None, _) => None,
        };
        let stop_time = Duration::from_millis(10) + chance.up_to(Duration::from_millis(290));
        let copying = program.as_ref().filter(|program| program.copies_input);
        Behavior {
            ends: scripted_end(&script, config.metadata.attempt).or(default),
            stop_time: script.duration("stop-time").unwrap_or(stop_time),
            ready_after: script.duration("ready-after").unwrap_or_default(),
            unready: spans(script.text("unready-between").unwrap_or_default()),
            hung_after: script.duration("hung-after"),
            copies_input: copying.map(|program| End::with(program.code)),
            output: program.map_or_else(|| "".into(), |p| p.stdout.into()),
            log: script.text("log").map(|line| {
                let every = script
                    .duration("log-interval")
                    .unwrap_or(Duration::from_secs(1));
                (line.into(), every.max(Duration::from_millis(1)))
            }),
        }
    }
}

/// The earliest end that the annotations ask for.
fn scripted_end(script: &Script<'_>, attempt: u32) -> Option<(Duration, End)> {
    let code = script
        .text("exit-code")
        .and_then(|text| text.parse::<i32>().ok());
    let after = script.duration("exit-after");
    let exit = (code.is_some() || after.is_some()).then(|| {
        (
            after.unwrap_or(Duration::from_secs(1)),
            End::with(code.unwrap_or(0)),
        )
    });
    let oom = script
        .duration("oom-after")
        .map(|after| (after, End::out_of_memory()));
    let crash = script.text("crash").and_then(|text| {
        let (times, after) = match text.split_once('x') {
            Some((times, after)) => (times.parse::<u32>().ok()?, after),
            None => (u32::MAX, text),
        };
        (attempt < times).then_some((duration(after)?, End::with(1)))
    });
    [exit, oom, crash]
        .into_iter()
        .flatten()
        .min_by_key(|(after, _)| *after)
}

/// `30s-60s,2m-3m`; what cannot be read is left out.
fn spans(text: &str) -> Vec<(Duration, Duration)> {
    let spans = text.split(',').filter_map(|span| {
        let (from, to) = span.split_once('-')?;
        Some((duration(from.trim())?, duration(to.trim())?))
    });
    spans.collect()
}

/// Reads a duration as Go writes it: `1h2m3.5s`, `300ms`. A number without a unit is none.
pub fn duration(text: &str) -> Option<Duration> {
    let (mut rest, mut micros) = (text, 0u64);
    if text.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let unit = match unit {
            "us" => 1.0,
            "ms" => 1e3,
            "s" => 1e6,
            "m" => 60e6,
            "h" => 3600e6,
            _ => return None,
        };
        let part = number.parse::<f64>().ok()? * unit;
        micros = micros.checked_add(part as u64)?;
        rest = tail;
    }
    Some(Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        assert_eq!(duration("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!(duration("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(duration("300ms"), Some(Duration::from_millis(300)));
        for bad in ["", "5", "s", "1x", "-1s", "1..2s"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_annotation_for_one_container_wins() {
        let annotations = Labels::from([
            ("sim.wavetank.dev/crash".into(), "2x5s".into()),
            ("sim.wavetank.dev/crash.web".into(), "1s".into()),
        ]);
        let end = |container, attempt| {
            let script = Script {
                annotations: &annotations,
                container,
            };
            scripted_end(&script, attempt).map(|(after, _)| after.as_secs())
        };
        assert_eq!(
            (end("web", 7), end("db", 1), end("db", 2)),
            (Some(1), Some(5), None)
        );
    }
}
