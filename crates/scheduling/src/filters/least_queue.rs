//! `least-queue-filter`: endpoints whose queue is among the shortest.

use crate::Load;

/// Keeps endpoints whose queue lies in the lowest of as many bands, from the shortest to the longest, as there are
/// endpoints; bands are whole requests.
/// Source: GAIE v0.5.1, `least-queue-filter`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeastQueueFilter;

impl LeastQueueFilter {
    /// The plugin's type.
    pub const NAME: &str = "least-queue-filter";

    pub(super) fn keep(self, candidates: &mut Vec<Load>) {
        let queues = || candidates.iter().map(Load::queue);
        let (Some(least), Some(most)) = (queues().min(), queues().max()) else { return };
        let band = (most - least) / candidates.len() as u32;
        candidates.retain(|load| load.queue() <= least + band);
    }
}
