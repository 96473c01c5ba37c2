//! SGLang (`--enable-metrics`). Its data-parallel ranks are told apart by the label `dp_rank`; tensor-parallel ranks repeat
//! one another. Series with a `priority` are parts of the one without.

use super::Readings;
use crate::Signals;
use crate::gauge::Gauge;
use crate::page::{Line, lines};

pub(super) const RANK: &str = "dp_rank";

pub(super) fn read(page: &[u8]) -> Signals {
    let mut readings = Readings::default();
    for line in lines(page) {
        match line.name {
            b"sglang:num_queue_reqs" => take_whole(&mut readings.waiting, &line),
            b"sglang:num_running_reqs" => take_whole(&mut readings.running, &line),
            b"sglang:token_usage" => readings.kv_used.take(&line, RANK),
            b"sglang:prompt_tokens_total" | b"sglang:generation_tokens_total" => readings.served.take(&line),
            // From 0.5.11 on; before that, labels of one info metric.
            b"sglang:page_size" => readings.block_tokens.take(&line, RANK),
            b"sglang:num_pages" => readings.blocks.take(&line, RANK),
            b"sglang:cache_config_info" => {
                readings.take_cache_config(&line, RANK, ("page_size", "num_pages"));
            }
            _ => {}
        }
    }
    readings.signals()
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
