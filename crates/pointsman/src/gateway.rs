//! A gateway in this process: the world, the proxy door, and what watches over them.
//!
//! In: [`GatewaySettings`]. Out: a running [`Gateway`], until [`Gateway::drain`]. Only wiring: every part is told of the
//! others here, and nowhere else.

mod base_models;
mod control;
mod offline;
mod picker;
mod pool_health;
mod request_log;
mod settings;
mod shown;

pub(crate) use base_models::BaseModelMaps;
pub(crate) use offline::Offline;
pub(crate) use picker::{Picker, PickerSettings};
pub(crate) use settings::{GatewaySettings, WorldSettings, fraction, queue_depth};
pub(crate) use shown::decimal;

use crate::admin::{self, Admin, Readiness};
use control::Control;
use journey::Now;
use payload::Budget;
use proxy::{Drained, Proxy};
use request_log::RequestLog;
use resources::{Audience, Finding, Folder, Load, Severity};
use state::{Clock, Snapshot, World};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use telemetry::Telemetry;

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// A file of the manifests cannot be used: so many errors say why.
    #[error("the manifests have {}; `pointsman check {}` tells them all", journey::counted(*.0, "error"), words(.1))]
    Manifests(usize, Vec<PathBuf>),
    /// Nothing to listen on.
    #[error("no Gateway of ours has an HTTP listener in {}; nothing to listen on", list(.0))]
    NoListener(Vec<PathBuf>),
    /// A port of the ext_proc door is not to be had.
    #[error(transparent)]
    ExtProc(#[from] extproc::StartError),
    /// There is no certificate for it.
    #[error(transparent)]
    Tls(#[from] extproc::TlsError),
    /// A port of the proxy door is not to be had.
    #[error(transparent)]
    Bind(#[from] proxy::BindError),
    /// The admin port is not to be had.
    #[error("cannot listen on the admin address {address}: {error}; give another --admin")]
    Admin {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
    /// The metrics port is not to be had.
    #[error("cannot listen on the metrics address {address}: {error}; give another --metrics-port")]
    Metrics {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
    /// A thread or a runtime cannot be made.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] std::io::Error),
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Paths as a command line has them.
fn words(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")
}

/// Serves one page of metrics on `address`, and tells where it is bound.
pub(crate) fn serve_page(
    address: SocketAddr,
    page: impl Fn() -> String + Clone + Send + Sync + 'static,
) -> Result<(Admin, SocketAddr), StartError> {
    let listener =
        std::net::TcpListener::bind(address).map_err(|error| StartError::Metrics { address, error })?;
    let address = listener.local_addr().map_err(StartError::Thread)?;
    let page = Admin::start(listener, admin::metrics_router(page)).map_err(StartError::Thread)?;
    Ok((page, address))
}

/// A running gateway. Dropped, it stops at once.
pub(crate) struct Gateway {
    /// What operators see.
    pub(crate) telemetry: Arc<Telemetry>,
    /// Where the admin server listens.
    pub(crate) admin: SocketAddr,
    watched: Arc<Watched>,
    _admin: Admin,
    _control: Control,
    _log: Option<RequestLog>,
}

impl Gateway {
    /// Reads the manifests, binds every port, and serves.
    pub(crate) fn start(settings: GatewaySettings) -> Result<Gateway, StartError> {
        let world = Arc::new(World::new(settings.world(), Clock::start()));
        let (folder, load, told) = read(&settings.world.config, Audience::Gateway)?;
        world.apply(load);
        if world.load().listeners.is_empty() {
            return Err(StartError::NoListener(settings.world.config));
        }
        let proxy_settings = settings.proxy();
        let telemetry = Telemetry::new(proxy_settings.cores, settings.world.records);
        let watched = Arc::new(Watched::new(Arc::clone(&world), settings.shown()));
        let (admin, address) = administer(settings.world.admin, &telemetry, &watched)?;
        let control = Control::start(&world, (folder, told), &telemetry, settings.scrape());
        let control = control.map_err(StartError::Thread)?;
        let log = RequestLog::start(&telemetry, settings.world.access_log).map_err(StartError::Thread)?;
        let proxy = Proxy::start(Arc::clone(&world), proxy_settings, Arc::clone(&telemetry))?;
        for (port, address) in proxy.addresses() {
            tracing::info!(port, %address, "listening");
        }
        watched.opens(proxy);
        tracing::info!(address = %address, "admin server listening");
        Ok(Gateway { telemetry, admin: address, watched, _admin: admin, _control: control, _log: log })
    }

    /// Each listener's port, and where it is bound.
    pub(crate) fn addresses(&self) -> Vec<(u16, SocketAddr)> {
        self.watched.door().as_ref().map(proxy::Handle::addresses).unwrap_or_default()
    }

    /// Stops accepting and lets the requests under way end whole.
    pub(crate) async fn drain(self) -> Drained {
        self.watched.becomes(Readiness::Draining);
        let door = self.watched.door().take();
        match door {
            Some(proxy) => proxy.drain().await,
            None => Drained { cut: 0 },
        }
    }
}

/// Reads the manifests for the first time, and tells what is wrong with them: a file that cannot be used ends the start.
fn read(config: &[PathBuf], audience: Audience) -> Result<(Folder, Load, Told), StartError> {
    let mut folder = Folder::new(config).read_by(audience);
    let load = folder.load();
    let mut told = Told::default();
    told.tell_new(&load.findings);
    match load.broken().count() {
        0 => Ok((folder, load, told)),
        broken => Err(StartError::Manifests(broken, config.to_vec())),
    }
}

/// Starts the admin server.
fn administer(
    address: SocketAddr,
    telemetry: &Arc<Telemetry>,
    watched: &Arc<Watched>,
) -> Result<(Admin, SocketAddr), StartError> {
    let listener =
        std::net::TcpListener::bind(address).map_err(|error| StartError::Admin { address, error })?;
    let address = listener.local_addr().map_err(StartError::Thread)?;
    let pages = admin::router(Arc::clone(telemetry), Arc::clone(watched) as Arc<dyn admin::World>);
    Ok((Admin::start(listener, pages).map_err(StartError::Thread)?, address))
}

/// The findings that stand in the log: a reload tells what it brought, not what was wrong before.
#[derive(Debug, Default)]
struct Told(BTreeSet<Finding>);

impl Told {
    /// Logs the findings that are new, and forgets those that are gone: they are told again if they come back.
    fn tell_new(&mut self, findings: &[Finding]) {
        tell(findings.iter().filter(|finding| !self.0.contains(finding)));
        self.0 = findings.iter().cloned().collect();
    }
}

/// Logs findings, each at its severity.
fn tell<'f>(findings: impl IntoIterator<Item = &'f Finding>) {
    for finding in findings {
        let Finding { origin, message, code, .. } = finding;
        let place = origin.to_string();
        // What is not known is left out.
        let object = Some(&*finding.object).filter(|object| !object.is_empty());
        let field = Some(&*finding.field).filter(|field| !field.is_empty());
        match finding.severity {
            Severity::Error => tracing::error!(place, object, field, code, "{message}"),
            Severity::Warning => tracing::warn!(place, object, field, code, "{message}"),
        }
    }
}

/// The gateway as the admin server sees it.
struct Watched {
    world: Arc<World>,
    readiness: AtomicU8,
    /// The proxy door, of a gateway that serves.
    door: Mutex<Option<proxy::Handle>>,
    held: OnceLock<Arc<Budget>>,
    settings: serde_json::Value,
}

impl Watched {
    fn new(world: Arc<World>, settings: serde_json::Value) -> Watched {
        Watched {
            world,
            readiness: AtomicU8::new(Readiness::Starting as u8),
            door: Mutex::default(),
            held: OnceLock::new(),
            settings,
        }
    }

    /// A gateway serves, through this door.
    fn opens(&self, proxy: proxy::Handle) {
        let held = proxy.budget();
        *self.door() = Some(proxy);
        self.serves(held);
    }

    fn door(&self) -> MutexGuard<'_, Option<proxy::Handle>> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serves(&self, held: Arc<Budget>) {
        // Set once: a gateway is started once.
        let _ = self.held.set(held);
        self.becomes(Readiness::Ready);
    }

    fn becomes(&self, readiness: Readiness) {
        self.readiness.store(readiness as u8, Ordering::Relaxed);
    }
}

impl admin::World for Watched {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.world.load()
    }

    fn now(&self) -> Now {
        self.world.clock().now()
    }

    fn readiness(&self) -> Readiness {
        match self.readiness.load(Ordering::Relaxed) {
            ready if ready == Readiness::Ready as u8 => Readiness::Ready,
            draining if draining == Readiness::Draining as u8 => Readiness::Draining,
            _ => Readiness::Starting,
        }
    }

    fn open_ports(&self) -> Option<Vec<u16>> {
        self.door().as_ref().map(|proxy| proxy.addresses().into_iter().map(|(port, _)| port).collect())
    }

    fn held_body_bytes(&self) -> u64 {
        self.held.get().map_or(0, |budget| budget.held())
    }

    fn settings(&self) -> serde_json::Value {
        self.settings.clone()
    }
}
