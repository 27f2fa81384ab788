//! Recovery: a store from a snapshot and the frames after it.
//!
//! Called by [`open`](crate::open) with the bytes of each file; decides for each what is whole,
//! what was torn off by a crash, and what is damage.
//!
//! 1. Every transaction that was durable is there again, and nothing that was not staged is.
//! 2. Recovery never panics, whatever the bytes; what it refuses names the file and the byte.
//!
//! Book: `book/src/control-plane/store.md`.

use bytes::Bytes;
use wavetank_api::{Revision, Time};

use crate::frame::{Broken, Content, Frame, Frames};
use crate::record::{Reader, Record};
use crate::store::Store;
use crate::value::{Key, KeyValue};

/// A file is not what was written and synced. Nothing has been changed; a backup or a person has to
/// decide what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: damaged at byte {offset}: {what}")]
pub struct Damage {
    /// The file's name.
    pub file: String,
    /// Where in the file.
    pub offset: u64,
    /// What is wrong.
    pub what: &'static str,
}

/// No count of anything in a sound file comes near this; arithmetic on smaller ones is safe.
const BIGGEST: u64 = 1 << 62;

/// A store coming back.
pub(crate) struct Recovery {
    store: Store,
    now: Time,
    /// The number of the next frame to apply; `None` before the first file.
    next: Option<u64>,
}

impl Recovery {
    pub fn new(now: Time) -> Self {
        Recovery {
            store: Store::new(),
            now,
            next: None,
        }
    }

    /// Reads a snapshot that covers all frames before `covers`. It must come first.
    pub fn snapshot(&mut self, file: &str, bytes: &[u8], covers: u64) -> Result<(), Damage> {
        let damage = |broken| match broken {
            Broken::Torn { offset } => damage(file, offset, "the snapshot is cut off"),
            Broken::Damaged { offset, what } => damage(file, offset, what),
        };
        let mut frames = Frames::open(bytes, Content::Snapshot).map_err(damage)?;
        let mut image = Image {
            store: None,
            values: 0,
            ended: false,
        };
        while let Some(frame) = frames.next().map_err(damage)? {
            each_record(file, &frame, |record| image.take(record))?;
        }
        match image.store {
            Some(store) if image.ended => self.store = store,
            _ => return Err(self::damage(file, bytes.len(), "the snapshot has no end")),
        }
        self.next = Some(covers);
        Ok(())
    }

    /// Reads a segment. The last one may be torn: then the answer is the byte to cut it at.
    pub fn segment(&mut self, file: &str, bytes: &[u8], last: bool) -> Result<Option<u64>, Damage> {
        let torn = |broken| match broken {
            Broken::Torn { offset } if last => Ok(Some(offset as u64)),
            Broken::Torn { offset } => {
                Err(damage(file, offset, "cut off in the middle of the log"))
            }
            Broken::Damaged { offset, what } => Err(damage(file, offset, what)),
        };
        let mut frames = match Frames::open(bytes, Content::Segment) {
            Ok(frames) => frames,
            Err(broken) => return torn(broken),
        };
        if frames.next > self.next.unwrap_or(0) {
            return Err(damage(file, 16, "the log before this segment is missing"));
        }
        loop {
            let frame = match frames.next() {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(None),
                Err(broken) => return torn(broken),
            };
            if frame.number >= self.next.unwrap_or(0) {
                let replay = &mut Replay {
                    store: &mut self.store,
                    within: None,
                };
                each_record(file, &frame, |record| replay.take(record))?;
                if replay.within.is_some() {
                    return Err(damage(file, frame.offset, "a transaction has no end"));
                }
                self.next = Some(frame.number + 1);
            }
        }
    }

    /// The store, ready for the frame that follows.
    pub fn finish(mut self) -> Store {
        self.store.continue_at(self.next.unwrap_or(0), self.now);
        self.store
    }
}

fn damage(file: &str, offset: usize, what: &'static str) -> Damage {
    Damage {
        file: file.to_owned(),
        offset: offset as u64,
        what,
    }
}

