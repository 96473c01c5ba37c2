//! A client's socket, watched: who it is, what it is doing, and when it has taken too long over it.
//!
//! hyper reads and writes through [`ClientIo`]; the journey and the connection's task look at the [`Watch`] beside it.

use crate::core::Core;
use crate::deadlines::Deadline;
use crate::mirror::MIRRORS_MAX;
use crate::settings::{Settings, Trust};
use crate::unread_head;
use bytes::{Buf, Bytes, BytesMut};
use http::HeaderValue;
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use journey::Now;
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How long a closed connection's last bytes are taken in, so that the client can read its answer before the reset
/// that unread bytes would cause.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

/// How many bytes are taken in meanwhile.
const LINGER_BYTES_MAX: usize = 1 << 20;

/// How far a client that sends its next requests early is read ahead of hyper, bytes. Beyond it its hanging up is noticed
/// only when it is written to.
const AHEAD_BYTES_MAX: usize = 16 << 10;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Accepted: nothing was read yet.
    New,
    /// Between two requests.
    Idle,
    /// Reading a request's head.
    Head,
    /// A request is under way; it has time limits of its own.
    Request,
    /// The answer is sent; what the client still sends is thrown away.
    Lingering,
}

/// Whether what the client still sends is taken in before the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closing {
    /// Nothing more is expected.
    Plain,
    /// A request was answered before its body was read.
    Lingering,
}

/// How far the request under way has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// There may be more of its body.
    Begun,
    /// It is whole: what the client sends from here on is not of it.
    Whole,
    /// Its client left before it was whole.
    BrokenOff,
}

/// One client connection, as its task, its socket and its requests see it.
#[derive(Debug)]
pub(crate) struct Watch {
    /// The client's address as `x-forwarded-for` tells it.
    pub(crate) forwarded_for: HeaderValue,
    /// Whether its steering headers are believed.
    pub(crate) trust: Trust,
    /// The port of the listener it came to (not the port bound).
    pub(crate) port: u16,
    /// Passes when the client has taken too long over what it is doing.
    pub(crate) deadline: Deadline,
    /// True once the connection is to end with the response under way.
    pub(crate) retiring: Cell<bool>,
    header_read_timeout: Duration,
    keep_alive_timeout: Duration,
    write_stall_timeout: Duration,
    phase: Cell<Phase>,
    closing: Cell<Closing>,
    write_blocked: Cell<bool>,
    reading: Cell<Reading>,
    /// The end of the response under way, if it has one.
    response_ends: Cell<Option<Now>>,
    flushes: Cell<u64>,
    /// Who waits for the next flush: whoever makes the response under way.
    awaits_flush: RefCell<Option<Waker>>,
    mirrors: RefCell<JoinSet<()>>,
}

