//! One number out of the several series that a gauge may have.
//!
//! A model server with data-parallel ranks reports each rank as a series of its own, told apart by a label; to a picker
//! the ranks are one endpoint, so their requests and blocks are summed and their KV use is averaged. Among series of one
//! rank the largest timestamp wins, the first on ties, as GAIE's Model Server Protocol has it.

use crate::page::{Labels, Line};

/// The most ranks that are told apart; what comes beyond is not counted.
const RANKS_MAX: usize = 256;

/// A gauge's value by rank.
#[derive(Debug, Default)]
pub(crate) struct Gauge(Vec<Series>);

#[derive(Debug)]
struct Series {
    rank: u32,
    timestamp: Option<f64>,
    value: f64,
}

impl Gauge {
    /// Takes a line of a gauge whose ranks the label `rank` tells apart; a series without it is rank 0.
    pub(crate) fn take(&mut self, line: &Line<'_>, rank: &str) {
        if let Some(sample) = line.sample() {
            self.put(rank_of(&sample.labels, rank), sample.timestamp, sample.value);
        }
    }

    /// Takes one value.
    pub(crate) fn put(&mut self, rank: u32, timestamp: Option<f64>, value: f64) {
        match self.0.iter_mut().find(|series| series.rank == rank) {
            Some(known) if timestamp > known.timestamp => *known = Series { rank, timestamp, value },
            Some(_) => {}
            None => {
                if self.0.len() < RANKS_MAX {
                    self.0.push(Series { rank, timestamp, value });
                }
            }
        }
    }

    /// The ranks' sum as a count. `None` without a series, or if a value is no count.
    pub(crate) fn count(&self) -> Option<u32> {
        self.sum().and_then(count)
    }

    /// The ranks' mean as a fraction. `None` without a series, or if a value is no number.
    pub(crate) fn fraction(&self) -> Option<f32> {
        let mean = self.sum()? / self.0.len() as f64;
        (!mean.is_nan()).then_some(mean.clamp(0.0, 1.0) as f32)
    }

    /// The first rank's value as a count: for what is the same at each of them.
    pub(crate) fn first(&self) -> Option<u32> {
        self.0.first().and_then(|series| count(series.value))
    }

    fn sum(&self) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.iter().map(|series| series.value).sum())
    }
}

/// The rank that the label `name` tells; 0 without it.
pub(crate) fn rank_of(labels: &Labels<'_>, name: &str) -> u32 {
    labels.get(name).and_then(|rank| rank.parse().ok()).unwrap_or(0)
}

/// A count from a page: not negative, not NaN. `u32::MAX` stands for "never reported" elsewhere and is not reached.
fn count(value: f64) -> Option<u32> {
    (value >= 0.0).then(|| value.min(f64::from(u32::MAX - 1)) as u32)
}

/// Counters summed over all their series: any of them falling makes the sum fall.
#[derive(Debug, Default)]
pub(crate) struct Total(Option<f64>);

impl Total {
    /// Takes a line of a counter.
    pub(crate) fn take(&mut self, line: &Line<'_>) {
        if let Some(value) = line.sample().map(|sample| sample.value).filter(|value| value.is_finite()) {
            *self.0.get_or_insert(0.0) += value;
        }
    }

    /// The sum; `None` if no counter was seen.
    pub(crate) fn get(&self) -> Option<f64> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_timestamp_wins_and_the_first_on_ties() {
        let mut gauge = Gauge::default();
        for (timestamp, value) in
            [(None, 1.0), (Some(5.0), 2.0), (Some(5.0), 3.0), (Some(4.0), 4.0), (None, 5.0)]
        {
            gauge.put(0, timestamp, value);
        }
        assert_eq!(gauge.count(), Some(2));
    }

    #[test]
    fn ranks_are_summed_as_counts_and_averaged_as_fractions() {
        let mut gauge = Gauge::default();
        gauge.put(0, None, 0.25);
        gauge.put(1, None, 0.75);
        assert_eq!((gauge.count(), gauge.fraction(), gauge.first()), (Some(1), Some(0.5), Some(0)));
    }

    #[test]
    fn what_is_no_count_or_fraction_is_unknown_and_what_is_too_large_is_clamped() {
        let of = |value: f64| {
            let mut gauge = Gauge::default();
            gauge.put(0, None, value);
            (gauge.count(), gauge.fraction())
        };
        assert_eq!(of(f64::NAN), (None, None));
        assert_eq!(of(-1.0), (None, Some(0.0)));
        assert_eq!(of(f64::INFINITY), (Some(u32::MAX - 1), Some(1.0)));
        assert_eq!((Gauge::default().count(), Gauge::default().fraction()), (None, None));
    }

    #[test]
    fn more_ranks_than_the_limit_are_not_kept() {
        let mut gauge = Gauge::default();
        (0..1_000).for_each(|rank| gauge.put(rank, None, 1.0));
        assert_eq!(gauge.count(), Some(RANKS_MAX as u32));
    }
}
