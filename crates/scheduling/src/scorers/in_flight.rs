//! `in-flight-scorer`: what one more request in the batch costs, by those that are there.

use super::each;
use crate::Load;

/// Delay that one more request in the batch causes: its decode steps slow the others, theirs slow its own.
const SECONDS_PER_REQUEST: f32 = 0.02;

/// Seconds, negated: each request under way is one more to share the batch with; one that waits in the server shows that
/// the batch is full and counts four times (the ratio by which vLLM balances its own data-parallel ranks).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InFlightScorer;

impl InFlightScorer {
    /// The plugin's type.
    pub const NAME: &str = "in-flight-scorer";

    pub(super) fn score(self, candidates: &[Load], scores: &mut [f32]) {
        each(candidates, scores, |load| {
            let requests = load.requests();
            let waiting = (load.waiting.unwrap_or(0) as f32).min(requests);
            -SECONDS_PER_REQUEST * (requests + 3.0 * waiting)
        });
    }
}
