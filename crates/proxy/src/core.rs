//! One data thread: its runtime, what its requests share, and its loop.
//!
//! A data thread owns its client connections and its connections to endpoints; no socket crosses to another one once it
//! is served. Beyond the thread it touches the snapshot (one atomic load a request), the domains' short mutexes and the
//! budget's counter.

use crate::accept::Loads;
use crate::connection;
use crate::deadlines::{Deadlines, TICK};
use crate::settings::Settings;
use crate::upstream::Endpoints;
use extproc::client::{self, Pickers};
use payload::Budget;
use state::{Clock, Pool, Reader, Service, Snapshot, World};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use telemetry::Telemetry;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

/// How long the last words to clients that are cut may take.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_millis(100);

/// What a data thread is told.
#[derive(Debug)]
pub(crate) enum Message {
    /// Serve this connection.
    Serve {
        /// The socket, not blocking.
        stream: TcpStream,
        /// The client.
        peer: SocketAddr,
        /// The port of the listener that it came to.
        port: u16,
    },
    /// Close connections as their requests end; answer when the last one has.
    Drain(oneshot::Sender<()>),
    /// End at once. The answer: how many connections were cut.
    Stop(oneshot::Sender<usize>),
}

/// What all data threads share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) settings: Arc<Settings>,
    pub(crate) world: Arc<World>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) loads: Arc<Loads>,
    pub(crate) telemetry: Arc<Telemetry>,
}

/// What the requests of one data thread share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) settings: Arc<Settings>,
    pub(crate) clock: Clock,
    pub(crate) budget: Arc<Budget>,
    pub(crate) telemetry: Rc<telemetry::Core>,
    pub(crate) deadlines: Rc<Deadlines>,
    pub(crate) endpoints: Endpoints,
    pub(crate) pickers: Pickers,
    pub(crate) random: RefCell<fastrand::Rng>,
    pub(crate) draining: Cell<bool>,
    /// What is still under way is cut.
    pub(crate) stopping: Cell<bool>,
    reader: RefCell<Reader>,
    current: RefCell<Rc<Current>>,
    turns: RefCell<HashMap<usize, usize, foldhash::fast::RandomState>>,
    index: usize,
    loads: Arc<Loads>,
}

/// The snapshot as one thread holds it, so that its requests count it without touching what other threads count.
#[derive(Debug)]
pub(crate) struct Current(Arc<Snapshot>);

impl Deref for Current {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0
    }
}

impl Core {
    pub(crate) fn new(shared: &Shared, index: usize) -> Rc<Core> {
        let deadlines = Deadlines::new(shared.world.clock());
        Rc::new(Core {
            endpoints: Endpoints::new(&shared.settings, Rc::clone(&deadlines)),
            pickers: Pickers::new(client::Settings {
                connect_timeout: shared.settings.connect_timeout,
                body_bytes_max: shared.settings.body_bytes_max,
                pick_timeout: shared.settings.endpoint_picker_timeout,
            }),
            settings: Arc::clone(&shared.settings),
            clock: shared.world.clock(),
            budget: Arc::clone(&shared.budget),
            telemetry: Rc::new(shared.telemetry.core(index)),
            deadlines,
            random: RefCell::new(fastrand::Rng::new()),
            draining: Cell::new(false),
            stopping: Cell::new(false),
            current: RefCell::new(Rc::new(Current(shared.world.load()))),
            reader: RefCell::new(shared.world.reader()),
            turns: RefCell::default(),
            index,
            loads: Arc::clone(&shared.loads),
        })
    }

    /// The newest snapshot: one atomic load, and a count that no other thread touches.
    pub(crate) fn snapshot(&self) -> Rc<Current> {
        let mut current = self.current.borrow_mut();
        let mut reader = self.reader.borrow_mut();
        let newest = reader.snapshot();
        if !Arc::ptr_eq(newest, &current.0) {
            *current = Rc::new(Current(Arc::clone(newest)));
            self.turns.borrow_mut().clear();
        }
        Rc::clone(&current)
    }

    /// The pool as it is declared by now: a request may have waited since it was routed. One that has gone is as it was.
    pub(crate) fn newest(&self, pool: &Arc<Pool>) -> Arc<Pool> {
        let snapshot = self.snapshot();
        Arc::clone(snapshot.pool(&pool.name, Some(pool.version)).unwrap_or(pool))
    }

