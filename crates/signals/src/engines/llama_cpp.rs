//! llama.cpp's `llama-server --metrics`: no labels. Builds up to spring 2025 also tell the KV cache's use.

use crate::Signals;
use crate::gauge::{Gauge, Total};
use crate::page::lines;

const RANK: &str = "";

pub(super) fn read(page: &[u8]) -> Signals {
    let (mut waiting, mut running, mut kv_used) = (Gauge::default(), Gauge::default(), Gauge::default());
    let mut served = Total::default();
    for line in lines(page) {
        match line.name {
            b"llamacpp:requests_deferred" => waiting.take(&line, RANK),
            b"llamacpp:requests_processing" => running.take(&line, RANK),
            b"llamacpp:kv_cache_usage_ratio" => kv_used.take(&line, RANK),
            b"llamacpp:prompt_tokens_total" | b"llamacpp:tokens_predicted_total" => served.take(&line),
            _ => {}
        }
    }
    Signals {
        waiting: waiting.count(),
        running: running.count(),
        kv_used: kv_used.fraction(),
        served: served.get(),
        ..Signals::default()
    }
}
