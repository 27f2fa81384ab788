//! Where the bytes go: files that are appended to, synced and read back.
//!
//! `serve` has one on a disk, [`MemoryLog`](crate::MemoryLog) is one that can fail in every way a
//! disk can. The caller of the store carries bytes here; the store itself never sees a log.
//!
//! 1. A frame is appended only when the frame before it is synced.
//! 2. What was synced is read back as it was written; what was not may be there, in part or not.
//! 3. A snapshot is there whole or not at all, and the files it covers go only after it is synced.
//!
//! Book: `book/src/control-plane/store.md`.

use bytes::Bytes;
use wavetank_api::Time;

use crate::frame::{Content, file_header};
use crate::recover::{Damage, Recovery};
use crate::store::Store;

/// The medium failed. After a failed append or sync nothing is known about what is on it, so the
/// process must end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {file}: {cause}")]
pub struct LogError {
    /// What was attempted: `append to`, `sync`, `read` …
    pub what: &'static str,
    /// On which file.
    pub file: String,
    /// What the system said.
    pub cause: String,
}

/// Why a store did not come back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The medium failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The bytes are not those that were written.
    #[error(transparent)]
    Damage(#[from] Damage),
}

/// What a file of a log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// Everything before frame `covers`.
    Snapshot {
        /// The first frame that is not in it.
        covers: u64,
    },
    /// Frames from `first` on.
    Segment {
        /// The number of its first frame.
        first: u64,
    },
}

impl FileKind {
    /// The number that the name tells: `first` or `covers`.
    pub fn number(self) -> u64 {
        match self {
            FileKind::Snapshot { covers: number } | FileKind::Segment { first: number } => number,
        }
    }

    /// The file's name: `log-…` or `snapshot-…` and the number, so that names sort by it.
    pub fn name(self) -> String {
        match self {
            FileKind::Snapshot { covers } => format!("snapshot-{covers:016x}"),
            FileKind::Segment { first } => format!("log-{first:016x}"),
        }
    }

    /// What a file with this name holds; `None` for a file that is not ours.
    pub fn parse(name: &str) -> Option<Self> {
        let (kind, number) = name.split_once('-')?;
        let number = u64::from_str_radix(number, 16).ok()?;
        let parsed = match kind {
            "snapshot" => FileKind::Snapshot { covers: number },
            "log" => FileKind::Segment { first: number },
            _ => return None,
        };
        (parsed.name() == name).then_some(parsed)
    }
}

/// One file of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// What it holds.
    pub kind: FileKind,
    /// How many bytes it has.
    pub bytes: u64,
}

// ANCHOR: log
/// A log on some medium.
pub trait Log {
    /// The files that are there, in any order.
    fn files(&self) -> Result<Vec<LogFile>, LogError>;

    /// The bytes of one file.
    fn read(&self, file: FileKind) -> Result<Vec<u8>, LogError>;

    /// Cuts a file off and syncs it.
    fn truncate(&mut self, file: FileKind, bytes: u64) -> Result<(), LogError>;

    /// Begins a new segment with these bytes, and syncs it and its name. Appends go
    /// there.
    fn create(&mut self, file: FileKind, header: &[u8]) -> Result<(), LogError>;

    /// Appends to the newest segment; not there for sure until `sync`.
    fn append(&mut self, bytes: &Bytes) -> Result<(), LogError>;

    /// Returns when everything appended is on the medium.
    fn sync(&mut self) -> Result<(), LogError>;

    /// Writes a whole snapshot and syncs it; a crash meanwhile leaves no trace of it.
    fn publish(
        &mut self,
        file: FileKind,
        parts: &mut dyn Iterator<Item = Vec<u8>>,
    ) -> Result<(), LogError>;

    /// Removes a file.
    fn remove(&mut self, file: FileKind) -> Result<(), LogError>;
}
// ANCHOR_END: log

/// Begins a segment whose first frame has this number: what `snapshot` covers can then be removed
/// by whole files.
pub fn rotate(log: &mut dyn Log, first: u64) -> Result<(), LogError> {
    log.create(
        FileKind::Segment { first },
        &file_header(Content::Segment, first),
    )
}

/// Removes the files that a published snapshot makes superfluous: older snapshots, and segments
/// that end before frame `covers`.
pub fn prune(log: &mut dyn Log, covers: u64) -> Result<(), LogError> {
    let files = log.files()?;
    // A segment ends where the next one begins.
    let kept = files
        .iter()
        .filter(|file| matches!(file.kind, FileKind::Segment { .. }));
    let kept = kept
        .map(|file| file.kind.number())
        .filter(|first| *first <= covers)
        .max();
    for file in files {
        let superfluous = match file.kind {
            FileKind::Snapshot { covers: older } => older < covers,
            FileKind::Segment { first } => kept.is_some_and(|kept| first < kept),
        };
        if superfluous {
            log.remove(file.kind)?;
        }
    }
    Ok(())
}

// ANCHOR: open
/// Brings the store back from its log: the newest snapshot, then every frame after it.
/// A torn tail is cut off; appends go to a new segment. Leases begin their whole time
/// at `now`.
pub fn open(log: &mut dyn Log, now: Time) -> Result<Store, OpenError> {
    let mut snapshot = None;
    let mut segments = Vec::new();
    for file in log.files()? {
        match file.kind {
            FileKind::Snapshot { covers } => snapshot = snapshot.max(Some(covers)),
            FileKind::Segment { first } => segments.push(first),
        }
    }
    segments.sort_unstable();
    let mut recovery = Recovery::new(now);
    if let Some(covers) = snapshot {
        let file = FileKind::Snapshot { covers };
        recovery.snapshot(&file.name(), &log.read(file)?, covers)?;
    }
    let covers = snapshot.unwrap_or(0);
    for (n, first) in segments.iter().enumerate() {
        // A segment ends where the next one begins; what the snapshot covers need not
        // be read.
        let next = segments.get(n + 1);
        if next.is_some_and(|next| *next <= covers) {
            continue;
        }
        let file = FileKind::Segment { first: *first };
        let bytes = log.read(file)?;
        if let Some(cut) = recovery.segment(&file.name(), &bytes, next.is_none())? {
            log.truncate(file, cut)?;
        }
    }
    let store = recovery.finish();
    rotate(log, store.next_frame())?;
    Ok(store)
}
// ANCHOR_END: open
