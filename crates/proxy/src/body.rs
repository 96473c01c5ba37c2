//! Bodies on their way through: enums, not boxes; read only when the next hop takes what was read before.

use crate::account::Account;
use crate::client_io::Watch;
use crate::core::Core;
use crate::deadlines::Deadline;
use crate::upstream::Lease;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use journey::{Outcome, Refusal};
use payload::Held;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// What went wrong with a request body that streams through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyFault {
    /// The client broke it off, or its framing is broken.
    #[error("the client broke its request off after {received} bytes")]
    Broken {
        /// Bytes before.
        received: u64,
    },
    /// It stopped coming.
    #[error("the request body stalled after {received} bytes")]
    Stalled {
        /// Bytes before.
        received: u64,
        /// How long nothing came.
        stalled: Duration,
    },
}

impl BodyFault {
    /// What the client is told, if it is still there.
    pub(crate) fn refusal(self) -> Refusal {
        match self {
            BodyFault::Stalled { received, stalled } => Refusal::BodyStalled { received, stalled },
            BodyFault::Broken { .. } => {
                Refusal::MalformedRequest { what: "its body breaks off or is badly framed" }
            }
        }
    }
}

/// A request body on its way to an endpoint.
#[derive(Debug)]
pub(crate) enum UpstreamBody {
    /// There is none.
    Empty,
    /// A held body, from its chunk `next` on.
    Held {
        /// The body, shared with whoever may have to send it again.
        held: Rc<Held>,
        /// The next chunk.
        next: usize,
        /// Bytes in that chunk and after it.
        left: u64,
    },
    /// The client's body, unread.
    Streamed(Streamed),
}

/// A client's body that streams through.
#[derive(Debug)]
pub(crate) struct Streamed {
    body: Incoming,
    watch: Rc<Watch>,
    /// Runs while the client is waited for.
    deadline: Deadline,
    stall: Duration,
    received: u64,
}

impl UpstreamBody {
    pub(crate) fn held(held: Rc<Held>) -> UpstreamBody {
        let left = held.rope().bytes();
        UpstreamBody::Held { held, next: 0, left }
    }

    pub(crate) fn streamed(body: Incoming, core: &Core, watch: &Rc<Watch>) -> UpstreamBody {
        UpstreamBody::Streamed(Streamed {
            body,
            watch: Rc::clone(watch),
            deadline: core.deadlines.unset(),
            stall: core.settings.body_stall_timeout,
            received: 0,
        })
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        match self.get_mut() {
            UpstreamBody::Empty => Poll::Ready(None),
            UpstreamBody::Held { held, next, left } => {
                let chunk = held.rope().chunks().get(*next).cloned();
                *next += 1;
                Poll::Ready(chunk.map(|chunk| {
                    *left -= chunk.len() as u64;
                    Ok(Frame::data(chunk))
                }))
            }
            UpstreamBody::Streamed(streamed) => streamed.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            UpstreamBody::Empty => true,
            UpstreamBody::Held { left, .. } => *left == 0,
            UpstreamBody::Streamed(streamed) => streamed.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            UpstreamBody::Empty => SizeHint::with_exact(0),
            UpstreamBody::Held { left, .. } => SizeHint::with_exact(*left),
            UpstreamBody::Streamed(streamed) => streamed.body.size_hint(),
        }
    }
}

impl Streamed {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Pending => {
                if self.deadline.is_clear() {
                    self.deadline.set(self.stall);
                }
                ready!(self.deadline.poll(cx));
                Poll::Ready(Some(Err(BodyFault::Stalled { received: self.received, stalled: self.stall })))
            }
            Poll::Ready(frame) => {
                self.deadline.clear();
                match &frame {
                    Some(Ok(frame)) => self.received += frame.data_ref().map_or(0, |data| data.len() as u64),
                    Some(Err(error)) => self.watch.request_breaks(error),
                    None => {}
                }
                if frame.is_none() || self.body.is_end_stream() {
                    self.watch.request_is_whole();
                }
                Poll::Ready(
                    frame.map(|frame| frame.map_err(|_| BodyFault::Broken { received: self.received })),
                )
            }
        }
    }
}

