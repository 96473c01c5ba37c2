//! One connection: TLS, then HTTP/2, then a stream for each call.
//!
//! Never: a place for a peer that does not greet in time, or that is silent and answers no ping.

use crate::authority::AnyAuthority;
use crate::corked::Corked;
use crate::exchange::{Bounds, Exchange};
use crate::grpc::{Code, Status};
use crate::health::{Asked, CHECK_PATH, Health, LIST_PATH};
use crate::replies::Packet;
use crate::session::{Door, Session};
use crate::settings::Settings;
use crate::wire::{HealthCheckRequest, HealthListRequest, PROCESS_PATH};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use state::Clock;
use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;

/// Bytes of one stream that the peer may send ahead of us: a prompt of a megabyte comes without a pause.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// The same for all streams of a connection: what a connection that is not read from may take of memory.
const CONNECTION_WINDOW_BYTES: u32 = 64 << 20;
/// The largest frame taken: fewer frames, fewer pieces.
const FRAME_BYTES_MAX: u32 = 1 << 20;
/// Bytes of one stream that wait to be sent.
const SEND_BYTES_MAX: usize = 4 << 20;

/// Streams that the peer gave up before they were taken up. A gateway gives every stream up with its client: 2,000 clients
/// that hang up at once are no attack. For the same reason nothing counts the frames that arrive for a stream that an
/// `ImmediateResponse` has ended; the library's own limits would end the connection, and every other stream with it.
const RESETS_PENDING_MAX: usize = 100_000;

/// A question about health, bytes: a service's name.
const HEALTH_MESSAGE_BYTES_MAX: usize = 4 << 10;

/// A peer that is silent for so long is asked whether it lives,
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// and is gone if it does not say so within this: what its streams reserved is given back.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// What a port serves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Services {
    /// The port's number, if it serves ext_proc.
    pub(crate) process: Option<usize>,
    /// Health.
    pub(crate) health: Option<Arc<Health>>,
}

/// What every connection of one thread has.
pub(crate) struct Core<D> {
    pub(crate) door: Rc<D>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) clock: Clock,
}

/// Spawns on the thread that it is on.
#[derive(Debug, Clone, Copy)]
struct Here;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for Here {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// Serves one connection until it ends, or `draining` says that the process stops.
pub(crate) async fn serve<D: Door>(
    core: Rc<Core<D>>,
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    services: Services,
    mut draining: watch::Receiver<bool>,
) {
    let deadline = Instant::now() + core.settings.handshake_timeout;
    match tls {
        None => greet(core, stream, services, draining, deadline).await,
        Some(tls) => {
            let Some(stream) = in_time(tls.accept(stream), deadline, &mut draining).await else { return };
            greet(core, stream, services, draining, deadline).await;
        }
    }
}

/// Waits for the peer to greet in HTTP/2, and serves it.
async fn greet<D: Door, S: AsyncRead + AsyncWrite + Unpin + 'static>(
    core: Rc<Core<D>>,
    stream: S,
    services: Services,
    mut draining: watch::Receiver<bool>,
    deadline: Instant,
) {
    if let Some(stream) = in_time(AnyAuthority::greeted(stream), deadline, &mut draining).await {
        speak(core, stream, services, draining).await;
    }
}

/// What a peer has to do before it may ask anything; `None` if it fails, is late, or the process stops meanwhile.
async fn in_time<T>(
    done: impl Future<Output = io::Result<T>>,
    deadline: Instant,
    draining: &mut watch::Receiver<bool>,
) -> Option<T> {
    let done = tokio::select! {
        done = timeout_at(deadline, done) => done,
        () = drain_begins(draining) => return None,
    };
    match done {
        Ok(Ok(done)) => return Some(done),
        Ok(Err(error)) => tracing::debug!(%error, "a connection failed before it had greeted"),
        Err(_) => tracing::debug!("a connection took too long to greet"),
    }
    None
}

/// Waits until the process stops. What `wait_for` gives is dropped here: whoever holds it keeps the server from saying more.
async fn drain_begins(draining: &mut watch::Receiver<bool>) {
    let _ = draining.wait_for(|draining| *draining).await;
}

async fn speak<D: Door, S: AsyncRead + AsyncWrite + Unpin + 'static>(
    core: Rc<Core<D>>,
    stream: AnyAuthority<S>,
    services: Services,
    mut draining: watch::Receiver<bool>,
) {
    let streams_max = core.settings.streams_max;
    let service = service_fn(move |request| {
        let answer = answer(&core, &services, request);
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    let stream = Corked::new(stream);
    let connection = http2::Builder::new(Here)
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_send_buf_size(SEND_BYTES_MAX)
        .max_concurrent_streams(streams_max)
        .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
        .max_local_error_reset_streams(None)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream.clone()), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = stream.drive(connection.as_mut()) => ended,
        () = drain_begins(&mut draining) => {
            connection.as_mut().graceful_shutdown();
            stream.drive(connection).await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection was broken off");
    }
}

/// The body of an answer.
pub(crate) enum Answer<S> {
    Process(Box<Exchange<S>>),
    Check(Box<Exchange<Asked<HealthCheckRequest>>>),
    List(Box<Exchange<Asked<HealthListRequest>>>),
    /// All is said in the headers.
    Nothing,
}

fn answer<D: Door>(
    core: &Rc<Core<D>>,
    services: &Services,
    request: Request<Incoming>,
) -> Response<Answer<D::Session>> {
    let is_grpc = request.headers().get(CONTENT_TYPE).is_some_and(is_grpc);
    if request.method() != Method::POST || !is_grpc {
        let mut response = Response::new(Answer::Nothing);
        *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return response;
    }
    let (head, incoming) = request.into_parts();
    let bounds = Bounds {
        message_bytes_max: core.settings.grpc_message_bytes_max,
        message_timeout: core.settings.grpc_message_timeout,
        budget: core.door.budget(),
    };
    let of_health = Bounds { message_bytes_max: HEALTH_MESSAGE_BYTES_MAX, ..bounds };
    let clock = core.clock;
    let body = match (head.uri.path(), services) {
        (PROCESS_PATH, Services { process: Some(port), .. }) => {
            let session = core.door.open(*port);
            Answer::Process(Box::new(Exchange::new(incoming, session, bounds, clock)))
        }
        (CHECK_PATH, Services { health: Some(health), .. }) => {
            Answer::Check(Box::new(Exchange::new(incoming, Asked::new(health), of_health, clock)))
        }
        (LIST_PATH, Services { health: Some(health), .. }) => {
            Answer::List(Box::new(Exchange::new(incoming, Asked::new(health), of_health, clock)))
        }
        _ => Answer::Nothing,
    };
    let unserved = matches!(body, Answer::Nothing);
    let mut response = Response::new(body);
    if unserved {
        *response.headers_mut() =
            Status::new(Code::Unimplemented, "this method is not served here").trailers();
    }
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

fn is_grpc(content_type: &HeaderValue) -> bool {
    content_type.as_bytes().starts_with(b"application/grpc")
}

impl<S: Session> Body for Answer<S> {
    type Data = Packet;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Packet>, Infallible>>> {
        match self.get_mut() {
            Answer::Process(exchange) => Pin::new(&mut **exchange).poll_frame(cx),
            Answer::Check(exchange) => Pin::new(&mut **exchange).poll_frame(cx),
            Answer::List(exchange) => Pin::new(&mut **exchange).poll_frame(cx),
            Answer::Nothing => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Answer::Nothing)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests;
