//! `kv-cache-utilization-scorer`: the emptiest KV cache.

use super::each;
use crate::Load;

/// 1 − KV cache in use; an endpoint that never reported counts as empty.
/// Source: GAIE, `kv-cache-utilization-scorer`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KvCacheUtilizationScorer;

impl KvCacheUtilizationScorer {
    /// The plugin's type.
    pub const NAME: &str = "kv-cache-utilization-scorer";

    pub(super) fn score(self, candidates: &[Load], scores: &mut [f32]) {
        each(candidates, scores, |load| 1.0 - load.kv_used_or_none());
    }
}
