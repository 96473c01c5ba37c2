//! What model servers report about themselves: their metrics pages, read by their documented names.
//!
//! In: a page in Prometheus' text format ([`page`]), of one of the [`Engine`]s. Out: [`Signals`]. The [`Scraper`], which
//! does the I/O, runs on a control thread.
//! Never: the main load signal. A scrape corrects drift and tells capacity and health.
//! Source: GAIE, Model Server Protocol; each server's own documentation.

mod client;
mod engines;
mod gauge;
mod named;
mod news;
pub mod page;
mod scrape;

pub use engines::Engine;
pub use named::{EngineNames, MetricName, MetricNames, NotAMetric};
pub use scrape::{Scrape, ScrapeError, ScrapeSettings, Scraper, Sink};

/// What one scrape told. A field is `None` if the page does not have it: the last known value stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Signals {
    /// Requests queued in the server.
    pub waiting: Option<u32>,
    /// Requests being computed.
    pub running: Option<u32>,
    /// KV cache in use, 0 to 1.
    pub kv_used: Option<f32>,
    /// Tokens in a KV block.
    pub block_tokens: Option<u32>,
    /// KV blocks in all.
    pub blocks: Option<u32>,
    /// LoRA adapters.
    pub adapters: Option<Adapters>,
    /// A counter that never falls while the server lives (requests or tokens served): when it falls, the server has
    /// restarted and its cache is empty.
    pub served: Option<f64>,
}

/// LoRA adapters as `vllm:lora_requests_info` tells them: activity, not residency.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Adapters {
    /// How many may be active at once.
    pub max: u32,
    /// Adapters with running requests.
    pub running: Vec<Box<str>>,
    /// Adapters with waiting requests.
    pub waiting: Vec<Box<str>>,
}
