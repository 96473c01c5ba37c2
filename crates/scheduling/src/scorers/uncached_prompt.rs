//! `uncached-prompt-scorer`: the prompt work that the endpoint would have to do anew.

use super::each;
use crate::Load;
use crate::load::PROMPT_SECONDS_PER_BYTE;

/// Seconds, negated: the bytes of the prompt that the endpoint does not hold by the prefix index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UncachedPromptScorer;

impl UncachedPromptScorer {
    /// The plugin's type.
    pub const NAME: &str = "uncached-prompt-scorer";

    pub(super) fn score(self, candidates: &[Load], prompt_bytes: u64, scores: &mut [f32]) {
        each(candidates, scores, |load| {
            -PROMPT_SECONDS_PER_BYTE * prompt_bytes.saturating_sub(load.matched_bytes) as f32
        });
    }
}
