//! An endpoint picker in this process: the world, the ext_proc door, and what watches over them.
//!
//! In: [`PickerSettings`]. Out: a running [`Picker`], until [`Picker::drain`]. Only wiring, as for a gateway.

use super::control::Control;
use super::pool_health::PoolHealth;
use super::request_log::RequestLog;
use super::settings::WorldSettings;
use super::shown::{self, decimal};
use super::{StartError, Watched, administer, read, serve_page};
use crate::admin::{self, Admin, Readiness};
use extproc::epp::{Epp, EppSettings};
use extproc::{Drained, Port, Server};
use payload::Budget;
use resources::{Audience, InferencePool};
use scheduling::Policy;
use scheduling::config::Configured;
use scheduling::saturation::{SaturationDetector, UtilizationDetector};
use signals::{EngineNames, ScrapeSettings};
use state::{Clock, World};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use telemetry::Telemetry;
use tokio_rustls::rustls::ServerConfig;

/// How a picker runs.
#[derive(Debug)]
pub(crate) struct PickerSettings {
    pub(crate) world: WorldSettings,
    /// How every pool picks, if a file says so.
    pub(crate) configured: Option<Configured>,
    /// Endpoints named for each request where no file says it.
    pub(crate) endpoints_max: usize,
    /// How model servers are scraped, but for the path that a file names.
    pub(crate) scrape: ScrapeSettings,
    /// After this long without a good scrape, the load that an endpoint reported counts no more.
    pub(crate) reports_fresh: Duration,
    /// The age from which a report makes its endpoint count as full, where no file names a detector.
    pub(crate) report_age_max: Option<Duration>,
    /// A pool that the process declares itself.
    pub(crate) own_pool: Option<Arc<InferencePool>>,
    /// The ports of ext_proc, in the order of `epp.pools`.
    pub(crate) ports: Vec<u16>,
    pub(crate) health_port: u16,
    pub(crate) metrics_port: u16,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// Whether the ports of ext_proc tell health too.
    pub(crate) health_on_process_ports: bool,
    pub(crate) epp: EppSettings,
    pub(crate) door: extproc::Settings,
}

/// A running picker. Dropped, it stops at once.
pub(crate) struct Picker {
    server: Server,
    health: PoolHealth,
    watched: Arc<Watched>,
    world: Arc<World>,
    _admin: Admin,
    _metrics: Admin,
    _control: Control,
    _log: Option<RequestLog>,
}

impl Picker {
    /// Reads the manifests, binds every port, and serves.
    pub(crate) fn start(settings: PickerSettings) -> Result<Picker, StartError> {
        settings.warn_of_short_ages();
        let world = Arc::new(World::new(settings.of_world(), Clock::start()));
        let (folder, load, told) = read(&settings.world.config, settings.audience())?;
        world.apply(load);
        let telemetry = Telemetry::new(settings.door.cores, settings.world.records);
        let watched = Arc::new(Watched::new(Arc::clone(&world), settings.shown()));
        let (admin, admin_address) = administer(settings.world.admin, &telemetry, &watched)?;
        let page = (Arc::clone(&telemetry), Arc::clone(&watched));
        let metrics_address = SocketAddr::new(settings.door.bind, settings.metrics_port);
        let (metrics, metrics_address) =
            serve_page(metrics_address, move || admin::metrics_text(&page.0, &*page.1))?;
        let control = Control::start(&world, (folder, told), &telemetry, settings.scrape());
        let control = control.map_err(StartError::Thread)?;
        let log = RequestLog::start(&telemetry, settings.world.access_log).map_err(StartError::Thread)?;
        let health = PoolHealth::new(&settings.epp.pools);
        let budget = Budget::new(settings.door.held_bytes_max);
        let server = serve(settings, &world, &telemetry, &budget, &health)?;
        watched.serves(budget);
        tracing::info!(metrics = %metrics_address, admin = %admin_address, "metrics and admin server listening");
        Ok(Picker {
            server,
            health,
            watched,
            world,
            _admin: admin,
            _metrics: metrics,
            _control: control,
            _log: log,
        })
    }

