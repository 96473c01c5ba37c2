//! TensorRT-LLM's page, as Triton gives it (on its own port 8002; here with the rest).

use super::{Config, Page, Snapshot, escaped};

pub(super) fn write(page: &mut Page, config: &Config, snapshot: &Snapshot) {
    let (load, counters) = (&snapshot.load, &snapshot.counters);
    page.labels = format!("model=\"{}\",version=\"1\"", escaped(&config.model));
    page.counter(
        "nv_inference_request_success",
        "Number of successful inference requests, all batch sizes",
        counters.finished,
    );
    let name = "nv_trt_llm_request_metrics";
    page.family(name, "gauge", "TRT LLM request metrics");
    let requests = [
        ("waiting", load.waiting),
        ("scheduled", load.running),
        ("active", load.waiting + load.running),
        ("max", config.max_num_seqs),
    ];
    for (kind, count) in requests {
        page.series(name, &format!("request_type=\"{kind}\""), f64::from(count));
    }
    let name = "nv_trt_llm_kv_cache_block_metrics";
    page.family(name, "gauge", "TRT LLM KV cache block metrics");
    let blocks = [
        ("fraction", snapshot.kv_usage),
        ("tokens_per", f64::from(config.block_tokens)),
        ("used", f64::from(load.blocks_held)),
        ("free", f64::from(load.blocks - load.blocks_held)),
        ("max", f64::from(load.blocks)),
    ];
    for (kind, value) in blocks {
        page.series(name, &format!("kv_cache_block_type=\"{kind}\""), value);
    }
}
