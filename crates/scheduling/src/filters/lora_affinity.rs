//! `lora-affinity-filter`: endpoints that have the adapter, now and then those that have room for it.

use crate::{AdapterFit, Load};

/// Keeps the endpoints where the adapter's requests run or wait, or those with a free place: where there are both, the
/// first with the probability `threshold`. Where there is neither, nobody.
/// Source: GAIE v0.5.1, `lora-affinity-filter`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoraAffinityFilter {
    /// Probability, 0 to 1. Default 0.999.
    pub threshold: f64,
}

impl Default for LoraAffinityFilter {
    fn default() -> Self {
        LoraAffinityFilter { threshold: 0.999 }
    }
}

impl LoraAffinityFilter {
    /// The plugin's type.
    pub const NAME: &str = "lora-affinity-filter";

    pub(super) fn keep(self, candidates: &mut Vec<Load>, random: &mut fastrand::Rng) {
        let with_adapter =
            |load: &Load| load.adapter.has(AdapterFit::ACTIVE) || load.adapter.has(AdapterFit::WAITING);
        let with_room = |load: &Load| !with_adapter(load) && load.adapter.has(AdapterFit::ROOM);
        match (candidates.iter().any(with_adapter), candidates.iter().any(with_room)) {
            (true, true) if random.f64() < self.threshold => candidates.retain(with_adapter),
            (true, false) => candidates.retain(with_adapter),
            _ => candidates.retain(with_room),
        }
    }
}
