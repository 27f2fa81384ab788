//! The format of log files: a header with a version, then frames, each checksummed and numbered.
//!
//! One frame is one group commit: everything staged between two syncs. It is appended only after
//! the frame before it is on disk, and that is what tells a torn tail from a damaged middle: what
//! stands before another frame was once synced, so it must be whole.
//!
//! 1. A frame that is cut short, or has a whole sector of zeros where the disk never wrote, and
//!    that nothing follows, is *torn*: it was never acknowledged, and recovery cuts it off.
//! 2. Every other difference from what was written is *damage*, and recovery refuses.
//!
//! All numbers are little-endian. Checksums are CRC-32 (IEEE). The rule of sectors is that of
//! etcd's `server/storage/wal/decoder.go`; frames begin and end with bytes that are not zero, so
//! that only a value with 512 zero bytes in a row could look unwritten.
//!
//! Book: `book/src/control-plane/store.md`.

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Segment,
    Snapshot,
}

const FILE_MAGIC: &[u8; 8] = b"WAVETANK";
/// Grows with each change of the format that older programs cannot read.
const FORMAT_VERSION: u32 = 2;
/// Magic 8, version 4, content 4, first frame 8, checksum of all before 4, padding 4.
pub(crate) const FILE_HEADER: usize = 32;

const FRAME_MAGIC: &[u8; 8] = b"WTFRAME1";
/// Magic 8, number 8, length of the padded payload 8, its checksum 4, checksum of all before 4.
pub(crate) const FRAME_HEADER: usize = 32;
/// Frames are padded to this, so that no sector holds so little of one that a single changed byte
/// could make it look unwritten.
const ALIGNMENT: usize = 8;
/// At least [`ALIGNMENT`] of these end each frame; no record begins with it.
pub(crate) const PADDING: u8 = 0x5a;
const SECTOR: usize = 512;

