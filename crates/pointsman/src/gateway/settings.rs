//! The flags of a gateway. Each stands here or in the room that it steers, once: name, help, default and environment twin.

use super::shown::{self, decimal};
use clap::builder::RangedU64ValueParser;
use clap::{Args, ValueEnum};
use journey::AdmissionSettings;
use resources::Audience;
use scheduling::saturation::{NoRoomDetector, SaturationDetector};
use serde_json::json;
use signals::ScrapeSettings;
use state::MissingEndpointPicker;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What every program that picks has: where the world is read from, and how it is watched.
#[derive(Debug, Clone, Args)]
pub(crate) struct WorldSettings {
    /// Folders or files of manifests; `-` reads standard input. Changes are taken up while the gateway runs.
    #[arg(long, required = true, value_name = "PATH", env = "POINTSMAN_CONFIG", value_delimiter = ',', num_args = 1..)]
    pub(crate) config: Vec<PathBuf>,
    /// Address of the admin server: health, metrics, configuration, explanations. Nobody else's business: keep it on
    /// loopback, or behind something that asks who is there.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9901", env = "POINTSMAN_ADMIN")]
    pub(crate) admin: SocketAddr,
    /// A pool is saturated when each of its ready endpoints has more requests waiting than this, or --kv-used-max.
    /// From 0 to 1000000.
    #[arg(long, value_name = "REQUESTS", value_parser = queue_depth, default_value_t = 5, env = "POINTSMAN_QUEUE_DEPTH_MAX")]
    pub(crate) queue_depth_max: u32,
    /// A pool is saturated when each of its ready endpoints uses more of its KV cache than this, or
    /// --queue-depth-max. A saturated pool answers 429 to requests of priority below 0. From 0 to 1.
    #[arg(long, value_name = "FRACTION", value_parser = fraction, default_value_t = 0.8, env = "POINTSMAN_KV_USED_MAX")]
    pub(crate) kv_used_max: f32,
    /// For one scrape, connecting included. From 10ms to 1h.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = resources::durations("10ms", "1h"),
          env = "POINTSMAN_SCRAPE_TIMEOUT")]
    pub(crate) scrape_timeout: Duration,
    /// Decision records kept on each data thread for `explain`. From 0 to 100000.
    #[arg(long, value_name = "COUNT", value_parser = RangedU64ValueParser::<usize>::new().range(0..=100_000), default_value_t = 4096, env = "POINTSMAN_RECORDS")]
    pub(crate) records: usize,
    /// A line for each request that has ended, on standard output. Never a prompt.
    #[arg(long, value_name = "FORM", default_value = "off", env = "POINTSMAN_ACCESS_LOG")]
    pub(crate) access_log: AccessLog,
}

/// Requests waiting, as a flag has them.
pub(crate) fn queue_depth(text: &str) -> Result<u32, &'static str> {
    let depth = text.parse().ok().filter(|depth| (0..=1_000_000).contains(depth));
    depth.ok_or("it must be a whole number from 0 to 1000000")
}

/// A share of a whole, as a flag has it.
pub(crate) fn fraction(text: &str) -> Result<f32, &'static str> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or("it must be a number from 0 to 1")
}

/// How a gateway runs.
#[derive(Debug, Clone, Args)]
pub(crate) struct GatewaySettings {
    #[command(flatten)]
    pub(crate) world: WorldSettings,
    /// Who picks for a pool whose endpoint picker is a Service that the manifests do not hold.
    #[arg(long, value_name = "WHO", default_value = "builtin", env = "POINTSMAN_MISSING_ENDPOINT_PICKER")]
    missing_endpoint_picker: WhoPicks,
    /// From one scrape of an endpoint's metrics to the next; for llama.cpp at least 1.5s. From 10ms to 1h.
    #[arg(long, value_name = "DURATION", default_value = "200ms", value_parser = resources::durations("10ms", "1h"),
          env = "POINTSMAN_SCRAPE_INTERVAL")]
    scrape_interval: Duration,
    /// Limits and times of the proxy door.
    #[command(flatten)]
    proxy: proxy::Settings,
}

/// Who picks for a pool whose picker is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WhoPicks {
    /// The built-in picker.
    Builtin,
    /// Nobody: its requests are refused.
    Refuse,
}

/// The form of the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AccessLog {
    /// None.
    Off,
    /// `name=value` words.
    Plain,
    /// One JSON object a line.
    Json,
}

impl WorldSettings {
    /// The world's settings, with the built-in picker for a pool whose picker is missing.
    pub(crate) fn world(&self) -> state::Settings {
        state::Settings {
            audience: Audience::Gateway,
            missing_endpoint_picker: MissingEndpointPicker::Builtin,
            policy: Arc::default(),
            admission: AdmissionSettings {
                detector: SaturationDetector::NoRoom(NoRoomDetector {
                    queue_depth_max: self.queue_depth_max,
                    kv_used_max: self.kv_used_max,
                    ..NoRoomDetector::default()
                }),
                ..AdmissionSettings::default()
            },
            pools: Vec::new(),
            seed: fastrand::u64(..),
        }
    }

    /// How endpoints are scraped, every `interval`.
    pub(crate) fn scrape(&self, interval: Duration) -> ScrapeSettings {
        ScrapeSettings { interval, timeout: self.scrape_timeout, ..ScrapeSettings::default() }
    }
}

impl GatewaySettings {
    /// The defaults, for a gateway of this folder that only this machine sees.
    pub(crate) fn of_folder(folder: PathBuf, admin: SocketAddr, free_ports: bool) -> GatewaySettings {
        let bind = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let proxy = proxy::Settings { bind, free_ports, ..proxy::Settings::default() };
        let scrape = ScrapeSettings::default();
        let admission = NoRoomDetector::default();
        let world = WorldSettings {
            config: vec![folder],
            admin,
            queue_depth_max: admission.queue_depth_max,
            kv_used_max: admission.kv_used_max,
            scrape_timeout: scrape.timeout,
            records: 4096,
            access_log: AccessLog::Off,
        };
        GatewaySettings {
            world,
            missing_endpoint_picker: WhoPicks::Builtin,
            scrape_interval: scrape.interval,
            proxy,
        }
    }

    pub(crate) fn world(&self) -> state::Settings {
        let missing_endpoint_picker = match self.missing_endpoint_picker {
            WhoPicks::Builtin => MissingEndpointPicker::Builtin,
            WhoPicks::Refuse => MissingEndpointPicker::Refuse,
        };
        state::Settings { missing_endpoint_picker, ..self.world.world() }
    }

    pub(crate) fn proxy(&self) -> proxy::Settings {
        self.proxy.clone()
    }

    pub(crate) fn scrape(&self) -> ScrapeSettings {
        self.world.scrape(self.scrape_interval)
    }

    /// The settings as `/config` shows them; there is no secret among them.
    pub(crate) fn shown(&self) -> serde_json::Value {
        json!({
            "config": self.world.config,
            "admin": self.world.admin,
            "missing_endpoint_picker": format!("{:?}", self.missing_endpoint_picker).to_lowercase(),
            "queue_depth_max": self.world.queue_depth_max,
            "kv_used_max": decimal(self.world.kv_used_max),
            "scrape_interval_seconds": self.scrape_interval.as_secs_f64(),
            "scrape_timeout_seconds": self.world.scrape_timeout.as_secs_f64(),
            "records": self.world.records,
            "proxy": shown::of_proxy(&self.proxy),
        })
    }
}