impl Watch {
    /// A connection that has just been accepted.
    pub(crate) fn new(peer: SocketAddr, port: u16, settings: &Settings, deadline: Deadline) -> Watch {
        let address = peer.ip().to_canonical();
        deadline.set(settings.header_read_timeout);
        Watch {
            forwarded_for: HeaderValue::try_from(address.to_string())
                .expect("an IP address is visible ASCII"),
            trust: settings.trusts(address),
            port,
            deadline,
            retiring: Cell::new(false),
            header_read_timeout: settings.header_read_timeout,
            keep_alive_timeout: settings.keep_alive_timeout,
            write_stall_timeout: settings.write_stall_timeout,
            phase: Cell::new(Phase::New),
            closing: Cell::new(Closing::Plain),
            write_blocked: Cell::new(false),
            reading: Cell::new(Reading::Begun),
            response_ends: Cell::new(None),
            flushes: Cell::new(0),
            awaits_flush: RefCell::default(),
            mirrors: RefCell::default(),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// A request's head was read.
    pub(crate) fn request_begins(&self) {
        self.closing.set(Closing::Plain);
        self.response_ends.set(None);
        self.reading.set(Reading::Begun);
        self.enter(Phase::Request);
    }

    /// The request under way has been read whole, or nobody reads on.
    pub(crate) fn request_is_whole(&self) {
        if !self.request_is_broken_off() {
            self.reading.set(Reading::Whole);
        }
    }

    /// The request under way cannot be read whole: its body is badly framed, or its client has left.
    pub(crate) fn request_breaks(&self, error: &hyper::Error) {
        let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
        if !matches!(cause, Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)) {
            self.reading.set(Reading::BrokenOff);
        }
    }

    /// Whether the client left in the middle of its request: nobody gets the answer.
    pub(crate) fn request_is_broken_off(&self) -> bool {
        self.reading.get() == Reading::BrokenOff
    }

    /// The response under way has until `end`: a client that takes it too slowly is let go then. (Whoever makes the response
    /// is not asked while the client takes nothing of it.)
    pub(crate) fn response_ends(&self, end: Now) {
        self.response_ends.set(Some(end));
    }

    /// A request's response has been handed over to the connection, or dropped.
    pub(crate) fn request_ends(&self) {
        if self.phase.get() == Phase::Request {
            self.enter(Phase::Idle);
        }
    }

    /// Starts a mirrored request, if fewer than [`MIRRORS_MAX`] are under way; it ends with this connection.
    pub(crate) fn mirror(&self, sending: impl Future<Output = ()> + 'static) {
        let mut mirrors = self.mirrors.borrow_mut();
        while mirrors.try_join_next().is_some() {}
        if mirrors.len() < MIRRORS_MAX {
            mirrors.spawn_local(sending);
        }
    }

    /// The connection may have to be closed before a request's body is read whole.
    pub(crate) fn linger_on_close(&self) {
        self.closing.set(Closing::Lingering);
    }

    /// The connection ends with this response, whose request has not been read whole.
    pub(crate) fn close_lingering(&self) {
        self.retiring.set(true);
        self.closing.set(Closing::Lingering);
    }

    /// How often everything that was written has reached the kernel.
    pub(crate) fn flushes(&self) -> u64 {
        self.flushes.get()
    }

    /// Wakes at the next flush.
    pub(crate) fn wake_at_flush(&self, waker: &Waker) {
        *self.awaits_flush.borrow_mut() = Some(waker.clone());
    }

    /// Everything that was written has reached the kernel.
    pub(crate) fn flushed(&self) {
        self.flushes.set(self.flushes.get() + 1);
        if let Some(waker) = self.awaits_flush.take() {
            waker.wake();
        }
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.arm();
    }

    fn arm(&self) {
        match self.phase.get() {
            _ if self.write_blocked.get() => {
                self.deadline.set(self.write_stall_timeout);
                if let Some(end) = self.response_ends.get() {
                    self.deadline.no_later_than(end);
                }
            }
            Phase::Idle => self.deadline.set(self.keep_alive_timeout),
            Phase::New | Phase::Head => self.deadline.set(self.header_read_timeout),
            Phase::Request => self.deadline.clear(),
            Phase::Lingering => self.deadline.set(LINGER_TIMEOUT),
        }
    }

    fn bytes_came(&self) {
        match self.phase.get() {
            // The time for the head runs from the connection's start.
            Phase::New => self.phase.set(Phase::Head),
            Phase::Idle => self.enter(Phase::Head),
            Phase::Head | Phase::Request | Phase::Lingering => {}
        }
    }

    fn wrote<T>(&self, result: Poll<T>) -> Poll<T> {
        if result.is_pending() != self.write_blocked.get() {
            self.write_blocked.set(result.is_pending());
            self.arm();
        }
        result
    }
}

/// How far hyper's last write got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    /// Everything has reached the kernel: the next write begins with the head of a response.
    Whole,
    /// More of it may follow.
    Partly,
}

/// Who is told first that the client has hung up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listening {
    /// hyper: it waits for bytes.
    Hyper,
    /// Nobody: hyper has bytes left, and reads no others.
    Nobody,
}

/// The socket that hyper serves.
#[derive(Debug)]
pub(crate) struct ClientIo {
    io: TokioIo<TcpStream>,
    core: Rc<Core>,
    watch: Rc<Watch>,
    written: Written,
    listening: Listening,
    /// What was read ahead of hyper.
    ahead: BytesMut,
    /// What is written in the place of an answer of hyper's own, as far as it is not written yet.
    instead: Option<Bytes>,
    lingered: usize,
}

impl ClientIo {
    pub(crate) fn new(stream: TcpStream, core: Rc<Core>, watch: Rc<Watch>) -> ClientIo {
        ClientIo {
            io: TokioIo::new(stream),
            core,
            watch,
            written: Written::Whole,
            listening: Listening::Nobody,
            ahead: BytesMut::new(),
            instead: None,
            lingered: 0,
        }
    }

