//! `active-request-scorer`: the fewest requests of our own in flight.

use super::each;
use crate::Load;

/// 1 for an endpoint without a request of ours; the busiest is 0, the rest in proportion.
/// Source: llm-d-router, `active-request-scorer`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ActiveRequestScorer;

impl ActiveRequestScorer {
    /// The plugin's type.
    pub const NAME: &str = "active-request-scorer";

    pub(super) fn score(self, candidates: &[Load], scores: &mut [f32]) {
        let busiest = candidates.iter().map(|load| load.in_flight).max().unwrap_or(0).max(1) as f32;
        each(candidates, scores, |load| 1.0 - load.in_flight as f32 / busiest);
    }
}
