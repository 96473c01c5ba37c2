//! `utilization-detector`: how full the endpoints are on average.

use super::endpoints_have;
use crate::Load;

/// The mean over the endpoints of queue / threshold or KV use / threshold, whichever is more; an endpoint without a fresh
/// report counts as full. As a filter: the endpoints with a fresh report and both below their thresholds and some more,
/// or all of them if there is none.
/// Source: GAIE v1.4 and v1.5, `utilization-detector`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UtilizationDetector {
    /// Requests waiting; at least 1. Default 5.
    pub queue_depth_threshold: u32,
    /// KV cache in use, above 0 and up to 1. Default 0.8.
    pub kv_cache_util_threshold: f32,
    /// The age from which a report is not believed. Default 0.2.
    pub metrics_staleness_threshold_seconds: f32,
    /// What the filter allows beyond the thresholds, as a share of them. Default 0.
    pub headroom: f32,
}

impl Default for UtilizationDetector {
    fn default() -> Self {
        UtilizationDetector {
            queue_depth_threshold: 5,
            kv_cache_util_threshold: 0.8,
            metrics_staleness_threshold_seconds: 0.2,
            headroom: 0.0,
        }
    }
}

impl UtilizationDetector {
    /// The plugin's type.
    pub const NAME: &str = "utilization-detector";

    pub(super) fn saturation(&self, endpoints: &[Load]) -> f32 {
        let fullness = |load: &Load| {
            if self.is_stale(load) {
                return 1.0;
            }
            let queue = load.waiting.unwrap_or(0) as f32 / self.queue_depth_threshold as f32;
            queue.max(load.kv_used_or_none() / self.kv_cache_util_threshold)
        };
        if endpoints.is_empty() {
            return 1.0;
        }
        endpoints.iter().map(fullness).sum::<f32>() / endpoints.len() as f32
    }

    pub(crate) fn keep(&self, candidates: &mut Vec<Load>) {
        let more = 1.0 + self.headroom;
        let has_room = |load: &Load| {
            !self.is_stale(load)
                && (load.waiting.unwrap_or(0) as f32) < self.queue_depth_threshold as f32 * more
                && load.kv_used_or_none() < self.kv_cache_util_threshold * more
        };
        if candidates.iter().any(has_room) {
            candidates.retain(has_room);
        }
    }

    fn is_stale(&self, load: &Load) -> bool {
        load.report_age_seconds > self.metrics_staleness_threshold_seconds
    }

    pub(super) fn why(&self, ready: u32) -> String {
        format!(
            "its {} on average reached the limit of {} requests waiting or KV use {}; one without a report of the last {} s \
             counts as full",
            endpoints_have(ready),
            self.queue_depth_threshold,
            self.kv_cache_util_threshold,
            self.metrics_staleness_threshold_seconds
        )
    }
}
