//! `pointsman epp`: the endpoint picker behind an Envoy-based gateway.

use super::Done;
use super::environment::note_of_picker;
use super::model_servers::ModelServers;
use super::sim::stopped;
use super::stand_in::{Logging, Meaningless, Switch, Transport};
use super::standalone::Standalone;
use crate::gateway::{Picker, PickerSettings, WorldSettings, fraction, queue_depth};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args};
use extproc::Settings;
use extproc::epp::{EppSettings, PoolReference, SubsetHint};
use resources::{ObjectName, PoolVersion};
use scheduling::ENDPOINTS_MAX;
use scheduling::config::{Configured, FilterDefaults, MetricsSource, TestPlugins};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;

/// Runs the endpoint picker of one or more InferencePools behind an Envoy-based gateway.
///
/// Answers Envoy's ext_proc by the Endpoint Picker Protocol. Takes the flags and environment variables of the reference
/// endpoint picker (GAIE v0.5.1 to v1.5) in each of their spellings.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct EppCommand {
    #[command(flatten)]
    world: WorldSettings,
    #[command(flatten)]
    pool: OnePool,
    /// A further pool with a port of its own, as `NAMESPACE/NAME=PORT`.
    #[arg(long = "pool", value_name = "POOL=PORT", env = "POINTSMAN_POOLS", value_delimiter = ',')]
    pools: Vec<PoolOnPort>,
    /// Port of gRPC health checks, in the clear: `liveness`, `readiness`, `inference-extension`, the ext_proc service, ``.
    #[arg(long, value_name = "PORT", default_value_t = 9003, env = "GRPC_HEALTH_PORT")]
    grpc_health_port: u16,
    /// Port of `/metrics`, in the clear.
    #[arg(long, value_name = "PORT", default_value_t = 9090, env = "METRICS_PORT")]
    metrics_port: u16,
    /// The header and the metadata key that carry the endpoints.
    #[arg(
        long,
        value_name = "KEY",
        value_parser = header_name,
        default_value = "x-gateway-destination-endpoint",
        env = "DESTINATION_ENDPOINT_HINT_KEY"
    )]
    destination_endpoint_hint_key: http::HeaderName,
    /// The namespace of that metadata key; empty puts it at the root.
    #[arg(
        long,
        value_name = "NAMESPACE",
        default_value = "envoy.lb",
        env = "DESTINATION_ENDPOINT_HINT_METADATA_NAMESPACE"
    )]
    destination_endpoint_hint_metadata_namespace: Arc<str>,
    /// An `EndpointPickerConfig` that says how every pool picks; obeyed to the letter. Default: the built-in policy picks.
    #[arg(long, value_name = "FILE", env = "CONFIG_FILE", conflicts_with = "config_text")]
    config_file: Option<PathBuf>,
    /// The same, as text.
    #[arg(long, value_name = "YAML", env = "CONFIG_TEXT")]
    config_text: Option<String>,
    /// Endpoints named for each request, best first, joined by commas: the gateway goes to the next where one fails. From 1
    /// to 4; a config says it with `maxNumOfEndpoints` instead. Default as the reference's: an Envoy cluster of the type
    /// `ORIGINAL_DST` reads one address. Where the gateway takes lists (`override_host`: Istio, kgateway …), take more.
    #[arg(long, value_name = "ENDPOINTS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=ENDPOINTS_MAX as i64), env = "POINTSMAN_ENDPOINTS_MAX")]
    endpoints_max: u8,
    /// Let a client choose its own endpoint by `test-epp-endpoint-selection`, where a config names
    /// `header-based-testing-filter`: for conformance tests only.
    #[arg(long, env = "POINTSMAN_TEST_PLUGINS")]
    test_plugins: bool,
    /// Pass over the subset of endpoints that the gateway would take.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", value_name = "SWITCH")]
    disable_endpoint_subset_filter: Switch,
    #[command(flatten)]
    transport: Transport,
    #[command(flatten)]
    pub(crate) logging: Logging,
    #[command(flatten)]
    meaningless: Meaningless,
    #[command(flatten)]
    model_servers: ModelServers,
    #[command(flatten)]
    standalone: Standalone,
    #[command(flatten)]
    of_reference: OfReference,
    /// Limits and times of the ext_proc door.
    #[command(flatten)]
    door: Settings,
}

