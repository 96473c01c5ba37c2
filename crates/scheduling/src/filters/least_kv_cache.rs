//! `least-kv-cache-filter`: endpoints whose KV cache is among the emptiest.

use crate::Load;

/// Keeps endpoints whose KV use lies in the lowest of as many bands, from the least to the most, as there are endpoints.
/// Source: GAIE v0.5.1, `least-kv-cache-filter`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeastKvCacheFilter;

impl LeastKvCacheFilter {
    /// The plugin's type.
    pub const NAME: &str = "least-kv-cache-filter";

    pub(super) fn keep(self, candidates: &mut Vec<Load>) {
        let uses = || candidates.iter().map(Load::kv_used_or_none);
        let (least, most) = (uses().fold(1.0, f32::min), uses().fold(0.0, f32::max));
        let band = (most - least) / candidates.len() as f32;
        candidates.retain(|load| load.kv_used_or_none() <= least + band);
    }
}
