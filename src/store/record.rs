//! The records inside a frame: what was done, in the order it was done.
//!
//! Staging writes them, recovery reads them; a snapshot uses the same ones for what *is*.
//!
//! 1. What [`Writer`]'s methods write, [`Reader::next`] gives back.
//! 2. Reading never panics, whatever the bytes.
//!
//! Book: `book/src/control-plane/store.md`.

use std::time::Duration;

use wavetank_api::Revision;

use crate::frame::PADDING;
use crate::lease::Term;
use crate::value::{KeyValue, LeaseId};

/// One record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    /// A transaction with this revision begins; its puts and deletes follow, then `Commit`.
    Begin(Revision),
    Put {
        key: &'a str,
        value: &'a [u8],
        lease: Option<LeaseId>,
    },
    Delete {
        key: &'a str,
    },
    Commit,
    Grant {
        id: LeaseId,
        term: Term,
    },
    /// The keys of the lease die at the next revision, if it has any.
    Revoke(LeaseId),
    /// First record of a snapshot: the revision it shows.
    State(Revision),
    /// One live key of a snapshot.
    Value {
        key: &'a str,
        value: &'a [u8],
        create: Revision,
        modified: Revision,
        version: u64,
        lease: Option<LeaseId>,
    },
    /// Last record of a snapshot: how many values it has.
    End(u64),
}

const BEGIN: u8 = 1;
const PUT: u8 = 2;
const DELETE: u8 = 3;
const COMMIT: u8 = 4;
const GRANT: u8 = 5;
const REVOKE: u8 = 6;
const STATE: u8 = 7;
const VALUE: u8 = 8;
const END: u8 = 9;

/// Appends records to a payload.
pub(crate) struct Writer<'a>(pub &'a mut Vec<u8>);

impl Writer<'_> {
    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn duration(&mut self, duration: Duration) {
        self.number(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    fn tagged(&mut self, tag: u8, number: u64) {
        self.0.push(tag);
        self.number(number);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn lease(&mut self, lease: Option<LeaseId>) {
        self.number(lease.map_or(0, |id| id.0.get()));
    }

    pub fn begin(&mut self, revision: Revision) {
        self.tagged(BEGIN, revision.0);
    }

    pub fn put(&mut self, key: &str, value: &[u8], lease: Option<LeaseId>) {
        self.0.push(PUT);
        self.lease(lease);
        self.bytes(key.as_bytes());
        self.bytes(value);
    }

    pub fn delete(&mut self, key: &str) {
        self.0.push(DELETE);
        self.bytes(key.as_bytes());
    }

    pub fn commit(&mut self) {
        self.0.push(COMMIT);
    }

    pub fn grant(&mut self, id: LeaseId, term: Term) {
        self.tagged(GRANT, id.0.get());
        self.duration(term.granted);
        self.duration(term.ttl);
    }

    pub fn revoke(&mut self, id: LeaseId) {
        self.tagged(REVOKE, id.0.get());
    }

    pub fn state(&mut self, revision: Revision) {
        self.tagged(STATE, revision.0);
    }

    pub fn value(&mut self, value: &KeyValue) {
        self.tagged(VALUE, value.create_revision.0);
        self.number(value.mod_revision.0);
        self.number(value.version);
        self.lease(value.lease);
        self.bytes(value.key.as_bytes());
        self.bytes(&value.value);
    }

    pub fn end(&mut self, values: u64) {
        self.tagged(END, values);
    }
}

/// Takes records from a payload.
pub(crate) struct Reader<'a> {
    payload: &'a [u8],
    /// Where in the payload the next record begins.
    pub offset: usize,
}

impl<'a> Reader<'a> {
    pub fn new(payload: &'a [u8]) -> Self {
        Reader { payload, offset: 0 }
    }

    /// The next record: `Ok(None)` at the end or the padding, `Err` with the place of what is no
    /// record.
    pub fn next(&mut self) -> Result<Option<Record<'a>>, usize> {
        let start = self.offset;
        if self.payload.get(start).is_none_or(|tag| *tag == PADDING) {
            return Ok(None);
        }
        self.record().map(Some).ok_or(start)
    }

    fn record(&mut self) -> Option<Record<'a>> {
        Some(match *self.take(1)?.first()? {
            BEGIN => Record::Begin(self.revision()?),
            PUT => {
                let lease = self.lease()?;
                Record::Put {
                    key: self.key()?,
                    value: self.bytes()?,
                    lease,
                }
            }
            DELETE => Record::Delete { key: self.key()? },
            COMMIT => Record::Commit,
            GRANT => {
                let id = self.lease()??;
                let (granted, ttl) = (self.duration()?, self.duration()?);
                Record::Grant {
                    id,
                    term: Term { granted, ttl },
                }
            }
            REVOKE => Record::Revoke(self.lease()??),
            STATE => Record::State(self.revision()?),
            VALUE => {
                let (create, modified) = (self.revision()?, self.revision()?);
                let (version, lease) = (self.number()?, self.lease()?);
                let (key, value) = (self.key()?, self.bytes()?);
                Record::Value {
                    key,
                    value,
                    create,
                    modified,
                    version,
                    lease,
                }
            }
            END => Record::End(self.number()?),
            _ => return None,
        })
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.offset.checked_add(length)?;
        let taken = self.payload.get(self.offset..end)?;
        self.offset = end;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn duration(&mut self) -> Option<Duration> {
        self.number().map(Duration::from_micros)
    }

    fn revision(&mut self) -> Option<Revision> {
        self.number().map(Revision)
    }

    fn lease(&mut self) -> Option<Option<LeaseId>> {
        self.number().map(LeaseId::new)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        self.take(length)
    }

    fn key(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }
}
