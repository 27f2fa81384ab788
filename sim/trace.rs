//! The history of a run: a hash of everything that happened, and on request the story itself.
//!
//! The world reports each event with the event that caused it. The hash is always on; the records
//! are kept only for `explain` and for tests, since a run of a virtual hour has millions of them.
//! Recording never changes what happens: the same seed gives the same hash with and without.
//!
//! 1. Two runs of one scenario and seed give the same hash, in two processes, on every machine.
//! 2. A record's cause has a smaller number than the record.
//!
//! Book: `book/src/simulator/world.md`.

use std::fmt;
use std::sync::Arc;

use wavetank_api::{Revision, Time};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// The number of an event: 1 is the first; 0 stands for the scenario itself.
pub type EventId = u64;

/// What a commit does to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// It was not there before.
    Create,
    /// It was, and is.
    Change,
    /// It is not there any more.
    Delete,
}

/// What happened, as the story tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A process began to run.
    Started {
        /// Which process.
        process: Arc<str>,
    },
    /// A request reached an API server.
    Request {
        /// Who sent it.
        process: Arc<str>,
        /// Method and target.
        line: String,
    },
    /// A transaction became durable and changed keys.
    Commit {
        /// The revision it made.
        revision: Revision,
        /// The keys it wrote, and what it did to each.
        writes: Vec<(Arc<str>, Act)>,
    },
    /// A batch of the store's watch reached an API server's cache.
    Observed {
        /// Which server, by its place in the list.
        server: usize,
        /// How far its cache has come.
        upto: Revision,
    },
    /// An answer, a frame of a watch, a tick or an outcome reached a process.
    Heard {
        /// Which process.
        process: Arc<str>,
        /// In a few words, what it heard.
        news: &'static str,
    },
    /// A component decided to act: its own word for why.
    Decided {
        /// Which process.
        process: Arc<str>,
        /// Which part of it.
        by: &'static str,
        /// On which object.
        about: Arc<str>,
        /// Why.
        because: &'static str,
    },
    /// The scenario did something to the cluster.
    Step {
        /// As the scenario says it.
        text: String,
    },
}

/// One line of the story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number.
    pub id: EventId,
    /// The event during which it happened.
    pub cause: EventId,
    /// When.
    pub at: Time,
    /// What.
    pub what: What,
}

/// What is hashed of an event: enough that two histories that differ anywhere differ here.
pub(crate) struct Mark<'a> {
    /// One letter a kind of event.
    pub tag: u8,
    /// The process or server concerned.
    pub who: u64,
    /// A number that tells events of one kind apart (call, revision, ticket).
    pub which: u64,
    /// The bytes that travelled.
    pub bytes: &'a [u8],
}

/// Hash, count, and perhaps the records.
pub struct Trace {
    hash: Xxh3,
    events: u64,
    records: Option<Vec<Record>>,
}

impl Trace {
    /// An empty history; `recording` keeps the story as well as the hash.
    pub fn new(recording: bool) -> Self {
        Trace {
            hash: Xxh3::new(),
            events: 0,
            records: recording.then(Vec::new),
        }
    }

    /// Adds an event and returns its number.
    pub(crate) fn event(&mut self, at: Time, cause: EventId, mark: &Mark<'_>) -> EventId {
        self.events += 1;
        let mut line = [0u8; 41];
        line[0] = mark.tag;
        line[1..9].copy_from_slice(&at.as_micros().to_le_bytes());
        line[9..17].copy_from_slice(&cause.to_le_bytes());
        line[17..25].copy_from_slice(&mark.who.to_le_bytes());
        line[25..33].copy_from_slice(&mark.which.to_le_bytes());
        line[33..41].copy_from_slice(&xxh3_64(mark.bytes).to_le_bytes());
        self.hash.update(&line);
        self.events
    }

    /// Keeps a record of event `id` if the story is kept; `what` is made only then.
    pub(crate) fn record(
        &mut self,
        id: EventId,
        cause: EventId,
        at: Time,
        what: impl FnOnce() -> What,
    ) {
        if let Some(records) = &mut self.records {
            records.push(Record {
                id,
                cause,
                at,
                what: what(),
            });
        }
    }

    /// The hash so far.
    pub fn hash(&self) -> TraceHash {
        TraceHash(self.hash.digest128())
    }

    /// How many events so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The story so far, in order; empty unless it is kept.
    pub fn records(&self) -> &[Record] {
        self.records.as_deref().unwrap_or_default()
    }
}

/// The hash of a history: equal for equal histories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceHash(pub u128);

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