/// The one pool that the reference serves.
#[derive(Debug, Args)]
struct OnePool {
    /// The InferencePool that --grpc-port picks for.
    #[arg(long, value_name = "NAME", env = "POOL_NAME", required_unless_present_any = ["pools", "endpoint_selector"])]
    pool_name: Option<String>,
    /// Its namespace. Default: the environment's NAMESPACE, else `default`.
    #[arg(long, value_name = "NAMESPACE", env = "POOL_NAMESPACE")]
    pool_namespace: Option<String>,
    /// Its API group: `inference.networking.k8s.io` (v1) or `inference.networking.x-k8s.io` (v1alpha2). Default: whichever
    /// has it, v1 first.
    #[arg(long, value_name = "GROUP", env = "POOL_GROUP")]
    pool_group: Option<Group>,
    /// Port of ext_proc, over gRPC, for that pool.
    #[arg(long, value_name = "PORT", default_value_t = 9002, env = "GRPC_PORT")]
    grpc_port: u16,
}

/// Flags of the reference that steer what works otherwise here: accepted, and noted.
#[derive(Debug, Args)]
struct OfReference {
    #[arg(long, hide = true, value_name = "DURATION", env = "REFRESH_PROMETHEUS_METRICS_INTERVAL")]
    refresh_prometheus_metrics_interval: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    enable_multi_engine: Option<Switch>,
    #[arg(long, hide = true)]
    engine_label_key: Option<String>,
}

/// An API group of InferencePools.
#[derive(Debug, Clone, Copy)]
struct Group(PoolVersion);

impl FromStr for Group {
    type Err = String;

    fn from_str(text: &str) -> Result<Group, String> {
        let versions = [PoolVersion::V1, PoolVersion::V1Alpha2];
        versions.into_iter().find(|version| version.group() == text).map(Group).ok_or_else(|| {
            let known = versions.map(PoolVersion::group).join(" and ");
            format!("no InferencePool is of the group {text:?}; known are {known}")
        })
    }
}

/// A pool and its port.
#[derive(Debug, Clone)]
struct PoolOnPort(PoolReference, u16);

impl FromStr for PoolOnPort {
    type Err = String;

    fn from_str(text: &str) -> Result<PoolOnPort, String> {
        let (pool, port) = text.rsplit_once('=').ok_or("it must be NAMESPACE/NAME=PORT")?;
        let port = port.parse().map_err(|_| format!("{port:?} is not a port"))?;
        let (namespace, name) = pool.split_once('/').unwrap_or((resources::NAMESPACE_DEFAULT, pool));
        if name.is_empty() || namespace.is_empty() || name.contains('/') {
            return Err("it must be NAMESPACE/NAME=PORT".to_owned());
        }
        Ok(PoolOnPort(PoolReference { name: ObjectName::new(namespace, name), version: None }, port))
    }
}

impl EppCommand {
    /// `told`: where each setting has its value from.
    pub(crate) fn execute(self, told: &ArgMatches) -> Done {
        self.meaningless.note();
        self.of_reference.note();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let picker = Picker::start(self.settings(told)?)?;
        runtime.block_on(until_stopped(picker));
        Ok(ExitCode::SUCCESS)
    }

