//! How the metrics of model servers are read, by the flags of the reference endpoint picker.
//!
//! In: flags and their environment twins. Out: `ScrapeSettings`, and how long a report is believed.
//! Source: GAIE v0.5.1 to v1.5, `pkg/epp/server/options.go`.

use super::stand_in::Switch;
use clap::{Args, ValueEnum};
use http::uri::PathAndQuery;
use scheduling::config::{MetricsScheme, MetricsSource};
use signals::{MetricName, MetricNames, ScrapeSettings};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// The reference's flags.
#[derive(Debug, Clone, Args)]
pub(super) struct ModelServers {
    /// From one scrape of an endpoint's metrics to the next; for llama.cpp at least 1.5s. From 10ms to 1h.
    #[arg(long, value_name = "DURATION", default_value = "50ms", value_parser = interval, env = "REFRESH_METRICS_INTERVAL")]
    refresh_metrics_interval: Duration,
    /// After this long without a good scrape, the load that an endpoint reported counts no more: neither in a pick nor in
    /// the means of its pool. From 1ms to 24h.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = staleness, env = "METRICS_STALENESS_THRESHOLD")]
    metrics_staleness_threshold: Duration,
    /// Where no file names a saturation detector: an endpoint whose last report is older than this, or that never reported,
    /// counts as full. From 1ms to 24h. Default: with a file what `--metrics-staleness-threshold` says; without,
    /// one that does not report is judged by the requests in flight there.
    #[arg(long, value_name = "DURATION", value_parser = staleness, env = "SD_METRICS_STALENESS_THRESHOLD")]
    saturation_staleness_threshold: Option<Duration>,
    /// Port of the model servers' metrics; 0 is each endpoint's own.
    #[arg(long, value_name = "PORT", default_value_t = 0, env = "MODEL_SERVER_METRICS_PORT")]
    model_server_metrics_port: u16,
    /// Path of the model servers' metrics. Where a file's `metrics-data-source` says it, that wins; so with the next two.
    /// Default: `/metrics`, then `/prometheus/metrics`.
    #[arg(long, value_name = "PATH", value_parser = path, env = "MODEL_SERVER_METRICS_PATH")]
    model_server_metrics_path: Option<PathAndQuery>,
    /// Whether metrics are asked for in the clear or over TLS.
    #[arg(long, value_name = "SCHEME", default_value = "http", env = "MODEL_SERVER_METRICS_SCHEME")]
    model_server_metrics_scheme: Scheme,
    /// With https: take any certificate. Off, one is taken that the system's authorities have signed for the endpoint's
    /// address.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", value_name = "SWITCH", env = "MODEL_SERVER_METRICS_HTTPS_INSECURE_SKIP_VERIFY")]
    model_server_metrics_https_insecure_skip_verify: Switch,
    #[command(flatten)]
    names: Names,
}

/// Which metric tells what: `name` or `name{label=value,…}`. Where a page has it, it wins over what the engine documents.
#[derive(Debug, Clone, Args)]
struct Names {
    /// The metric of requests waiting, as `name` or `name{label=value,…}`; empty: none. Where a page lacks it, and without the
    /// flag, the engine's own is read; so with the next four.
    #[arg(long, value_name = "METRIC")]
    total_queued_requests_metric: Option<MetricName>,
    /// The metric of requests being computed.
    #[arg(long, value_name = "METRIC")]
    total_running_requests_metric: Option<MetricName>,
    /// The metric of the KV cache in use, 0 to 1.
    #[arg(long, value_name = "METRIC")]
    kv_cache_usage_percentage_metric: Option<MetricName>,
    /// The metric of LoRA adapters, in the labels that vLLM uses.
    #[arg(long, value_name = "METRIC")]
    lora_info_metric: Option<MetricName>,
    /// The metric of the KV cache's blocks, in the labels that vLLM uses.
    #[arg(long, value_name = "METRIC")]
    cache_info_metric: Option<MetricName>,
}

/// How metrics are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

