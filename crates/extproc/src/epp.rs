//! The endpoint picker of InferencePools: tells the gateway where a request is to go.
//!
//! Steps 1, 3, 4 and 5: parse, admit, pick, learn, by the same calls as at door 1; the gateway routes.
//! In: a request's headers and body, and the subset of endpoints that the gateway would take. Out: an ordered list of
//! endpoints in a header and in dynamic metadata, the body behind it, with the model rewritten if the pool says so; or an
//! `ImmediateResponse`. The response is observed as it passes, and never held.
//! Never: a decision of its own; a body held beyond the limit, the budget or its pace.
//! Source: Endpoint Picker Protocol 1.0.0; GAIE v1.5.0, `pkg/epp/handlers`; docs/ext-proc.md lists what differs on purpose.

mod hints;
mod session;
mod whose;

pub use session::EppSession;

use crate::modes::{Misset, RESPONSE_UNSEEN};
use journey::BodyPace;
use payload::{Budget, Gathering};
use resources::{ObjectName, PoolVersion};
use scheduling::config::TestPlugins;
use state::{Clock, Pool, Reader, Snapshot, World};
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use telemetry::Telemetry;

/// Which pool a port picks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolReference {
    /// The pool.
    pub name: ObjectName,
    /// Which of the two kinds; `None` takes v1, then v1alpha2.
    pub version: Option<PoolVersion>,
}

/// Whether the gateway's subset of endpoints is obeyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubsetHint {
    /// It is, by the protocol.
    Obeyed,
    /// It is passed over.
    PassedOver,
}

/// How the picker works.
#[derive(Debug, Clone)]
pub struct EppSettings {
    /// The pools, in the order of the ports.
    pub pools: Vec<PoolReference>,
    /// The header and the metadata key that carry the endpoints.
    pub destination_key: Arc<str>,
    /// The namespace of the metadata; empty puts the key at its root.
    pub destination_namespace: Arc<str>,
    /// Whether the gateway's subset is obeyed.
    pub subset_hint: SubsetHint,
    /// Whether clients may choose their own endpoint, for conformance tests.
    pub test_plugins: TestPlugins,
    /// Body of a request that is read, bytes.
    pub body_bytes_max: u64,
    /// How fast a body that is held must come.
    pub body_pace: BodyPace,
}

/// The picker, on one thread.
#[derive(Debug)]
pub struct Epp {
    settings: Arc<EppSettings>,
    budget: Arc<Budget>,
    clock: Clock,
    telemetry: Rc<telemetry::Core>,
    random: RefCell<fastrand::Rng>,
    reader: RefCell<Reader>,
    pools: RefCell<Pools>,
    misset: Misset,
    /// For each port, whether the log was told of a gateway that may end streams before their responses.
    unseen: Box<[OnceCell<()>]>,
}

/// The pools of the snapshot in force, in the order of the ports; `None` if one is not declared.
#[derive(Debug, Default)]
struct Pools {
    of: Arc<Snapshot>,
    pools: Vec<Option<Arc<Pool>>>,
}

impl Epp {
    /// A picker for data thread `index`.
    pub fn new(
        settings: &Arc<EppSettings>,
        budget: &Arc<Budget>,
        world: &World,
        telemetry: &Arc<Telemetry>,
        index: usize,
    ) -> Epp {
        Epp {
            settings: Arc::clone(settings),
            budget: Arc::clone(budget),
            clock: world.clock(),
            telemetry: Rc::new(telemetry.core(index)),
            random: RefCell::new(fastrand::Rng::new()),
            reader: RefCell::new(world.reader()),
            pools: RefCell::default(),
            misset: Misset::default(),
            unseen: settings.pools.iter().map(|_| OnceCell::new()).collect(),
        }
    }

    /// The pool of a port, as it is declared at this moment.
    fn pool(&self, port: usize) -> Option<Arc<Pool>> {
        let mut reader = self.reader.borrow_mut();
        let mut pools = self.pools.borrow_mut();
        let newest = reader.snapshot();
        if !Arc::ptr_eq(newest, &pools.of) || pools.pools.is_empty() {
            let of = |wanted: &PoolReference| newest.pool(&wanted.name, wanted.version).cloned();
            *pools = Pools { of: Arc::clone(newest), pools: self.settings.pools.iter().map(of).collect() };
        }
        pools.pools.get(port).cloned().flatten()
    }

    /// Tells the log once of a gateway that may end streams before their responses.
    fn warn_of_early_ends(&self, port: usize) {
        if self.unseen[port].set(()).is_ok() {
            tracing::warn!(pool = %self.settings.pools[port].name, "{RESPONSE_UNSEEN}");
        }
    }

    fn gather(&self) -> Gathering {
        Gathering::new(&self.budget)
    }
}

impl crate::Door for Epp {
    type Session = EppSession;

    fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    fn open(self: &Rc<Epp>, port: usize) -> EppSession {
        EppSession::new(Rc::clone(self), port)
    }
}
