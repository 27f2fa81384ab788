//! What a simulated program has written: computed from its start and behaviour, never stored.
//!
//! Read by the shell for `kubectl logs`.
//!
//! 1. The same container at the same time has the same lines; later there are only more.
//!
//! Book: `book/src/simulator/runtime.md`.

use core::time::Duration;

use wavetank_api::Time;
use wavetank_cri::{ContainerId, Error};

use super::SimRuntime;
use super::instance::Instance;

/// Most lines that one call gives.
const LINES_MAX: u64 = 100_000;

/// Which lines (`PodLogOptions`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// The last so many.
    pub tail_lines: Option<u64>,
    /// Written at this time or later.
    pub since: Option<Time>,
    /// Begin each line with its time.
    pub timestamps: bool,
    /// At most so many bytes.
    pub limit_bytes: Option<usize>,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was written.
    pub time: Time,
    /// Without its end.
    pub text: String,
}

/// How much a reader has seen of a container's output.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// All that the program wrote by itself before this time.
    until: Time,
    /// So many bytes of what it made of its input.
    written: u64,
}

impl SimRuntime {
    /// The lines a container has written up to `now`. To follow, ask again `since` a little after
    /// the last line's time.
    pub fn log_lines(
        &self,
        id: &ContainerId,
        options: &LogOptions,
        now: Time,
    ) -> Result<Vec<LogLine>, Error> {
        let instance = self
            .instance(id)
            .ok_or_else(|| Error::not_found("container", &id.0))?;
        let mut lines = lines(instance, options, now);
        if let Some(tail) = options.tail_lines {
            let tail = usize::try_from(tail).unwrap_or(usize::MAX);
            lines.drain(..lines.len().saturating_sub(tail));
        }
        Ok(lines)
    }

    /// The same as the bytes of an answer.
    pub fn logs(
        &self,
        id: &ContainerId,
        options: &LogOptions,
        now: Time,
    ) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        for line in self.log_lines(id, options, now)? {
            if options.timestamps {
                bytes.extend_from_slice(line.time.to_rfc3339_micros().as_bytes());
                bytes.push(b' ');
            }
            bytes.extend_from_slice(line.text.as_bytes());
            bytes.push(b'\n');
        }
        bytes.truncate(options.limit_bytes.unwrap_or(usize::MAX));
        Ok(bytes)
    }

    /// What a container has written since `seen`, which moves to now; unlike the log's lines, also
    /// what is not a whole line yet.
    pub fn output(&self, id: &ContainerId, seen: &mut Seen, now: Time) -> Vec<u8> {
        let Some(instance) = self.instance(id) else {
            return Vec::new();
        };
        let options = LogOptions {
            since: Some(seen.until),
            ..LogOptions::default()
        };
        let lines = lines_by_itself(instance, &options, now);
        let mut bytes = lines.into_iter().fold(Vec::new(), |mut bytes, line| {
            bytes.extend_from_slice(line.text.as_bytes());
            bytes.push(b'\n');
            bytes
        });
        seen.until = now + Duration::from_micros(1);
        if let Some(written) = &instance.written {
            bytes.append(&mut written.after(seen.written));
            seen.written = written.total();
        }
        bytes
    }

    /// A reader who has seen nothing that was written at a time or later.
    pub fn seen_before(&self, id: &ContainerId, time: Time) -> Seen {
        let written = self.instance(id).and_then(|it| it.written.as_ref());
        Seen {
            until: time,
            written: written.map_or(0, |written| written.before(time)),
        }
    }
}

fn lines(instance: &Instance, options: &LogOptions, now: Time) -> Vec<LogLine> {
    let mut lines = lines_by_itself(instance, options, now);
    if let Some(written) = &instance.written {
        let copied = written.lines(instance.ended.map(|(at, _)| at)).into_iter();
        let wanted = copied.filter(|(time, _)| options.since.is_none_or(|since| since <= *time));
        lines.extend(wanted.map(|(time, text)| LogLine { time, text }));
        lines.sort_by_key(|line| line.time);
    }
    lines
}

/// What it writes without being asked.
fn lines_by_itself(instance: &Instance, options: &LogOptions, now: Time) -> Vec<LogLine> {
    let Some(start) = instance.started_at else {
        return Vec::new();
    };
    let end = instance.ended.map_or(now, |(at, _)| at.min(now));
    let since = options.since.unwrap_or(start);
    let mut lines: Vec<LogLine> = Vec::new();
    if since <= start {
        let output = instance.behavior.output.lines();
        lines.extend(output.map(|text| LogLine {
            time: start,
            text: text.into(),
        }));
    }
    let Some((text, every)) = &instance.behavior.log else {
        return lines;
    };
    let micros = u64::try_from(every.as_micros()).unwrap_or(u64::MAX).max(1);
    let nth =
        |time: Time| u64::try_from(time.since(start).as_micros()).unwrap_or(u64::MAX) / micros;
    let (mut first, last) = (nth(since), nth(end));
    if time_of(start, first, micros) < since {
        first += 1; // that line was written before
    }
    let wanted = options.tail_lines.unwrap_or(LINES_MAX).min(LINES_MAX);
    let first = first.max((last + 1).saturating_sub(wanted));
    lines.extend((first..=last).map(|n| LogLine {
        time: time_of(start, n, micros),
        text: text.replace("{n}", &n.to_string()),
    }));
    lines
}

fn time_of(start: Time, n: u64, every_micros: u64) -> Time {
    start + Duration::from_micros(n.saturating_mul(every_micros))
}
