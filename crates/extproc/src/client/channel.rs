//! Connections to pickers: each data thread has its own, and every request is one stream of one of them.
//!
//! A picker's endpoint has one connection, and further ones, at most [`CONNECTIONS_MAX`], while those that it has are at
//! the limit of streams that the peer sets. One is opened at a time; requests that need it wait for it. An endpoint that
//! cannot be reached, falls silent, or lets one request after the other wait, rests between 100 ms and 5 s; the Service's
//! next endpoint is asked meanwhile. What hung is then tried by one request at a time until it answers.
//! Never: a ping (servers of gRPC in Go close connections that ping oftener than every 5 minutes).

use super::Failure;
use super::message::subset_hint;
use super::tls;
use crate::corked::Corked;
use bytes::Bytes;
use h2::client::{self, SendRequest};
use state::{EndpointPicker, Pool, Transport};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::fmt::{self, Debug, Formatter};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

/// Connections of one data thread to one endpoint of a picker.
pub const CONNECTIONS_MAX: usize = 16;

/// How long an endpoint rests after its first failure, and at most; doubling between.
const REST: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Requests in a row that wait in vain before their endpoint rests: a process that hangs may go on answering for the
/// connection.
const TIMEOUTS_MAX: u32 = 3;

/// Bytes that a picker may send before they are read: of one stream, and of a connection.
const WINDOW_BYTES: (u32, u32) = (1 << 20, 8 << 20);

/// Headers or trailers of a stream, bytes.
const HEADERS_BYTES_MAX: u32 = 16 << 10;

/// The settings of the client.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Connecting to a picker, TLS included.
    pub connect_timeout: Duration,
    /// The longest body that a picker may give back, bytes.
    pub body_bytes_max: u64,
    /// From asking a picker to its pick. A request whose route leaves it less says
    /// something of the picker only if nothing at all came meanwhile.
    pub pick_timeout: Duration,
}

/// The pickers of one data thread.
#[derive(Debug)]
pub struct Pickers {
    pub(super) settings: Settings,
    peers: RefCell<HashMap<(SocketAddr, Transport), Rc<Peer>>>,
    tls: OnceCell<Connector>,
    /// Subset hints as they are sent, by the pool's place in memory: another is not there while the hint knows of it.
    hints: RefCell<HashMap<*const Pool, Hint>>,
}

/// The subset hint of a pool, as long as there is the pool.
type Hint = (Weak<Pool>, Bytes);

impl Pickers {
    /// No connection yet.
    pub fn new(settings: Settings) -> Pickers {
        Pickers { settings, peers: RefCell::default(), tls: OnceCell::new(), hints: RefCell::default() }
    }

    /// A place on a connection to one of the picker's endpoints: the first that is not resting, from `turn` on.
    pub(super) async fn place(&self, picker: &EndpointPicker, turn: usize) -> Result<Place, Failure> {
        let mut last = Failure::NoEndpoint;
        let count = picker.endpoints.len();
        for &endpoint in picker.endpoints.iter().cycle().skip(turn % count.max(1)).take(count) {
            match self.peer(picker, endpoint).place().await {
                Ok(place) => return Ok(place),
                Err(why) => last = Failure::Unreachable { endpoint, why: why.to_string() },
            }
        }
        Err(last)
    }

    fn peer(&self, picker: &EndpointPicker, endpoint: SocketAddr) -> Rc<Peer> {
        let mut peers = self.peers.borrow_mut();
        let peer = peers.entry((endpoint, picker.transport)).or_insert_with(|| {
            let security = (picker.transport == Transport::Tls).then(|| {
                let name = ServerName::try_from(picker.host.to_string());
                let name = name.unwrap_or_else(|_| ServerName::from(endpoint.ip()));
                (self.tls.get_or_init(|| Connector(tls::connector())).clone(), name)
            });
            Rc::new(Peer::new(endpoint, security, self.settings.connect_timeout))
        });
        Rc::clone(peer)
    }

