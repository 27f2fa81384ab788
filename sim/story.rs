//! The story of a violation: what was done, what came of it, and how it was seen, in a dozen lines.
//!
//! A run has thousands of events. The story keeps the steps of the scenario, the writes that made
//! and ended the objects concerned, and the chain of causes of the write at which the invariant was
//! seen broken. It is printed as a timeline, and drawn as a sequence diagram.
//!
//! 1. At most [`LINES_MAX`] lines: of what happened often, a line says how often.
//!
//! Book: `book/src/simulator/search.md`.

use core::fmt;
use std::sync::Arc;

use wavetank_api::Time;

use crate::chance::Seed;
use crate::explain::by_id;
use crate::oracle::Violation;
use crate::scenario::Scenario;
use crate::trace::{Act, EventId, Record, What};
use crate::trial;
use crate::world::{BEGINNING, World};

mod diagram;

/// Most lines of a story.
pub const LINES_MAX: usize = 12;

/// A story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// What happened, in order.
    pub lines: Vec<Line>,
    /// What was broken in the end; nothing when all is well.
    pub broken: Option<Violation>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub at: Time,
    /// Who did it.
    pub who: Arc<str>,
    /// Whom it reached, if it was a message.
    pub to: Option<Arc<str>>,
    /// What.
    pub what: String,
}

/// Plays a scenario and tells what led to the first violation.
pub fn tell(scenario: &Scenario, seed: Seed) -> Story {
    let mut world = World::new(scenario, seed, true);
    trial::play(&mut world, scenario);
    let broken = world.violations().first().cloned();
    let records = world.trace().records();
    let chain = broken
        .as_ref()
        .map_or(Vec::new(), |broken| chain(records, broken.event));
    let family = broken
        .as_ref()
        .map(|broken| family(&broken.about).to_owned());
    let mut lines = Vec::new();
    for record in records {
        let is_cause = chain.binary_search(&record.id).is_ok();
        if let Some(line) = line(records, record, is_cause, family.as_deref()) {
            add(&mut lines, line);
        }
    }
    // The beginning is known from the scenario; what matters is the end.
    while lines.len() > LINES_MAX {
        let from = lines.iter().position(|line| &*line.who != OPERATOR);
        lines.remove(from.unwrap_or(0));
    }
    Story { lines, broken }
}

const OPERATOR: &str = "scenario";
const STORE: &str = "store";

/// The events that led to this one, in order.
fn chain(records: &[Record], event: EventId) -> Vec<EventId> {
    let mut chain = Vec::new();
    let mut at = event;
    // The event itself may have no record: its causes are found from the last record before it.
    while let Some(record) = by_id(records, at).or_else(|| last_before(records, at)) {
        chain.push(record.id);
        if record.cause >= record.id || record.cause == 0 {
            break;
        }
        at = record.cause;
    }
    // Of decisions only the last ones: those before led to them by a timer, and so to the start.
    let is_decision = |id: &EventId| {
        let record = by_id(records, *id);
        record.is_some_and(|record| matches!(record.what, What::Decided { .. }))
    };
    let early: Vec<EventId> = chain
        .iter()
        .filter(|id| is_decision(id))
        .skip(DECISIONS)
        .copied()
        .collect();
    chain.retain(|id| !early.contains(id));
    chain.sort_unstable();
    chain.dedup();
    chain
}

/// How many decisions of the chain of causes a story tells.
const DECISIONS: usize = 1;

fn last_before(records: &[Record], event: EventId) -> Option<&Record> {
    let after = records.partition_point(|record| record.id <= event);
    records.get(after.checked_sub(1)?)
}

/// What objects of one maker have in common: the key without its last, random part.
fn family(key: &str) -> &str {
    match key.rfind(['-', '/']) {
        Some(at) if key[at..].starts_with('-') => &key[..=at],
        _ => key,
    }
}

