//! TensorRT-LLM's page, as `trtllm-serve` gives it (at `/prometheus/metrics`; here at `/metrics` too).

use super::{Config, Page, Snapshot, escaped};

pub(super) fn write(page: &mut Page, config: &Config, snapshot: &Snapshot) {
    let (load, counters) = (&snapshot.load, &snapshot.counters);
    page.labels = format!("engine_type=\"pytorch\",model_name=\"{}\"", escaped(&config.model));
    let used = f64::from(load.blocks_held);
    let blocks = f64::from(load.blocks);
    let gauges = [
        ("trtllm_num_requests_running", "Requests being computed.", f64::from(load.running)),
        ("trtllm_num_requests_waiting", "Requests queued.", f64::from(load.waiting)),
        ("trtllm_kv_cache_utilization", "KV-cache utilization (0.0-1.0).", snapshot.kv_usage),
        ("trtllm_kv_cache_hit_rate", "KV-cache prefix-cache hit rate (0.0-1.0).", snapshot.hit_ratio()),
        ("trtllm_kv_cache_max_blocks", "KV-cache blocks.", blocks),
        ("trtllm_kv_cache_used_blocks", "KV-cache blocks in use.", used),
        ("trtllm_kv_cache_free_blocks", "KV-cache blocks not in use.", blocks - used),
        ("trtllm_kv_cache_tokens_per_block", "Tokens per KV-cache block.", f64::from(config.block_tokens)),
    ];
    for (name, help, value) in gauges {
        page.gauge(name, help, value);
    }
    let name = "trtllm_request_success_total";
    page.family(name, "counter", "Count of successfully processed requests.");
    page.series(name, "finished_reason=\"stop\"", snapshot.stopped as f64);
    page.series(name, "finished_reason=\"length\"", (counters.finished - snapshot.stopped) as f64);
    let histograms = [
        ("trtllm_time_to_first_token_seconds", "time to first token", &counters.first_token),
        ("trtllm_time_per_output_token_seconds", "time per output token", &counters.per_output_token),
        ("trtllm_e2e_request_latency_seconds", "end to end request latency", &counters.end_to_end),
        ("trtllm_request_queue_time_seconds", "time in the queue", &counters.queue),
    ];
    for (name, what, histogram) in histograms {
        page.histogram(name, &format!("Histogram of {what} in seconds."), histogram);
    }
}
