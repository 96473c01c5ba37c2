//! The admin server's socket: HTTP/1.1 on a current-thread runtime of its own, bounded in every direction.

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt;

/// Connections served at once: Prometheus, a dashboard, probes and some people. More wait in the kernel's backlog.
pub(super) const CONNECTIONS_MAX: usize = 64;
/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Headers of a request.
const HEADERS_MAX: usize = 64;
/// From the first to the last byte of a request's head, and the longest that a connection stays idle.
const HEAD_READ_MAX: Duration = Duration::from_secs(10);
/// The longest that a connection lives: one that is not read from must not hold its place.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(300);
/// What requests under way get when the server stops.
const STOP_WAIT_MAX: Duration = Duration::from_secs(1);
/// Between two attempts to accept when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The running admin server. Dropping it stops it: requests under way get a second to end.
#[derive(Debug)]
pub(crate) struct Admin {
    stop: watch::Sender<Stopping>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopping {
    No,
    Yes,
}

impl Admin {
    /// Serves the pages on `listener`, on a thread of its own.
    pub(crate) fn start(listener: std::net::TcpListener, pages: Router) -> io::Result<Admin> {
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopping) = watch::channel(Stopping::No);
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let thread = std::thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || runtime.block_on(serve(listener, pages, stopping)))?;
        Ok(Admin { stop, thread: Some(thread) })
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.stop.send_replace(Stopping::Yes);
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by its hook; there is nothing to add while stopping.
            let _ = thread.join();
        }
    }
}

/// Accepts until told to stop, then waits for the connections that are left.
async fn serve(listener: TcpListener, pages: Router, mut stopping: watch::Receiver<Stopping>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accept = async {
            let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
            listener.accept().await.map(|(stream, _)| (stream, place))
        };
        let accepted = tokio::select! {
            accepted = accept => accepted,
            _ = stopping.wait_for(|stopping| *stopping == Stopping::Yes) => break,
        };
        match accepted {
            Ok((stream, place)) => {
                let connection = connection(stream, pages.clone(), stopping.clone());
                tokio::spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the admin server cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    let all = u32::try_from(CONNECTIONS_MAX).expect("a small constant");
    let _ = tokio::time::timeout(STOP_WAIT_MAX, places.acquire_many(all)).await;
}

/// Serves one connection until it ends, grows too old, or the server stops.
async fn connection(stream: TcpStream, pages: Router, mut stopping: watch::Receiver<Stopping>) {
    let service =
        service_fn(move |request: http::Request<Incoming>| pages.clone().oneshot(request.map(Body::new)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_READ_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let stop = stopping.wait_for(|stopping| *stopping == Stopping::Yes);
    // Whatever ends the connection is the client's to notice.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = tokio::time::sleep(CONNECTION_AGE_MAX) => return,
        _ = stop => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
