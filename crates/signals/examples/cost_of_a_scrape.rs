//! What reading a metrics page costs: the parse alone, and a whole scrape over a loopback socket (both ends in one process
//! and on one thread, so the scraper's part is at most what is shown).
//!
//! `cargo run --release -p signals --example cost_of_a_scrape [PAGE]`, where PAGE is a file; without it a page of the size
//! and shape of vLLM's is made.
#![allow(clippy::print_stdout, reason = "a bench talks to a person")]

use bytes::Bytes;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use signals::{Engine, Scrape, ScrapeSettings, Scraper};
use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::channel;

const PARSES: u32 = 20_000;
const SCRAPES: u32 = 5_000;

fn main() {
    let page = match std::env::args().nth(1) {
        Some(file) => Bytes::from(std::fs::read(file).expect("the page can be read")),
        None => Bytes::from(vllm_page()),
    };
    println!("page of {} bytes: {:?}", page.len(), Engine::detect(&page).map(|engine| engine.read(&page)));
    let began = on_core();
    for _ in 0..PARSES {
        let page = std::hint::black_box(&page);
        std::hint::black_box(Engine::detect(page).map(|engine| engine.read(page)));
    }
    println!("detect and read: {:.1} µs", micros(began) / f64::from(PARSES));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    let each = runtime.block_on(scrapes(page));
    println!("scrape, both ends: {each:.1} µs");
}

fn micros(since: Duration) -> f64 {
    (on_core() - since).as_secs_f64() * 1e6
}

/// Time that this thread has had on a core: unlike the clock's it does not count the machine's other work.
fn on_core() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells it");
    let nanos =
        told.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("the first word is a number");
    Duration::from_nanos(nanos)
}

/// Scrapes one endpoint back to back. Tokio's timer has steps of 1 ms, so many endpoints take turns.
async fn scrapes(page: Bytes) -> f64 {
    const ENDPOINTS: u32 = 50;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has a port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let page = page.clone();
            let service = service_fn(move |_| {
                let page = page.clone();
                async { Ok::<_, Infallible>(http::Response::new(Full::new(page))) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    let (sender, mut results) = channel(SCRAPES as usize);
    let sink = move |_: &u32, scrape: Scrape| {
        assert!(matches!(scrape, Scrape::Read(_)), "{scrape:?}");
        let _ = sender.try_send(());
    };
    let settings = ScrapeSettings { interval: Duration::from_millis(1), ..ScrapeSettings::default() };
    let mut scraper = Scraper::new(settings, Arc::new(sink));
    scraper.set((0..ENDPOINTS).map(|id| (id, address)));
    for _ in 0..ENDPOINTS {
        results.recv().await;
    }
    let began = on_core();
    for _ in 0..SCRAPES {
        results.recv().await;
    }
    micros(began) / f64::from(SCRAPES)
}

/// A page of vLLM's families: a few gauges among many histograms.
fn vllm_page() -> String {
    let mut page = String::new();
    for family in 0..20 {
        let _ = writeln!(
            page,
            "# HELP vllm:histogram_{family}_seconds What this measures, in a sentence of some length."
        );
        let _ = writeln!(page, "# TYPE vllm:histogram_{family}_seconds histogram");
        for bucket in 0..24 {
            let name = format!("vllm:histogram_{family}_seconds_bucket");
            let _ = writeln!(
                page,
                "{name}{{engine=\"0\",le=\"{bucket}.0\",model_name=\"a-model-of-some-name\"}} {bucket}.0"
            );
        }
    }
    for gauge in ["num_requests_waiting", "num_requests_running", "kv_cache_usage_perc"] {
        let _ = writeln!(
            page,
            "# TYPE vllm:{gauge} gauge\nvllm:{gauge}{{engine=\"0\",model_name=\"a-model\"}} 0.5"
        );
    }
    let _ = writeln!(
        page,
        "vllm:cache_config_info{{block_size=\"16\",engine=\"0\",num_gpu_blocks=\"16384\"}} 1.0"
    );
    page
}
