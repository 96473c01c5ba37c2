//! Accepting: one thread listens on every port of the snapshot and hands each connection to the least loaded data thread.
//!
//! One listening socket for each port, not one for each core: `SO_REUSEPORT` spreads by a hash of the addresses, which
//! gives one core half of ten long-lived connections as often as not, and a socket that leaves its group takes the
//! connections waiting in its own queue with it. Handing over costs one wake-up for each connection, none for a request.
//! In: snapshots. Out: connected sockets, not yet registered with any runtime.

use crate::core::Message;
use crate::settings::Settings;
use socket2::{Domain, Protocol, Socket, Type};
use state::{Snapshot, World};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Connections that the kernel may keep waiting for us.
const BACKLOG: i32 = 4096;

/// How long accepting rests when the process is out of descriptors or at its limit of connections.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How many connections each data thread serves.
#[derive(Debug)]
pub(crate) struct Loads(Vec<Load>);

/// A counter alone on its cache line, so that two threads never fight over one.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Load(AtomicUsize);

impl Loads {
    pub(crate) fn new(cores: usize) -> Arc<Loads> {
        Arc::new(Loads((0..cores).map(|_| Load::default()).collect()))
    }

    /// The least loaded of the data threads that live, which gets one connection more; a dead one serves nobody.
    pub(crate) fn take(&self, lives: impl Fn(usize) -> bool) -> Option<usize> {
        let least = (0..self.0.len()).filter(|core| lives(*core)).min_by_key(|core| self.of(*core))?;
        self.0[least].0.fetch_add(1, Relaxed);
        Some(least)
    }

    pub(crate) fn of(&self, core: usize) -> usize {
        self.0[core].0.load(Relaxed)
    }

    pub(crate) fn ended(&self, core: usize) {
        self.0[core].0.fetch_sub(1, Relaxed);
    }

    /// Connections of all data threads.
    pub(crate) fn all(&self) -> usize {
        (0..self.0.len()).map(|core| self.of(core)).sum()
    }
}

/// Which port of a listener is bound where.
#[derive(Debug, Default)]
pub(crate) struct Addresses(Mutex<BTreeMap<u16, SocketAddr>>);

impl Addresses {
    pub(crate) fn all(&self) -> Vec<(u16, SocketAddr)> {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.iter().map(|(port, address)| (*port, *address)).collect()
    }

    fn of(&self, port: u16) -> Option<SocketAddr> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&port).copied()
    }

    pub(crate) fn set(&self, port: u16, address: Option<SocketAddr>) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match address {
            Some(address) => map.insert(port, address),
            None => map.remove(&port),
        };
    }
}

/// A port that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}, for {listeners}: {source}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// The listeners that are served there, with their Gateways.
    pub listeners: String,
    /// What the system says.
    pub source: io::Error,
}

/// Binds a port. With `SO_REUSEADDR`, so that a restart does not wait for old connections to time out.
pub(crate) fn bind(
    settings: &Settings,
    snapshot: &Snapshot,
    port: u16,
) -> Result<std::net::TcpListener, BindError> {
    let address = SocketAddr::new(settings.bind, if settings.free_ports { 0 } else { port });
    let open = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(std::net::TcpListener::from(socket))
    };
    open().map_err(|source| BindError { address, listeners: listeners_at(snapshot, port), source })
}

/// The listeners of a port, for people.
fn listeners_at(snapshot: &Snapshot, port: u16) -> String {
    let at_port = snapshot.listeners.iter().filter(|listener| listener.port == port);
    let told: Vec<String> = at_port
        .map(|listener| format!("listener {} of Gateway {}", listener.name, listener.gateway))
        .collect();
    told.join(", ")
}

/// How long a port that could not be bound is left before it is tried again.
const BIND_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// What the accepting thread works with.
pub(crate) struct Acceptor {
    pub(crate) settings: Arc<Settings>,
    pub(crate) world: Arc<World>,
    pub(crate) loads: Arc<Loads>,
    pub(crate) cores: Vec<mpsc::UnboundedSender<Message>>,
    pub(crate) addresses: Arc<Addresses>,
}

/// Who is still let in of those that wait at a port which closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LetsIn {
    /// At a reload: as many as the limit of connections lets, since others go on.
    WithinLimit,
    /// At a drain: everybody, since nobody comes after them.
    Everybody,
}

/// The ports that are listened on: dropping a port's sender closes it.
#[derive(Default)]
struct Ports {
    open: BTreeMap<u16, watch::Sender<LetsIn>>,
    /// Those that could not be bound; they are tried again.
    unbound: BTreeSet<u16>,
    tasks: JoinSet<()>,
}

impl Acceptor {
    /// Takes `bound` over, then follows the snapshot's ports until `stop` changes.
    pub(crate) async fn run(self, bound: Vec<(u16, std::net::TcpListener)>, mut stop: watch::Receiver<bool>) {
        let acceptor = Arc::new(self);
        let mut ports = Ports::default();
        for (port, listener) in bound {
            acceptor.open(&mut ports, port, listener);
        }
        let mut changes = acceptor.world.changes();
        loop {
            acceptor.follow(&mut ports, &acceptor.world.load());
            tokio::select! {
                _ = stop.wait_for(|stopped| *stopped) => break,
                // The world outlives this thread, which holds it.
                _ = changes.changed() => {}
                () = tokio::time::sleep(BIND_RETRY_INTERVAL), if !ports.unbound.is_empty() => {}
            }
        }
        for (_, port) in ports.open {
            port.send_replace(LetsIn::Everybody);
        }
        while ports.tasks.join_next().await.is_some() {}
    }