    /// Tells health as it changes with the manifests. Without end.
    pub(crate) async fn keep_health_told(&self) {
        let mut changes = self.world.changes();
        let mut seen = self.health.none_seen();
        loop {
            changes.mark_unchanged();
            self.health.tell(&self.world.load(), &mut seen);
            if changes.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Tells by health that it serves no more, and ends after its lame-duck time and the streams under way.
    pub(crate) async fn drain(self) -> Drained {
        self.health.ends();
        self.watched.becomes(Readiness::Draining);
        self.server.drain().await
    }
}

impl PickerSettings {
    /// Only the pools picked for are its business.
    fn audience(&self) -> Audience {
        Audience::EndpointPicker(
            self.epp.pools.iter().map(|pool| (pool.name.clone(), pool.version)).collect(),
        )
    }

    /// The world's settings, as the file has them where it says something.
    fn of_world(&self) -> state::Settings {
        let mut world = self.world.world();
        world.audience = self.audience();
        world.policy = Arc::new(Policy { endpoints_max: self.endpoints_max, ..Policy::default() });
        world.pools.extend(self.own_pool.clone());
        world.admission.reports_fresh_seconds = self.reports_fresh.as_secs_f32();
        if let SaturationDetector::NoRoom(detector) = &mut world.admission.detector {
            detector.report_age_seconds_max = self.report_age_max.map(|age| age.as_secs_f32());
        }
        if let Some(configured) = &self.configured {
            world.policy = Arc::new(configured.policy.clone());
            world.admission.detector =
                configured.detector.unwrap_or_else(|| self.detector_of_file_without_one());
        }
        world
    }

    /// The reference's default, with the thresholds of the process; a report counts at least as long as in a pick: not
    /// every engine is scraped several times within the reference's 200 ms.
    fn detector_of_file_without_one(&self) -> SaturationDetector {
        let default = UtilizationDetector::default();
        SaturationDetector::Utilization(UtilizationDetector {
            // At a threshold of 0 any queue is more than is taken.
            queue_depth_threshold: self.world.queue_depth_max.max(1),
            kv_cache_util_threshold: self.world.kv_used_max.max(f32::MIN_POSITIVE),
            metrics_staleness_threshold_seconds: self.report_age_max.map_or(
                default.metrics_staleness_threshold_seconds.max(self.reports_fresh.as_secs_f32()),
                |age| age.as_secs_f32(),
            ),
            ..default
        })
    }

    /// Tells of ages that a report has before the next one comes.
    fn warn_of_short_ages(&self) {
        let interval = self.scrape.interval;
        for (setting, seconds) in self.short_ages() {
            tracing::warn!(
                "{setting} is {seconds}s, and a report of a model server is {}s old before the next one comes (--refresh-metrics-interval): \
                 for part of the time none counts",
                interval.as_secs_f32()
            );
        }
    }

    /// The ages up to which a report counts, where they are too short for that.
    fn short_ages(&self) -> impl Iterator<Item = (&'static str, f32)> {
        let of_detector = match self.of_world().admission.detector {
            SaturationDetector::Utilization(detector) => Some(detector.metrics_staleness_threshold_seconds),
            SaturationDetector::NoRoom(detector) => detector.report_age_seconds_max,
            SaturationDetector::Concurrency(_) => None,
        };
        let of_picks = ("--metrics-staleness-threshold", self.reports_fresh.as_secs_f32());
        let of_detector =
            of_detector.map(|seconds| ("metricsStalenessThreshold of the saturation detector", seconds));
        let interval = self.scrape.interval.as_secs_f32();
        [of_picks].into_iter().chain(of_detector).filter(move |(_, seconds)| *seconds <= interval)
    }

    fn scrape(&self) -> ScrapeSettings {
        let mut scrape = self.scrape.clone();
        scrape.engines = self.configured.as_ref().map_or(Vec::new(), |configured| configured.engines.clone());
        scrape
    }

    /// The settings as `/config` shows them; there is no secret among them.
    fn shown(&self) -> serde_json::Value {
        serde_json::json!({
            "config": self.world.config,
            "admin": self.world.admin,
            "queue_depth_max": self.world.queue_depth_max,
            "kv_used_max": decimal(self.world.kv_used_max),
            "scrape_interval_seconds": self.scrape.interval.as_secs_f64(),
            "scrape_port": self.scrape.port,
            "scrape_path": self.scrape.path.as_ref().map(ToString::to_string),
            "scrape_names": shown::of_names(&self.scrape.names),
            "scrape_names_of_engines": self.configured.as_ref().map(|configured| {
                let of = |known: &EngineNames| (known.engine.clone(), shown::of_names(&known.names));
                configured.engines.iter().map(of).collect::<serde_json::Map<_, _>>()
            }),
            "reports_fresh_seconds": self.reports_fresh.as_secs_f64(),
            "scrape_timeout_seconds": self.world.scrape_timeout.as_secs_f64(),
            "records": self.world.records,
            "pools": self.epp.pools.iter().map(|pool| pool.name.to_string()).collect::<Vec<_>>(),
            "ext_proc": shown::of_ext_proc(&self.door),
        })
    }
}

fn serve(
    settings: PickerSettings,
    world: &Arc<World>,
    telemetry: &Arc<Telemetry>,
    budget: &Arc<Budget>,
    health: &PoolHealth,
) -> Result<Server, StartError> {
    let on_process_ports = settings.health_on_process_ports;
    let process =
        settings.ports.iter().zip(&health.of_ports).enumerate().map(|(place, (number, health))| Port {
            number: *number,
            tls: settings.tls.clone(),
            process: Some(place),
            health: on_process_ports.then(|| Arc::clone(health)),
        });
    let of_process = Some(Arc::clone(&health.of_process));
    let of_health = Port { number: settings.health_port, health: of_process, ..Port::default() };
    let ports: Vec<Port> = process.chain([of_health]).collect();
    let epp = Arc::new(settings.epp);
    let told = Arc::clone(&epp);
    let (for_doors, telemetry, budget) = (Arc::clone(world), Arc::clone(telemetry), Arc::clone(budget));
    let make = move |index| Epp::new(&epp, &budget, &for_doors, &telemetry, index);
    let server = Server::start(settings.door, &ports, world.clock(), make)?;
    for (pool, address) in told.pools.iter().zip(server.addresses()) {
        tracing::info!(pool = %pool.name, %address, "the endpoint picker listens");
    }
    if let Some(address) = server.addresses().last() {
        tracing::info!(%address, "health is told");
    }
    Ok(server)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::GatewaySettings;
    use scheduling::config::{TestPlugins, read};

    /// Of a file that ends so.
    fn settings(rest: &str) -> PickerSettings {
        let head = "apiVersion: inference.networking.x-k8s.io/v1alpha1\nkind: EndpointPickerConfig\n";
        let text = format!("{head}plugins: [{{type: queue-scorer}}]\n{rest}");
        let world = GatewaySettings::of_folder("manifests".into(), ([127, 0, 0, 1], 0).into(), true).world;
        PickerSettings {
            world,
            configured: Some(read(&text, TestPlugins::Refused).expect("a sound file")),
            endpoints_max: 1,
            scrape: ScrapeSettings::default(),
            reports_fresh: Duration::from_secs(2),
            report_age_max: None,
            own_pool: None,
            ports: Vec::new(),
            health_port: 0,
            metrics_port: 0,
            tls: None,
            health_on_process_ports: false,
            epp: EppSettings {
                test_plugins: TestPlugins::Refused,
                pools: Vec::new(),
                destination_key: "".into(),
                destination_namespace: "".into(),
                subset_hint: extproc::epp::SubsetHint::Obeyed,
                body_bytes_max: 1,
                body_pace: extproc::Settings::default().body_pace(),
            },
            door: extproc::Settings::default(),
        }
    }

    #[test]
    fn a_file_without_a_saturation_detector_has_the_references() {
        let of = |rest: &str| settings(rest).of_world().admission.detector;
        let default = UtilizationDetector::default();
        let fresh = UtilizationDetector { metrics_staleness_threshold_seconds: 2.0, ..default };
        assert_eq!(of(""), SaturationDetector::Utilization(fresh));
        let told = UtilizationDetector { queue_depth_threshold: 9, ..default };
        assert_eq!(of("saturationDetector: {queueDepthThreshold: 9}"), SaturationDetector::Utilization(told));
    }

    #[test]
    fn an_age_that_every_report_has_before_the_next_comes_is_told() {
        let of = |rest: &str| {
            let mut settings = settings(rest);
            settings.scrape.interval = Duration::from_millis(50);
            settings.short_ages().map(|(_, seconds)| seconds).collect::<Vec<_>>()
        };
        assert_eq!(of("saturationDetector: {metricsStalenessThreshold: 10ms}"), [0.01]);
        assert_eq!(of("saturationDetector: {metricsStalenessThreshold: 51ms}"), [0.0; 0]);
        assert_eq!(of(""), [0.0; 0]);
    }
}
