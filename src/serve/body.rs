//! Answers' bodies: chunks that are there already, or frames that are still to come.
//!
//! 1. A chunk is the core's own allocation; nothing is copied on the way to the socket.
//!
//! Book: `book/src/control-plane/serving.md`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::sync::mpsc;

use crate::door::Frames;

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
            Body::Chunks(chunks) => chunks.pop_front(),
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