/// What an endpoint did not want of its request is nobody's: from here on a client that hangs up is to be noticed.
impl Drop for Streamed {
    fn drop(&mut self) {
        self.watch.request_is_whole();
    }
}

/// A response body on its way to a client.
#[derive(Debug)]
pub(crate) enum ResponseBody {
    /// There is none.
    Empty,
    /// Our own words.
    Whole(Bytes),
    /// An endpoint's body, as it comes.
    Relay(Relay),
}

/// How many bytes of a response may wait for its client before the endpoint is not read any further.
const WAITING_BYTES_MAX: usize = 64 << 10;

/// An endpoint's body that passes through, observed.
#[derive(Debug)]
pub(crate) struct Relay {
    body: Incoming,
    handed_over: HandedOver,
    lease: Option<Lease>,
    account: Box<Account>,
    /// Passes when the endpoint sends nothing for too long.
    stall: Deadline,
    /// Passes when the whole response has taken too long, and what that says of the endpoint.
    limit: Option<(Deadline, Outcome)>,
    state: State,
}

/// How far a relayed body is.
#[derive(Debug)]
enum State {
    /// The endpoint's frames pass.
    Passing,
    /// The endpoint died: this is the last thing to tell the client.
    LastWords(Bytes),
    /// Everything was told. Broken off once the client's socket has it, so that the last words are not lost with it.
    Flushing,
}

/// What a connection was given of a response and has perhaps not written yet.
#[derive(Debug)]
struct HandedOver {
    /// Since the connection's count of flushes was `flushes`; the head counts as one byte.
    bytes: usize,
    flushes: u64,
}

impl HandedOver {
    /// The head of a response.
    fn head(watch: &Watch) -> HandedOver {
        HandedOver { bytes: 1, flushes: watch.flushes() }
    }

    /// Ready while less than `limit` bytes wait to be written. Else the next flush wakes: there is one, because something
    /// waits, but hyper asks for more after some flushes only.
    fn poll_below(&mut self, limit: usize, watch: &Watch, cx: &Context<'_>) -> Poll<()> {
        let flushes = watch.flushes();
        if flushes != self.flushes {
            (self.bytes, self.flushes) = (0, flushes);
        }
        if self.bytes < limit {
            return Poll::Ready(());
        }
        watch.wake_at_flush(cx.waker());
        Poll::Pending
    }
}

/// A response that ends before it is whole: the connection is broken off, so that no client takes it for whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the response was cut")]
pub(crate) struct Cut;

impl Relay {
    /// Passes `body` on. A body that has already ended gives its connection back at once.
    pub(crate) fn new(
        body: Incoming,
        lease: Lease,
        account: Box<Account>,
        limit: Option<(Deadline, Outcome)>,
    ) -> Relay {
        let stall = account.core().deadlines.unset();
        if let Some((limit, _)) = &limit {
            account.watch().response_ends(limit.at());
        }
        let lease = Some(lease);
        let (handed_over, state) = (HandedOver::head(account.watch()), State::Passing);
        let mut relay = Relay { body, handed_over, lease, account, stall, limit, state };
        if relay.body.is_end_stream() {
            relay.complete();
        }
        relay
    }

