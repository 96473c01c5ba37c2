//! `running-requests-size-scorer`: the fewest requests running in the server.

use super::least_of_all;
use crate::Load;

/// The fewest running requests 1, the most 0.
/// Source: GAIE, `running-requests-size-scorer`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunningRequestsSizeScorer;

impl RunningRequestsSizeScorer {
    /// The plugin's type.
    pub const NAME: &str = "running-requests-size-scorer";

    pub(super) fn score(self, candidates: &[Load], scores: &mut [f32]) {
        least_of_all(candidates, scores, |load| load.running as f32);
    }
}
