//! The scraper: asks every endpoint for its metrics page, again and again.
//!
//! In: the endpoints ([`Scraper::set`]). Out: one [`Scrape`] for each attempt, to the [`Sink`]. One task an endpoint, on the
//! runtime that [`Scraper::new`] is called on: a control thread's, never a data thread's. Each keeps one connection alive.
//! Never: a second attempt beside a running one, a page over [`PAGE_BYTES_MAX`], a wait without a limit.

use crate::client::{Client, Fetch, Fetched};
use crate::news::News;
use crate::page::PAGE_BYTES_MAX;
use crate::{Engine, EngineNames, MetricNames, Signals, named};
use http::uri::PathAndQuery;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};
use tokio_rustls::rustls::ClientConfig;

/// Where metrics are looked for unless a setting says otherwise; the second is where `trtllm-serve` has its page.
static PATHS: [PathAndQuery; 2] =
    [PathAndQuery::from_static("/metrics"), PathAndQuery::from_static("/prometheus/metrics")];

/// How endpoints are scraped.
#[derive(Debug, Clone)]
pub struct ScrapeSettings {
    /// From one attempt to the next. Default 200 ms: the load signal is this process's own requests in flight, and a
    /// scrape only corrects drift. The reference scrapes every 50 ms.
    pub interval: Duration,
    /// The least of it for llama.cpp. Default 1.5 s: before an answer's first byte, llama.cpp looks whether the client has
    /// hung up only after a second in which it produced nothing, and a metrics page counts as something produced.
    pub interval_llama_cpp_min: Duration,
    /// The same for a server that has no metrics. Default 10 s.
    pub interval_without_metrics: Duration,
    /// For one attempt, connecting included. Default 1 s.
    pub timeout: Duration,
    /// The engine; `None` tells it from the page.
    pub engine: Option<Engine>,
    /// The path; `None` tries `/metrics`, then `/prometheus/metrics`.
    pub path: Option<PathAndQuery>,
    /// The port; `None` is the endpoint's own.
    pub port: Option<u16>,
    /// TLS; `None` asks in the clear.
    pub tls: Option<Arc<ClientConfig>>,
    /// Metrics under other names than those that the engines document.
    pub names: MetricNames,
    /// The same for one engine each.
    pub engines: Vec<EngineNames>,
}

impl Default for ScrapeSettings {
    fn default() -> ScrapeSettings {
        ScrapeSettings {
            interval: Duration::from_millis(200),
            interval_llama_cpp_min: Duration::from_millis(1500),
            interval_without_metrics: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            engine: None,
            path: None,
            port: None,
            tls: None,
            names: MetricNames::default(),
            engines: Vec::new(),
        }
    }
}

impl ScrapeSettings {
    /// From this attempt to the next, at a server whose page was last read as one of `engine`.
    fn interval_after(&self, scrape: &Scrape, engine: Option<Engine>) -> Duration {
        match (scrape, engine) {
            (Scrape::NoMetrics, _) => self.interval_without_metrics,
            (_, Some(Engine::LlamaCpp)) => self.interval.max(self.interval_llama_cpp_min),
            _ => self.interval,
        }
    }
}

/// What came of one attempt.
#[derive(Debug)]
pub enum Scrape {
    /// A page was read.
    Read(Signals),
    /// The server answers, but has no metrics that are known: it is well, and is asked rarely from now on.
    NoMetrics,
    /// Nothing came, or nothing that could be read.
    Missed(ScrapeError),
}

/// Why a scrape was missed.
#[derive(Debug, thiserror::Error)]
pub enum ScrapeError {
    /// The endpoint takes no connection, or no TLS.
    #[error("cannot connect: {0}")]
    Connect(#[source] std::io::Error),
    /// The connection broke, or what came is not HTTP.
    #[error("the connection broke: {0}")]
    Broken(#[source] hyper::Error),
    /// No page within the limit.
    #[error("timed out after {}s", .0.as_secs_f32())]
    TimedOut(Duration),
    /// The endpoint answered with this status.
    #[error("the endpoint answered {0}")]
    Status(http::StatusCode),
    /// The page is larger than is read.
    #[error("the page is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
}

/// Where scrapes go. Called on the control thread; must not block.
pub trait Sink<K>: Send + Sync + 'static {
    /// An attempt at the endpoint `id` is over.
    fn scraped(&self, id: &K, scrape: Scrape);
}

impl<K, F: Fn(&K, Scrape) + Send + Sync + 'static> Sink<K> for F {
    fn scraped(&self, id: &K, scrape: Scrape) {
        self(id, scrape);
    }
}

