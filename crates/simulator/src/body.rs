//! The body of an answer: whole, or streamed as the engine makes tokens; cut short where a fault says so.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::connection::Misbehaviour;
use crate::dialects::Writer;
use crate::instance::Ticket;
use crate::text::Answer;

/// A body that ended before its end, on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fault cut the body")]
pub(crate) struct Cut;

/// How a fault bends a body.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bend {
    pub(crate) drop_after_bytes: Option<u64>,
    pub(crate) reset_after_tokens: Option<u32>,
    pub(crate) excess_bytes: Option<u32>,
}

/// An answer's body.
#[derive(Debug)]
pub(crate) struct Body {
    source: Source,
    bend: Bend,
    sent_bytes: u64,
    ending: Ending,
    misbehaviour: Arc<Misbehaviour>,
}

#[derive(Debug)]
enum Source {
    Whole(Bytes),
    Stream(Box<TokenStream>),
}

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Frames are to come.
    NotYet,
    /// The last frame is out.
    Done,
    /// What is out is flushed before the cut, so that the client sees it.
    CutAfterFlush { reset: bool },
    /// The connection is closed next.
    CutNow { reset: bool },
}

/// Tokens on their way out as they come.
#[derive(Debug)]
pub(crate) struct TokenStream {
    pub(crate) ticket: Ticket,
    pub(crate) writer: Writer,
    pub(crate) words: Answer,
    pub(crate) sent: u32,
}

/// Tokens in a frame, at most: a client that reads slowly must not make one frame of a whole context.
const FRAME_TOKENS_MAX: u32 = 256;

impl Body {
    pub(crate) fn whole(bytes: impl Into<Bytes>, bend: Bend, misbehaviour: Arc<Misbehaviour>) -> Self {
        Self::new(Source::Whole(bytes.into()), bend, misbehaviour)
    }

    pub(crate) fn stream(stream: TokenStream, bend: Bend, misbehaviour: Arc<Misbehaviour>) -> Self {
        Self::new(Source::Stream(Box::new(stream)), bend, misbehaviour)
    }

    fn new(source: Source, bend: Bend, misbehaviour: Arc<Misbehaviour>) -> Self {
        Self { source, bend, sent_bytes: 0, ending: Ending::NotYet, misbehaviour }
    }

    /// The next bytes, and how the body goes on after them.
    fn poll_bytes(&mut self, context: &mut Context<'_>) -> Poll<Bytes> {
        let stream = match &mut self.source {
            Source::Whole(bytes) => {
                self.ending = Ending::Done;
                return Poll::Ready(bytes.clone());
            }
            Source::Stream(stream) => stream,
        };
        let progress = ready!(stream.ticket.poll_beyond(stream.sent, context));
        let reset_at = self.bend.reset_after_tokens.filter(|&tokens| tokens <= progress.generated);
        let mut out = Vec::with_capacity(512);
        if stream.sent == 0 {
            stream.writer.start(&mut out, progress.cached);
        }
        let ready = reset_at.unwrap_or(progress.generated);
        let until = ready.min(stream.sent + FRAME_TOKENS_MAX);
        while stream.sent < until {
            stream.writer.delta(&mut out, &stream.words.next_word());
            stream.sent += 1;
        }
        if stream.sent < ready {
            return Poll::Ready(out.into());
        }
        if reset_at.is_some() {
            self.ending = Ending::CutAfterFlush { reset: true };
        } else if progress.finished {
            stream.writer.end(&mut out, progress);
            self.ending = Ending::Done;
        }
        Poll::Ready(out.into())
    }

    /// Shortens `bytes` to what may still be sent before the drop.
    fn bend(&mut self, mut bytes: Bytes) -> Bytes {
        if let Some(limit) = self.bend.drop_after_bytes {
            let left = limit - self.sent_bytes;
            if bytes.len() as u64 >= left {
                bytes.truncate(left as usize);
                self.ending = Ending::CutAfterFlush { reset: false };
            }
        }
        self.sent_bytes += bytes.len() as u64;
        if let (Ending::Done, Some(excess)) = (self.ending, self.bend.excess_bytes) {
            self.misbehaviour.add_excess(excess);
        }
        bytes
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.ending {
            Ending::NotYet => {
                let bytes = ready!(self.poll_bytes(context));
                let bytes = self.bend(bytes);
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Ending::Done => Poll::Ready(None),
            Ending::CutAfterFlush { reset } => {
                self.ending = Ending::CutNow { reset };
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Ending::CutNow { reset } => {
                if reset {
                    self.misbehaviour.end_in_reset();
                }
                Poll::Ready(Some(Err(Cut)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ending == Ending::Done
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64 - self.sent_bytes),
            Source::Stream(_) => SizeHint::default(),
        }
    }
}