    /// Opens the ports that are new and closes those that are gone.
    fn follow(self: &Arc<Self>, ports: &mut Ports, snapshot: &Snapshot) {
        let wanted = snapshot.ports();
        ports.open.retain(|port, _| wanted.contains(port));
        ports.unbound.retain(|port| wanted.contains(port));
        for port in wanted {
            if ports.open.contains_key(&port) {
                continue;
            }
            match bind(&self.settings, snapshot, port) {
                Ok(listener) => {
                    ports.unbound.remove(&port);
                    self.open(ports, port, listener);
                    let address = self.addresses.of(port);
                    tracing::info!(port, address = address.map(tracing::field::display), "listening");
                }
                Err(error) => {
                    if ports.unbound.insert(port) {
                        tracing::error!(port, %error, "a listener of the new configuration is not served until its port is free");
                    }
                }
            }
        }
    }

    fn open(self: &Arc<Self>, ports: &mut Ports, port: u16, listener: std::net::TcpListener) {
        let opened = listener.local_addr().and_then(|at| Ok((at, TcpListener::from_std(listener)?)));
        match opened {
            Ok((address, listener)) => {
                let (open, closed) = watch::channel(LetsIn::WithinLimit);
                ports.open.insert(port, open);
                self.addresses.set(port, Some(address));
                ports.tasks.spawn(Arc::clone(self).listen(port, listener, closed));
            }
            Err(error) => tracing::error!(port, %error, "a listener is not served"),
        }
    }

    /// Accepts on one port until it is closed; then hands over what the kernel had already accepted, so that no client
    /// that was let in is turned away.
    async fn listen(self: Arc<Self>, port: u16, listener: TcpListener, mut closed: watch::Receiver<LetsIn>) {
        loop {
            if self.loads.all() >= self.settings.connections_max {
                tokio::select! {
                    () = tokio::time::sleep(ACCEPT_PAUSE) => continue,
                    _ = closed.changed() => break,
                }
            }
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        if let Ok(stream) = stream.into_std() {
                            self.hand_over(stream, peer, port);
                        }
                    }
                    Err(error) => self.pause_after(&error).await,
                },
                _ = closed.changed() => break,
            }
        }
        self.addresses.set(port, None);
        self.sweep(listener, port, *closed.borrow());
    }

    /// Hands over what waits to be accepted. The system is asked itself: the runtime says that there is nothing once it has
    /// given out a task's share.
    fn sweep(&self, listener: TcpListener, port: u16, lets_in: LetsIn) {
        let Ok(listener) = listener.into_std() else { return };
        for _ in 0..BACKLOG {
            if lets_in == LetsIn::WithinLimit && self.loads.all() >= self.settings.connections_max {
                break;
            }
            match listener.accept() {
                Ok((stream, peer)) if stream.set_nonblocking(true).is_ok() => {
                    self.hand_over(stream, peer, port);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// A client that left before it was accepted is nothing; being out of descriptors is, and does not pass at once.
    async fn pause_after(&self, error: &io::Error) {
        if error.kind() != io::ErrorKind::ConnectionAborted && error.kind() != io::ErrorKind::Interrupted {
            tracing::warn!(%error, "accepting connections pauses");
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }

    fn hand_over(&self, stream: std::net::TcpStream, peer: SocketAddr, port: u16) {
        let Some(core) = self.loads.take(|core| !self.cores[core].is_closed()) else { return };
        if self.cores[core].send(Message::Serve { stream, peer, port }).is_err() {
            self.loads.ended(core);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_told_with_its_address() {
        let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = taken.local_addr().unwrap();
        let settings = Settings { bind: address.ip(), ..Settings::default() };
        let listener = |name: &str, port| {
            Arc::new(state::Listener {
                gateway: resources::ObjectName::new("default", "gateway"),
                name: name.into(),
                port,
                hostname: None,
                routes: routing::RouteTable::default(),
            })
        };
        let listeners = vec![listener("a", address.port()), listener("b", 1), listener("c", address.port())];
        let snapshot = Snapshot { listeners, ..Snapshot::default() };
        let told = bind(&settings, &snapshot, address.port()).unwrap_err().to_string();
        let expected = format!(
            "cannot listen on {address}, for listener a of Gateway default/gateway, listener c of Gateway default/gateway: "
        );
        assert!(told.starts_with(&expected), "{told}");
    }

    #[test]
    fn connections_go_to_the_least_loaded_data_thread() {
        let loads = Loads::new(3);
        let all = |_| true;
        assert_eq!([loads.take(all), loads.take(all), loads.take(all)], [Some(0), Some(1), Some(2)]);
        loads.ended(1);
        assert_eq!(loads.take(all), Some(1));
        assert_eq!(loads.all(), 3);
        loads.ended(1);
        assert_eq!(loads.take(|core| core != 1), Some(0), "the one without connections is dead");
        assert_eq!(loads.take(|_| false), None);
    }
}
