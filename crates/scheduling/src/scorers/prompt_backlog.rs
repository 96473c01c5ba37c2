//! `prompt-backlog-scorer`: the prompt work that stands before this request.

use super::each;
use crate::Load;

/// Seconds, negated: prompts sent there whose first token has not come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PromptBacklogScorer;

impl PromptBacklogScorer {
    /// The plugin's type.
    pub const NAME: &str = "prompt-backlog-scorer";

    pub(super) fn score(self, candidates: &[Load], scores: &mut [f32]) {
        each(candidates, scores, |load| -load.backlog_seconds);
    }
}