/// The first bytes of a file whose first frame has this number.
pub(crate) fn file_header(content: Content, first: u64) -> [u8; FILE_HEADER] {
    let mut header = [PADDING; FILE_HEADER];
    header[..8].copy_from_slice(FILE_MAGIC);
    header[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    header[12..16].copy_from_slice(&content_number(content).to_le_bytes());
    header[16..24].copy_from_slice(&first.to_le_bytes());
    let checksum = crc32fast::hash(&header[..24]);
    header[24..28].copy_from_slice(&checksum.to_le_bytes());
    header
}

fn content_number(content: Content) -> u32 {
    match content {
        Content::Segment => 1,
        Content::Snapshot => 2,
    }
}

/// A frame being filled: its payload stands after room for the header.
#[derive(Debug)]
pub(crate) struct Building {
    bytes: Vec<u8>,
}

impl Default for Building {
    fn default() -> Self {
        Building {
            bytes: vec![0; FRAME_HEADER],
        }
    }
}

impl Building {
    /// An empty frame with room for as much as this one has.
    pub fn another(&self) -> Self {
        let mut bytes = Vec::with_capacity(self.bytes.len() + 2 * ALIGNMENT);
        bytes.resize(FRAME_HEADER, 0);
        Building { bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.len() == FRAME_HEADER
    }

    /// The payload so far, to be appended to.
    pub fn payload(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub fn len(&self) -> usize {
        self.bytes.len() - FRAME_HEADER
    }

    // ANCHOR: seal
    /// The finished frame.
    pub fn seal(mut self, number: u64) -> Vec<u8> {
        let padded = self.bytes.len().next_multiple_of(ALIGNMENT) + ALIGNMENT;
        self.bytes.resize(padded, PADDING);
        let length = (self.bytes.len() - FRAME_HEADER) as u64;
        let checksum = crc32fast::hash(&self.bytes[FRAME_HEADER..]);
        let header = &mut self.bytes[..FRAME_HEADER];
        header[..8].copy_from_slice(FRAME_MAGIC);
        header[8..16].copy_from_slice(&number.to_le_bytes());
        header[16..24].copy_from_slice(&length.to_le_bytes());
        header[24..28].copy_from_slice(&checksum.to_le_bytes());
        let header_checksum = crc32fast::hash(&header[..28]);
        header[28..].copy_from_slice(&header_checksum.to_le_bytes());
        self.bytes
    }
    // ANCHOR_END: seal
}

/// Why a file could not be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The last write was cut off at this byte; everything before it is whole.
    Torn { offset: usize },
    /// What was once whole is not.
    Damaged { offset: usize, what: &'static str },
}

fn damaged(offset: usize, what: &'static str) -> Broken {
    Broken::Damaged { offset, what }
}

/// Reads the frames of one file.
pub(crate) struct Frames<'a> {
    bytes: &'a [u8],
    offset: usize,
    /// The number that the next frame must have.
    pub next: u64,
}

/// One whole frame.
pub(crate) struct Frame<'a> {
    pub number: u64,
    /// Where the payload stands in the file.
    pub offset: usize,
    pub payload: &'a [u8],
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// Number, length and checksum of a whole frame header at the start of `bytes`.
fn frame_header(bytes: &[u8]) -> Option<(u64, u64, u32)> {
    if bytes.get(..8)? != FRAME_MAGIC || crc32fast::hash(bytes.get(..28)?) != u32_at(bytes, 28)? {
        return None;
    }
    Some((u64_at(bytes, 8)?, u64_at(bytes, 16)?, u32_at(bytes, 24)?))
}

impl<'a> Frames<'a> {
    /// Reads the file's header.
    pub fn open(bytes: &'a [u8], content: Content) -> Result<Self, Broken> {
        let Some(header) = bytes.get(..FILE_HEADER) else {
            return Err(Broken::Torn { offset: 0 });
        };
        let first = u64_at(header, 16).unwrap_or_default();
        if u32_at(header, 24) != Some(crc32fast::hash(&header[..24])) {
            let unwritten = header.iter().all(|byte| *byte == 0) && !follows(bytes, FILE_HEADER);
            return Err(if unwritten {
                Broken::Torn { offset: 0 }
            } else {
                damaged(0, "the file's header does not match its checksum")
            });
        }
        if header[..8] != *FILE_MAGIC || u32_at(header, 12) != Some(content_number(content)) {
            return Err(damaged(0, "this is not the kind of file its name says"));
        }
        if u32_at(header, 8) != Some(FORMAT_VERSION) {
            return Err(damaged(
                8,
                "written in a format version that this program does not know",
            ));
        }
        Ok(Frames {
            bytes,
            offset: FILE_HEADER,
            next: first,
        })
    }

    // ANCHOR: next_frame
    /// The next frame; `None` at the end of a whole file.
    pub fn next(&mut self) -> Result<Option<Frame<'a>>, Broken> {
        let at = self.offset;
        let rest = self.bytes.get(at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let Some((number, length, checksum)) = frame_header(rest) else {
            return Err(self.bad_header(rest));
        };
        if number != self.next {
            return Err(damaged(at, "a frame is missing or doubled"));
        }
        let end = usize::try_from(length)
            .ok()
            .and_then(|length| length.checked_add(FRAME_HEADER));
        let Some(frame) = end.and_then(|end| rest.get(..end)) else {
            return Err(Broken::Torn { offset: at });
        };
        let payload = &frame[FRAME_HEADER..];
        if crc32fast::hash(payload) != checksum {
            let last = frame.len() == rest.len();
            return Err(if last && has_unwritten_sector(frame, at) {
                Broken::Torn { offset: at }
            } else {
                damaged(at, "a frame does not match its checksum")
            });
        }
        self.offset += frame.len();
        self.next += 1;
        Ok(Some(Frame {
            number,
            offset: at + FRAME_HEADER,
            payload,
        }))
    }
    // ANCHOR_END: next_frame

    fn bad_header(&self, rest: &[u8]) -> Broken {
        let torn = match rest.get(..FRAME_HEADER) {
            None => true,
            // Only the header's own bytes count: what follows it may be the next frame, unwritten.
            Some(header) => has_unwritten_sector(header, self.offset) && !follows(rest, 1),
        };
        if torn {
            return Broken::Torn {
                offset: self.offset,
            };
        }
        damaged(self.offset, "a frame's header does not match its checksum")
    }
}

/// Whether a frame header stands anywhere in `bytes` from `from` on: then what is before it was
/// synced once.
fn follows(bytes: &[u8], from: usize) -> bool {
    let rest = bytes.get(from..).unwrap_or_default();
    rest.windows(FRAME_HEADER)
        .any(|window| frame_header(window).is_some())
}

/// Whether a sector of the file, as far as this part of it at `offset` covers it, is all zeros.
fn has_unwritten_sector(part: &[u8], offset: usize) -> bool {
    let first = (SECTOR - offset % SECTOR).min(part.len());
    let (head, tail) = part.split_at(first);
    std::iter::once(head)
        .chain(tail.chunks(SECTOR))
        .any(|part| part.iter().all(|byte| *byte == 0))
}