    fn settings(mut self, told: &ArgMatches) -> Result<PickerSettings, Box<dyn std::error::Error>> {
        // What the reference reads there stands in the place of a default: a flag, or a variable of its own, wins.
        let is_default = |setting| told.value_source(setting) == Some(ValueSource::DefaultValue);
        if is_default("queue_depth_max") {
            of_environment("SD_QUEUE_DEPTH_THRESHOLD", &mut self.world.queue_depth_max, queue_depth)?;
        }
        if is_default("kv_used_max") {
            of_environment("SD_KV_CACHE_UTIL_THRESHOLD", &mut self.world.kv_used_max, fraction)?;
        }
        let own_pool = self.standalone.pool(&self.pool.namespace())?.map(Arc::new);
        let first =
            own_pool.as_ref().map(|pool| self.pool.on_port(pool.meta.name.clone(), Some(pool.version)));
        let first = first.or_else(|| self.pool.reference());
        let (pools, ports): (Vec<_>, Vec<_>) =
            first.into_iter().chain(self.pools).map(|pool| (pool.0, pool.1)).unzip();
        if let Some(twice) = named_twice(&pools) {
            return Err(
                format!("the InferencePool {} is named twice by --pool-name and --pool", twice.name).into()
            );
        }
        let test_plugins = if self.test_plugins { TestPlugins::Allowed } else { TestPlugins::Refused };
        let configured = configured(self.config_file.as_deref(), self.config_text, test_plugins)?;
        let metrics = configured.as_ref().map_or_else(MetricsSource::default, |file| file.metrics.clone());
        let epp = EppSettings {
            test_plugins,
            pools,
            destination_key: self.destination_endpoint_hint_key.as_str().into(),
            destination_namespace: self.destination_endpoint_hint_metadata_namespace,
            subset_hint: match self.disable_endpoint_subset_filter.is_on() {
                true => SubsetHint::PassedOver,
                false => SubsetHint::Obeyed,
            },
            body_bytes_max: self.door.body_bytes_max,
            body_pace: self.door.body_pace(),
        };
        Ok(PickerSettings {
            scrape: self.model_servers.scrape(self.world.scrape_timeout, &metrics)?,
            configured,
            endpoints_max: usize::from(self.endpoints_max),
            reports_fresh: self.model_servers.reports_fresh(),
            report_age_max: self.model_servers.report_age_max(),
            own_pool,
            world: self.world,
            ports,
            health_port: self.grpc_health_port,
            metrics_port: self.metrics_port,
            tls: self.transport.tls()?,
            health_on_process_ports: self.transport.health_on_process_port(),
            epp,
            door: self.door,
        })
    }
}

impl OnePool {
    fn reference(&self) -> Option<PoolOnPort> {
        let name = self.pool_name.as_deref()?;
        let version = self.pool_group.map(|Group(version)| version);
        Some(self.on_port(ObjectName::new(self.namespace(), name), version))
    }

    fn on_port(&self, name: ObjectName, version: Option<PoolVersion>) -> PoolOnPort {
        PoolOnPort(PoolReference { name, version }, self.grpc_port)
    }

    fn namespace(&self) -> String {
        let given = self.pool_namespace.clone();
        given
            .or_else(|| std::env::var("NAMESPACE").ok().filter(|namespace| !namespace.is_empty()))
            .unwrap_or_else(|| resources::NAMESPACE_DEFAULT.to_owned())
    }
}

impl OfReference {
    fn note(&self) {
        let engine = "an engine is told by its metrics page";
        for (_, flag, why) in [
            (
                self.refresh_prometheus_metrics_interval.is_some(),
                "refresh-prometheus-metrics-interval",
                "gauges are made when they are asked for",
            ),
            (self.enable_multi_engine.is_some_and(Switch::is_on), "enable-multi-engine", engine),
            (self.engine_label_key.is_some(), "engine-label-key", engine),
        ]
        .into_iter()
        .filter(|(given, ..)| *given)
        {
            tracing::warn!(flag, "this flag of the reference means nothing here: {why}");
        }
        note_of_picker();
    }
}

