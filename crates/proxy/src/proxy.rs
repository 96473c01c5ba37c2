//! Starting, watching and stopping the door.

use crate::accept::{Acceptor, Addresses, BindError, Loads, bind};
use crate::core::{self, Message, Shared};
use crate::settings::Settings;
use payload::Budget;
use state::World;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use telemetry::Telemetry;
use tokio::sync::{mpsc, oneshot, watch};

/// Door 1.
#[derive(Debug)]
pub struct Proxy;

/// A door that is open. Dropped, it closes at once; [`Handle::drain`] closes it gently.
#[derive(Debug)]
pub struct Handle {
    shared: Shared,
    cores: Vec<mpsc::UnboundedSender<Message>>,
    stop_accepting: watch::Sender<bool>,
    accepting: Option<JoinHandle<()>>,
    addresses: Arc<Addresses>,
}

/// How a door closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut because their requests took longer than the drain timeout.
    pub cut: usize,
}

impl Proxy {
    /// Binds every port of the first snapshot, then serves whatever snapshot is the newest. A later snapshot's port that
    /// cannot be bound is told in the log.
    pub fn start(
        world: Arc<World>,
        settings: Settings,
        telemetry: Arc<Telemetry>,
    ) -> Result<Handle, BindError> {
        let first = world.load();
        let mut bound = Vec::new();
        for port in first.ports() {
            bound.push((port, bind(&settings, &first, port)?));
        }
        let shared = Shared {
            budget: Budget::new(settings.held_bytes_max),
            loads: Loads::new(settings.cores.max(1)),
            settings: Arc::new(settings),
            world,
            telemetry,
        };
        let cores: Vec<_> =
            (0..shared.settings.cores.max(1)).map(|index| start_core(&shared, index)).collect();
        let addresses = Arc::new(Addresses::default());
        for (port, listener) in &bound {
            if let Ok(address) = listener.local_addr() {
                addresses.set(*port, Some(address));
            }
        }
        let (stop_accepting, stop) = watch::channel(false);
        let accepting = Some(start_accepting(&shared, &cores, &addresses, (bound, stop)));
        Ok(Handle { shared, cores, stop_accepting, accepting, addresses })
    }
}

/// One data thread, on a core of its own if the settings say so.
fn start_core(shared: &Shared, index: usize) -> mpsc::UnboundedSender<Message> {
    let (sender, messages) = mpsc::unbounded_channel();
    let shared = shared.clone();
    spawn(format!("proxy-{index}"), move || {
        if shared.settings.pin_cores
            && let Some(core) = core_affinity::get_core_ids().and_then(|ids| ids.get(index).copied())
            && !core_affinity::set_for_current(core)
        {
            tracing::warn!(index, "a data thread could not be bound to its core");
        }
        core::run(&shared, index, messages);
    });
    sender
}

fn start_accepting(
    shared: &Shared,
    cores: &[mpsc::UnboundedSender<Message>],
    addresses: &Arc<Addresses>,
    (bound, stop): (Vec<(u16, std::net::TcpListener)>, watch::Receiver<bool>),
) -> JoinHandle<()> {
    let acceptor = Acceptor {
        settings: Arc::clone(&shared.settings),
        world: Arc::clone(&shared.world),
        loads: Arc::clone(&shared.loads),
        cores: cores.to_vec(),
        addresses: Arc::clone(addresses),
    };
    spawn("proxy-accept".to_owned(), move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a thread that could be started gets an epoll descriptor");
        runtime.block_on(acceptor.run(bound, stop));
    })
}

fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    std::thread::Builder::new().name(name).spawn(work).expect("the process may start its few threads")
}

impl Handle {
    /// Each listener's port, and where it is bound.
    pub fn addresses(&self) -> Vec<(u16, SocketAddr)> {
        self.addresses.all()
    }

    /// What request bodies are held within.
    pub fn budget(&self) -> Arc<Budget> {
        Arc::clone(&self.shared.budget)
    }

    /// Connections from clients now.
    pub fn connections(&self) -> usize {
        self.shared.loads.all()
    }

    /// Stops accepting, lets the requests under way end whole, and cuts those that take longer than the drain timeout.
    /// Dropping the future before it ends cuts everything at once.
    pub async fn drain(mut self) -> Drained {
        self.stop_accepting.send_replace(true);
        let accepting = self.accepting.take();
        let all = async {
            if let Some(accepting) = accepting {
                // A thread that panicked accepts no more either.
                let _ = tokio::task::spawn_blocking(move || accepting.join()).await;
            }
            for core in self.tell(Message::Drain) {
                let _ = core.await;
            }
        };
        // Whoever is left is counted below.
        let _ = tokio::time::timeout(self.shared.settings.drain_timeout, all).await;
        let mut cut = 0;
        for core in self.tell(Message::Stop) {
            cut += core.await.unwrap_or(0);
        }
        Drained { cut }
    }

    fn tell<T>(&self, message: fn(oneshot::Sender<T>) -> Message) -> Vec<oneshot::Receiver<T>> {
        let ask = |core: &mpsc::UnboundedSender<Message>| {
            let (sender, receiver) = oneshot::channel();
            // A thread that has ended answers by dropping its end.
            let _ = core.send(message(sender));
            receiver
        };
        self.cores.iter().map(ask).collect()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop_accepting.send_replace(true);
        drop(self.tell(Message::Stop));
    }
}