/// Why metrics cannot be asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotToBeAsked {
    /// Nobody says which certificates to take.
    #[error(
        "no authority's certificate was found on this system ({0}), and --model-server-metrics-https-insecure-skip-verify (or a file's insecureSkipVerify) is off: set SSL_CERT_FILE"
    )]
    NoAuthorities(String),
    /// What the file says.
    #[error("the path of metrics in the EndpointPickerConfig is no path: {0:?}")]
    Path(String),
}

impl ModelServers {
    /// How model servers are scraped, each scrape within `timeout`, where `file` says nothing else.
    pub(super) fn scrape(
        &self,
        timeout: Duration,
        file: &MetricsSource,
    ) -> Result<ScrapeSettings, NotToBeAsked> {
        let scheme = file.scheme.unwrap_or(match self.model_server_metrics_scheme {
            Scheme::Http => MetricsScheme::Http,
            Scheme::Https => MetricsScheme::Https,
        });
        let unverified = self.model_server_metrics_https_insecure_skip_verify.is_on();
        let tls = match scheme {
            MetricsScheme::Http => None,
            MetricsScheme::Https if file.insecure_skip_verify.unwrap_or(unverified) => {
                Some(extproc::client::unverified())
            }
            MetricsScheme::Https => Some(verified()?),
        };
        let own = file.path.as_ref().map(|text| text.parse().map_err(|_| NotToBeAsked::Path(text.clone())));
        Ok(ScrapeSettings {
            interval: self.refresh_metrics_interval,
            timeout,
            path: own.transpose()?.or_else(|| self.model_server_metrics_path.clone()),
            port: Some(self.model_server_metrics_port).filter(|port| *port != 0),
            tls: tls.map(Arc::new),
            names: self.names.clone().into(),
            ..ScrapeSettings::default()
        })
    }

    /// How long a report is believed in a pick.
    pub(super) fn reports_fresh(&self) -> Duration {
        self.metrics_staleness_threshold
    }

    /// The age from which a report makes its endpoint count as full.
    pub(super) fn report_age_max(&self) -> Option<Duration> {
        self.saturation_staleness_threshold
    }
}

impl From<Names> for MetricNames {
    fn from(names: Names) -> MetricNames {
        MetricNames {
            waiting: names.total_queued_requests_metric,
            running: names.total_running_requests_metric,
            kv_used: names.kv_cache_usage_percentage_metric,
            adapters: names.lora_info_metric,
            cache: names.cache_info_metric,
            ..MetricNames::default()
        }
    }
}

/// TLS that takes what the system's authorities have signed.
fn verified() -> Result<ClientConfig, NotToBeAsked> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        return Err(NotToBeAsked::NoAuthorities(why.join("; ")));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config =
        config.with_safe_default_protocol_versions().expect("the provider serves the default versions");
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn path(text: &str) -> Result<PathAndQuery, String> {
    let broken = || format!("{text:?} is no path; write one that begins with /");
    if text.starts_with('/') { text.parse().map_err(|_| broken()) } else { Err(broken()) }
}

/// From one scrape to the next, as a flag has it.
fn interval(text: &str) -> Result<Duration, String> {
    within(Duration::from_millis(10)..=Duration::from_hours(1), "10ms to 1h", text)
}

/// How long a report is believed, as a flag has it.
fn staleness(text: &str) -> Result<Duration, String> {
    within(Duration::from_millis(1)..=Duration::from_hours(24), "1ms to 24h", text)
}