fn header_name(text: &str) -> Result<http::HeaderName, &'static str> {
    text.parse().map_err(|_| "it must be the name of a header")
}

/// Takes a threshold of the reference's saturation detector over from the environment, where it is set.
fn of_environment<T>(
    name: &str,
    setting: &mut T,
    read: impl Fn(&str) -> Result<T, &'static str>,
) -> Result<(), String> {
    let Some(text) = std::env::var(name).ok().filter(|text| !text.is_empty()) else { return Ok(()) };
    *setting = read(&text).map_err(|wrong| format!("{name} is {text:?}: {wrong}"))?;
    Ok(())
}

/// The thresholds of filters that a file gives none, which v0.5.1 took from the environment.
fn filter_defaults() -> Result<FilterDefaults, String> {
    let FilterDefaults { mut lora_affinity, mut low_queue } = FilterDefaults::default();
    let share = |text: &str| {
        let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
        share.ok_or("it must be a number from 0 to 1")
    };
    of_environment("LORA_AFFINITY_THRESHOLD", &mut lora_affinity.threshold, share)?;
    of_environment("QUEUING_THRESHOLD_LORA", &mut low_queue.threshold, queue_depth)?;
    Ok(FilterDefaults { lora_affinity, low_queue })
}

/// Reads the `EndpointPickerConfig`, if there is one. An empty file is none: charts mount it where nothing was set.
fn configured(
    file: Option<&Path>,
    text: Option<String>,
    tests: TestPlugins,
) -> Result<Option<Configured>, Box<dyn std::error::Error>> {
    let (place, text) = match file {
        Some(file) => {
            let place = file.display().to_string();
            let read = std::fs::read_to_string(file);
            let text = read.map_err(|error| format!("cannot read --config-file {place}: {error}"))?;
            (place, Some(text))
        }
        None => ("--config-text".to_owned(), text),
    };
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
        if file.is_some() {
            tracing::warn!(place, "EndpointPickerConfig: the file is empty: the default policy picks");
        }
        return Ok(None);
    };
    let configured = scheduling::config::read_with(&text, tests, filter_defaults()?)
        .map_err(|error| format!("{place}: {error}"))?;
    for note in &configured.notes {
        tracing::warn!(place, "EndpointPickerConfig: {note}");
    }
    Ok(Some(configured))
}

/// A pool that two ports are to pick for. The v1 and the v1alpha2 pool of one name are two; where no version is said, v1 is
/// meant first.
fn named_twice(pools: &[PoolReference]) -> Option<&PoolReference> {
    let mut named = BTreeSet::new();
    pools.iter().find(|pool| !named.insert((&pool.name, pool.version.unwrap_or(PoolVersion::V1))))
}

/// Serves until the process is told to stop, then drains; a second signal ends the drain.
async fn until_stopped(picker: Picker) {
    tokio::select! {
        () = stopped() => {}
        () = picker.keep_health_told() => {}
    }
    tracing::info!("stopping: health says NOT_SERVING");
    tokio::select! {
        drained = picker.drain() => tracing::info!(cut = drained.cut, "stopped"),
        () = stopped() => tracing::warn!("stopped at once"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_v1_and_the_v1alpha2_pool_of_one_name_are_two() {
        let pool = |version| PoolReference { name: ObjectName::new("default", "gemma3"), version };
        let (any, v1, v1alpha2) =
            (pool(None), pool(Some(PoolVersion::V1)), pool(Some(PoolVersion::V1Alpha2)));
        assert_eq!(named_twice(&[v1.clone(), v1alpha2.clone()]), None);
        assert_eq!(named_twice(&[v1alpha2.clone(), any.clone()]), None);
        assert_eq!(named_twice(&[any.clone(), v1.clone()]), Some(&v1));
        assert_eq!(named_twice(&[v1alpha2.clone(), any, v1alpha2.clone()]), Some(&v1alpha2));
    }
}
