//! TensorRT-LLM behind the Triton Inference Server: one family for requests, one for KV blocks, told apart by a label. The
//! page is usually on a port of its own (8002).

use crate::Signals;
use crate::gauge::{Gauge, Total};
use crate::page::lines;

pub(super) fn read(page: &[u8]) -> Signals {
    let (mut waiting, mut running, mut kv_used) = (Gauge::default(), Gauge::default(), Gauge::default());
    let (mut block_tokens, mut blocks) = (Gauge::default(), Gauge::default());
    let mut served = Total::default();
    for line in lines(page) {
        let kind = match line.name {
            b"nv_trt_llm_request_metrics" => "request_type",
            b"nv_trt_llm_kv_cache_block_metrics" => "kv_cache_block_type",
            b"nv_inference_request_success" => {
                served.take(&line);
                continue;
            }
            _ => continue,
        };
        let Some(sample) = line.sample() else { continue };
        let gauge = match (kind, sample.labels.get(kind).as_deref()) {
            ("request_type", Some("waiting")) => &mut waiting,
            ("request_type", Some("scheduled")) => &mut running,
            ("kv_cache_block_type", Some("fraction")) => &mut kv_used,
            ("kv_cache_block_type", Some("tokens_per")) => &mut block_tokens,
            ("kv_cache_block_type", Some("max")) => &mut blocks,
            _ => continue,
        };
        gauge.put(0, sample.timestamp, sample.value);
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
