//! `prefix-cache-scorer`: the longest head of the prompt already computed.

use super::each;
use crate::{Ask, BlockSettings, Load};

/// The share of the prompt's blocks that the endpoint holds, by an index of the scorer's own, 0 to 1.
/// Source: GAIE v1.5, `prefix-cache-scorer`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PrefixCacheScorer {
    /// How that index cuts prompts.
    pub blocks: BlockSettings,
}

impl PrefixCacheScorer {
    /// The plugin's type.
    pub const NAME: &str = "prefix-cache-scorer";

    pub(super) fn score(self, candidates: &[Load], ask: &Ask, scores: &mut [f32]) {
        let of = f32::from(ask.prompt_blocks.max(1));
        each(candidates, scores, |load| f32::from(load.matched_blocks.min(ask.prompt_blocks)) / of);
    }
}