    /// Writes what a client is told whose head could not be read, if `bytes` are what hyper says to that: they count as
    /// written once it is.
    fn poll_write_instead(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Option<Poll<io::Result<usize>>> {
        let begins = std::mem::replace(&mut self.written, Written::Partly) == Written::Whole;
        if begins && self.watch.phase.get() != Phase::Request {
            self.instead = unread_head::answer(&self.core, &self.watch, bytes);
        }
        let instead = self.instead.as_mut()?;
        while instead.has_remaining() {
            match Pin::new(&mut self.io).poll_write(cx, instead) {
                Poll::Ready(Ok(written)) => instead.advance(written),
                other => return Some(other),
            }
        }
        self.instead = None;
        Some(Poll::Ready(Ok(bytes.len())))
    }

    /// Reads ahead while a whole request waits for its answer and hyper does not read. An error if the client has hung up:
    /// its request ends with its connection.
    fn look_ahead(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let watch = &self.watch;
        if self.listening == Listening::Hyper
            || watch.phase.get() != Phase::Request
            || watch.reading.get() != Reading::Whole
        {
            return Ok(());
        }
        let mut scratch = [0; 4096];
        while self.ahead.len() < AHEAD_BYTES_MAX {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.io).poll_read(cx, buffer.unfilled())? {
                Poll::Pending => break,
                Poll::Ready(()) if buffer.filled().is_empty() => {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                Poll::Ready(()) => self.ahead.extend_from_slice(buffer.filled()),
            }
        }
        Ok(())
    }

    /// Takes in what the client still sends, until it closes too or has sent [`LINGER_BYTES_MAX`].
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut scratch = [0; 4096];
        while self.lingered < LINGER_BYTES_MAX {
            let mut buffer = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut self.io).poll_read(cx, buffer.unfilled()))?;
            if buffer.filled().is_empty() {
                break;
            }
            self.lingered += buffer.filled().len();
        }
        Poll::Ready(Ok(()))
    }
}

impl Read for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let result = if self.ahead.is_empty() {
            Pin::new(&mut self.io).poll_read(cx, buffer)
        } else {
            let room = buffer.remaining().min(self.ahead.len());
            buffer.put_slice(&self.ahead.split_to(room));
            Poll::Ready(Ok(()))
        };
        self.listening = if result.is_pending() { Listening::Hyper } else { Listening::Nobody };
        if result.is_ready() {
            self.watch.bytes_came();
        }
        result
    }
}

impl Write for ClientIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = match self.poll_write_instead(cx, bytes) {
            Some(result) => result,
            None => Pin::new(&mut self.io).poll_write(cx, bytes),
        };
        self.watch.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = slices.first().map_or(&[][..], |slice| slice);
        let result = match self.poll_write_instead(cx, first) {
            Some(result) => result,
            None => Pin::new(&mut self.io).poll_write_vectored(cx, slices),
        };
        self.watch.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// hyper calls this once its own buffers are empty, and whenever it has looked after the connection.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.written = Written::Whole;
        self.watch.flushed();
        Poll::Ready(self.look_ahead(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.watch.phase.get() != Phase::Lingering {
            ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
            if self.watch.closing.get() == Closing::Plain {
                return Poll::Ready(Ok(()));
            }
            self.watch.enter(Phase::Lingering);
        }
        self.poll_linger(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::UpstreamBody;
    use crate::core::Shared;
    use http::{Request, Response};
    use hyper::body::Incoming;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use tokio::io::AsyncWriteExt;

    /// The body of a request that never comes whole, with the connection that it comes over.
    async fn half_a_body() -> (Incoming, impl Future) {
        let (near, mut far) = tokio::io::duplex(1 << 10);
        far.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n12").await.unwrap();
        let came = Rc::new(Cell::new(None));
        let taken = Rc::clone(&came);
        let service = service_fn(move |request: Request<Incoming>| {
            taken.set(Some(request.into_body()));
            std::future::pending::<io::Result<Response<UpstreamBody>>>()
        });
        let mut connection = Box::pin(http1::Builder::new().serve_connection(TokioIo::new(near), service));
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(connection.as_mut().poll(cx).is_pending());
        (came.take().expect("the head came"), async move {
            let _far = far;
            connection.await
        })
    }

    #[tokio::test]
    async fn a_streamed_body_that_is_dropped_leaves_its_client_listened_to() {
        let core = Core::new(&Shared::of_nothing(), 0);
        let deadline = core.deadlines.unset();
        let watch = Rc::new(Watch::new(([127, 0, 0, 1], 1).into(), 80, &core.settings, deadline));
        let (body, _connection) = half_a_body().await;
        watch.request_begins();
        let body = UpstreamBody::streamed(body, &core, &watch);
        assert_eq!(watch.reading.get(), Reading::Begun);
        drop(body);
        assert_eq!(watch.reading.get(), Reading::Whole);
    }
}
