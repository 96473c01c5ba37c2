//! What a request loads once and reads without a lock.

use crate::gateways::takes;
use journey::{EndpointKey, ModelPolicies, Now, PoolState, PoolView, Restarted};
use resources::{Finding, ObjectName};
use routing::{Destination, DestinationKind, RouteTable};
use scheduling::{PrefixIndex, Slot};
use signals::Signals;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
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
    /// What was wrong with the manifests.
    pub findings: Vec<Finding>,
}

impl Snapshot {
    /// The listener of `port` with the most specific hostname that takes `host` (lower case, without port).
    pub fn listener(&self, port: u16, host: &str) -> Option<&Arc<Listener>> {
        self.listeners.iter().find(|listener| {
            listener.port == port && listener.hostname.as_deref().is_none_or(|pattern| takes(pattern, host))
        })
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
    /// The pool.
    pub name: ObjectName,
    /// How its domain sees it.
    pub view: PoolView,
    /// Its endpoints, with their places in the domain.
    pub endpoints: Vec<(Slot, EndpointKey)>,
    /// Its models, objectives and rewrites.
    pub policies: ModelPolicies,
    /// Model names that a metric's label may take: those of rules, objects and adapters.
    pub known_models: Vec<Arc<str>>,
    /// What was learnt about its endpoints.
    pub domain: Arc<Domain>,
}

/// A picking domain: a pool, or pools that share endpoints. Outlives snapshots.
#[derive(Debug, Default)]
pub struct Domain {
    /// Held for a pick or a release, nothing else, and never across an await.
    pub state: Mutex<PoolState>,
    /// Read without the mutex.
    pub prefixes: PrefixIndex,
}

impl Domain {
    /// A domain that draws from `seed`.
    pub fn new(seed: u64) -> Domain {
        Domain { state: Mutex::new(PoolState::new(seed)), prefixes: PrefixIndex::default() }
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

    /// A scrape of the endpoint at `slot` came back (`None`: it failed). Fits the endpoint's part of the prefix index to
    /// its cache, and empties it if the server has restarted.
    pub fn signal(&self, slot: Slot, scrape: Option<Signals>, now: Now) -> Restarted {
        let cache_tokens = scrape
            .as_ref()
            .and_then(|signals| Some(u64::from(signals.blocks?) * u64::from(signals.block_tokens?)));
        let restarted = self.lock().signal(slot, scrape, now);
        if restarted == Restarted::Yes {
            self.prefixes.forget(slot);
        }
        if let Some(cache_tokens) = cache_tokens {
            self.prefixes.fit(slot, cache_tokens);
        }
        restarted
    }
}
