//! How a pool picks: filters, weighted scorers, a picker.

/// A pool's way of picking; compiled once, when the snapshot is built.
#[derive(Debug, Clone, Default)]
pub struct Policy {}
