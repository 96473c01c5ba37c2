//! The server: its listener, its connections, its clock.

use std::future::Future;
use std::sync::Arc;

use hyper::service::service_fn;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::config::Config;
use crate::connection::{Connection, reset_on_close};
use crate::exchange::Exchange;
use crate::fault::{Fault, Welcome};
use crate::instance::Instance;

/// Serves one simulated model server on `listener` until `shutdown`; its open connections are then cut.
pub async fn serve(config: Config, listener: TcpListener, shutdown: impl Future<Output = ()>) {
    Simulator::new(config).serve(listener, shutdown).await;
}

/// A simulated model server that can be looked at and hurt while it serves. Clones are the same server.
#[derive(Debug, Clone)]
pub struct Simulator {
    instance: Arc<Instance>,
}

impl Simulator {
    /// An idle server, its cache empty.
    pub fn new(config: Config) -> Self {
        Self { instance: Arc::new(Instance::new(config)) }
    }

    /// Replaces every fault; none heals it.
    pub fn set_faults(&self, faults: Vec<Fault>) {
        self.instance.set_faults(faults);
    }

    /// The engine's true load.
    pub fn load(&self) -> engine::Load {
        self.instance.load()
    }

    /// What the engine counted.
    pub fn counters(&self) -> engine::Counters {
        self.instance.snapshot().counters
    }

    /// Serves on `listener` until `shutdown`; open connections are then cut.
    pub async fn serve(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        if let Ok(address) = listener.local_addr() {
            self.instance.name_if_unnamed(address.to_string());
        }
        tokio::select! {
            () = self.accept(listener) => {}
            () = self.instance.run_clock() => {}
            () = shutdown => {}
        }
    }

    async fn accept(&self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => self.connect(stream, &mut connections),
                    // Out of descriptors, most likely: give the connections there are a chance to end.
                    Err(error) => {
                        tracing::warn!(%error, "a simulated model server could not accept");
                        tokio::task::yield_now().await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    fn connect(&self, stream: TcpStream, connections: &mut JoinSet<()>) {
        let welcome = self.instance.with_faults(|faults| faults.welcome());
        if welcome == Welcome::Not {
            reset_on_close(&stream);
            return;
        }
        // Tokens are small and each is wanted at once. Failing to say so only delays them.
        let _ = stream.set_nodelay(true);
        let instance = self.instance.clone();
        connections.spawn(async move {
            if welcome == Welcome::ToHeal && !sets_faults(&stream).await {
                reset_on_close(&stream);
                return;
            }
            let (connection, misbehaviour) = Connection::new(stream);
            let service = service_fn(|request| {
                let exchange = Exchange { instance: instance.clone(), misbehaviour: misbehaviour.clone() };
                async move { exchange.answer(request).await }
            });
            // An error here is the client's doing or a fault's; there is nobody left to tell.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(connection, service).await;
        });
    }
}

/// Whether a client's first bytes set faults. They stay unread.
async fn sets_faults(stream: &TcpStream) -> bool {
    const BEGINNING: &[u8] = b"POST /sim/fault ";
    let mut first = [0; BEGINNING.len()];
    // Whoever sends these few bytes in pieces is reset as any other.
    stream.peek(&mut first).await.is_ok_and(|length| first[..length] == *BEGINNING)
}
