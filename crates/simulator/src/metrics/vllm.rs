//! vLLM's page, by the names and buckets of vLLM V1.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{Config, Page, Snapshot, escaped};

pub(super) fn write(page: &mut Page, config: &Config, snapshot: &Snapshot) {
    let (load, counters) = (&snapshot.load, &snapshot.counters);
    page.labels = format!("engine=\"0\",model_name=\"{}\"", escaped(&config.model));
    page.gauge(
        "vllm:num_requests_running",
        "Number of requests in model execution batches.",
        f64::from(load.running),
    );
    page.gauge(
        "vllm:num_requests_waiting",
        "Number of requests waiting to be processed.",
        f64::from(load.waiting),
    );
    page.gauge("vllm:kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", snapshot.kv_usage);
    write_counters(page, snapshot);
    page.histogram(
        "vllm:request_prompt_tokens",
        "Number of prefill tokens processed.",
        &counters.request_prompt_tokens,
    );
    page.histogram(
        "vllm:request_generation_tokens",
        "Number of generation tokens processed.",
        &counters.request_generation_tokens,
    );
    let latencies = [
        ("vllm:time_to_first_token_seconds", "time to first token in seconds", &counters.first_token),
        ("vllm:inter_token_latency_seconds", "inter-token latency in seconds", &counters.between_tokens),
        (
            "vllm:request_time_per_output_token_seconds",
            "time_per_output_token_seconds per request",
            &counters.per_output_token,
        ),
        ("vllm:e2e_request_latency_seconds", "e2e request latency in seconds", &counters.end_to_end),
        ("vllm:request_queue_time_seconds", "time spent in WAITING phase for request", &counters.queue),
        (
            "vllm:request_inference_time_seconds",
            "time spent in RUNNING phase for request",
            &counters.inference,
        ),
        ("vllm:request_prefill_time_seconds", "time spent in PREFILL phase for request", &counters.prefill),
        ("vllm:request_decode_time_seconds", "time spent in DECODE phase for request", &counters.decode),
    ];
    for (name, what, histogram) in latencies {
        page.histogram(name, &format!("Histogram of {what}."), histogram);
    }
    write_cache_config(page, config, snapshot);
    write_adapters(page, config, snapshot);
}

fn write_counters(page: &mut Page, snapshot: &Snapshot) {
    let counters = &snapshot.counters;
    let rows = [
        (
            "vllm:prefix_cache_queries_total",
            "Prefix cache queries, in terms of number of queried tokens.",
            counters.prefix_queries,
        ),
        (
            "vllm:prefix_cache_hits_total",
            "Prefix cache hits, in terms of number of cached tokens.",
            counters.prefix_hits,
        ),
        (
            "vllm:num_preemptions_total",
            "Cumulative number of preemption from the engine.",
            counters.preemptions,
        ),
        ("vllm:prompt_tokens_total", "Number of prefill tokens processed.", counters.prompt_tokens),
        ("vllm:prompt_tokens_cached_total", "Number of cached prompt tokens.", counters.cached_tokens),
        (
            "vllm:generation_tokens_total",
            "Number of generation tokens processed.",
            counters.generation_tokens,
        ),
    ];
    for (name, help, value) in rows {
        page.counter(name, help, value);
    }
    let name = "vllm:request_success_total";
    page.family(name, "counter", "Count of successfully processed requests.");
    let reasons = [
        ("stop", snapshot.stopped),
        ("length", counters.finished - snapshot.stopped),
        ("abort", counters.cancelled),
    ];
    for (reason, count) in reasons {
        page.series(name, &format!("finished_reason=\"{reason}\""), count as f64);
    }
}

fn write_cache_config(page: &mut Page, config: &Config, snapshot: &Snapshot) {
    let name = "vllm:cache_config_info";
    page.family(name, "gauge", "Information of the LLMEngine CacheConfig");
    page.labels.clear();
    let labels = format!(
        "block_size=\"{}\",cache_dtype=\"auto\",enable_prefix_caching=\"True\",engine=\"0\",num_gpu_blocks=\"{}\"",
        config.block_tokens, snapshot.load.blocks
    );
    page.series(name, &labels, 1.0);
}

/// The value is the time of the report, by which a reader finds the newest of several series.
fn write_adapters(page: &mut Page, config: &Config, snapshot: &Snapshot) {
    let name = "vllm:lora_requests_info";
    page.family(name, "gauge", "Running stats on lora requests.");
    page.labels.clear();
    let labels = format!(
        "max_lora=\"{}\",running_lora_adapters=\"{}\",waiting_lora_adapters=\"{}\"",
        config.max_loras,
        escaped(&snapshot.running_adapters.join(",")),
        escaped(&snapshot.waiting_adapters.join(","))
    );
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |elapsed| elapsed.as_secs_f64());
    page.series(name, &labels, now);
}
