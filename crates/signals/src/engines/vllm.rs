//! vLLM. Its data-parallel ranks are told apart by the label `engine`.

use crate::gauge::{Gauge, Total, rank_of};
use crate::page::{Labels, Line, lines};
use crate::{Adapters, Signals};

const RANK: &str = "engine";

/// Adapter names that are read of one list.
const ADAPTERS_MAX: usize = 1_024;

pub(super) fn read(page: &[u8]) -> Signals {
    let (mut waiting, mut running, mut kv_used, mut kv_used_v0) =
        (Gauge::default(), Gauge::default(), Gauge::default(), Gauge::default());
    let (mut block_tokens, mut blocks) = (Gauge::default(), Gauge::default());
    let (mut served, mut lora) = (Total::default(), Lora::default());
    for line in lines(page) {
        match line.name {
            b"vllm:num_requests_waiting" => waiting.take(&line, RANK),
            b"vllm:num_requests_running" => running.take(&line, RANK),
            b"vllm:kv_cache_usage_perc" => kv_used.take(&line, RANK),
            b"vllm:gpu_cache_usage_perc" => kv_used_v0.take(&line, RANK),
            b"vllm:prompt_tokens_total" | b"vllm:generation_tokens_total" => served.take(&line),
            b"vllm:lora_requests_info" => lora.take(&line),
            b"vllm:cache_config_info" => {
                let Some(sample) = line.sample() else { continue };
                let rank = rank_of(&sample.labels, RANK);
                for (label, gauge) in [("block_size", &mut block_tokens), ("num_gpu_blocks", &mut blocks)] {
                    if let Some(value) = sample.labels.get(label).and_then(|value| value.parse().ok()) {
                        gauge.put(rank, sample.timestamp, value);
                    }
                }
            }
            _ => {}
        }
    }
    Signals {
        waiting: waiting.count(),
        running: running.count(),
        // The name until the V1 engine.
        kv_used: kv_used.fraction().or_else(|| kv_used_v0.fraction()),
        block_tokens: block_tokens.first(),
        blocks: blocks.count(),
        adapters: lora.adapters(),
        served: served.get(),
    }
}

/// `vllm:lora_requests_info`: a new series for each new state, its value the time when that state was seen. The newest
/// one that names an adapter counts: when all is idle the adapters that ran last are still the ones that are loaded.
#[derive(Default)]
struct Lora {
    newest: Option<(f64, Adapters)>,
    max: Option<u32>,
}

impl Lora {
    fn take(&mut self, line: &Line<'_>) {
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

    fn adapters(self) -> Option<Adapters> {
        let idle = || self.max.map(|max| Adapters { max, ..Adapters::default() });
        self.newest.map(|(_, adapters)| adapters).or_else(idle)
    }
}

fn names(labels: &Labels<'_>, list: &str) -> Vec<Box<str>> {
    let list = labels.get(list).unwrap_or_default();
    list.split(',').map(str::trim).filter(|name| !name.is_empty()).take(ADAPTERS_MAX).map(Box::from).collect()
}
