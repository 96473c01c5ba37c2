//! `weighted-random-picker`: by chance, the better the likelier.

use super::largest;
use crate::CANDIDATES_MAX;
use arrayvec::ArrayVec;

/// Draws without replacement, each candidate's chance in proportion to its score (A-Res: the largest of `U^(1/score)`).
/// A score of 0 or less comes last; if all are, every candidate has an equal chance.
/// Source: GAIE, `weighted-random-picker`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WeightedRandomPicker;

impl WeightedRandomPicker {
    /// The plugin's type.
    pub const NAME: &str = "weighted-random-picker";

    pub(super) fn pick(self, totals: &[f32], random: &mut fastrand::Rng) -> ArrayVec<usize, CANDIDATES_MAX> {
        let mut draws = random.fork();
        let keys = totals.iter().map(|&score| {
            // The logarithm of U^(1/score) orders alike and does not run out of digits.
            if score > 0.0 { draws.f32().max(f32::MIN_POSITIVE).ln() / score } else { f32::NEG_INFINITY }
        });
        largest(keys, random)
    }
}
