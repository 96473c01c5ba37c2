//! `queue-scorer`: the shortest queue in the server.

use super::least_of_all;
use crate::Load;

/// The shortest queue 1, the longest 0. One that never reported counts what this process has in flight there.
/// Source: GAIE, `queue-scorer`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueScorer;

impl QueueScorer {
    /// The plugin's type.
    pub const NAME: &str = "queue-scorer";

    pub(super) fn score(self, candidates: &[Load], scores: &mut [f32]) {
        least_of_all(candidates, scores, |load| load.queue() as f32);
    }
}
