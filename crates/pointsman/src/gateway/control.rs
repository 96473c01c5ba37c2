//! The control thread: takes up changed manifests, looks names up, scrapes endpoints.
//!
//! It can neither slow nor stop the data path: what it finds goes into the snapshot (swapped) or a domain (a short lock).

use super::Told;
use resources::{Effect, Folder};
use scheduling::Slot;
use signals::{Scrape, ScrapeSettings, Scraper};
use state::{Applied, Clock, Domain, Snapshot, World};
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use telemetry::{ScrapeResult, Telemetry};
use tokio::sync::oneshot;

/// The control thread. Dropped, it ends.
pub(super) struct Control {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    pub(super) fn start(
        world: &Arc<World>,
        (folder, told): (Folder, Told),
        telemetry: &Arc<Telemetry>,
        scrape: ScrapeSettings,
    ) -> io::Result<Control> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let (world, telemetry) = (Arc::clone(world), Arc::clone(telemetry));
        let work = async move {
            tokio::select! {
                _ = stopped => (),
                () = take_up_changes(&world, folder, told) => (),
                () = world.keep_names_looked_up() => (),
                () = scrape_endpoints(&world, &telemetry, scrape) => (),
            }
        };
        let thread = std::thread::Builder::new().name("control".to_owned()).spawn(move || {
            runtime.block_on(work);
        })?;
        Ok(Control { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by its hook.
            let _ = thread.join();
        }
    }
}

/// Puts each change of the folder in force, and says what is wrong with it; and what is found without one, as that a name
/// cannot be looked up any more.
async fn take_up_changes(world: &World, folder: Folder, mut told: Told) {
    let mut watch = folder.watch();
    let mut changes = world.changes();
    told.tell_new(&world.load().findings);
    loop {
        tokio::select! {
            load = watch.next() => {
                let Some(load) = load else { return std::future::pending().await };
                let before = world.load();
                if world.apply(load) == Applied::Unchanged {
                    continue;
                }
                let snapshot = world.load();
                told.tell_new(&snapshot.findings);
                tell_change(&snapshot);
                tell_closed(&before.ports(), &snapshot.ports());
            }
            Ok(()) = changes.changed() => told.tell_new(&world.load().findings),
        }
    }
}

fn tell_change(snapshot: &Snapshot) {
    let generation = snapshot.generation;
    let count = |effect| snapshot.findings.iter().filter(|finding| finding.effect() == effect).count();
    match (count(Effect::FileRefused), count(Effect::Unserved)) {
        (0, 0) => tracing::info!(generation, "the manifests have changed and are in force"),
        (0, unserved) => tracing::warn!(
            generation,
            unserved,
            "the manifests have changed and are in force; what the errors are about is not served"
        ),
        (errors, unserved) => tracing::warn!(
            generation,
            errors,
            unserved,
            "the manifests have changed; a file that cannot be used keeps its last good objects, the rest is in force"
        ),
    }
}

/// A port that no listener has any more is closed, whether or not its listener's new one can be had.
fn tell_closed(before: &[u16], ports: &[u16]) {
    for port in before.iter().filter(|port| !ports.contains(port)) {
        tracing::warn!(port, "closed: no listener of the manifests has this port any more");
    }
    if ports.is_empty() && !before.is_empty() {
        tracing::error!("listening on no port: no Gateway of ours has an HTTP listener; /readyz answers 503");
    }
}

/// An endpoint's place, as the scraper knows it.
#[derive(Clone)]
struct Place {
    domain: Arc<Domain>,
    slot: Slot,
}

impl PartialEq for Place {
    fn eq(&self, other: &Place) -> bool {
        Arc::ptr_eq(&self.domain, &other.domain) && self.slot == other.slot
    }
}

impl Eq for Place {}

impl Hash for Place {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (Arc::as_ptr(&self.domain).addr(), self.slot).hash(hasher);
    }
}

/// Keeps every endpoint of the snapshot in force scraped.
async fn scrape_endpoints(world: &World, telemetry: &Arc<Telemetry>, settings: ScrapeSettings) {
    let (clock, telemetry) = (world.clock(), Arc::clone(telemetry));
    let sink = move |place: &Place, scrape: Scrape| learn(place, scrape, clock, &telemetry);
    let mut scraper = Scraper::new(settings, Arc::new(sink));
    let mut changes = world.changes();
    loop {
        changes.mark_unchanged();
        scraper.set(endpoints(&world.load()));
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// Every endpoint of a snapshot, each once: pools of one domain may share some.
#[allow(clippy::mutable_key_type, reason = "a place is hashed and compared by its domain's address alone")]
fn endpoints(snapshot: &Snapshot) -> HashMap<Place, SocketAddr> {
    let places = snapshot.pools.iter().flat_map(|pool| {
        let place = |slot| Place { domain: Arc::clone(&pool.domain), slot };
        pool.endpoints.iter().map(move |(slot, key)| (place(*slot), key.address))
    });
    places.collect()
}

fn learn(place: &Place, scrape: Scrape, clock: Clock, telemetry: &Telemetry) {
    let (result, signals) = match scrape {
        Scrape::Read(signals) => (ScrapeResult::Read, Some(signals)),
        Scrape::NoMetrics => (ScrapeResult::NoMetrics, Some(signals::Signals::default())),
        Scrape::Missed(_) => (ScrapeResult::Missed, None),
    };
    telemetry.scraped(result);
    place.domain.signal(place.slot, signals, clock.now());
}
