//! A snapshot: all that lives at one moment, so that the log before it can go.
//!
//! Taken from a [`Store`](crate::Store) in one pass over its index (pointers are copied, not
//! values), then written by whoever has the time: it is `Send` and shares nothing that changes.
//!
//! 1. Frames before [`Snapshot::covers`] are in it, later ones are not.
//! 2. It may be published only once the ticket [`Snapshot::after`] is durable: it shows the head.
//!
//! Left out: the history. After recovery from a snapshot its revision is the compacted one.
//!
//! Book: `book/src/control-plane/store.md`.

use std::sync::Arc;

use wavetank_api::Revision;

use crate::frame::{Building, Content, file_header};
use crate::lease::Term;
use crate::record::Writer;
use crate::txn::Ticket;
use crate::value::{KeyValue, LeaseId};

/// About how many bytes one part has.
const PART_BYTES: usize = 256 * 1024;

/// Everything that lives at one revision.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(crate) covers: u64,
    pub(crate) after: Ticket,
    pub(crate) revision: Revision,
    pub(crate) values: Vec<Arc<KeyValue>>,
    pub(crate) leases: Vec<(LeaseId, Term)>,
}

impl Snapshot {
    /// The number of the first frame that is not in it; the log continues there.
    pub fn covers(&self) -> u64 {
        self.covers
    }

    /// The ticket that must be durable before the snapshot is published.
    pub fn after(&self) -> Ticket {
        self.after
    }

    /// The revision it shows.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The bytes of the snapshot's file, part by part.
    pub fn parts(&self) -> impl Iterator<Item = Vec<u8>> {
        let header = file_header(Content::Snapshot, 0).to_vec();
        std::iter::once(header).chain(Parts {
            snapshot: self,
            frame: 0,
            place: Some(0),
        })
    }
}

/// Where the encoding stands.
struct Parts<'a> {
    snapshot: &'a Snapshot,
    frame: u64,
    /// How many values are written; `None` after the last frame.
    place: Option<usize>,
}

impl Iterator for Parts<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let from = self.place?;
        let mut frame = Building::default();
        if from == 0 {
            Writer(frame.payload()).state(self.snapshot.revision);
            for (id, term) in &self.snapshot.leases {
                Writer(frame.payload()).grant(*id, *term);
            }
        }
        let mut place = from;
        for value in self.snapshot.values.iter().skip(from) {
            // Leases alone may fill a part: at least one value goes in, so that there is an end.
            if frame.len() >= PART_BYTES && place > from {
                break;
            }
            Writer(frame.payload()).value(value);
            place += 1;
        }
        self.place = Some(place);
        if place == self.snapshot.values.len() {
            Writer(frame.payload()).end(place as u64);
            self.place = None;
        }
        self.frame += 1;
        Some(frame.seal(self.frame - 1))
    }
}
