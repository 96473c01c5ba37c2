//! One stream on the wire: the body of the gRPC response, made from the body of the gRPC request.
//!
//! In: the peer's bytes, read only as fast as replies are taken. Out: the session's replies, several in one piece where
//! several messages were there. There is no task and no queue between the two: whoever polls for replies reads messages.
//! Never: more than two parts of a coded body in one turn; a wait for the rest of a message, or for a stream's first,
//! without a deadline, nor while the session holds something back; bytes of a message that is not whole, or of a body
//! that waits to leave, without their charge.

use crate::grpc::{Code, Decoder, FrameError, Status};
use crate::replies::{Packet, Replies};
use crate::session::{Next, Parting, Session};
use crate::wire::BODIES_OF_REQUEST;
use http_body::{Body, Frame};
use hyper::body::Incoming;
use journey::{Now, Refusal};
use payload::{Budget, ParseError, Share, Spent};
use state::Clock;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Replies are handed over once they are so many bytes, even if more messages are there.
const PACKET_BYTES: usize = 256 << 10;

/// Headers, metadata and whatever else a message has beside a body, bytes: Envoy takes 60 KiB of headers unless it is told
/// otherwise, and what is read of them takes fifty times as much for a moment.
const BESIDE_BODY_BYTES_MAX: usize = 1 << 20;

/// What a stream may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds<'a> {
    /// One message, bytes.
    pub(crate) message_bytes_max: usize,
    /// To the end of the first message, and from a message's first byte to its last.
    pub(crate) message_timeout: Duration,
    /// What is charged for a message that is not whole.
    pub(crate) budget: &'a Arc<Budget>,
}

/// One stream.
#[derive(Debug)]
pub(crate) struct Exchange<S> {
    incoming: Incoming,
    decoder: Decoder,
    /// The charge for what the decoder holds.
    arriving: Share,
    /// Since when a message is waited for: the first since the stream was opened, any other since its first byte.
    awaited: Option<Now>,
    message_timeout: Duration,
    session: Option<S>,
    /// The bytes of the message that the session has read only partly.
    behind: Option<u64>,
    replies: Replies,
    /// How the stream ends, once that is decided; taken when it is said.
    end: Option<Status>,
    alarm: Option<Alarm>,
    clock: Clock,
}

/// Wakes the stream at a moment.
#[derive(Debug)]
struct Alarm {
    at: Now,
    sleep: Pin<Box<Sleep>>,
}

/// Why a stream is given up.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("{} of at most {} bytes of request bodies are held", .0.held, .0.limit)]
    Budget(Spent),
}

impl<S: Session> Exchange<S> {
    pub(crate) fn new(incoming: Incoming, session: S, bounds: Bounds<'_>, clock: Clock) -> Exchange<S> {
        Exchange {
            incoming,
            decoder: Decoder::new(bounds.message_bytes_max)
                .with_beside(&BODIES_OF_REQUEST, BESIDE_BODY_BYTES_MAX),
            arriving: Share::new(bounds.budget),
            awaited: Some(clock.now()),
            message_timeout: bounds.message_timeout,
            session: Some(session),
            behind: None,
            replies: Replies::default(),
            end: None,
            alarm: None,
            clock,
        }
    }

    /// Gives the session the rest of a message that was read partly, and then every message that is whole, until it has read
    /// one partly; charges for what is left.
    fn take_messages(&mut self) -> Result<(), Unreadable> {
        let now = self.clock.now();
        if let Some(bytes) = self.behind.take()
            && let Some(session) = &mut self.session
        {
            self.arriving.hold(0).map_err(Unreadable::Budget)?;
            let next = session.again(&mut self.replies);
            self.go_on(next, bytes);
        }
        while self.behind.is_none()
            && let Some(session) = &mut self.session
        {
            let before = self.decoder.held_bytes();
            let Some(message) = self.decoder.next_message()? else { break };
            let bytes = before - self.decoder.held_bytes();
            // What of it is held is the session's to charge.
            self.arriving.hold(0).map_err(Unreadable::Budget)?;
            self.awaited = None;
            let next = session.on(message, now, &mut self.replies);
            self.go_on(next, bytes);
        }
        let is_inside = self.session.is_some() && self.decoder.finish().is_err();
        if is_inside && self.awaited.is_none() {
            self.awaited = Some(now);
        }
        let left = if is_inside { self.decoder.held_bytes() } else { 0 };
        let held = self.arriving.hold(left + self.behind.unwrap_or(0));
        let of_session = self.session.as_ref().map_or(0, Session::held_bytes);
        held.map_err(|spent| Unreadable::Budget(spent.beside(of_session)))
    }

    /// Does as the session says of a message of so many bytes.
    fn go_on(&mut self, next: Next, bytes: u64) {
        match next {
            Next::Continue => {}
            Next::Again => self.behind = Some(bytes),
            Next::End(status) => self.end_with(status),
        }
    }

