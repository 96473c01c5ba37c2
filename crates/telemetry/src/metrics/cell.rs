//! Numbers with one writer: plain loads and stores that a scrape may read at any time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A counter that one thread writes: an add is a load and a store, never a locked instruction.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(more), Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A histogram that one thread writes.
#[derive(Debug)]
pub(crate) struct Histogram {
    bounds: &'static [f64],
    /// One place for each bound, and one for what is above them all; not cumulative.
    counts: Box<[Count]>,
    /// Bits of an `f64`.
    sum: AtomicU64,
}

impl Histogram {
    pub(crate) fn new(bounds: &'static [f64]) -> Histogram {
        let counts = std::iter::repeat_with(Count::default).take(bounds.len() + 1).collect();
        Histogram { bounds, counts, sum: AtomicU64::new(0f64.to_bits()) }
    }

    pub(crate) fn observe(&self, value: f64) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        self.counts[place].add(1);
        self.sum.store((f64::from_bits(self.sum.load(Relaxed)) + value).to_bits(), Relaxed);
    }
}

/// Histograms of all cores, added up.
#[derive(Debug, Clone)]
pub(crate) struct Summed {
    pub(crate) bounds: &'static [f64],
    pub(crate) counts: Vec<u64>,
    pub(crate) sum: f64,
}

impl Summed {
    pub(crate) fn new(bounds: &'static [f64]) -> Summed {
        Summed { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    pub(crate) fn observe(&mut self, value: f64) {
        self.counts[self.bounds.partition_point(|bound| *bound < value)] += 1;
        self.sum += value;
    }

    pub(crate) fn add(&mut self, part: &Histogram) {
        for (total, count) in self.counts.iter_mut().zip(&part.counts) {
            *total += count.get();
        }
        self.sum += f64::from_bits(part.sum.load(Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_a_bound_counts_below_it_and_one_above_all_bounds_counts_last() {
        let histogram = Histogram::new(&[1.0, 8.0, 16.0]);
        for value in [0.0, 1.0, 1.5, 8.0, 16.0, 17.0, 1e9] {
            histogram.observe(value);
        }
        let mut summed = Summed::new(&[1.0, 8.0, 16.0]);
        summed.add(&histogram);
        summed.add(&histogram);
        assert_eq!(summed.counts, [4, 4, 2, 4]);
        assert_eq!(summed.sum, 2.0 * (0.0 + 1.0 + 1.5 + 8.0 + 16.0 + 17.0 + 1e9));
    }
}
