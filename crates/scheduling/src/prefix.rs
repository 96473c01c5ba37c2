//! Which endpoint has seen which head of a prompt.

use crate::Slot;
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
