//! `pointsman run`: the gateway.

use super::Done;
use super::sim::stopped;
use crate::gateway::{Gateway, GatewaySettings};
use clap::Args;
use std::process::ExitCode;

/// Runs the gateway from a folder of manifests.
///
/// SIGTERM or SIGINT: `/readyz` fails, no connection is accepted any more, requests under way end whole (up to
/// --drain-timeout). A second one ends at once.
#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    gateway: GatewaySettings,
}

impl Run {
    pub(crate) fn execute(self) -> Done {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let gateway = Gateway::start(self.gateway)?;
        runtime.block_on(serve(gateway));
        Ok(ExitCode::SUCCESS)
    }
}

/// Serves until the process is told to stop, then drains; a second signal ends the drain.
async fn serve(gateway: Gateway) {
    stopped().await;
    tracing::info!("stopping: requests under way end, no new ones are taken");
    tokio::select! {
        drained = gateway.drain() => tracing::info!(cut = drained.cut, "stopped"),
        () = stopped() => tracing::warn!("stopped at once"),
    }
}
