//! SGLang (`--enable-metrics`). Its data-parallel ranks are told apart by the label `dp_rank`; tensor-parallel ranks repeat
//! one another. Series with a `priority` are parts of the one without.

use crate::Signals;
use crate::gauge::{Gauge, Total, rank_of};
use crate::page::{Line, lines};

const RANK: &str = "dp_rank";

pub(super) fn read(page: &[u8]) -> Signals {
    let (mut waiting, mut running, mut kv_used) = (Gauge::default(), Gauge::default(), Gauge::default());
    let (mut block_tokens, mut blocks) = (Gauge::default(), Gauge::default());
    let mut served = Total::default();
    for line in lines(page) {
        match line.name {
            b"sglang:num_queue_reqs" => take_whole(&mut waiting, &line),
            b"sglang:num_running_reqs" => take_whole(&mut running, &line),
            b"sglang:token_usage" => kv_used.take(&line, RANK),
            b"sglang:prompt_tokens_total" | b"sglang:generation_tokens_total" => served.take(&line),
            // From 0.5.11 on; before that, labels of one info metric.
            b"sglang:page_size" => block_tokens.take(&line, RANK),
            b"sglang:num_pages" => blocks.take(&line, RANK),
            b"sglang:cache_config_info" => {
                let Some(sample) = line.sample() else { continue };
                let rank = rank_of(&sample.labels, RANK);
                for (label, gauge) in [("page_size", &mut block_tokens), ("num_pages", &mut blocks)] {
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
        kv_used: kv_used.fraction(),
        block_tokens: block_tokens.first(),
        blocks: blocks.count(),
        adapters: None,
        served: served.get(),
    }
}

/// Takes a series unless it is the part of one priority.
fn take_whole(gauge: &mut Gauge, line: &Line<'_>) {
    let part = |sample: &crate::page::Sample<'_>| {
        sample.labels.get("priority").is_some_and(|priority| !priority.is_empty())
    };
    if line.sample().is_some_and(|sample| !part(&sample)) {
        gauge.take(line, RANK);
    }
}
