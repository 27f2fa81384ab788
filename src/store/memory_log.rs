//! A log in memory that fails as disks do: on demand, and the same way each time.
//!
//! The simulator's store nodes and the tests of recovery write here. Nothing in it is random: the
//! caller, who has a seed, says what to lose and which bit to turn.
//!
//! 1. [`MemoryLog::crash`] leaves every synced byte as it is.
//!
//! Book: `book/src/control-plane/store.md`.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::log::{FileKind, Log, LogError, LogFile};

/// What becomes of bytes that were appended and not synced when the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Only the first so many of them are there.
    KeepFirst(usize),
    /// The file has its full length, but of the 512-byte sectors that were not synced those whose
    /// bit is 0 in `written` (sector number modulo 64) hold zeros.
    Tear {
        /// Which sectors reached the medium.
        written: u64,
    },
}

/// A file as the pieces that were appended: a log that grows for hours is never moved, and what
/// the store hands out is never copied.
#[derive(Clone, Debug, Default)]
struct File {
    pieces: Vec<Bytes>,
    len: usize,
    synced: usize,
}

impl File {
    /// A file that is on the medium from its beginning.
    fn synced(pieces: Vec<Bytes>) -> Self {
        let len = pieces.iter().map(Bytes::len).sum();
        File {
            pieces,
            len,
            synced: len,
        }
    }

    fn append(&mut self, bytes: &Bytes) {
        self.len += bytes.len();
        self.pieces.push(bytes.clone());
    }

    fn truncate(&mut self, len: usize) {
        while self.len > len
            && let Some(last) = self.pieces.last_mut()
        {
            let kept = last.len().saturating_sub(self.len - len);
            self.len -= last.len() - kept;
            last.truncate(kept);
            if kept == 0 {
                self.pieces.pop();
            }
        }
    }

    /// Changes some of the bytes from a place on.
    fn damage(&mut self, from: usize, mut change: impl FnMut(usize, &mut u8)) {
        let mut at = 0;
        for piece in &mut self.pieces {
            let end = at + piece.len();
            if end > from {
                let mut bytes = Vec::from(core::mem::take(piece));
                let damaged = bytes.iter_mut().enumerate();
                let damaged = damaged.map(|(offset, byte)| (at + offset, byte));
                damaged
                    .filter(|(place, _)| *place >= from)
                    .for_each(|(place, byte)| change(place, byte));
                *piece = bytes.into();
            }
            at = end;
        }
    }
}

/// Files in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryLog {
    files: BTreeMap<String, File>,
    current: String,
    /// How many syncs still succeed; written by `fail_after`.
    syncs_left: Option<u64>,
}

impl MemoryLog {
    /// An empty medium.
    pub fn new() -> Self {
        MemoryLog::default()
    }

    /// Lets so many syncs succeed, and none after them.
    pub fn fail_after(&mut self, syncs: u64) {
        self.syncs_left = Some(syncs);
    }

    /// The power goes: unsynced bytes meet their `loss`, and the medium works again.
    pub fn crash(&mut self, loss: Loss) {
        self.syncs_left = None;
        for file in self.files.values_mut() {
            match loss {
                Loss::KeepFirst(kept) => {
                    file.truncate(file.synced.saturating_add(kept));
                }
                Loss::Tear { written } => {
                    file.damage(file.synced, |at, byte| {
                        if written >> (at / 512 % 64) & 1 == 0 {
                            *byte = 0;
                        }
                    });
                }
            }
            file.synced = file.len;
        }
    }

    /// How many bytes are on the medium, all files together.
    pub fn len(&self) -> usize {
        self.files.values().map(|file| file.len).sum()
    }

    /// Whether nothing was ever written.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Turns bits of one byte, counted through all files in order of their names; `true` if there
    /// is such a byte.
    pub fn corrupt(&mut self, at: usize, bits: u8) -> bool {
        let mut before = 0;
        for file in self.files.values_mut() {
            if at - before < file.len {
                let wanted = at - before;
                file.damage(wanted, |place, byte| {
                    if place == wanted {
                        *byte ^= bits;
                    }
                });
                return true;
            }
            before += file.len;
        }
        false
    }

    fn file(&mut self, what: &'static str, name: &str) -> Result<&mut File, LogError> {
        let missing = || error(what, name, "no such file");
        self.files.get_mut(name).ok_or_else(missing)
    }
}

fn error(what: &'static str, file: &str, cause: &str) -> LogError {
    LogError {
        what,
        file: file.to_owned(),
        cause: cause.to_owned(),
    }
}

impl Log for MemoryLog {
    fn files(&self) -> Result<Vec<LogFile>, LogError> {
        let known = |(name, file): (&String, &File)| {
            Some(LogFile {
                kind: FileKind::parse(name)?,
                bytes: file.len as u64,
            })
        };
        Ok(self.files.iter().filter_map(known).collect())
    }

    fn read(&self, file: FileKind) -> Result<Vec<u8>, LogError> {
        let name = file.name();
        let missing = || error("read", &name, "no such file");
        self.files
            .get(&name)
            .map(|file| file.pieces.concat())
            .ok_or_else(missing)
    }

    fn truncate(&mut self, file: FileKind, bytes: u64) -> Result<(), LogError> {
        let file = self.file("truncate", &file.name())?;
        file.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
        file.synced = file.len;
        Ok(())
    }

    fn create(&mut self, file: FileKind, header: &[u8]) -> Result<(), LogError> {
        self.current = file.name();
        self.files.insert(
            self.current.clone(),
            File::synced(vec![Bytes::copy_from_slice(header)]),
        );
        Ok(())
    }

    fn append(&mut self, bytes: &Bytes) -> Result<(), LogError> {
        let current = self.current.clone();
        self.file("append to", &current)?.append(bytes);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), LogError> {
        if let Some(left) = &mut self.syncs_left {
            let Some(less) = left.checked_sub(1) else {
                return Err(error("sync", &self.current, "input/output error"));
            };
            *left = less;
        }
        let current = self.current.clone();
        let file = self.file("sync", &current)?;
        file.synced = file.len;
        Ok(())
    }

    fn publish(
        &mut self,
        file: FileKind,
        parts: &mut dyn Iterator<Item = Vec<u8>>,
    ) -> Result<(), LogError> {
        let pieces = parts.map(Bytes::from).collect();
        self.files.insert(file.name(), File::synced(pieces));
        Ok(())
    }

    fn remove(&mut self, file: FileKind) -> Result<(), LogError> {
        self.files.remove(&file.name());
        Ok(())
    }
}
