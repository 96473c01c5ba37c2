//! TensorRT-LLM behind `trtllm-serve`: its pages are at `/prometheus/metrics` (with `return_perf_metrics`), while `/metrics`
//! answers JSON. Ranks repeat one another: the first series counts.

use super::Readings;
use crate::Signals;
use crate::page::lines;

/// No label tells ranks apart whose values would add up.
const RANK: &str = "";

pub(super) fn read(page: &[u8]) -> Signals {
    let mut readings = Readings::default();
    for line in lines(page) {
        match line.name {
            b"trtllm_num_requests_waiting" => readings.waiting.take(&line, RANK),
            b"trtllm_num_requests_running" => readings.running.take(&line, RANK),
            b"trtllm_kv_cache_utilization" => readings.kv_used.take(&line, RANK),
            b"trtllm_kv_cache_tokens_per_block" => readings.block_tokens.take(&line, RANK),
            b"trtllm_kv_cache_max_blocks" => readings.blocks.take(&line, RANK),
            b"trtllm_request_success_total" | b"trtllm_num_requests_completed_total" => {
                readings.served.take(&line)
            }
            _ => {}
        }
    }
    readings.signals()
}