/// Scrapes endpoints until it is dropped.
pub struct Scraper<K> {
    settings: Arc<ScrapeSettings>,
    sink: Arc<dyn Sink<K>>,
    tasks: HashMap<(K, SocketAddr), AbortHandle>,
}

impl<K: Clone + Eq + Hash + Send + Sync + 'static> Scraper<K> {
    /// A scraper of no endpoint.
    pub fn new(settings: ScrapeSettings, sink: Arc<dyn Sink<K>>) -> Scraper<K> {
        Scraper { settings: Arc::new(settings), sink, tasks: HashMap::new() }
    }

    /// Makes these the endpoints: begins with new ones, ends those that are gone, leaves the others alone. Must be called
    /// on the tokio runtime that is to do the work.
    pub fn set(&mut self, endpoints: impl IntoIterator<Item = (K, SocketAddr)>) {
        let mut before = std::mem::take(&mut self.tasks);
        for endpoint in endpoints {
            let task = before.remove(&endpoint).unwrap_or_else(|| self.begin(&endpoint));
            self.tasks.insert(endpoint, task);
        }
        before.into_values().for_each(|task| task.abort());
    }

    fn begin(&self, (id, address): &(K, SocketAddr)) -> AbortHandle {
        let (settings, sink) = (Arc::clone(&self.settings), Arc::clone(&self.sink));
        tokio::spawn(scrape(id.clone(), *address, settings, sink)).abort_handle()
    }
}

impl<K> Drop for Scraper<K> {
    fn drop(&mut self) {
        self.tasks.values().for_each(AbortHandle::abort);
    }
}

impl<K> std::fmt::Debug for Scraper<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scraper")
            .field("settings", &self.settings)
            .field("endpoints", &self.tasks.len())
            .finish()
    }
}

/// Scrapes one endpoint for ever.
async fn scrape<K: 'static>(
    id: K,
    address: SocketAddr,
    settings: Arc<ScrapeSettings>,
    sink: Arc<dyn Sink<K>>,
) {
    let mut endpoint = Endpoint::new(address, &settings);
    // Spread over one interval, or all endpoints of a reload would be asked in the same instant for ever.
    let first = Instant::now() + settings.interval.mul_f64(fastrand::f64());
    let mut ticks = ticks_from(first, settings.interval);
    let mut news = News::default();
    loop {
        ticks.tick().await;
        let scrape = match timeout(settings.timeout, endpoint.scrape()).await {
            Ok(scrape) => scrape,
            Err(_) => {
                endpoint.client.disconnect();
                Scrape::Missed(ScrapeError::TimedOut(settings.timeout))
            }
        };
        news.tell(address, &scrape);
        let every = settings.interval_after(&scrape, endpoint.read_as);
        sink.scraped(&id, scrape);
        if every != ticks.period() {
            ticks = ticks_from(Instant::now() + every, every);
        }
    }
}

/// A tick at `first`, and one `every` so often after the last: a late one puts off those after it.
fn ticks_from(first: Instant, every: Duration) -> Interval {
    let mut ticks = interval_at(first, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// What is known of one endpoint.
struct Endpoint<'s> {
    client: Client,
    paths: &'s [PathAndQuery],
    /// The path that had a page last.
    path: usize,
    settings: &'s ScrapeSettings,
    /// What the last page was read as.
    read_as: Option<Engine>,
    page: Vec<u8>,
}

impl<'s> Endpoint<'s> {
    fn new(address: SocketAddr, settings: &'s ScrapeSettings) -> Endpoint<'s> {
        let paths = settings.path.as_ref().map_or(&PATHS[..], std::slice::from_ref);
        let address = SocketAddr::new(address.ip(), settings.port.unwrap_or(address.port()));
        let client = Client::new(address, settings.tls.clone());
        Endpoint { client, paths, path: 0, settings, read_as: None, page: Vec::new() }
    }

    /// Asks at the path that had a page last, and at the others if there is none.
    async fn scrape(&mut self) -> Scrape {
        for _ in 0..self.paths.len() {
            let fetch = Fetch { path: &self.paths[self.path], bytes_max: PAGE_BYTES_MAX };
            match self.client.fetch(fetch, &mut self.page).await {
                Err(missed) => return Scrape::Missed(missed),
                Ok(Fetched::Page) => {
                    let engine = self.settings.engine.or_else(|| Engine::detect(&self.page));
                    let ScrapeSettings { names, engines, .. } = self.settings;
                    if let Some(signals) = named::read(names, engines, engine, &self.page) {
                        self.read_as = engine;
                        return Scrape::Read(signals);
                    }
                }
                Ok(Fetched::Nothing) => {}
            }
            self.path = (self.path + 1) % self.paths.len();
        }
        Scrape::NoMetrics
    }
}

#[cfg(test)]
mod tests;