fn within(range: RangeInclusive<Duration>, told: &str, text: &str) -> Result<Duration, String> {
    let duration = yaml::duration(text).ok_or_else(|| {
        format!("{text:?} is not a duration: write numbers with h, m, s or ms, like 1.5s or 1m30s")
    })?;
    if range.contains(&duration) { Ok(duration) } else { Err(format!("it must be from {told}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        model_servers: ModelServers,
    }

    fn read(arguments: &[&str]) -> Result<ScrapeSettings, String> {
        read_beside(arguments, &MetricsSource::default())
    }

    fn read_beside(arguments: &[&str], file: &MetricsSource) -> Result<ScrapeSettings, String> {
        let line = std::iter::once("epp").chain(arguments.iter().copied());
        let line: Line = clap::Parser::try_parse_from(line).map_err(|error| error.to_string())?;
        line.model_servers.scrape(Duration::from_secs(1), file).map_err(|error| error.to_string())
    }

    #[test]
    fn each_flag_steers_the_scraper() {
        let scrape = read(&[
            "--refresh-metrics-interval=1.5s",
            "--model-server-metrics-port=8002",
            "--model-server-metrics-path=/stats",
            "--model-server-metrics-scheme=https",
            "--total-queued-requests-metric=nv_trt_llm_request_metrics{request_type=waiting}",
            "--lora-info-metric=",
        ])
        .unwrap();
        assert_eq!((scrape.interval, scrape.port), (Duration::from_millis(1500), Some(8002)));
        assert_eq!(scrape.path, Some(PathAndQuery::from_static("/stats")));
        assert!(scrape.tls.is_some());
        assert_eq!(
            scrape.names.waiting,
            Some("nv_trt_llm_request_metrics{request_type=waiting}".parse().unwrap())
        );
        assert_eq!((scrape.names.adapters, scrape.names.running), (Some(MetricName::Nothing), None));
        let default = read(&[]).unwrap();
        assert_eq!((default.interval, default.port, default.path), (Duration::from_millis(50), None, None));
        assert!(default.tls.is_none() && default.names == MetricNames::default());
    }

    #[test]
    fn what_a_file_says_of_metrics_wins_over_the_flags() {
        let https = MetricsSource {
            scheme: Some(MetricsScheme::Https),
            path: Some("/stats".to_owned()),
            insecure_skip_verify: Some(true),
        };
        let flags = ["--model-server-metrics-path=/other", "--model-server-metrics-scheme=http"];
        let unsafe_off = "--model-server-metrics-https-insecure-skip-verify=false";
        let scrape = read_beside(&[flags[0], flags[1], unsafe_off], &https).unwrap();
        assert_eq!(scrape.path, Some(PathAndQuery::from_static("/stats")));
        assert!(scrape.tls.is_some());
        let http = MetricsSource { scheme: Some(MetricsScheme::Http), ..MetricsSource::default() };
        let scrape = read_beside(&[flags[0], "--model-server-metrics-scheme=https"], &http).unwrap();
        assert!(scrape.tls.is_none());
        assert_eq!(scrape.path, Some(PathAndQuery::from_static("/other")), "the file does not say it");
        let broken = MetricsSource { path: Some("/a b".to_owned()), ..MetricsSource::default() };
        assert!(read_beside(&[], &broken).unwrap_err().contains("/a b"));
    }

    #[test]
    fn what_cannot_be_obeyed_is_refused() {
        for arguments in [
            "--model-server-metrics-port=70000",
            "--model-server-metrics-path=stats",
            "--model-server-metrics-scheme=ftp",
            "--metrics-staleness-threshold=0s",
            "--refresh-metrics-interval=soon",
            "--refresh-metrics-interval=1ms",
            "--kv-cache-usage-percentage-metric={}",
        ] {
            assert!(read(&[arguments]).is_err(), "{arguments}");
        }
    }

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, seconds) in
            [("50ms", 0.05), ("1.5s", 1.5), ("1m30s", 90.0), ("2h", 7200.0), ("2000\u{3bc}s", 0.002)]
        {
            assert_eq!(staleness(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in ["", "0", "5", "s", "1x", "-1s", "1.2.3s", "25h", "1us"] {
            assert!(staleness(text).is_err(), "{text}");
        }
        for (text, told) in [("100us", "10ms to 1h"), ("5ms", "10ms to 1h"), ("2h", "10ms to 1h")] {
            assert!(interval(text).unwrap_err().contains(told), "{text}");
        }
    }
}