    /// The body is whole.
    fn complete(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.release(&self.account.core().endpoints);
            self.account.served();
        }
    }

    fn poll_passing(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if self.account.core().stopping.get() {
            self.break_off(
                Outcome::Stopped,
                "the gateway stops, and waited for this answer as long as it may",
            );
            return self.poll_last_words(cx);
        }
        ready!(self.handed_over.poll_below(WAITING_BYTES_MAX, self.account.watch(), cx));
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.stall.clear();
                if let Some(chunk) = frame.data_ref() {
                    self.handed_over.bytes += chunk.len();
                    self.account.passed(chunk);
                }
                if self.body.is_end_stream() {
                    self.complete();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                self.complete();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                self.break_off(Outcome::Broken, &format!("the model server broke off its answer: {error}"));
                self.poll_last_words(cx)
            }
            Poll::Pending => {
                if self.stall.is_clear() {
                    self.stall.set(self.account.core().settings.response_stall_timeout);
                }
                let limit = self.limit.as_ref().filter(|(limit, _)| limit.poll(cx).is_ready());
                let outcome = match limit {
                    Some((_, outcome)) => *outcome,
                    None => {
                        ready!(self.stall.poll(cx));
                        Outcome::TimedOut
                    }
                };
                self.break_off(outcome, "the model server took too long over its answer");
                self.poll_last_words(cx)
            }
        }
    }

    /// Closes the endpoint's connection, and tells the client why if its protocol has a word for it.
    fn break_off(&mut self, outcome: Outcome, message: &str) {
        self.lease = None;
        self.account.ended(outcome);
        // Within a length that was announced, words of ours would be taken for the endpoint's.
        let open_ended = self.body.size_hint().exact().is_none();
        self.state = match self.account.cut(message).filter(|_| open_ended) {
            Some(words) => State::LastWords(words),
            None => State::Flushing,
        };
    }

    fn poll_last_words(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match &mut self.state {
            State::Passing => self.poll_passing(cx),
            State::LastWords(words) => {
                let words = std::mem::take(words);
                self.state = State::Flushing;
                self.handed_over.bytes += words.len();
                Poll::Ready(Some(Ok(Frame::data(words))))
            }
            State::Flushing => {
                ready!(self.handed_over.poll_below(1, self.account.watch(), cx));
                Poll::Ready(Some(Err(Cut)))
            }
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.get_mut() {
            ResponseBody::Empty => Poll::Ready(None),
            ResponseBody::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            ResponseBody::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            ResponseBody::Relay(relay) => relay.poll_last_words(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ResponseBody::Empty => true,
            ResponseBody::Whole(bytes) => bytes.is_empty(),
            ResponseBody::Relay(relay) => matches!(relay.state, State::Passing) && relay.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ResponseBody::Empty => SizeHint::with_exact(0),
            ResponseBody::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            ResponseBody::Relay(relay) => relay.body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deadlines::Deadlines;
    use crate::settings::Settings;
    use state::Clock;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn whoever_waits_for_a_flush_is_woken_by_it_and_nobody_waits_for_one_that_does_not_come() {
        let deadline = Deadlines::new(Clock::start()).unset();
        let watch = Watch::new(([127, 0, 0, 1], 1).into(), 80, &Settings::default(), deadline);
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let cx = Context::from_waker(&waker);
        let woken = || wakes.0.load(Ordering::Relaxed);
        let mut handed_over = HandedOver::head(&watch);
        assert!(handed_over.poll_below(1, &watch, &cx).is_pending(), "the head is not written yet");
        watch.flushed();
        assert_eq!(woken(), 1);
        assert!(handed_over.poll_below(1, &watch, &cx).is_ready(), "nothing waits: no flush would wake");
        handed_over.bytes += WAITING_BYTES_MAX - 1;
        assert!(handed_over.poll_below(WAITING_BYTES_MAX, &watch, &cx).is_ready());
        watch.flushed();
        assert_eq!(woken(), 1, "nobody waited");
        handed_over.bytes = WAITING_BYTES_MAX;
        assert!(handed_over.poll_below(WAITING_BYTES_MAX, &watch, &cx).is_ready(), "it has been written");
        handed_over.bytes = WAITING_BYTES_MAX;
        assert!(handed_over.poll_below(WAITING_BYTES_MAX, &watch, &cx).is_pending());
        watch.flushed();
        watch.flushed();
        assert_eq!(woken(), 2);
        assert!(handed_over.poll_below(1, &watch, &cx).is_ready());
    }
}
