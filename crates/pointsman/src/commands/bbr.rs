//! `pointsman bbr`: the body-based router behind an Envoy-based gateway.

use super::Done;
use super::plugin::{self, Plugin};
use super::sim::stopped;
use super::stand_in::{Logging, Meaningless, Switch, Transport};
use crate::admin::Admin;
use crate::gateway::{BaseModelMaps, serve_page};
use clap::Args;
use extproc::bbr::{Bbr, BbrSettings, FieldHeaders, PassOn};
use extproc::{BodyMode, Health, Port, Server, Serving, Settings};
use payload::Budget;
use state::Clock;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use telemetry::BbrCounts;

/// Runs the body-based router behind an Envoy-based gateway.
///
/// Answers Envoy's ext_proc: reads the model of each request's body into the header `X-Gateway-Model-Name`, so that routes
/// can match on it. Takes the flags of the reference body-based router (GAIE v0.5.1 to v1.5) in each of their spellings.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct BbrCommand {
    /// Port of ext_proc, over gRPC.
    #[arg(long, value_name = "PORT", default_value_t = 9004, env = "GRPC_PORT")]
    grpc_port: u16,
    /// Port of gRPC health checks, in the clear: any service name.
    #[arg(long, value_name = "PORT", default_value_t = 9005, env = "GRPC_HEALTH_PORT")]
    grpc_health_port: u16,
    /// Port of `/metrics`, in the clear.
    #[arg(long, value_name = "PORT", default_value_t = 9090, env = "METRICS_PORT")]
    metrics_port: u16,
    /// How bodies come where the gateway does not say: in FULL_DUPLEX_STREAMED mode, or (false) in BUFFERED mode.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", value_name = "SWITCH")]
    streaming: Switch,
    /// Pass a body on only when it is whole, as the reference does; by default the headers leave as soon as the model, and
    /// each field that --plugin names, was read, and the body behind them.
    #[arg(long, env = "POINTSMAN_WAIT_FOR_BODY")]
    wait_for_body: bool,
    /// Folders or files of manifests; their ConfigMaps say of which base model an adapter is. Changes are taken up.
    #[arg(long, value_name = "PATH", env = "POINTSMAN_CONFIG", value_delimiter = ',', num_args = 1..)]
    config: Vec<PathBuf>,
    /// Only ConfigMaps of this namespace count. Default: of every one.
    #[arg(long, value_name = "NAMESPACE", env = "NAMESPACE")]
    namespace: Option<String>,
    /// A plugin of the reference, as `type:name[:json]`; may be given several times. `body-field-to-header` puts up to 16 fields of
    /// the body beside `model` into headers: `body-field-to-header:user:{"fieldName":"user","headerName":"X-User"}`. The model
    /// and its base model (`base-model-to-header`) go to theirs without being named.
    #[arg(long, value_name = "PLUGIN")]
    plugin: Vec<Plugin>,
    #[command(flatten)]
    transport: Transport,
    #[command(flatten)]
    pub(crate) logging: Logging,
    #[command(flatten)]
    meaningless: Meaningless,
    /// Limits and times of the ext_proc door.
    #[command(flatten)]
    door: Settings,
}

impl BbrCommand {
    pub(crate) fn execute(self) -> Done {
        self.meaningless.note();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let fields = Arc::new(plugin::fields(&self.plugin)?);
        let counts = Arc::new(BbrCounts::new(fields.asked().iter(), plugin::names(&self.plugin)));
        let page = Arc::clone(&counts);
        let maps = BaseModelMaps::start(&self.config, self.namespace.clone())?;
        let (metrics, metrics_address) =
            serve_page((self.door.bind, self.metrics_port).into(), move || page.text())?;
        let (server, health) = self.serve(fields, &maps, &counts)?;
        tracing::info!(metrics = %metrics_address, "metrics listening");
        runtime.block_on(until_stopped(server, health, metrics, maps));
        Ok(ExitCode::SUCCESS)
    }

    fn serve(
        &self,
        fields: Arc<FieldHeaders>,
        maps: &BaseModelMaps,
        counts: &Arc<BbrCounts>,
    ) -> Result<(Server, Arc<Health>), Box<dyn std::error::Error>> {
        let settings = BbrSettings {
            pass_on: if self.wait_for_body { PassOn::Whole } else { PassOn::Early },
            fields,
            body_mode: if self.streaming.is_on() { BodyMode::Streamed } else { BodyMode::Answered },
            body_bytes_max: self.door.body_bytes_max,
            body_pace: self.door.body_pace(),
        };
        let health = Arc::new(Health::of_any_name());
        let of_process = self.transport.health_on_process_port().then(|| Arc::clone(&health));
        let ports = [
            Port { number: self.grpc_port, tls: self.transport.tls()?, process: Some(0), health: of_process },
            Port { number: self.grpc_health_port, health: Some(Arc::clone(&health)), ..Port::default() },
        ];
        let (models, counts) = (maps.models(), Arc::clone(counts));
        let budget = Budget::new(self.door.held_bytes_max);
        let make = move |_| {
            Bbr::new(settings.clone(), Arc::clone(&models), Arc::clone(&budget), Arc::clone(&counts))
        };
        let server = Server::start(self.door.clone(), &ports, Clock::start(), make)?;
        health.becomes(Serving::Yes);
        let addresses = server.addresses();
        tracing::info!(ext_proc = %addresses[0], health = %addresses[1], "the body-based router listens");
        Ok((server, health))
    }
}

/// Serves until the process is told to stop, then drains; a second signal ends the drain.
async fn until_stopped(server: Server, health: Arc<Health>, _metrics: Admin, _maps: BaseModelMaps) {
    stopped().await;
    tracing::info!("stopping: health says NOT_SERVING");
    health.becomes(Serving::No);
    tokio::select! {
        drained = server.drain() => tracing::info!(cut = drained.cut, "stopped"),
        () = stopped() => tracing::warn!("stopped at once"),
    }
}
