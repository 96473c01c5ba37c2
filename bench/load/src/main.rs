//! What `bench/run` puts around a proxy: requests on one side, an upstream that answers at once on the other.
//!
//! In: an address and the bodies to send. Out: one line of JSON with throughput, latencies and the CPU time of the
//! proxy in between. Both halves run on one thread and do as little as HTTP/1.1 lets them, so that the proxy is what
//! is measured.

mod client;
mod cpu;
mod message;
mod upstream;

use clap::Parser;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Parser)]
enum Command {
    /// Answers every request at once; prints its addresses, one a line, and runs until it is stopped.
    Upstream {
        /// How many addresses to listen on.
        #[arg(long, default_value_t = 4)]
        endpoints: usize,
        /// Length of the page of metrics; about, and never below what a scrape looks for.
        #[arg(long, value_name = "BYTES", default_value_t = 0)]
        metrics_bytes: usize,
    },
    /// Sends requests one after the other on every connection; prints what came of it as JSON.
    Send {
        /// Where to; connections take them in turn.
        #[arg(long, required = true)]
        address: Vec<SocketAddr>,
        /// Files with the bodies to send; connections take them in turn.
        #[arg(long, required = true)]
        body: Vec<PathBuf>,
        /// Connections, each with one request under way.
        #[arg(long, default_value_t = 32)]
        connections: usize,
        /// Time before anything is counted.
        #[arg(long, default_value_t = 0.3)]
        warmup_seconds: f64,
        /// Time in which everything is counted.
        #[arg(long, default_value_t = 2.0)]
        seconds: f64,
        /// Processes whose CPU time is read at both ends of the counted time.
        #[arg(long)]
        pid: Vec<u32>,
    },
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{}: {why}", file.display())]
    File { file: PathBuf, why: std::io::Error },
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Json(#[from] serde_json::Error),
}

fn main() -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut out = std::io::stdout();
    match Command::parse() {
        Command::Upstream { endpoints, metrics_bytes } => runtime.block_on(async {
            let listeners = upstream::bind(endpoints).await?;
            for listener in &listeners {
                writeln!(out, "{}", listener.local_addr()?)?;
            }
            out.flush()?;
            upstream::serve(listeners, &upstream::metrics_page(metrics_bytes)).await;
            Ok(())
        }),
        Command::Send { address, body, connections, warmup_seconds, seconds, pid } => {
            let requests = body
                .into_iter()
                .map(|file| match std::fs::read(&file) {
                    Ok(body) => Ok(message::chat_request(&body)),
                    Err(why) => Err(Error::File { file, why }),
                })
                .collect::<Result<Vec<_>, _>>()?;
            let plan = client::Plan {
                addresses: address,
                requests,
                connections,
                warmup: Duration::from_secs_f64(warmup_seconds),
                counted: Duration::from_secs_f64(seconds),
                pids: pid,
            };
            let report = runtime.block_on(client::send(plan))?;
            writeln!(out, "{}", serde_json::to_string(&report)?)?;
            Ok(())
        }
    }
}
