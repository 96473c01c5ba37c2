//! An endpoint's socket that tells whether the endpoint has said anything to the request under way.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What an endpoint has said to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// Not a byte.
    Nothing,
    /// A byte at least, be it of no whole head.
    Something,
}

/// What was heard on one connection; its socket and whoever sends on it share it.
#[derive(Debug, Clone)]
pub(crate) struct Heard(Rc<Cell<Word>>);

impl Heard {
    pub(crate) fn new() -> Heard {
        Heard(Rc::new(Cell::new(Word::Nothing)))
    }

    /// A request is about to be sent.
    pub(crate) fn begin(&self) {
        self.0.set(Word::Nothing);
    }

    pub(crate) fn word(&self) -> Word {
        self.0.get()
    }
}

/// The socket.
#[derive(Debug)]
pub(crate) struct HeardStream {
    pub(crate) stream: TcpStream,
    pub(crate) heard: Heard,
}

impl AsyncRead for HeardStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.heard.0.set(Word::Something);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for HeardStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
