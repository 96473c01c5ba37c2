//! One stream on the wire: the body of the gRPC response, made from the body of the gRPC request.
//!
//! In: the peer's bytes, read only as fast as replies are taken. Out: the session's replies, several in one piece where
//! several messages were there. There is no task and no queue between the two: whoever polls for replies reads messages.
//! Never: a wait without the session's own deadline while it holds something back.

use crate::grpc::{Code, Decoder, FrameError, Status};
use crate::replies::{Packet, Replies};
use crate::session::{Next, Session};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use journey::Now;
use state::Clock;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::time::{Instant, Sleep};

/// Replies are handed over once they are so many bytes, even if more messages are there.
const PACKET_BYTES: usize = 256 << 10;

/// One stream.
#[derive(Debug)]
pub(crate) struct Exchange<S> {
    incoming: Incoming,
    decoder: Decoder,
    session: Option<S>,
    replies: Replies,
    /// How the stream ends, once that is decided; taken when it is said.
    end: Option<Status>,
    alarm: Option<Pin<Box<Sleep>>>,
    clock: Clock,
}

impl<S: Session> Exchange<S> {
    pub(crate) fn new(incoming: Incoming, session: S, message_bytes_max: usize, clock: Clock) -> Exchange<S> {
        Exchange {
            incoming,
            decoder: Decoder::new(message_bytes_max),
            session: Some(session),
            replies: Replies::default(),
            end: None,
            alarm: None,
            clock,
        }
    }

    /// Gives the session every message that is whole.
    fn take_messages(&mut self) -> Result<(), FrameError> {
        while let Some(session) = &mut self.session
            && let Some(message) = self.decoder.next_message()?
        {
            let next = session.on(message, self.clock.now(), &mut self.replies);
            self.go_on(next);
        }
        Ok(())
    }

    fn go_on(&mut self, next: Next) {
        if let Next::End(status) = next {
            self.end_with(status);
        }
    }

    /// The session is over: what it held is given back now, not when the peer has read the last byte.
    fn end_with(&mut self, status: Status) {
        self.session = None;
        self.alarm = None;
        self.end = Some(status);
    }

    /// Reads until there are enough replies, the stream has ended, or the peer has sent nothing more.
    fn poll_replies(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.session.is_some() && self.replies.bytes() < PACKET_BYTES {
            let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
                return self.poll_deadline(cx);
            };
            match frame {
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    self.decoder.feed(data);
                    if let Err(error) = self.take_messages() {
                        tracing::warn!(%error, "a stream is given up");
                        self.end_with(error.status());
                    }
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, "a stream was broken off");
                    self.end_with(Status::new(Code::Cancelled, "the stream was broken off"));
                }
                None => self.end_with(self.decoder.finish().map_or_else(|cut| cut.status(), |()| Status::OK)),
            }
        }
        Poll::Ready(())
    }

    /// Nothing came: waits until the session's deadline, if it holds something back.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.replies.bytes() > 0 {
            return Poll::Ready(());
        }
        loop {
            let Some(session) = &mut self.session else { return Poll::Ready(()) };
            let Some(deadline) = session.deadline() else { return Poll::Pending };
            let now = self.clock.now();
            if deadline <= now {
                let next = session.late(now, &mut self.replies);
                self.go_on(next);
                return Poll::Ready(());
            }
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep(deadline.since(now))));
            ready!(alarm.as_mut().poll(cx));
            self.rearm(deadline, now);
        }
    }

    /// The alarm rang, for a deadline that may have moved on since.
    fn rearm(&mut self, deadline: Now, now: Now) {
        if let Some(alarm) = &mut self.alarm {
            alarm.as_mut().reset(Instant::now() + deadline.since(now));
        }
    }
}

impl<S: Session> Body for Exchange<S> {
    type Data = Packet;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Packet>, Infallible>>> {
        let this = &mut *self;
        loop {
            ready!(this.poll_replies(cx));
            if this.replies.bytes() > 0 {
                return Poll::Ready(Some(Ok(Frame::data(this.replies.take()))));
            }
            if let Some(status) = this.end.take() {
                return Poll::Ready(Some(Ok(Frame::trailers(status.trailers()))));
            }
            if this.session.is_none() {
                return Poll::Ready(None);
            }
        }
    }
}

impl FrameError {
    fn status(&self) -> Status {
        let code = match self {
            FrameError::Compressed => Code::Unimplemented,
            FrameError::TooLong { .. } => Code::ResourceExhausted,
            FrameError::Malformed(_) | FrameError::CutShort => Code::InvalidArgument,
        };
        Status::new(code, self.to_string())
    }
}
