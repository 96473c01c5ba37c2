//! llama.cpp's `llama-server --metrics`: no labels. Builds up to spring 2025 also tell the KV cache's use.

use super::Readings;
use crate::Signals;
use crate::page::lines;

const RANK: &str = "";

pub(super) fn read(page: &[u8]) -> Signals {
    let mut readings = Readings::default();
    for line in lines(page) {
        match line.name {
            b"llamacpp:requests_deferred" => readings.waiting.take(&line, RANK),
            b"llamacpp:requests_processing" => readings.running.take(&line, RANK),
            b"llamacpp:kv_cache_usage_ratio" => readings.kv_used.take(&line, RANK),
            b"llamacpp:prompt_tokens_total" | b"llamacpp:tokens_predicted_total" => {
                readings.served.take(&line)
            }
            _ => {}
        }
    }
    readings.signals()
}
