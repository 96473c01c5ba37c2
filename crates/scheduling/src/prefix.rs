//! Which endpoint has seen which head of a prompt.

use crate::Slot;
use payload::Prompt;
use smallvec::SmallVec;

/// Prompt heads by endpoint, bounded in memory; read without the pool's mutex, written only from what a decision lists.
#[derive(Debug, Default)]
pub struct PrefixIndex {}

/// What the index knows of one prompt: for each endpoint that has any of it, the bytes of the longest head found.
#[derive(Debug, Clone, Default)]
pub struct PrefixMatches {
    /// (endpoint, bytes of the prompt whose hash it holds), in no order; an endpoint that is not listed holds nothing.
    pub heads: SmallVec<[(Slot, u64); 8]>,
}

impl PrefixIndex {
    /// Which endpoints hold how much of the prompt's head, for `model` (the model that will be sent).
    pub fn lookup(&self, model: &str, prompt: &Prompt) -> PrefixMatches {
        let _ = (model, prompt);
        PrefixMatches::default()
    }

    /// Notes that the endpoint at `slot` will hold the prompt: call it for the first endpoint of a decision, after the
    /// pool's mutex is released.
    pub fn insert(&self, slot: Slot, model: &str, prompt: &Prompt) {
        let _ = (slot, model, prompt);
    }

    /// Empties what is known of `slot`: its endpoint has restarted or left.
    pub fn forget(&self, slot: Slot) {
        let _ = slot;
    }

    /// Tells how many tokens the KV cache of the endpoint at `slot` holds, so that its part of the index is as large.
    pub fn fit(&self, slot: Slot, cache_tokens: u64) {
        let _ = (slot, cache_tokens);
    }
}
