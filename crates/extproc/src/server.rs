//! The ports and the threads: one thread accepts, and hands each connection to the data thread that has fewest.
//!
//! Each data thread is a `current_thread` runtime with its own connections, as at door 1: an Envoy worker spends several
//! times on a stream what is spent here, so that a connection never needs a second thread, and no wake-up crosses one.
//! In: ports, and what makes a door for each thread. Out: served streams, until [`Server::drain`].

mod places;

use self::places::{Place, Places};
use crate::connection::{Core, Services, serve};
use crate::health::Health;
use crate::session::Door;
use crate::settings::Settings;
use socket2::{Domain, Protocol, Socket, Type};
use state::Clock;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// Connections that the kernel may keep waiting for us.
const BACKLOG: i32 = 4096;

/// Connections on their way to a data thread.
const HANDED_OVER_MAX: usize = 256;

/// How long accepting rests when the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections at one time to ports that tell health alone, which have these places to themselves: gateways that take every
/// other must not make a kubelet believe that the process is dead. Nor may who comes here, whom nobody asks who it is: beyond them
/// the oldest goes. A question is answered long before so many others have come.
const HEALTH_CONNECTIONS_MAX: usize = 64;

/// A port to serve.
#[derive(Debug, Clone, Default)]
pub struct Port {
    /// Its number; 0 takes a free one.
    pub number: u16,
    /// With TLS, or in the clear.
    pub tls: Option<Arc<ServerConfig>>,
    /// The number that [`Door::open`] is told, if ext_proc is served.
    pub process: Option<usize>,
    /// The health that is told, if it is.
    pub health: Option<Arc<Health>>,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port is not to be had.
    #[error(
        "cannot listen on {address}: {error}; give another --grpc-port (or --pool) or --grpc-health-port"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// A thread or a runtime cannot be made.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] io::Error),
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut when its time was over.
    pub cut: usize,
}

/// A running server. Dropped, it stops at once.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<SocketAddr>,
    draining: watch::Sender<bool>,
    places: [Places; 2],
    settings: Arc<Settings>,
    stop: Option<watch::Sender<bool>>,
    threads: Vec<JoinHandle<()>>,
}

/// An accepted connection on its way to its thread.
struct Handed {
    stream: std::net::TcpStream,
    port: usize,
    place: Place,
    counted: Counted,
}

/// A thread's connection, counted until it ends.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn on(load: &Arc<AtomicUsize>) -> Counted {
        load.fetch_add(1, Relaxed);
        Counted(Arc::clone(load))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// What a data thread needs to know of a port.
#[derive(Clone)]
struct Served {
    tls: Option<TlsAcceptor>,
    services: Services,
}

impl Server {
    /// Binds the ports and serves them; `make` makes the door of each data thread, on it.
    pub fn start<D: Door>(
        settings: Settings,
        ports: &[Port],
        clock: Clock,
        make: impl Fn(usize) -> D + Send + Sync + 'static,
    ) -> Result<Server, StartError> {
        let settings = Arc::new(settings);
        let listeners =
            ports.iter().map(|port| bind(&settings, port.number)).collect::<Result<Vec<_>, _>>()?;
        let addresses = listeners.iter().map(std::net::TcpListener::local_addr).collect::<Result<_, _>>()?;
        let (draining, stop) = (watch::Sender::new(false), watch::Sender::new(false));
        let places = [Places::new(settings.connections_max), Places::yielding(HEALTH_CONNECTIONS_MAX)];
        let of_ports = ports.iter().map(|port| places[usize::from(port.process.is_none())].clone());
        let listeners = listeners.into_iter().zip(of_ports.collect::<Vec<_>>()).collect();
        let served: Arc<[Served]> = ports.iter().map(Served::of).collect();
        let make = Arc::new(make);
        let mut threads = Vec::new();
        let mut cores = Vec::new();
        for index in 0..settings.cores.max(1) {
            let (sender, handed) = mpsc::channel(HANDED_OVER_MAX);
            let load = Arc::new(AtomicUsize::new(0));
            let (settings, make, served) = (Arc::clone(&settings), Arc::clone(&make), Arc::clone(&served));
            let signals = (draining.subscribe(), stop.subscribe());
            let thread = move || {
                let core = Rc::new(Core { door: Rc::new(make(index)), settings, clock });
                runtime().block_on(run(core, handed, served, signals));
            };
            threads.push(std::thread::Builder::new().name(format!("extproc-{index}")).spawn(thread)?);
            cores.push((sender, load));
        }
        let closing = draining.subscribe();
        let accepting = move || runtime().block_on(accept(listeners, cores, closing));
        threads.push(std::thread::Builder::new().name("extproc-accept".to_owned()).spawn(accepting)?);
        Ok(Server { addresses, draining, places, settings, stop: Some(stop), threads })
    }

