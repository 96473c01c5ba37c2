//! `concurrency-detector`: how many of the requests that may be in flight are.

use super::endpoints_have;
use crate::Load;

/// Requests of this process in flight, as a share of how many all endpoints together may have. As a filter: the endpoints
/// with fewer than that and some more; perhaps nobody.
/// Source: GAIE v1.4 and v1.5, `concurrency-detector`, by requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConcurrencyDetector {
    /// Requests in flight at one endpoint; at least 1. Default 100.
    pub max_concurrency: u32,
    /// What the filter allows beyond that, as a share of it. Default 0.
    pub headroom: f32,
}

impl Default for ConcurrencyDetector {
    fn default() -> Self {
        ConcurrencyDetector { max_concurrency: 100, headroom: 0.0 }
    }
}

impl ConcurrencyDetector {
    /// The plugin's type.
    pub const NAME: &str = "concurrency-detector";

    pub(super) fn saturation(&self, endpoints: &[Load]) -> f32 {
        if endpoints.is_empty() {
            return 1.0;
        }
        let in_flight: u64 = endpoints.iter().map(|load| u64::from(load.in_flight)).sum();
        in_flight as f32 / (endpoints.len() as f32 * self.max_concurrency as f32)
    }

    pub(crate) fn keep(&self, candidates: &mut Vec<Load>) {
        let limit = (f64::from(self.max_concurrency) * (1.0 + f64::from(self.headroom))) as u32;
        candidates.retain(|load| load.in_flight < limit);
    }

    pub(super) fn why(&self, ready: u32) -> String {
        format!(
            "its {} on average {} or more requests of this gateway in flight",
            endpoints_have(ready),
            self.max_concurrency
        )
    }
}