    fn take_messages_or_end(&mut self) {
        if let Err(error) = self.take_messages() {
            tracing::warn!(%error, "a stream is given up");
            match error.refusal() {
                Some(refusal) => self.give_up(&refusal, error.status()),
                None => self.end_with(error.status()),
            }
        }
    }

    /// Ends in the middle of a message: the client is told, if the session still may.
    fn give_up(&mut self, refusal: &Refusal, otherwise: Status) {
        let Some(session) = &mut self.session else { return };
        let parting = session.give_up(refusal, &mut self.replies);
        self.end_with(match parting {
            Parting::Answered => Status::OK,
            Parting::Silent => otherwise,
        });
    }

    /// The session is over: what it held is given back now, not when the peer has read the last byte.
    fn end_with(&mut self, status: Status) {
        self.session = None;
        self.behind = None;
        self.awaited = None;
        self.alarm = None;
        self.end = Some(status);
    }

    /// Reads until there are enough replies, the stream has ended, or the peer has sent nothing more.
    fn poll_replies(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.session.is_some() && self.replies.bytes() < PACKET_BYTES {
            if self.behind.is_some() {
                self.take_messages_or_end();
                if self.behind.is_some() {
                    // Others have their turn.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                continue;
            }
            let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
                return self.poll_deadline(cx);
            };
            match frame {
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    self.decoder.feed(data);
                    self.take_messages_or_end();
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, "a stream was broken off");
                    self.end_with(Status::new(Code::Cancelled, "the stream was broken off"));
                }
                None => {
                    let ended = self.decoder.finish().map_err(Unreadable::Frame);
                    self.end_with(ended.map_or_else(|cut| cut.status(), |()| Status::OK));
                }
            }
        }
        Poll::Ready(())
    }

    /// Nothing came: waits until the deadline of the message that is awaited, or of what the session holds back.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.replies.bytes() > 0 {
            return Poll::Ready(());
        }
        loop {
            let Some(session) = &mut self.session else { return Poll::Ready(()) };
            let of_session = session.deadline();
            let of_message = self.awaited.map(|since| since.plus(self.message_timeout));
            let Some(deadline) = of_session.into_iter().chain(of_message).min() else { return Poll::Pending };
            let now = self.clock.now();
            if of_session.is_some_and(|deadline| deadline <= now) {
                let next = session.late(now, &mut self.replies);
                self.go_on(next, 0);
                return Poll::Ready(());
            }
            if deadline <= now {
                self.message_is_late();
                return Poll::Ready(());
            }
            ready!(self.poll_alarm(deadline, now, cx));
        }
    }

    /// No whole message came in time. Where nothing of one came, nothing was asked.
    fn message_is_late(&mut self) {
        let stalled = self.message_timeout;
        let message = format!("no whole message within {}s", stalled.as_secs_f32());
        let status = Status::new(Code::DeadlineExceeded, message);
        match self.decoder.finish() {
            Ok(()) => self.end_with(status),
            Err(_) => {
                let received = self.decoder.held_bytes();
                self.give_up(&Refusal::BodyStalled { received, stalled }, status);
            }
        }
    }

    /// Waits for `deadline`, or for an earlier moment that the alarm was set to.
    fn poll_alarm(&mut self, deadline: Now, now: Now, cx: &mut Context<'_>) -> Poll<()> {
        let after = deadline.since(now);
        let alarm = self
            .alarm
            .get_or_insert_with(|| Alarm { at: deadline, sleep: Box::pin(tokio::time::sleep(after)) });
        if alarm.at <= now || alarm.at > deadline {
            alarm.at = deadline;
            alarm.sleep.as_mut().reset(Instant::now() + after);
        }
        alarm.sleep.as_mut().poll(cx)
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
                let mut packet = this.replies.take_packet();
                packet.charge(&this.arriving);
                return Poll::Ready(Some(Ok(Frame::data(packet))));
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

impl Unreadable {
    /// What the client is told, if it is told; a peer that speaks no gRPC has no client.
    fn refusal(&self) -> Option<Refusal> {
        match self {
            Unreadable::Budget(spent) => Some((*spent).into()),
            Unreadable::Frame(FrameError::TooLong { limit, .. }) => {
                Some(ParseError::TooLarge { limit: *limit as u64 }.into())
            }
            Unreadable::Frame(FrameError::TooMuchBeside { .. }) => Some(Refusal::MalformedRequest {
                what: "its headers, with what the gateway says of it, are more than 1 MiB",
            }),
            Unreadable::Frame(_) => None,
        }
    }

    fn status(&self) -> Status {
        let code = match self {
            Unreadable::Frame(FrameError::Compressed) => Code::Unimplemented,
            Unreadable::Frame(FrameError::TooLong { .. } | FrameError::TooMuchBeside { .. })
            | Unreadable::Budget(_) => Code::ResourceExhausted,
            Unreadable::Frame(FrameError::Malformed(_) | FrameError::CutShort) => Code::InvalidArgument,
        };
        Status::new(code, self.to_string())
    }
}
