//! TensorRT-LLM behind the Triton Inference Server: one family for requests, one for KV blocks, told apart by a label. The
//! page is usually on a port of its own (8002).

use super::Readings;
use crate::Signals;
use crate::page::lines;

pub(super) fn read(page: &[u8]) -> Signals {
    let mut readings = Readings::default();
    for line in lines(page) {
        let kind = match line.name {
            b"nv_trt_llm_request_metrics" => "request_type",
            b"nv_trt_llm_kv_cache_block_metrics" => "kv_cache_block_type",
            b"nv_inference_request_success" => {
                readings.served.take(&line);
                continue;
            }
            _ => continue,
        };
        let Some(sample) = line.sample() else { continue };
        let gauge = match (kind, sample.labels.get(kind).as_deref()) {
            ("request_type", Some("waiting")) => &mut readings.waiting,
            ("request_type", Some("scheduled")) => &mut readings.running,
            ("kv_cache_block_type", Some("fraction")) => &mut readings.kv_used,
            ("kv_cache_block_type", Some("tokens_per")) => &mut readings.block_tokens,
            ("kv_cache_block_type", Some("max")) => &mut readings.blocks,
            _ => continue,
        };
        gauge.put(0, sample.timestamp, sample.value);
    }
    readings.signals()
}
