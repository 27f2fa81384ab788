//! Answers' bodies: chunks that are there already, or frames that are still to come.
//!
//! 1. The bytes sent are those of the chunks, in order. A large chunk goes out as the core's own
//!    allocation; small ones are joined, because a frame costs more than copying a few bytes.
//!
//! Book: `book/src/control-plane/serving.md`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use hyper::body::{Frame, SizeHint};
use tokio::sync::mpsc;

use crate::door::Frames;

/// Chunks are joined up to this size: four TLS records.
const JOINED_BYTES: usize = 64 * 1024;

/// The body of an answer.
pub(crate) enum Body {
    /// A whole answer.
    Chunks(VecDeque<Bytes>),
    /// A watch.
    Frames(Frames),
    /// A container's log.
    Log(mpsc::Receiver<Bytes>),
}

impl Body {
    pub fn empty() -> Self {
        Body::Chunks(VecDeque::new())
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match &mut *self {
            Body::Chunks(chunks) => next_chunk(chunks),
            Body::Frames(frames) => ready!(frames.poll_next(context)),
            Body::Log(lines) => ready!(lines.poll_recv(context)),
        };
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Body::Chunks(chunks) if chunks.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Chunks(chunks) => {
                SizeHint::with_exact(chunks.iter().map(|chunk| chunk.len() as u64).sum())
            }
            Body::Frames(_) | Body::Log(_) => SizeHint::default(),
        }
    }
}

/// Takes the first chunk, or the first few as one.
fn next_chunk(chunks: &mut VecDeque<Bytes>) -> Option<Bytes> {
    let first = chunks.pop_front()?;
    let fits = |length: usize, next: &Bytes| length + next.len() <= JOINED_BYTES;
    if chunks.front().is_none_or(|next| !fits(first.len(), next)) {
        return Some(first);
    }
    let mut joined = BytesMut::with_capacity(JOINED_BYTES);
    joined.extend_from_slice(&first);
    while let Some(next) = chunks.pop_front_if(|next| fits(joined.len(), next)) {
        joined.extend_from_slice(&next);
    }
    Some(joined.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_chunks_are_joined_and_none_is_lost() {
        let sizes = [1, 10, 70_000, 3, 40_000, 30_000, 65_536, 1];
        let chunks: Vec<_> = (0u8..).zip(sizes).map(|(n, size)| vec![n; size]).collect();
        let mut left: VecDeque<Bytes> = chunks.iter().cloned().map(Bytes::from).collect();
        let sent: Vec<_> = std::iter::from_fn(|| next_chunk(&mut left)).collect();
        assert_eq!(sent.concat(), chunks.concat());
        let sizes: Vec<_> = sent.iter().map(Bytes::len).collect();
        assert_eq!(sizes, [11, 70_000, 40_003, 30_000, 65_536, 1]);
    }
}
