//! `random-picker`: any candidate.

use super::largest;
use crate::CANDIDATES_MAX;
use arrayvec::ArrayVec;

/// Every candidate with equal chance, whatever it scored.
/// Source: GAIE, `random-picker`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RandomPicker;

impl RandomPicker {
    /// The plugin's type.
    pub const NAME: &str = "random-picker";

    pub(super) fn pick(self, totals: &[f32], random: &mut fastrand::Rng) -> ArrayVec<usize, CANDIDATES_MAX> {
        largest(totals.iter().map(|_| 0.0), random)
    }
}