fn line(records: &[Record], record: &Record, is_cause: bool, family: Option<&str>) -> Option<Line> {
    let (who, to, what): (Arc<str>, Option<Arc<str>>, String) = match &record.what {
        What::Step { text } => (OPERATOR.into(), None, text.clone()),
        What::Commit { writes, .. } => {
            let concerned = |(key, act): &&(Arc<str>, Act)| {
                family.is_some_and(|family| key.starts_with(family))
                    && (is_cause || *act != Act::Change)
            };
            let (key, act) = writes.iter().find(concerned)?;
            let who = writer(records, record).unwrap_or(STORE.into());
            (
                who,
                Some(STORE.into()),
                format!("{} {}", verb(*act), short(key)),
            )
        }
        What::Decided {
            by, about, because, ..
        } if is_cause => {
            let what = format!("{by}: {about}: {because}");
            (process(&record.what)?, None, what)
        }
        What::Heard { news, .. } if is_cause && *news == "its start" && record.at > BEGINNING => {
            (process(&record.what)?, None, "starts".to_owned())
        }
        _ => return None,
    };
    Some(Line {
        at: record.at,
        who,
        to,
        what,
    })
}

fn process(what: &What) -> Option<Arc<str>> {
    match what {
        What::Started { process }
        | What::Request { process, .. }
        | What::Heard { process, .. }
        | What::Decided { process, .. } => Some(process.clone()),
        _ => None,
    }
}

/// Whose request a commit was.
fn writer(records: &[Record], commit: &Record) -> Option<Arc<str>> {
    match &by_id(records, commit.cause)?.what {
        What::Request { process, .. } => Some(process.clone()),
        _ => None,
    }
}

fn verb(act: Act) -> &'static str {
    match act {
        Act::Create => "creates",
        Act::Change => "changes",
        Act::Delete => "removes",
    }
}

/// `pods/default/web-x2x4k`.
fn short(key: &str) -> &str {
    key.strip_prefix("/registry/").unwrap_or(key)
}

/// Adds a line, or counts it with the one before that says the same of another object.
fn add(lines: &mut Vec<Line>, line: Line) {
    if let Some(last) = lines.last_mut() {
        let is_write = last.to.is_some() && line.to.is_some();
        let (known, new) = (subject(&last.what), subject(&line.what));
        if is_write
            && last.who == line.who
            && known.is_some()
            && known.map(|k| k.0) == new.map(|n| n.0)
        {
            let count = count(&last.what) + 1;
            let (what, of) = new.unwrap_or_default();
            last.what = format!("{what} {of} and {} more", count - 1);
            last.at = line.at;
            return;
        }
        if *last == line {
            return;
        }
    }
    lines.push(line);
}

/// The verb of a line, and what it is about.
fn subject(what: &str) -> Option<(&str, &str)> {
    let (verb, rest) = what.split_once(' ')?;
    ["creates", "changes", "removes"]
        .contains(&verb)
        .then_some((verb, rest))
}

fn count(what: &str) -> usize {
    let more = what
        .strip_suffix(" more")
        .and_then(|what| what.rsplit(' ').next());
    more.and_then(|number| number.parse::<usize>().ok())
        .unwrap_or(0)
        + 1
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .lines
            .iter()
            .map(|line| line.who.len())
            .max()
            .unwrap_or(0);
        for line in &self.lines {
            let at = line.at.since(BEGINNING).as_secs_f64();
            writeln!(f, "{at:>11.3}s  {:<width$}  {}", line.who, line.what)?;
        }
        match &self.broken {
            Some(broken) => {
                let at = broken.at.since(BEGINNING).as_secs_f64();
                let (name, about) = (broken.invariant.name(), short(&broken.about));
                writeln!(f, "{at:>11.3}s  {name} is broken: {about}: {}", broken.what)?;
                writeln!(f, "{:>13} {name}: {}", "", broken.invariant.says())
            }
            None => writeln!(f, "{:>13}nothing is broken", ""),
        }
    }
}