    /// Where each port is bound, in the order of the ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves on for as long as gateways need to learn that it goes.
    async fn lame_duck(&self) {
        let (lame_duck, drain_timeout) = (self.settings.lame_duck, self.settings.drain_timeout.as_secs_f32());
        if !lame_duck.is_zero() {
            tracing::info!(
                seconds = lame_duck.as_secs_f32(),
                "connections are still taken, for the lame-duck time"
            );
            tokio::time::sleep(lame_duck).await;
        }
        tracing::info!(
            seconds = drain_timeout,
            "no connections are taken any more; streams under way have this long to end"
        );
    }

    /// Serves on for the lame-duck time; then accepts no more connections and lets the streams under way end, up to the drain
    /// timeout.
    pub async fn drain(self) -> Drained {
        self.lame_duck().await;
        self.draining.send_replace(true);
        let ended = async {
            for places in &self.places {
                places.emptied().await;
            }
        };
        let ended = tokio::time::timeout(self.settings.drain_timeout, ended).await;
        Drained { cut: if ended.is_ok() { 0 } else { self.places.iter().map(Places::taken).sum() } }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.draining.send_replace(true);
        if let Some(stop) = self.stop.take() {
            stop.send_replace(true);
        }
        for thread in self.threads.drain(..) {
            // A panic there has been reported by its hook.
            let _ = thread.join();
        }
    }
}

impl Served {
    fn of(port: &Port) -> Served {
        Served {
            tls: port.tls.clone().map(TlsAcceptor::from),
            services: Services { process: port.process, health: port.health.clone() },
        }
    }
}

fn runtime() -> LocalRuntime {
    Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .expect("a thread that could be started gets an epoll descriptor")
}

/// With `SO_REUSEADDR`, so that a restart does not wait for old connections to time out.
fn bind(settings: &Settings, port: u16) -> Result<std::net::TcpListener, StartError> {
    let address = SocketAddr::new(settings.bind, port);
    let open = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(std::net::TcpListener::from(socket))
    };
    open().map_err(|error| StartError::Bind { address, error })
}

type Cores = Rc<[(mpsc::Sender<Handed>, Arc<AtomicUsize>)]>;

/// The accepting thread, until the server drains.
async fn accept(
    listeners: Vec<(std::net::TcpListener, Places)>,
    cores: Vec<(mpsc::Sender<Handed>, Arc<AtomicUsize>)>,
    mut closing: watch::Receiver<bool>,
) {
    let cores: Cores = cores.into();
    let mut accepting = JoinSet::new();
    for (port, (listener, places)) in listeners.into_iter().enumerate() {
        match TcpListener::from_std(listener) {
            Ok(listener) => {
                accepting.spawn_local(accept_on(port, listener, Rc::clone(&cores), places));
            }
            Err(error) => tracing::error!(%error, "a port cannot be served"),
        }
    }
    // The sender lives as long as the server.
    let _ = closing.wait_for(|closing| *closing).await;
}

async fn accept_on(port: usize, listener: TcpListener, cores: Cores, places: Places) {
    loop {
        // Accepted before there is a place for it: a port where nobody calls must not keep a place from the others.
        match listener.accept().await.and_then(|(stream, _)| stream.into_std()) {
            Ok(stream) => {
                let place = places.take().await;
                let Some((sender, load)) = cores.iter().min_by_key(|(_, load)| load.load(Relaxed)) else {
                    return;
                };
                let counted = Counted::on(load);
                if sender.send(Handed { stream, port, place, counted }).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A data thread: serves what it is handed until it is told to stop.
async fn run<D: Door>(
    core: Rc<Core<D>>,
    mut handed: mpsc::Receiver<Handed>,
    served: Arc<[Served]>,
    (draining, mut stop): (watch::Receiver<bool>, watch::Receiver<bool>),
) {
    let accepted = async {
        while let Some(Handed { stream, port, mut place, counted }) = handed.recv().await {
            let Served { tls, services } = served[port].clone();
            let (core, draining) = (Rc::clone(&core), draining.clone());
            tokio::task::spawn_local(async move {
                match nodelay(stream) {
                    Ok(stream) => tokio::select! {
                        biased;
                        () = serve(core, stream, tls, services, draining) => {}
                        () = place.wanted() => tracing::debug!("a connection goes for another"),
                    },
                    Err(error) => tracing::debug!(%error, "a connection was lost"),
                }
                drop((place, counted));
            });
        }
        std::future::pending().await
    };
    tokio::select! {
        () = accepted => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

fn nodelay(stream: std::net::TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    TcpStream::from_std(stream)
}