    /// The pool's endpoints, as the picker is told of them.
    pub(super) fn hint(&self, pool: &Arc<Pool>) -> Bytes {
        let mut hints = self.hints.borrow_mut();
        if let Some((_, hint)) = hints.get(&Arc::as_ptr(pool)) {
            return hint.clone();
        }
        hints.retain(|_, (of, _)| of.strong_count() > 0);
        let hint = subset_hint(pool.endpoints.iter().map(|(_, key)| key.address));
        hints.insert(Arc::as_ptr(pool), (Arc::downgrade(pool), hint.clone()));
        hint
    }

    /// Forgets endpoints that nobody has asked for some time; their connections close.
    pub fn reap(&self) {
        self.peers.borrow_mut().retain(|_, peer| peer.is_wanted());
    }

    /// Closes everything that carries no stream.
    pub fn clear(&self) {
        self.peers.borrow_mut().clear();
    }
}

/// How long an endpoint of a picker is remembered that nobody asks.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Speaks TLS.
#[derive(Clone)]
struct Connector(TlsConnector);

impl Debug for Connector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

/// One endpoint of a picker.
#[derive(Debug)]
pub(super) struct Peer {
    endpoint: SocketAddr,
    security: Option<(Connector, ServerName<'static>)>,
    connect_timeout: Duration,
    channels: RefCell<Vec<Rc<Channel>>>,
    /// A connection is being opened; those who wait for it are notified.
    opening: Cell<bool>,
    opened: Notify,
    rest: RefCell<Rest>,
    asked: Cell<Instant>,
}

/// Failures in a row, what the last one was, and until when nothing is tried.
#[derive(Debug, Default)]
struct Rest {
    failures: u32,
    /// When the last one was, and until when it rests for that.
    last: Option<(Instant, Instant)>,
    why: String,
    /// Requests in a row that waited in vain.
    timeouts: u32,
    /// After such a rest: whether a request tries if it answers again.
    trial: Trial,
}

/// Whether a request tries an endpoint that hung.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Trial {
    #[default]
    None,
    UnderWay,
}

/// A request that tries whether an endpoint which hung answers again. Dropped, the next may.
#[derive(Debug)]
struct Trying(Rc<Peer>);

impl Drop for Trying {
    fn drop(&mut self) {
        self.0.rest.borrow_mut().trial = Trial::None;
    }
}

/// How long a request waited in vain, by what that says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waited {
    /// As long as any may: it counts.
    Long,
    /// As long as its route lets it: it counts if nothing at all came over the connection meanwhile.
    Briefly,
    /// Not long enough to say anything.
    TooBriefly,
}

/// What a wait in vain comes to for its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counted {
    On,
    Rests,
}

/// One connection.
#[derive(Debug)]
struct Channel {
    sender: SendRequest<Bytes>,
    streams: Cell<usize>,
    /// It fell silent, or has ended: no further stream.
    retired: Rc<Cell<bool>>,
    heard: Cell<Instant>,
}

/// A stream's place on a connection; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    peer: Rc<Peer>,
    channel: Rc<Channel>,
    trying: RefCell<Option<Trying>>,
}

