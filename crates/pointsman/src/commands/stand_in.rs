//! What `bbr` and `epp` have in common, because the reference's two programs have: transport, log level, flags that mean
//! nothing here.

use clap::{Args, ValueEnum};
use extproc::{Certificates, TlsError};
use std::path::PathBuf;
use std::sync::Arc;
use tokio_rustls::rustls::ServerConfig;

/// A flag of Go's: alone it is on, with `=false` off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// On.
    #[value(aliases = ["1", "t", "T", "TRUE", "True"])]
    True,
    /// Off.
    #[value(aliases = ["0", "f", "F", "FALSE", "False"])]
    False,
}

impl Switch {
    pub(crate) fn is_on(self) -> bool {
        self == Switch::True
    }
}

/// How the ext_proc port is spoken to.
#[derive(Debug, Args)]
pub(crate) struct Transport {
    /// TLS on the ext_proc port.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", value_name = "SWITCH", env = "SECURE_SERVING")]
    secure_serving: Switch,
    /// Folder with `tls.crt` and `tls.key`, taken up again when they change. Default: a self-signed certificate.
    #[arg(long, value_name = "FOLDER", env = "CERT_PATH")]
    cert_path: Option<PathBuf>,
    /// Health on the ext_proc port too, where a gateway's own health check asks for it; the reference's default is `false`.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", value_name = "SWITCH")]
    health_checking: Switch,
}

impl Transport {
    pub(crate) fn tls(&self) -> Result<Option<Arc<ServerConfig>>, TlsError> {
        if !self.secure_serving.is_on() {
            return Ok(None);
        }
        let certificates = match &self.cert_path {
            Some(folder) => Certificates::of_folder(folder)?,
            None => Certificates::self_signed()?,
        };
        certificates.config().map(Some)
    }

    pub(crate) fn health_on_process_port(&self) -> bool {
        self.health_checking.is_on()
    }
}

/// How much is logged, by the reference's number.
#[derive(Debug, Args)]
pub(crate) struct Logging {
    /// The reference's log level: up to 3 is info, 4 is debug (a line for each request), 5 and more is trace; --log wins.
    #[arg(long, value_name = "LEVEL", default_value_t = 2, allow_negative_numbers = true)]
    v: i32,
}

impl Logging {
    pub(crate) fn level(&self) -> &'static str {
        match self.v {
            ..=3 => "info",
            4 => "debug",
            _ => "trace",
        }
    }
}

/// Flags of the reference that steer what is not here: accepted, so that a chart's arguments need no change, and noted.
#[derive(Debug, Args)]
pub(crate) struct Meaningless {
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    enable_pprof: Option<Switch>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    metrics_endpoint_auth: Option<Switch>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    tracing: Option<Switch>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    ha_enable_leader_election: Option<Switch>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    enable_cert_reload: Option<Switch>,
    #[arg(long, hide = true)]
    kubeconfig: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    zap_devel: Option<Switch>,
    #[arg(long, hide = true)]
    zap_encoder: Option<String>,
    #[arg(long, hide = true)]
    zap_log_level: Option<String>,
    #[arg(long, hide = true)]
    zap_stacktrace_level: Option<String>,
    #[arg(long, hide = true)]
    zap_time_encoding: Option<String>,
}

impl Meaningless {
    /// Says in the log what was given and why it means nothing.
    pub(crate) fn note(&self) {
        let on = |switch: Option<Switch>| switch.is_some_and(Switch::is_on);
        let given = [
            (on(self.enable_pprof), "enable-pprof", "there is no Go runtime to profile"),
            (
                on(self.metrics_endpoint_auth),
                "metrics-endpoint-auth",
                "whoever reaches --metrics-port reads it; keep others away by a NetworkPolicy",
            ),
            (
                on(self.tracing),
                "tracing",
                "no spans are made, and OTEL_* is not read; `explain` and the access log tell of single requests",
            ),
            (on(self.ha_enable_leader_election), "ha-enable-leader-election", "every replica serves"),
            (
                self.enable_cert_reload == Some(Switch::False),
                "enable-cert-reload",
                "files are always taken up anew",
            ),
            (self.kubeconfig.is_some(), "kubeconfig", "manifests come from --config"),
            (on(self.zap_devel), "zap-devel", "--log-format says the log's form"),
            (self.zap_encoder.is_some(), "zap-encoder", "--log-format says the log's form"),
            (self.zap_log_level.is_some(), "zap-log-level", "--v or --log says what is logged"),
            (self.zap_stacktrace_level.is_some(), "zap-stacktrace-level", "there are no stack traces"),
            (self.zap_time_encoding.is_some(), "zap-time-encoding", "--log-format says the log's form"),
        ];
        for (_, flag, why) in given.into_iter().filter(|(given, ..)| *given) {
            tracing::warn!(flag, "this flag of the reference means nothing here: {why}");
        }
    }
}