    /// The place of the endpoint of a Service whose turn it is on this thread.
    pub(crate) fn turn(&self, service: &Arc<Service>) -> usize {
        self.turn_of(Arc::as_ptr(service).addr(), service.endpoints.len())
    }

    /// The same for anything with `endpoints` endpoints, told apart by its address while the snapshot lives. Begins
    /// anywhere, so that threads do not march in step.
    pub(crate) fn turn_of(&self, key: usize, endpoints: usize) -> usize {
        let mut turns = self.turns.borrow_mut();
        let turn = turns.entry(key).or_insert_with(|| self.random.borrow_mut().usize(..endpoints.max(1)));
        *turn = (*turn + 1) % endpoints.max(1);
        *turn
    }

    /// Which data thread this is.
    pub(crate) fn thread(&self) -> usize {
        self.index
    }

    /// A connection has ended.
    pub(crate) fn connection_ended(&self) {
        self.loads.ended(self.index);
    }

    /// Cuts what is under way. Its clients are told, as far as they listen and their protocol has a word for it.
    async fn cut(&self) {
        self.stopping.set(true);
        self.deadlines.wake_all();
        let gone = async {
            while self.connections() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        // Whoever is left ends with the thread.
        let _ = tokio::time::timeout(LAST_WORDS_TIMEOUT, gone).await;
    }

    fn connections(&self) -> usize {
        self.loads.of(self.index)
    }
}

/// Runs data thread `index` until it is told to stop.
pub(crate) fn run(shared: &Shared, index: usize, messages: mpsc::UnboundedReceiver<Message>) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .expect("a thread that could be started gets an epoll descriptor");
    let core = Core::new(shared, index);
    runtime.block_on(serve(Rc::clone(&core), messages));
    core.endpoints.clear();
    core.pickers.clear();
}

async fn serve(core: Rc<Core>, mut messages: mpsc::UnboundedReceiver<Message>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut drained: Option<oneshot::Sender<()>> = None;
    loop {
        tokio::select! {
            message = messages.recv() => match message {
                Some(Message::Serve { stream, peer, port }) => {
                    connection::spawn(&core, stream, peer, port);
                }
                Some(Message::Drain(done)) => {
                    core.draining.set(true);
                    core.deadlines.wake_all();
                    drained = Some(done);
                }
                Some(Message::Stop(cut)) => {
                    let open = core.connections();
                    core.cut().await;
                    // The receiver may have gone away; the thread ends all the same.
                    let _ = cut.send(open);
                    return;
                }
                None => return,
            },
            _ = ticks.tick() => {
                core.deadlines.tick();
                core.endpoints.reap();
                core.pickers.reap();
                core.snapshot();
            }
        }
        if core.connections() == 0
            && let Some(done) = drained.take()
        {
            // Nobody may be waiting any more.
            let _ = done.send(());
        }
    }
}

#[cfg(test)]
impl Shared {
    /// What one data thread without manifests needs.
    pub(crate) fn of_nothing() -> Shared {
        Shared {
            settings: Arc::new(Settings { cores: 1, ..Settings::default() }),
            world: Arc::new(World::new(state::Settings::default(), Clock::start())),
            budget: Budget::new(0),
            loads: Loads::new(1),
            telemetry: Telemetry::new(1, 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpListener};

    #[test]
    fn a_request_that_came_with_the_drain_is_answered() {
        let shared = Shared::of_nothing();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: nobody.example\r\n\r\n").unwrap();
        let (stream, peer) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        shared.loads.take(|_| true);
        let (sender, messages) = mpsc::unbounded_channel();
        let (done, drained) = oneshot::channel();
        sender.send(Message::Serve { stream, peer, port: 80 }).unwrap();
        sender.send(Message::Drain(done)).unwrap();
        let thread = std::thread::spawn(move || run(&shared, 0, messages));
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("it is not reset");
        assert!(answer.starts_with("HTTP/1.1 404 ") && answer.contains("no_listener"), "{answer}");
        drained.blocking_recv().unwrap();
        drop(sender);
        thread.join().unwrap();
    }
}
