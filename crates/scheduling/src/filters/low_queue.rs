//! `low-queue-filter`: endpoints whose queue is short enough.

use crate::Load;

/// Keeps endpoints with at most so many requests waiting.
/// Source: GAIE v0.5.1, `low-queue-filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LowQueueFilter {
    /// Requests waiting. Default 128.
    pub threshold: u32,
}

impl Default for LowQueueFilter {
    fn default() -> Self {
        LowQueueFilter { threshold: 128 }
    }
}

impl LowQueueFilter {
    /// The plugin's type.
    pub const NAME: &str = "low-queue-filter";

    pub(super) fn keep(self, candidates: &mut Vec<Load>) {
        candidates.retain(|load| load.queue() <= self.threshold);
    }
}
