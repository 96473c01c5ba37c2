//! Pickers order candidates by their scores.

mod max_score;
mod random;
mod weighted_random;

pub use max_score::MaxScorePicker;
pub use random::RandomPicker;
pub use weighted_random::WeightedRandomPicker;

use crate::CANDIDATES_MAX;
use arrayvec::ArrayVec;

/// A picker, by its plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Picker {
    /// `max-score-picker`
    MaxScore(MaxScorePicker),
    /// `random-picker`
    Random(RandomPicker),
    /// `weighted-random-picker`
    WeightedRandom(WeightedRandomPicker),
}

impl Picker {
    /// The plugin's type, as configuration and metrics name it.
    pub fn name(&self) -> &'static str {
        match self {
            Picker::MaxScore(_) => MaxScorePicker::NAME,
            Picker::Random(_) => RandomPicker::NAME,
            Picker::WeightedRandom(_) => WeightedRandomPicker::NAME,
        }
    }

    /// The first few candidates, best first, as places in `totals`.
    pub fn pick(&self, totals: &[f32], random: &mut fastrand::Rng) -> ArrayVec<usize, CANDIDATES_MAX> {
        match self {
            Picker::MaxScore(picker) => picker.pick(totals, random),
            Picker::Random(picker) => picker.pick(totals, random),
            Picker::WeightedRandom(picker) => picker.pick(totals, random),
        }
    }
}

/// The places of the largest keys, largest first, without sorting them all; equals in an order drawn from `random`.
fn largest(keys: impl Iterator<Item = f32>, random: &mut fastrand::Rng) -> ArrayVec<usize, CANDIDATES_MAX> {
    let mut best: ArrayVec<(f32, u64, usize), CANDIDATES_MAX> = ArrayVec::new();
    for (place, key) in keys.enumerate() {
        if best.is_full() && best.last().is_some_and(|&(worst, ..)| key < worst) {
            continue;
        }
        let lot = random.u64(..);
        let at = best.partition_point(|&(other, drawn, _)| other > key || (other == key && drawn > lot));
        if at < CANDIDATES_MAX {
            best.truncate(CANDIDATES_MAX - 1);
            best.insert(at, (key, lot, place));
        }
    }
    best.into_iter().map(|(.., place)| place).collect()
}

#[cfg(test)]
mod tests;
