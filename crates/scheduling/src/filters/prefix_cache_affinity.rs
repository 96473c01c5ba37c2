//! `prefix-cache-affinity-filter`: sticky until saturated.

use crate::Load;

/// Keeps the endpoints that hold most of the prompt, unless they would answer much later than others.
/// Source: llm-d-router, `prefix-cache-affinity-filter`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PrefixCacheAffinityFilter {
    /// The share of the prompt that an endpoint must hold to be kept, 0 to 1. Default 0.8.
    pub affinity_threshold: f32,
    /// How much later the best of these may answer than the best of the others, in seconds. Default 18.
    pub ttft_penalty_max_seconds: f32,
}

impl Default for PrefixCacheAffinityFilter {
    fn default() -> Self {
        PrefixCacheAffinityFilter { affinity_threshold: 0.8, ttft_penalty_max_seconds: 18.0 }
    }
}

impl PrefixCacheAffinityFilter {
    /// The plugin's type.
    pub const NAME: &str = "prefix-cache-affinity-filter";

    pub(super) fn keep(&self, candidates: &mut Vec<Load>, prompt_bytes: u64) {
        let sticky = |load: &Load| load.matched_share(prompt_bytes) >= self.affinity_threshold;
        let (mut best_sticky, mut best_other) = (f32::INFINITY, f32::INFINITY);
        for load in candidates.iter() {
            let best = if sticky(load) { &mut best_sticky } else { &mut best_other };
            *best = best.min(load.backlog_seconds);
        }
        let nobody = best_sticky == f32::INFINITY;
        if !nobody && best_sticky - best_other <= self.ttft_penalty_max_seconds {
            candidates.retain(sticky);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Slot;

    fn kept(holder_backlog_seconds: f32, matched_bytes: u64) -> Vec<u32> {
        let mut holder = Load::idle(Slot(0));
        holder.backlog_seconds = holder_backlog_seconds;
        holder.matched_bytes = matched_bytes;
        let mut candidates = vec![holder, Load::idle(Slot(1))];
        PrefixCacheAffinityFilter::default().keep(&mut candidates, 1000);
        candidates.iter().map(|load| load.slot.0).collect()
    }

    #[test]
    fn an_endpoint_that_holds_the_prompt_is_kept_alone_until_it_is_far_behind() {
        assert_eq!(kept(0.0, 800), [0]);
        assert_eq!(kept(18.0, 800), [0]);
        assert_eq!(kept(18.1, 800), [0, 1], "too late");
        assert_eq!(kept(0.0, 799), [0, 1], "nobody holds enough");
    }
}
