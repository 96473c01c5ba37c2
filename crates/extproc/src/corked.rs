//! What HTTP/2 writes in one turn of a connection leaves together.
//!
//! h2 flushes after each frame of data, since it keeps one at most: of thirty streams that are answered in one turn each
//! would cost a system call, a third of all that is spent on its request.
//! In: the frames of a turn. Out: one write. Never: a byte that stays when the turn is over, unless the socket takes no more;
//! more than [`WRITE_BYTES`].

use std::cell::RefCell;
use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, BufWriter, ReadBuf};

/// What is written at once, bytes: a system call for each frame of 16 KiB costs more than to copy it.
const WRITE_BYTES: usize = 64 << 10;

/// A stream that is flushed by [`Corked::drive`] only.
pub(crate) struct Corked<S>(Rc<RefCell<BufWriter<S>>>);

impl<S> Clone for Corked<S> {
    fn clone(&self) -> Corked<S> {
        Corked(Rc::clone(&self.0))
    }
}

impl<S: AsyncWrite + Unpin> Corked<S> {
    pub(crate) fn new(stream: S) -> Corked<S> {
        Corked(Rc::new(RefCell::new(BufWriter::with_capacity(WRITE_BYTES, stream))))
    }

    /// Drives the connection that writes to this stream, turn by turn, until it ends.
    pub(crate) async fn drive<C, E>(&self, mut connection: Pin<&mut C>) -> Result<(), Box<dyn Error>>
    where
        C: Future<Output = Result<(), E>>,
        E: Error + 'static,
    {
        poll_fn(|cx| {
            let ended = connection.as_mut().poll(cx)?;
            match self.with(|stream| stream.poll_flush(cx)) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
                Poll::Ready(Ok(())) | Poll::Pending => ended.map(Ok),
            }
        })
        .await
    }

    fn with<T>(&self, act: impl FnOnce(Pin<&mut BufWriter<S>>) -> T) -> T {
        act(Pin::new(&mut self.0.borrow_mut()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Corked<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_read(cx, buf))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Corked<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|stream| stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.with(|stream| stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.0.borrow().is_write_vectored()
    }

    /// Not yet: the turn is not over.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::future::pending;
    use std::pin::pin;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    /// Counts what is written to it.
    struct Counted {
        pipe: DuplexStream,
        writes: Rc<Cell<usize>>,
    }

    impl AsyncWrite for Counted {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            self.writes.set(self.writes.get() + 1);
            Pin::new(&mut self.pipe).poll_write(cx, buf)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.pipe).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.pipe).poll_shutdown(cx)
        }
    }

    /// Writes three frames, flushes each, and stays open.
    async fn three_frames<S: AsyncWrite + Unpin>(mut stream: Corked<S>) -> io::Result<()> {
        for _ in 0..3 {
            stream.write_all(b"frame").await?;
            stream.flush().await?;
        }
        pending().await
    }

    /// What the peer of a connection reads that sends three frames over a pipe with this much room, and in how many writes.
    async fn read(room: usize) -> (String, usize) {
        let (pipe, mut peer) = duplex(room);
        let writes = Rc::new(Cell::new(0));
        let corked = Corked::new(Counted { pipe, writes: Rc::clone(&writes) });
        let connection = pin!(three_frames(corked.clone()));
        let mut came = [0; 15];
        tokio::select! {
            driven = corked.drive(connection) => panic!("it ended: {driven:?}"),
            read = peer.read_exact(&mut came) => assert_eq!(read.unwrap(), came.len()),
        }
        (String::from_utf8_lossy(&came).into_owned(), writes.get())
    }

    #[tokio::test]
    async fn what_is_flushed_in_one_turn_leaves_in_one_write() {
        assert_eq!(read(1024).await, ("frameframeframe".to_owned(), 1));
    }

    #[tokio::test]
    async fn what_a_full_socket_does_not_take_leaves_once_it_does() {
        assert_eq!(read(4).await.0, "frameframeframe");
    }

    #[tokio::test]
    async fn a_connection_ends_when_what_it_wrote_cannot_leave() {
        let (pipe, peer) = duplex(1024);
        drop(peer);
        let corked = Corked::new(pipe);
        let ended = corked.drive(pin!(three_frames(corked.clone()))).await;
        let error = ended.expect_err("the pipe is broken");
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        assert_eq!(kind, Some(io::ErrorKind::BrokenPipe));
    }
}
