//! vLLM. Its data-parallel ranks are told apart by the label `engine`.

use super::Readings;
use crate::gauge::Gauge;
use crate::page::{Labels, Line, lines};
use crate::{Adapters, Signals};

pub(super) const RANK: &str = "engine";

/// Adapter names that are read of one list.
const ADAPTERS_MAX: usize = 1_024;

pub(super) fn read(page: &[u8]) -> Signals {
    let mut readings = Readings::default();
    let (mut kv_used_v0, mut lora) = (Gauge::default(), Lora::default());
    for line in lines(page) {
        match line.name {
            b"vllm:num_requests_waiting" => readings.waiting.take(&line, RANK),
            b"vllm:num_requests_running" => readings.running.take(&line, RANK),
            b"vllm:kv_cache_usage_perc" => readings.kv_used.take(&line, RANK),
            b"vllm:gpu_cache_usage_perc" => kv_used_v0.take(&line, RANK),
            b"vllm:prompt_tokens_total" | b"vllm:generation_tokens_total" => readings.served.take(&line),
            b"vllm:lora_requests_info" => lora.take(&line),
            b"vllm:cache_config_info" => {
                readings.take_cache_config(&line, RANK, ("block_size", "num_gpu_blocks"));
            }
            _ => {}
        }
    }
    let signals = readings.signals();
    // The name until the V1 engine.
    let kv_used = signals.kv_used.or_else(|| kv_used_v0.fraction());
    Signals { kv_used, adapters: lora.adapters(), ..signals }
}

/// `vllm:lora_requests_info`: a new series for each new state, its value the time when that state was seen. The newest
/// one that names an adapter counts: when all is idle the adapters that ran last are still the ones that are loaded.
#[derive(Default)]
pub(crate) struct Lora {
    newest: Option<(f64, Adapters)>,
    max: Option<u32>,
}

impl Lora {
    pub(crate) fn take(&mut self, line: &Line<'_>) {
        let Some(sample) = line.sample() else { return };
        let max = sample.labels.get("max_lora").and_then(|max| max.parse().ok());
        self.max = max.or(self.max);
        if self.newest.as_ref().is_some_and(|(seen, _)| sample.value <= *seen) || sample.value.is_nan() {
            return;
        }
        let running = names(&sample.labels, "running_lora_adapters");
        let waiting = names(&sample.labels, "waiting_lora_adapters");
        if !running.is_empty() || !waiting.is_empty() {
            self.newest = Some((sample.value, Adapters { max: max.unwrap_or(0), running, waiting }));
        }
    }

    pub(crate) fn adapters(self) -> Option<Adapters> {
        let idle = || self.max.map(|max| Adapters { max, ..Adapters::default() });
        self.newest.map(|(_, adapters)| adapters).or_else(idle)
    }
}

fn names(labels: &Labels<'_>, list: &str) -> Vec<Box<str>> {
    let list = labels.get(list).unwrap_or_default();
    list.split(',').map(str::trim).filter(|name| !name.is_empty()).take(ADAPTERS_MAX).map(Box::from).collect()
}
