//! `kv-pressure-scorer`: keeps away from KV caches that are nearly full.

use super::each;
use crate::Load;

/// KV use from which requests begin to wait for blocks.
const PRESSED_AT: f32 = 0.8;

/// Delay at a full KV cache; it grows evenly up to there.
const SECONDS_WHEN_FULL: f32 = 1.0;

/// Seconds, negated: nothing while the KV cache has room; then the wait until running requests give blocks back, or the
/// recomputing of those that are thrown out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KvPressureScorer;

impl KvPressureScorer {
    /// The plugin's type.
    pub const NAME: &str = "kv-pressure-scorer";

    pub(super) fn score(self, candidates: &[Load], scores: &mut [f32]) {
        each(candidates, scores, |load| {
            #[expect(
                clippy::manual_clamp,
                reason = "a NaN, of an endpoint that never reported, becomes the bound"
            )]
            let over = load.kv_used.max(PRESSED_AT).min(1.0) - PRESSED_AT;
            -SECONDS_WHEN_FULL * over / (1.0 - PRESSED_AT)
        });
    }
}
