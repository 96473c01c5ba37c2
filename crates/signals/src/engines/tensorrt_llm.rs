//! TensorRT-LLM behind `trtllm-serve`: its pages are at `/prometheus/metrics` (with `return_perf_metrics`), while `/metrics`
//! answers JSON. Ranks repeat one another: the first series counts.

use crate::Signals;
use crate::gauge::{Gauge, Total};
use crate::page::lines;

/// No label tells ranks apart whose values would add up.
const RANK: &str = "";

pub(super) fn read(page: &[u8]) -> Signals {
    let (mut waiting, mut running, mut kv_used) = (Gauge::default(), Gauge::default(), Gauge::default());
    let (mut block_tokens, mut blocks) = (Gauge::default(), Gauge::default());
    let mut served = Total::default();
    for line in lines(page) {
        match line.name {
            b"trtllm_num_requests_waiting" => waiting.take(&line, RANK),
            b"trtllm_num_requests_running" => running.take(&line, RANK),
            b"trtllm_kv_cache_utilization" => kv_used.take(&line, RANK),
            b"trtllm_kv_cache_tokens_per_block" => block_tokens.take(&line, RANK),
            b"trtllm_kv_cache_max_blocks" => blocks.take(&line, RANK),
            b"trtllm_request_success_total" | b"trtllm_num_requests_completed_total" => served.take(&line),
            _ => {}
        }
    }
    Signals {
        waiting: waiting.count(),
        running: running.count(),
        kv_used: kv_used.fraction(),
        block_tokens: block_tokens.first(),
        blocks: blocks.count(),
        adapters: None,
        served: served.get(),
    }
}