impl Peer {
    fn new(
        endpoint: SocketAddr,
        security: Option<(Connector, ServerName<'static>)>,
        connect_timeout: Duration,
    ) -> Peer {
        Peer {
            endpoint,
            security,
            connect_timeout,
            channels: RefCell::default(),
            opening: Cell::new(false),
            opened: Notify::new(),
            rest: RefCell::default(),
            asked: Cell::new(Instant::now()),
        }
    }

    fn is_wanted(&self) -> bool {
        let streams = self.channels.borrow().iter().any(|channel| channel.streams.get() > 0);
        streams || self.opening.get() || self.asked.get().elapsed() < IDLE_TIMEOUT
    }

    /// A place on a connection, which is opened if there is none with room.
    async fn place(self: &Rc<Self>) -> Result<Place, Resting> {
        self.asked.set(Instant::now());
        let trying = self.admit()?;
        loop {
            if let Some(channel) = self.channel_with_room() {
                channel.streams.set(channel.streams.get() + 1);
                return Ok(Place { peer: Rc::clone(self), channel, trying: RefCell::new(trying) });
            }
            self.resting()?;
            let opened = self.opened.notified();
            if !self.opening.replace(true) {
                tokio::task::spawn_local(Rc::clone(self).open());
            }
            opened.await;
        }
    }

    /// The connection with the fewest streams, if it has room or there may be no further one.
    fn channel_with_room(&self) -> Option<Rc<Channel>> {
        let mut channels = self.channels.borrow_mut();
        channels.retain(|channel| channel.takes_streams());
        let idlest = channels.iter().min_by_key(|channel| channel.streams.get())?;
        let has_room = idlest.streams.get() < idlest.sender.current_max_send_streams();
        // Beyond the last connection streams wait for each other, as long as their requests may.
        let may_open = channels.len() < CONNECTIONS_MAX && self.resting().is_ok();
        (has_room || !may_open).then(|| Rc::clone(idlest))
    }

    fn resting(&self) -> Result<(), Resting> {
        let rest = self.rest.borrow();
        match rest.last.map(|(_, until)| until.saturating_duration_since(Instant::now())) {
            Some(left) if !left.is_zero() => Err(Resting { why: rest.why.clone(), left }),
            _ => Ok(()),
        }
    }

    /// Lets a request in: one that hung only after its rest, and only one request that tries it.
    fn admit(self: &Rc<Self>) -> Result<Option<Trying>, Resting> {
        if self.rest.borrow().timeouts < TIMEOUTS_MAX {
            return Ok(None);
        }
        self.resting()?;
        let mut rest = self.rest.borrow_mut();
        match std::mem::replace(&mut rest.trial, Trial::UnderWay) {
            Trial::None => Ok(Some(Trying(Rc::clone(self)))),
            Trial::UnderWay => Err(Resting { why: rest.why.clone(), left: Duration::ZERO }),
        }
    }

    /// A request that began to wait at `begun` waited in vain. Those that waited together with one for which the endpoint
    /// rests already count no more.
    fn times_out(&self, begun: Instant, why: &str) -> Counted {
        let mut rest = self.rest.borrow_mut();
        if rest.last.is_some_and(|(at, _)| begun < at) {
            return Counted::On;
        }
        rest.timeouts += 1;
        if rest.timeouts < TIMEOUTS_MAX {
            return Counted::On;
        }
        drop(rest);
        self.fails(why);
        Counted::Rests
    }

    async fn open(self: Rc<Self>) {
        let opened = match timeout(self.connect_timeout, self.connect()).await {
            Ok(opened) => opened,
            Err(_) => {
                let why = format!("no connection within {}s", self.connect_timeout.as_secs_f32());
                Err(io::Error::new(io::ErrorKind::TimedOut, why))
            }
        };
        match opened {
            Ok(channel) => self.channels.borrow_mut().push(Rc::new(channel)),
            Err(error) => self.fails(&error.to_string()),
        }
        self.opening.set(false);
        self.opened.notify_waiters();
    }

    async fn connect(&self) -> io::Result<Channel> {
        let stream = TcpStream::connect(self.endpoint).await?;
        stream.set_nodelay(true)?;
        match &self.security {
            None => start(stream).await,
            Some((connector, name)) => start(connector.0.connect(name.clone(), stream).await?).await,
        }
    }

    fn fails(&self, why: &str) {
        let mut rest = self.rest.borrow_mut();
        let (first, most) = REST;
        let pause = first.saturating_mul(1 << rest.failures.min(16)).min(most);
        if rest.failures == 0 {
            tracing::warn!(endpoint = %self.endpoint, why, "an endpoint picker cannot be asked");
        }
        rest.failures += 1;
        let now = Instant::now();
        rest.last = Some((now, now + pause));
        why.clone_into(&mut rest.why);
    }

    fn works(&self) {
        let mut rest = self.rest.borrow_mut();
        if rest.failures > 0 {
            tracing::info!(endpoint = %self.endpoint, "an endpoint picker answers again");
        }
        *rest = Rest::default();
    }
}

/// An endpoint that failed and is not tried for a while; no time is left while another request tries it.
#[derive(Debug, thiserror::Error)]
#[error("{why}; the next try is in {}s", (left.as_secs_f64() * 1e3).ceil() / 1e3)]
struct Resting {
    why: String,
    left: Duration,
}

/// How often a fresh connection is looked at until the peer has told its settings: h2 has no word for it.
const SETTINGS_LOOK: Duration = Duration::from_millis(1);

/// Speaks HTTP/2, on a task of this thread. Returns once the peer has told its settings: so it speaks HTTP/2 too, and no
/// stream is opened that it would refuse.
async fn start<S: AsyncRead + AsyncWrite + Unpin + 'static>(stream: S) -> io::Result<Channel> {
    let stream = Corked::new(stream);
    let (of_stream, of_connection) = WINDOW_BYTES;
    let (sender, connection) = client::Builder::new()
        .enable_push(false)
        .initial_max_send_streams(0)
        .initial_window_size(of_stream)
        .initial_connection_window_size(of_connection)
        .max_header_list_size(HEADERS_BYTES_MAX)
        // What comes late for streams that were reset is no fault of the others on the connection.
        .max_local_error_reset_streams(None)
        .handshake(stream.clone())
        .await
        .map_err(io::Error::other)?;
    let retired = Rc::new(Cell::new(false));
    let retires = Rc::clone(&retired);
    tokio::task::spawn_local(async move {
        // How it ended is told to each of its streams.
        let _ = stream.drive(pin!(connection)).await;
        retires.set(true);
    });
    while sender.current_max_send_streams() == 0 {
        if retired.get() {
            return Err(io::Error::other("it does not speak HTTP/2"));
        }
        sleep(SETTINGS_LOOK).await;
    }
    Ok(Channel { sender, streams: Cell::new(0), retired, heard: Cell::new(Instant::now()) })
}

