//! The holder of the snapshot: one writer, readers that never lock.
//!
//! A reload makes a new snapshot and swaps it in; requests under way keep the one that they loaded, and their endpoints'
//! state is in domains that outlive both.

use crate::compile::{Sources, compile};
use crate::domains::Domains;
use crate::names::{Addresses, look_up};
use crate::settings::Settings;
use crate::{Clock, Snapshot};
use arc_swap::{ArcSwap, Cache};
use resources::{Finding, Load, Places, Store};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// How often names of endpoints are looked up again.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(30);

/// The world.
#[derive(Debug)]
pub struct World {
    snapshot: Arc<ArcSwap<Snapshot>>,
    writer: Mutex<Writer>,
    generation: watch::Sender<u64>,
    settings: Settings,
    clock: Clock,
}

/// What only the writer needs.
#[derive(Debug, Default)]
struct Writer {
    store: Store,
    /// What is wrong with the manifests.
    findings: Vec<Finding>,
    places: Places,
    resolved: Addresses,
    /// Names that the snapshot in force needs.
    names: BTreeSet<Arc<str>>,
    domains: Domains,
}

/// What became of a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// A new snapshot is in force.
    Changed,
    /// Everything is as it was: the snapshot in force stays.
    Unchanged,
}

impl World {
    /// A world without anything in it: generation 0.
    pub fn new(settings: Settings, clock: Clock) -> World {
        World {
            snapshot: Arc::default(),
            writer: Mutex::default(),
            generation: watch::Sender::new(0),
            settings,
            clock,
        }
    }

    /// Puts what was declared in force. Fails no request that is under way.
    pub fn apply(&self, load: Load) -> Applied {
        let Load { mut store, findings, places } = load;
        let own = self.settings.pools.iter();
        store
            .inference_pools
            .extend(own.map(|pool| ((pool.version, pool.meta.name.clone()), Arc::clone(pool))));
        let mut writer = self.writer();
        writer.places = places;
        if writer.store == store && writer.findings == findings && self.generation() > 0 {
            return Applied::Unchanged;
        }
        writer.store = store;
        writer.findings = findings;
        self.put_in_force(&mut writer);
        Applied::Changed
    }

    /// Looks up the names of endpoints, and puts what they resolve to in force. A name that cannot be resolved keeps the
    /// addresses that it had.
    pub async fn look_up_names(&self) -> Applied {
        let names = self.writer().names.clone();
        if names.is_empty() {
            return Applied::Unchanged;
        }
        let found = look_up(names).await;
        let mut writer = self.writer();
        let mut resolved = writer.resolved.clone();
        for (name, addresses) in found {
            let known = resolved.entry(name).or_default();
            if !addresses.is_empty() {
                *known = addresses;
            }
        }
        resolved.retain(|name, _| writer.names.contains(name));
        if resolved == writer.resolved {
            return Applied::Unchanged;
        }
        writer.resolved = resolved;
        self.put_in_force(&mut writer);
        Applied::Changed
    }

    /// Looks names up whenever the snapshot changes and every 30 s, without end. For a control thread.
    pub async fn keep_names_looked_up(&self) {
        let mut changes = self.changes();
        loop {
            self.look_up_names().await;
            changes.mark_unchanged();
            // Either way it is time; the sender lives as long as `self`.
            let _ = tokio::time::timeout(LOOKUP_INTERVAL, changes.changed()).await;
        }
    }

    fn put_in_force(&self, writer: &mut Writer) {
        let Writer { store, findings, places, resolved, names, domains } = writer;
        let sources = Sources { store, findings, places, resolved, settings: &self.settings };
        let generation = self.generation() + 1;
        let (snapshot, needed) = compile(&sources, generation, domains, self.clock.now());
        *names = needed;
        self.snapshot.store(Arc::new(snapshot));
        domains.settle(self.clock.now());
        self.generation.send_replace(generation);
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn generation(&self) -> u64 {
        *self.generation.borrow()
    }

    /// The snapshot in force.
    pub fn load(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// A reader for one thread: quicker than [`World::load`], since it counts no references while nothing changes.
    pub fn reader(&self) -> Reader {
        Reader(Cache::new(Arc::clone(&self.snapshot)))
    }

    /// Tells each new generation, after it is in force.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// The clock that the domains' times come from.
    pub fn clock(&self) -> Clock {
        self.clock
    }
}

/// Reads the snapshot in force, for one thread.
#[derive(Debug, Clone)]
pub struct Reader(Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>);

impl Reader {
    /// The snapshot in force.
    pub fn snapshot(&mut self) -> &Arc<Snapshot> {
        self.0.load()
    }
}
