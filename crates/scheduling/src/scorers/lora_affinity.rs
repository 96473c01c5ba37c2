//! `lora-affinity-scorer`: an endpoint where the adapter is loaded already.

use super::each;
use crate::{AdapterFit, Load};

/// 1 where the adapter is running, 0.8 where a place is free, 0.6 where its requests wait, else 0. An endpoint that tells
/// nothing of adapters has room.
/// Source: GAIE, `lora-affinity-scorer`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoraAffinityScorer;

impl LoraAffinityScorer {
    /// The plugin's type.
    pub const NAME: &str = "lora-affinity-scorer";

    pub(super) fn score(self, candidates: &[Load], scores: &mut [f32]) {
        each(candidates, scores, |load| match load.adapter {
            AdapterFit::Active => 1.0,
            AdapterFit::Room | AdapterFit::Indifferent => 0.8,
            AdapterFit::Waiting => 0.6,
            AdapterFit::Full => 0.0,
        });
    }
}