impl Channel {
    /// Whether a further stream may come to something: a peer that says goodbye answers those that there are, and no other.
    fn takes_streams(&self) -> bool {
        let asked = self.sender.clone().poll_ready(&mut Context::from_waker(Waker::noop()));
        !self.retired.get() && !matches!(asked, Poll::Ready(Err(_)))
    }
}

impl Place {
    pub(super) fn endpoint(&self) -> SocketAddr {
        self.peer.endpoint
    }

    pub(super) fn sender(&self) -> SendRequest<Bytes> {
        self.channel.sender.clone()
    }

    /// Something came over the connection.
    pub(super) fn heard(&self) {
        self.channel.heard.set(Instant::now());
    }

    /// The endpoint has said what becomes of the request: it works.
    pub(super) fn works(&self) {
        self.peer.works();
        self.trying.take();
    }

    /// A request that began to wait at `begun` waited in vain. A connection over which nothing at all came since is given
    /// up, and its endpoint rests: at once if that was long, since a process that is stopped still accepts.
    pub(super) fn times_out(&self, begun: Instant, waited: Waited, why: &str) {
        let silent = self.channel.heard.get() < begun;
        match waited {
            Waited::Long if silent && !self.channel.retired.replace(true) => self.peer.fails(why),
            Waited::Briefly if silent => {
                if self.peer.times_out(begun, why) == Counted::Rests {
                    self.channel.retired.set(true);
                }
            }
            Waited::Long => {
                self.peer.times_out(begun, why);
            }
            Waited::Briefly | Waited::TooBriefly => {}
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.channel.streams.set(self.channel.streams.get() - 1);
    }
}

#[cfg(test)]
pub(super) mod tests;
