//! A connection that can misbehave on purpose: end in a reset, or say more than its answer announced.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// What an answer asks of the connection that carries it.
#[derive(Debug, Default)]
pub(crate) struct Misbehaviour {
    reset: AtomicBool,
    excess_bytes: AtomicU32,
}

impl Misbehaviour {
    /// Ends the connection by a reset instead of an orderly close.
    pub(crate) fn end_in_reset(&self) {
        self.reset.store(true, Ordering::Relaxed);
    }

    /// Sends this many bytes more after what is being flushed.
    pub(crate) fn add_excess(&self, bytes: u32) {
        self.excess_bytes.store(bytes, Ordering::Relaxed);
    }
}

/// The socket of one connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TokioIo<TcpStream>,
    misbehaviour: Arc<Misbehaviour>,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> (Self, Arc<Misbehaviour>) {
        let misbehaviour = Arc::new(Misbehaviour::default());
        (Self { stream: TokioIo::new(stream), misbehaviour: misbehaviour.clone() }, misbehaviour)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.misbehaviour.reset.load(Ordering::Relaxed) {
            reset_on_close(self.stream.inner());
        }
    }
}

/// Makes closing the socket a reset.
pub(crate) fn reset_on_close(stream: &TcpStream) {
    // If this fails the peer sees an orderly close: nothing better can be done here.
    let _ = stream.set_zero_linger();
}

impl Read for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl Write for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let left @ 1.. = self.misbehaviour.excess_bytes.load(Ordering::Relaxed) {
            let chunk = [b'x'; 256];
            let length = chunk.len().min(left as usize);
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &chunk[..length]))?;
            self.misbehaviour.excess_bytes.store(left - written as u32, Ordering::Relaxed);
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
}