/// Hands on the records of one frame.
fn each_record(
    file: &str,
    frame: &Frame<'_>,
    mut take: impl FnMut(Record<'_>) -> Result<(), &'static str>,
) -> Result<(), Damage> {
    let mut reader = Reader::new(frame.payload);
    loop {
        let at = frame.offset + reader.offset;
        match reader.next() {
            Ok(None) => return Ok(()),
            Ok(Some(record)) => take(record).map_err(|what| damage(file, at, what))?,
            Err(offset) => return Err(damage(file, frame.offset + offset, "this is no record")),
        }
    }
}

/// The records of a snapshot, in their order: state, leases, values, end.
struct Image {
    store: Option<Store>,
    values: u64,
    ended: bool,
}

impl Image {
    fn take(&mut self, record: Record<'_>) -> Result<(), &'static str> {
        match (&mut self.store, record) {
            (store @ None, Record::State(revision)) if revision.0 < BIGGEST => {
                *store = Some(Store::at_revision(revision))
            }
            (Some(store), Record::Grant { id, term }) => {
                if !store.restore_lease(id, term) {
                    return Err("a lease is there twice");
                }
            }
            (
                Some(store),
                Record::Value {
                    key,
                    value,
                    create,
                    modified,
                    version,
                    lease,
                },
            ) => {
                let value = KeyValue {
                    key: Key::from(key),
                    value: Bytes::copy_from_slice(value),
                    create_revision: create,
                    mod_revision: modified,
                    version,
                    lease,
                };
                if version >= BIGGEST || !store.restore(value) {
                    return Err("a value does not fit the snapshot");
                }
                self.values += 1;
            }
            (Some(_), Record::End(values)) if values == self.values => self.ended = true,
            _ => return Err("a record that a snapshot cannot have here"),
        }
        Ok(())
    }
}

/// The records of one frame of the log, done again by the methods that staging uses.
struct Replay<'a> {
    store: &'a mut Store,
    /// The transaction that has begun and not yet committed.
    within: Option<Revision>,
}

impl Replay<'_> {
    // ANCHOR: replay
    fn take(&mut self, record: Record<'_>) -> Result<(), &'static str> {
        let head = self.store.head();
        match (self.within, record) {
            (None, Record::Begin(revision)) if revision.0 == head.0 + 1 => {
                self.within = Some(revision);
            }
            (Some(revision), Record::Put { key, value, lease }) => {
                if lease.is_some_and(|id| !self.store.has_lease(id)) {
                    return Err("a put names a lease that is not there");
                }
                if self.store.last_write(key) >= revision {
                    return Err("a transaction writes a key twice");
                }
                // Copied: a slice would keep the whole segment in memory.
                let value = Bytes::copy_from_slice(value);
                self.store.put(Key::from(key), value, lease, revision);
            }
            (Some(revision), Record::Delete { key }) => {
                let twice = self.store.last_write(key) >= revision;
                if twice || !self.store.delete(key, revision) {
                    return Err("a deletion names a key that is not there");
                }
            }
            (Some(revision), Record::Commit) => {
                self.store.replayed(revision);
                self.within = None;
            }
            (None, Record::Grant { id, term }) if self.store.restore_lease(id, term) => {}
            (None, Record::Revoke(id)) if self.store.end_lease(id) => {
                self.store.replayed(self.store.head());
            }
            _ => return Err("a record that the log cannot have here"),
        }
        Ok(())
    }
    // ANCHOR_END: replay
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::frame::{Building, file_header};
    use crate::lease::Term;
    use crate::record::Writer;
    use crate::value::LeaseId;

    /// Writes one record, sound or not where it stands.
    fn write(writer: &mut Writer<'_>, kind: u8, number: u64, key: &str) {
        let lease = LeaseId::new(number % 3);
        let revision = Revision(number);
        match kind {
            0 => writer.begin(revision),
            1 => writer.put(key, b"v", lease),
            2 => writer.delete(key),
            3 => writer.commit(),
            4 => {
                let (granted, ttl) = (Duration::from_micros(number), Duration::MAX);
                writer.grant(LeaseId(std::num::NonZeroU64::MIN), Term { granted, ttl });
            }
            5 => writer.revoke(LeaseId(std::num::NonZeroU64::MIN)),
            6 => writer.state(revision),
            7 => writer.end(number),
            _ => writer.value(&KeyValue {
                key: key.into(),
                value: Bytes::new(),
                create_revision: revision,
                mod_revision: revision,
                version: number,
                lease,
            }),
        }
    }

    fn number() -> impl Strategy<Value = u64> {
        prop_oneof![0..5u64, Just(u64::MAX), any::<u64>()]
    }

    proptest! {
        /// Invariant 2, behind the checksums: frames that are whole and records that are not sound.
        #[test]
        fn recovery_never_panics_whatever_the_records(
            records in prop::collection::vec((0..9u8, number(), "[ab]?"), 0..12),
            noise in prop::collection::vec(any::<u8>(), 0..20),
            content in prop_oneof![Just(Content::Segment), Just(Content::Snapshot)],
        ) {
            let mut frame = Building::default();
            for (kind, number, key) in &records {
                write(&mut Writer(frame.payload()), *kind, *number, key);
            }
            frame.payload().extend_from_slice(&noise);
            let mut bytes = file_header(content, 0).to_vec();
            bytes.extend(frame.seal(0));
            let mut recovery = Recovery::new(Time::EPOCH);
            if content == Content::Snapshot {
                let _ = recovery.snapshot("snapshot", &bytes, 1);
            } else {
                let _ = recovery.segment("log", &bytes, true);
            }
        }

        /// Invariant 2, in front of them.
        #[test]
        fn recovery_never_panics_whatever_the_bytes(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut recovery = Recovery::new(Time::EPOCH);
            let _ = recovery.snapshot("snapshot", &bytes, 1);
            let _ = recovery.segment("log", &bytes, true);
        }
    }
}
