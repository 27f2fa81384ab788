//! Why an object exists: the chain from a write back to the scenario, read off the records.
//!
//! Book: `book/src/simulator/world.md`.

use std::fmt::Write;
use std::sync::Arc;

use crate::trace::{EventId, Record, What};
use crate::world::BEGINNING;

/// The story of the first key that begins with `prefix`: how its first version came about, oldest
/// first, one line an event; nothing when no record writes such a key.
pub fn explain(records: &[Record], prefix: &str) -> Option<(Arc<str>, String)> {
    let written = |record: &Record| match &record.what {
        What::Commit { writes, .. } => {
            let mut keys = writes.iter().map(|(key, _)| key);
            keys.find(|key| key.starts_with(prefix)).cloned()
        }
        _ => None,
    };
    let (first, key) = records
        .iter()
        .find_map(|record| Some((record, written(record)?)))?;
    let mut chain = vec![first];
    let mut cause = first.cause;
    // A cause is smaller than what it caused; 0 is the scenario itself.
    while let Some(record) = by_id(records, cause).filter(|record| record.id > 0) {
        chain.push(record);
        cause = record.cause;
    }
    let mut story = String::new();
    for record in chain.iter().rev() {
        let at = record.at.since(BEGINNING).as_secs_f64();
        // Writing to a String cannot fail.
        let _ = writeln!(story, "{at:>12.6}s  {}", sentence(&record.what));
    }
    Some((key, story))
}

pub(crate) fn by_id(records: &[Record], id: EventId) -> Option<&Record> {
    let at = records.binary_search_by_key(&id, |record| record.id).ok()?;
    records.get(at)
}

fn sentence(what: &What) -> String {
    match what {
        What::Started { process } => format!("{process} starts"),
        What::Request { process, line } => format!("{process} sends {line}"),
        What::Commit { revision, writes } => {
            let keys: Vec<&str> = writes.iter().map(|(key, _)| &**key).collect();
            format!("revision {revision} writes {}", keys.join(", "))
        }
        What::Observed { server, upto } => {
            format!("apiserver-{server} sees revision {upto}")
        }
        What::Heard { process, news } => format!("{process} hears {news}"),
        What::Decided {
            process,
            by,
            about,
            because,
        } => {
            format!("{process}: {by} takes up {about}: {because}")
        }
        What::Step { text } => format!("the scenario says: {text}"),
    }
}
