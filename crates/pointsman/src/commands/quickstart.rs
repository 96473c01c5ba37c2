//! `pointsman quickstart`: the main job, seen at once, with nothing else installed.

mod folder;

use super::Done;
use super::sim::Stop;
use crate::gateway::{Gateway, GatewaySettings, StartError};
use crate::terminal::{DIM, GOOD, HEADING, NAME, request_line};
use clap::Args;
use folder::Folder;
use journey::counted;
use simulator::Config;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, LocalSet};

/// Shows the gateway at work: two models behind one address, with simulated model servers in the same process.
///
/// Prints four requests to try and then, for each request that comes, where it went and why. The manifests are written to
/// a folder of their own: edit them while it runs.
#[derive(Debug, Args)]
pub(crate) struct Quickstart {
    /// Port of the gateway, on loopback; 0 takes any free port.
    #[arg(long, value_name = "PORT", default_value_t = 8080, env = "POINTSMAN_QUICKSTART_PORT")]
    port: u16,
    /// Address of the admin server; port 0 takes any free port.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9901", env = "POINTSMAN_ADMIN")]
    admin: SocketAddr,
    /// Simulated model servers of each model. From 1 to 32.
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=32))]
    endpoints: u8,
}

/// The manifests: those of examples/two-models, but for the endpoints.
const MANIFESTS: [(&str, &str); 2] = [
    ("gateway.yaml", include_str!("../../../../examples/two-models/manifests/gateway.yaml")),
    ("httproute.yaml", include_str!("../../../../examples/two-models/manifests/httproute.yaml")),
];

/// Each pool with its model's name.
const POOLS: [(&str, &str); 2] = [("gemma3", "chatbot"), ("deepseek-r1", "recommender")];

/// Requests that a simulated model server computes at once: few, so that a handful of requests shows a queue.
const DEMO_SEQS_MAX: u32 = 8;

/// How often the terminal is told what has ended.
const VIEW_INTERVAL: Duration = Duration::from_millis(50);

impl Quickstart {
    pub(crate) fn execute(self) -> Done {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, self.show())
    }

    async fn show(self) -> Done {
        // From here on a signal lets the folder go with the process.
        let mut stop = Stop::at_hangup_too()?;
        let folder = Folder::make()?;
        let servers = self.model_servers(folder.path()).await?;
        for (name, manifest) in MANIFESTS {
            fs::write(folder.path().join(name), self.at_port(manifest))?;
        }
        let settings = GatewaySettings::of_folder(folder.path().to_owned(), self.admin, self.port == 0);
        let gateway = Gateway::start(settings).map_err(|error| match error {
            StartError::Bind(error) => format!("{error}; give another --port, or 0 for any"),
            other => other.to_string(),
        })?;
        self.introduce(&gateway, folder.path());
        tokio::select! {
            () = view(&gateway) => (),
            () = stop.asked() => (),
        }
        anstream::println!("{DIM}stopping: requests under way end whole; Ctrl-C again ends at once{DIM:#}");
        tokio::select! {
            _ = gateway.drain() => (),
            () = stop.asked() => (),
        }
        servers.iter().for_each(JoinHandle::abort);
        Ok(ExitCode::SUCCESS)
    }

    /// Starts the simulated model servers and writes the pools' manifests with where they are.
    async fn model_servers(&self, folder: &Path) -> Result<Vec<JoinHandle<()>>, Box<dyn std::error::Error>> {
        let mut servers = Vec::new();
        for (pool, model) in POOLS {
            let mut ports = Vec::new();
            for _ in 0..self.endpoints {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                ports.push(listener.local_addr()?.port());
                let config = Config {
                    model: model.to_owned(),
                    engine_model: "demo".parse()?,
                    max_num_seqs: DEMO_SEQS_MAX,
                    ..Config::default()
                };
                let until = std::future::pending();
                servers.push(tokio::task::spawn_local(simulator::serve(config, listener, until)));
            }
            fs::write(folder.join(format!("{pool}.yaml")), pool_manifest(pool, &ports))?;
        }
        Ok(servers)
    }

    fn at_port(&self, manifest: &str) -> String {
        let port = if self.port == 0 { 8080 } else { self.port };
        manifest.replace("port: 8080", &format!("port: {port}"))
    }

    fn introduce(&self, gateway: &Gateway, folder: &Path) {
        let port = gateway.addresses().first().map_or(self.port, |(_, address)| address.port());
        anstream::println!("{GOOD}Pointsman is listening on http://localhost:{port}{GOOD:#}");
        for (pool, model) in POOLS {
            let endpoints = counted(self.endpoints, "simulated endpoint");
            anstream::println!(
                "  model {NAME}{model}{NAME:#} → InferencePool {NAME}{pool}{NAME:#} ({endpoints})"
            );
        }
        anstream::println!("  manifests {}", folder.display());
        anstream::println!(
            "  admin     http://{} (/metrics /endpoints /config /explain/ID)\n",
            gateway.admin
        );
        anstream::println!("{HEADING}Try, in another terminal:{HEADING:#}\n");
        for (_, model) in POOLS {
            anstream::println!("{}\n{}\n", chat(port, model), completion(port, model));
        }
        anstream::println!("{HEADING}Requests, as they end{HEADING:#} {DIM}(Ctrl-C stops){DIM:#}");
    }
}

fn chat(port: u16, model: &str) -> String {
    format!(
        "curl -X POST -i localhost:{port}/v1/chat/completions -H 'Content-Type: application/json' \\\n  -d '{{\"model\":\"{model}\",\"messages\":[{{\"role\":\"user\",\"content\":\"What is the color of the sky?\"}}],\"max_tokens\":100,\"temperature\":0}}'"
    )
}

fn completion(port: u16, model: &str) -> String {
    format!(
        "curl -X POST -i localhost:{port}/v1/completions -H 'Content-Type: application/json' \\\n  -d '{{\"model\":\"{model}\",\"prompt\":\"What is the color of the sky?\",\"max_tokens\":100,\"temperature\":0,\"stream\":true}}'"
    )
}

/// An InferencePool and, as its endpoints, one EndpointSlice for each port: a slice's own port wins over `targetPorts`.
fn pool_manifest(pool: &str, ports: &[u16]) -> String {
    let mut manifest = format!(
        "apiVersion: inference.networking.k8s.io/v1\nkind: InferencePool\nmetadata:\n  name: {pool}\nspec:\n  selector:\n    matchLabels:\n      app: {pool}\n  targetPorts:\n  - number: 8000\n"
    );
    for (number, port) in ports.iter().enumerate() {
        manifest.push_str(&format!(
            "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: {pool}-{number}\n  labels:\n    app: {pool}\naddressType: IPv4\nendpoints:\n- addresses: [127.0.0.1]\nports:\n- port: {port}\n"
        ));
    }
    manifest
}

/// Tells each request as it ends, for ever.
async fn view(gateway: &Gateway) {
    let mut cursor = gateway.telemetry.now();
    loop {
        tokio::time::sleep(VIEW_INTERVAL).await;
        for record in gateway.telemetry.since(&mut cursor) {
            anstream::println!("{}", request_line(&record));
        }
    }
}
