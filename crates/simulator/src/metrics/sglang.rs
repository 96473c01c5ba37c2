//! SGLang's page (`--enable-metrics`). Its cache is counted in tokens, its pages are one block each.

use super::{Config, Page, Snapshot, escaped};

pub(super) fn write(page: &mut Page, config: &Config, snapshot: &Snapshot) {
    let (load, counters) = (&snapshot.load, &snapshot.counters);
    page.labels = format!(
        "engine_type=\"unified\",model_name=\"{}\",pp_rank=\"0\",tp_rank=\"0\"",
        escaped(&config.model)
    );
    let used_tokens = f64::from(load.blocks_held) * f64::from(config.block_tokens);
    page.gauge("sglang:num_running_reqs", "The number of running requests", f64::from(load.running));
    page.gauge("sglang:num_used_tokens", "The number of used tokens", used_tokens);
    page.gauge("sglang:token_usage", "The token usage", snapshot.kv_usage);
    page.gauge(
        "sglang:num_queue_reqs",
        "The number of requests in the waiting queue",
        f64::from(load.waiting),
    );
    page.gauge("sglang:cache_hit_rate", "The cache hit rate", snapshot.hit_ratio());
    page.counter("sglang:prompt_tokens_total", "Number of prefill tokens processed.", counters.prompt_tokens);
    page.counter(
        "sglang:generation_tokens_total",
        "Number of generation tokens processed.",
        counters.generation_tokens,
    );
    page.counter("sglang:cached_tokens_total", "Number of cached prompt tokens.", counters.cached_tokens);
    page.counter("sglang:num_requests_total", "Number of requests processed.", counters.finished);
    page.counter("sglang:num_aborted_requests_total", "Number of requests aborted.", counters.cancelled);
    page.histogram(
        "sglang:time_to_first_token_seconds",
        "Histogram of time to first token in seconds.",
        &counters.first_token,
    );
    page.histogram(
        "sglang:inter_token_latency_seconds",
        "Histogram of inter-token latency in seconds.",
        &counters.between_tokens,
    );
    page.histogram(
        "sglang:e2e_request_latency_seconds",
        "Histogram of End-to-end request latency in seconds",
        &counters.end_to_end,
    );
    page.labels = format!("num_pages=\"{}\",page_size=\"{}\"", load.blocks, config.block_tokens);
    page.gauge("sglang:cache_config_info", "Information of the cache config", 1.0);
}
