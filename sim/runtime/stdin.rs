//! A container's standard input, and what its program makes of it: `cat` writes it out again.
//!
//! The shell brings what an attached client types; `logs.rs` reads what was written.
//!
//! 1. How input is cut into pieces changes nothing of what is written.
//! 2. Nothing is read after the end of the input, nor by a container that does not run.
//!
//! Left out: terminals but for Ctrl-C and Ctrl-D: nothing is echoed.
//!
//! Book: `book/src/simulator/runtime.md`.

use std::collections::VecDeque;

use wavetank_api::Time;
use wavetank_cri::ContainerId;

use super::instance::{End, Instance};
use super::{Due, SimRuntime};

/// Most bytes of output that are kept of one container; the oldest are dropped.
const WRITTEN_MAX: usize = 1 << 20;
/// What Ctrl-C and Ctrl-D send.
const INTERRUPT: u8 = 0x03;
const END_OF_TRANSMISSION: u8 = 0x04;

/// What a program has written of what it read.
#[derive(Debug, Default)]
pub struct Written {
    /// In order, each with its time.
    pieces: VecDeque<(Time, Vec<u8>)>,
    /// Bytes in `pieces`.
    kept: usize,
    /// Bytes ever written.
    total: u64,
}

impl Written {
    fn push(&mut self, bytes: &[u8], now: Time) {
        self.kept += bytes.len();
        self.total += bytes.len() as u64;
        self.pieces.push_back((now, bytes.to_vec()));
        while self.kept > WRITTEN_MAX {
            let oldest = self.pieces.pop_front();
            self.kept -= oldest.map_or(self.kept, |(_, bytes)| bytes.len());
        }
    }

    /// Bytes ever written.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Bytes that were written before a time.
    pub fn before(&self, time: Time) -> u64 {
        let later = self.pieces.iter().filter(|(at, _)| *at >= time);
        self.total - later.map(|(_, bytes)| bytes.len() as u64).sum::<u64>()
    }

    /// What was written after the first `seen` bytes.
    pub fn after(&self, seen: u64) -> Vec<u8> {
        let first = self.total - self.kept as u64;
        let skip = usize::try_from(seen.saturating_sub(first)).unwrap_or(usize::MAX);
        let all = self.pieces.iter().flat_map(|(_, bytes)| bytes);
        all.skip(skip).copied().collect()
    }

    /// The lines that are complete, each with the time of its end; what follows the last is one
    /// too once the program has ended.
    pub fn lines(&self, ended: Option<Time>) -> Vec<(Time, String)> {
        let (mut lines, mut line) = (Vec::new(), Vec::new());
        let text = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
        for (at, piece) in &self.pieces {
            let mut rest = &piece[..];
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                line.extend_from_slice(&rest[..end]);
                lines.push((*at, text(&line)));
                line.clear();
                rest = &rest[end + 1..];
            }
            line.extend_from_slice(rest);
        }
        let last = ended.filter(|_| !line.is_empty());
        lines.extend(last.map(|at| (at, text(&line))));
        lines
    }
}

impl Instance {
    /// How the program ends with its input; `None` when nothing reads what is typed.
    fn reads(&self) -> Option<End> {
        let is_open = self.running_since().is_some() && self.config.stdin;
        self.behavior.copies_input.filter(|_| is_open)
    }
}

impl SimRuntime {
    // ANCHOR: write_stdin
    /// Hands a container's program a piece of its standard input. Where nobody reads
    /// it, it stays in the pipe.
    pub fn write_stdin(&mut self, id: &ContainerId, bytes: &[u8], now: Time) {
        let found = self.containers.get_mut(id);
        let Some(instance) = found.filter(|found| found.reads().is_some()) else {
            return;
        };
        let is_key = |byte: &u8| [INTERRUPT, END_OF_TRANSMISSION].contains(byte);
        let key = bytes.iter().position(is_key);
        let key = key.filter(|_| instance.config.tty);
        let (read, rest) = bytes.split_at(key.unwrap_or(bytes.len()));
        let written = instance.written.get_or_insert_default();
        written.push(read, now);
        match rest.first() {
            Some(&INTERRUPT) => self.at(now, Due::Ended(id.clone(), End::with(130))),
            Some(_) => self.close_stdin(id, now),
            None => {}
        }
    }

    /// Ends a container's standard input; a program that reads it ends too.
    pub fn close_stdin(&mut self, id: &ContainerId, now: Time) {
        let instance = self.containers.get_mut(id);
        let end = instance.and_then(|instance| {
            let end = instance.reads()?;
            instance.behavior.copies_input = None;
            Some(end)
        });
        if let Some(end) = end {
            self.at(now, Due::Ended(id.clone(), end));
        }
    }
    // ANCHOR_END: write_stdin
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Invariant 1, and what each kind of reader gets of it.
        #[test]
        fn how_input_is_cut_changes_nothing(text in "[ab\n]{0,40}", cuts: [usize; 3], seen: usize) {
            let at = Time::from_secs(1);
            let (mut whole, mut cut) = (Written::default(), Written::default());
            whole.push(text.as_bytes(), at);
            let mut rest = text.as_bytes();
            for size in cuts {
                let (piece, tail) = rest.split_at(size % (rest.len() + 1));
                cut.push(piece, at);
                rest = tail;
            }
            cut.push(rest, at);
            let seen = seen % (text.len() + 1);
            prop_assert_eq!(cut.after(seen as u64), &text.as_bytes()[seen..]);
            prop_assert_eq!(cut.lines(None), whole.lines(None));
            let lines = cut.lines(Some(at)).into_iter().map(|(_, line)| line);
            prop_assert_eq!(lines.collect::<Vec<_>>(), text.lines().collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_oldest_output_is_dropped() {
        let mut written = Written::default();
        let piece = vec![b'x'; WRITTEN_MAX / 2];
        (0..5).for_each(|second| written.push(&piece, Time::from_secs(second)));
        assert_eq!(written.total(), 5 * piece.len() as u64);
        assert_eq!(written.after(0).len(), 2 * piece.len());
        assert_eq!(written.before(Time::from_secs(4)), 4 * piece.len() as u64);
    }
}
