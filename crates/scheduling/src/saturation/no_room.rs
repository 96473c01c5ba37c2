//! The detector where no file names one: full is a pool without an endpoint that has room.

use crate::Load;

/// Saturated as soon as no endpoint has both its queue and its KV use at or below these. An endpoint that never reported
/// counts by its requests in flight, not as full.
/// Source: GAIE v0.5.1 to v1.3, saturation detector (which takes an endpoint without fresh metrics to be full).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NoRoomDetector {
    /// Requests waiting in a model server. Default 5.
    pub queue_depth_max: u32,
    /// KV cache in use, 0 to 1. Default 0.8.
    pub kv_used_max: f32,
    /// If set, an endpoint whose last report is older than this many seconds, or that never reported, has no room.
    pub report_age_seconds_max: Option<f32>,
}

impl Default for NoRoomDetector {
    fn default() -> Self {
        NoRoomDetector { queue_depth_max: 5, kv_used_max: 0.8, report_age_seconds_max: None }
    }
}

impl NoRoomDetector {
    pub(super) fn saturation(&self, endpoints: &[Load]) -> f32 {
        let is_known =
            |load: &Load| self.report_age_seconds_max.is_none_or(|max| load.report_age_seconds <= max);
        let has_room = |load: &Load| {
            load.queue() <= self.queue_depth_max
                && load.kv_used_or_none() <= self.kv_used_max
                && is_known(load)
        };
        if endpoints.iter().any(has_room) { 0.0 } else { 1.0 }
    }

    pub(super) fn why(&self, ready: u32) -> String {
        let NoRoomDetector { queue_depth_max, kv_used_max, report_age_seconds_max } = self;
        let each = match ready {
            1 => "its one ready endpoint has".to_owned(),
            _ => format!("each of its {ready} ready endpoints has"),
        };
        let stale =
            report_age_seconds_max.map_or(String::new(), |max| format!(" or no report of the last {max} s"));
        format!("{each} more than {queue_depth_max} requests waiting or KV use above {kv_used_max}{stale}")
    }
}
