//! `prefix-cache-scorer`: the longest head of the prompt already computed.

use super::each;
use crate::Load;

/// The share of the prompt that the endpoint holds by the prefix index, 0 to 1.
/// Source: GAIE, `prefix-cache-scorer`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PrefixCacheScorer;

impl PrefixCacheScorer {
    /// The plugin's type.
    pub const NAME: &str = "prefix-cache-scorer";

    pub(super) fn score(self, candidates: &[Load], prompt_bytes: u64, scores: &mut [f32]) {
        each(candidates, scores, |load| load.matched_share(prompt_bytes));
    }
}
