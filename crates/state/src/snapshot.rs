//! What a request loads once and reads without a lock.

use journey::{EndpointKey, ModelPolicies, Now, PoolState, PoolView, Restarted};
use resources::{FailureMode, Finding, ObjectName, PoolVersion, takes};
use routing::{Destination, DestinationKind, RouteTable};
use scheduling::{BlockIndex, BlockSettings, PrefixIndex, Slot};
use signals::Signals;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

/// The process's clock: the one place where the journey's [`Now`] comes from.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    /// Starts now.
    pub fn start() -> Clock {
        Clock(Instant::now())
    }

    /// Time since the start.
    pub fn now(&self) -> Now {
        Now(u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}

/// The world at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Counts reloads, from 1.
    pub generation: u64,
    /// Every listener of every Gateway that is ours; several may share a port, then the most specific hostname is first.
    pub listeners: Vec<Arc<Listener>>,
    /// Every InferencePool, by name; v1 before v1alpha2 where both have one.
    pub pools: Vec<Arc<Pool>>,
    /// Every InferencePool that is declared, whosever business it is.
    pub declared_pools: Vec<(PoolVersion, ObjectName)>,
    /// What is wrong with the manifests, and what else was found.
    pub findings: Vec<Finding>,
}

impl Snapshot {
    /// The listener of `port` with the most specific hostname that takes `host` (lower case, without port).
    pub fn listener(&self, port: u16, host: &str) -> Option<&Arc<Listener>> {
        self.listeners.iter().find(|listener| {
            listener.port == port && listener.hostname.as_deref().is_none_or(|pattern| takes(pattern, host))
        })
    }

    /// The InferencePool of a name; without a version v1, then v1alpha2.
    pub fn pool(&self, name: &ObjectName, version: Option<PoolVersion>) -> Option<&Arc<Pool>> {
        let fits =
            |pool: &&Arc<Pool>| pool.name == *name && version.is_none_or(|version| pool.version == version);
        self.pools.iter().filter(fits).min_by_key(|pool| pool.version)
    }

    /// The ports to listen on, ascending, each once.
    pub fn ports(&self) -> Vec<u16> {
        let mut ports: Vec<u16> = self.listeners.iter().map(|listener| listener.port).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }
}

/// A listener of a Gateway. Its identity is (Gateway, listener), never its port.
#[derive(Debug)]
pub struct Listener {
    /// The Gateway.
    pub gateway: ObjectName,
    /// The listener's name.
    pub name: Arc<str>,
    /// The port.
    pub port: u16,
    /// Its hostname, lower case, perhaps `*.example.com`; `None` takes every host.
    pub hostname: Option<Arc<str>>,
    /// The rules attached to it.
    pub routes: RouteTable<Backend>,
}

/// What a backendRef was resolved to.
#[derive(Debug, Clone)]
pub enum Backend {
    /// An InferencePool: the endpoint is picked.
    Pool(Arc<Pool>),
    /// A Service: its endpoints take turns.
    Service(Arc<Service>),
    /// Nothing that can be sent to; the reason is told to the client (500, by the standard).
    Broken(Arc<str>),
}

impl Destination for Backend {
    fn kind(&self) -> DestinationKind {
        match self {
            Backend::Pool(_) => DestinationKind::Pool,
            Backend::Service(_) | Backend::Broken(_) => DestinationKind::Plain,
        }
    }

    fn broken(why: Arc<str>) -> Backend {
        Backend::Broken(why)
    }
}

/// A Service's port with its ready endpoints.
#[derive(Debug)]
pub struct Service {
    /// The Service.
    pub name: ObjectName,
    /// Its port, as the backendRef has it.
    pub port: u16,
    /// Addresses and ports, from EndpointSlices.
    pub endpoints: Vec<SocketAddr>,
}

/// An InferencePool, compiled.
#[derive(Debug)]
pub struct Pool {
    /// Which of the two kinds it is.
    pub version: PoolVersion,
    /// The pool.
    pub name: ObjectName,
    /// How its domain sees it.
    pub view: PoolView,
    /// Its endpoints, with their places in the domain, in the order of their addresses.
    pub endpoints: Vec<(Slot, EndpointKey)>,
    /// The Pods behind its addresses, as a metric's label names them; an address without a Pod has none.
    pub pods: Arc<BTreeMap<SocketAddr, Arc<str>>>,
    /// Its models, objectives and rewrites.
    pub policies: ModelPolicies,
    /// Model names that a metric's label may take: those of rules and objects, in order.
    pub known_models: Vec<Arc<str>>,
    /// What was learnt about its endpoints.
    pub domain: Arc<Domain>,
    /// The index of its `prefix-cache-scorer`, if its policy has one; the domain knows it too.
    pub blocks: Option<Arc<BlockIndex>>,
    /// Somebody else's endpoint picker, if it has one that is declared; else the built-in one picks.
    pub picker: Option<Arc<EndpointPicker>>,
}

