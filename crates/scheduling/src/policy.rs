//! How a pool picks: filters, weighted scorers, a picker.

use crate::SCORERS_MAX;
use arrayvec::ArrayVec;

/// A pool's way of picking; compiled once, when the snapshot is built.
#[derive(Debug, Clone, Default)]
pub struct Policy {}

impl Policy {
    /// The scorers' names, in the order of a candidate's parts.
    pub fn scorer_names(&self) -> ArrayVec<&'static str, SCORERS_MAX> {
        ArrayVec::new()
    }
}
