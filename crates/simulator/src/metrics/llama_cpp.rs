//! llama.cpp's page (`llama-server --metrics`): no labels, no KV gauge, no histograms.

use super::{Page, Snapshot};

pub(super) fn write(page: &mut Page, snapshot: &Snapshot) {
    let (load, counters) = (&snapshot.load, &snapshot.counters);
    page.counter(
        "llamacpp:prompt_tokens_total",
        "Number of prompt tokens processed.",
        counters.prompt_tokens - counters.cached_tokens,
    );
    page.counter(
        "llamacpp:tokens_predicted_total",
        "Number of generation tokens processed.",
        counters.generation_tokens,
    );
    page.counter("llamacpp:n_decode_total", "Total number of llama_decode() calls", counters.steps);
    page.gauge("llamacpp:requests_processing", "Number of requests processing.", f64::from(load.running));
    page.gauge("llamacpp:requests_deferred", "Number of requests deferred.", f64::from(load.waiting));
}
