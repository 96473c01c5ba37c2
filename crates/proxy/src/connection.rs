//! One client connection: a task that serves its requests one after the other, and ends alone if one of them panics.

use crate::client_io::{ClientIo, Phase, Watch};
use crate::core::Core;
use crate::deadlines::{Deadline, TICK};
use crate::request;
use crate::socket;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use std::net::{SocketAddr, TcpStream};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use telemetry::Side;

/// The smallest read buffer that hyper takes, bytes.
pub(crate) const READ_BUFFER_MIN: usize = 8 << 10;

/// Serves a connection on this thread. A socket that is already broken is dropped.
pub(crate) fn spawn(core: &Rc<Core>, stream: TcpStream, peer: SocketAddr, port: u16) {
    let counted = Counted { core: Rc::clone(core), _open: core.telemetry.connection(Side::Downstream) };
    let Ok(stream) = tokio::net::TcpStream::from_std(stream) else { return };
    // Without it a response's last small piece waits for the client's acknowledgement.
    if socket::tune(&stream).is_err() {
        return;
    }
    tokio::task::spawn_local(async move {
        let core = &counted.core;
        let deadline = core.deadlines.unset();
        let watch = Rc::new(Watch::new(peer, port, &core.settings, deadline));
        serve(core, stream, watch).await;
    });
}

/// Counts a connection, and a panic that ends it.
struct Counted {
    core: Rc<Core>,
    _open: telemetry::Connection,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.core.connection_ended();
        if std::thread::panicking() {
            self.core.telemetry.panicked();
        }
    }
}

async fn serve(core: &Rc<Core>, stream: tokio::net::TcpStream, watch: Rc<Watch>) {
    let retires = core.settings.connection_age_max.map(|age| core.deadlines.coarse().plus(age));
    let service = service_fn(|request| {
        watch.request_begins();
        if core.draining.get() || retires.is_some_and(|at| at <= core.deadlines.coarse()) {
            watch.retiring.set(true);
        }
        request::journey(Rc::clone(core), Rc::clone(&watch), request)
    });
    let io = ClientIo::new(stream, Rc::clone(core), Rc::clone(&watch));
    let mut connection = pin!(builder(core).serve_connection(io, service));
    let mut closing = false;
    let mut grace = None;
    std::future::poll_fn(|cx| {
        if watch.deadline.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        // How a connection ends is told by its requests; a broken one between two requests is nobody's concern.
        let ended = connection.as_mut().poll(cx).map(|_| ());
        let closes = watch.retiring.get()
            || core.draining.get() && poll_last_request(core, &watch, &mut grace, cx).is_ready();
        if ended.is_pending() && closes && !closing {
            closing = true;
            connection.as_mut().graceful_shutdown();
            cx.waker().wake_by_ref();
        }
        ended
    })
    .await;
}

/// How long a connection without a request is left open when the thread drains: a request may lie in its socket that the
/// runtime has not told of yet, above all if it has just been accepted.
const DRAIN_GRACE: Duration = TICK;

/// Ready once a connection of a draining thread has its last request, or will have none.
fn poll_last_request(core: &Core, watch: &Watch, grace: &mut Option<Deadline>, cx: &Context<'_>) -> Poll<()> {
    match watch.phase() {
        Phase::Request | Phase::Lingering => Poll::Ready(()),
        // It will be a request soon, or its deadline passes.
        Phase::Head => Poll::Pending,
        Phase::New | Phase::Idle => grace.get_or_insert_with(|| core.deadlines.after(DRAIN_GRACE)).poll(cx),
    }
}

fn builder(core: &Core) -> http1::Builder {
    let settings = &core.settings;
    let mut builder = http1::Builder::new();
    // The deadlines of this thread do it, without a timer for each head.
    builder.header_read_timeout(None).half_close(false);
    builder.max_header_size(settings.header_bytes_max.max(READ_BUFFER_MIN));
    if settings.headers_max != HYPER_HEADERS_MAX {
        builder.max_headers(settings.headers_max);
    }
    builder
}

/// hyper's own limit; another one costs an allocation for each head.
const HYPER_HEADERS_MAX: usize = 100;