impl Pool {
    /// Whether the configuration names this model, so that a metric's label may.
    pub(crate) fn knows_model(&self, model: &str) -> bool {
        self.known_models.binary_search_by(|name| (**name).cmp(model)).is_ok()
    }
}

/// An endpoint picker that is a Service: asked over ext_proc where each request goes.
#[derive(Debug)]
pub struct EndpointPicker {
    /// As `namespace/service:port`.
    pub name: Arc<str>,
    /// Its host name in a cluster, for TLS: `service.namespace.svc`.
    pub host: Arc<str>,
    /// Addresses and ports, from EndpointSlices; perhaps none.
    pub endpoints: Vec<SocketAddr>,
    /// How they are spoken to.
    pub transport: Transport,
    /// What becomes of requests while none of them picks.
    pub failure_mode: FailureMode,
}

/// How an endpoint picker is spoken to: HTTP/2 either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Over TLS; by the standard its certificate is not verified.
    Tls,
    /// Without TLS.
    Plaintext,
}

/// A picking domain: a pool, or pools that share endpoints. Outlives snapshots.
#[derive(Debug, Default)]
pub struct Domain {
    /// Held for a pick or a release, nothing else, and never across an await.
    pub state: Mutex<PoolState>,
    /// Read without the mutex.
    pub prefixes: PrefixIndex,
    /// Indexes of configured `prefix-cache-scorer`s, one for each way of cutting prompts; pools hold them.
    blocks: Mutex<Vec<Weak<BlockIndex>>>,
}

impl Domain {
    /// A domain that draws from `seed`.
    pub fn new(seed: u64) -> Domain {
        Domain { state: Mutex::new(PoolState::new(seed)), ..Domain::default() }
    }

    /// The index of prompts that are cut so: the one that some pool has, or a new one.
    pub fn blocks(&self, settings: BlockSettings) -> Arc<BlockIndex> {
        let known = self.block_indexes().into_iter().find(|index| *index.settings() == settings);
        known.unwrap_or_else(|| {
            let index = Arc::new(BlockIndex::new(settings));
            let mut indexes = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
            indexes.retain(|index| index.strong_count() > 0);
            indexes.push(Arc::downgrade(&index));
            index
        })
    }

    /// Empties what every index knows of the endpoint at `slot`: it has restarted or left.
    pub fn forget(&self, slot: Slot) {
        self.prefixes.forget(slot);
        self.block_indexes().iter().for_each(|index| index.forget(slot));
    }

    /// Blocks that all prefix indexes hold. Takes many mutexes in turn: for a scrape.
    pub fn prefix_entries(&self) -> u64 {
        self.prefixes.entries() + self.block_indexes().iter().map(|index| index.entries()).sum::<u64>()
    }

    fn block_indexes(&self) -> Vec<Arc<BlockIndex>> {
        let indexes = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        indexes.iter().filter_map(Weak::upgrade).collect()
    }

    /// Holds the state. After a panic under the lock what its endpoints carry is counted anew from the live reservations.
    pub fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(|poisoned| {
            let mut state = poisoned.into_inner();
            state.recount();
            self.state.clear_poison();
            state
        })
    }

    /// A scrape of the endpoint at `slot` came back (`None`: it failed). Fits the endpoint's part of the prefix indexes to
    /// its cache, and empties it if the server has restarted.
    pub fn signal(&self, slot: Slot, scrape: Option<Signals>, now: Now) -> Restarted {
        let cache = scrape.as_ref().and_then(|signals| Some((signals.block_tokens?, signals.blocks?)));
        let restarted = self.lock().signal(slot, scrape, now);
        if restarted == Restarted::Yes {
            self.forget(slot);
        }
        if let Some((block_tokens, blocks)) = cache {
            self.prefixes.fit(slot, u64::from(block_tokens) * u64::from(blocks));
            self.block_indexes().iter().for_each(|index| index.fit(slot, block_tokens, blocks));
        }
        restarted
    }
}
