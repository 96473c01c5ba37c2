//! `max-score-picker`: the highest score first.

use super::largest;
use crate::CANDIDATES_MAX;
use arrayvec::ArrayVec;

/// The highest score first; equals in random order.
/// Source: GAIE, `max-score-picker`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MaxScorePicker;

impl MaxScorePicker {
    /// The plugin's type.
    pub const NAME: &str = "max-score-picker";

    pub(super) fn pick(self, totals: &[f32], random: &mut fastrand::Rng) -> ArrayVec<usize, CANDIDATES_MAX> {
        largest(totals.iter().copied(), random)
    }
}
