//! `lora-affinity-scorer`: an endpoint where the adapter is loaded already.

use super::each;
use crate::{AdapterFit, Load};

/// 1 where the adapter is running, 0.8 where a place is free, 0.6 where its requests wait, else 0.
/// Source: GAIE, `lora-affinity-scorer`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LoraAffinityScorer {
    /// The score of an endpoint that tells nothing of adapters. The reference's, and the default, is 0.
    pub untold: f32,
}

impl LoraAffinityScorer {
    /// The plugin's type.
    pub const NAME: &str = "lora-affinity-scorer";

    pub(super) fn score(self, candidates: &[Load], scores: &mut [f32]) {
        each(candidates, scores, |load| match load.adapter {
            AdapterFit::UNTOLD => self.untold,
            told => LoraAffinityScorer::of(told),
        });
    }

    /// Apart, so that pools without adapters pay one comparison.
    #[inline(never)]
    fn of(told: AdapterFit) -> f32 {
        match told {
            fit if fit.has(AdapterFit::ACTIVE) => 1.0,
            fit if fit.has(AdapterFit::ROOM) => 0.8,
            fit if fit.has(AdapterFit::WAITING) => 0.6,
            _ => 0.0,
        }
    }
}
