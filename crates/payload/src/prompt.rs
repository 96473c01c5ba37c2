//! What a picker wants to know of a prompt: how long it is, and whether its head was seen before.

use smallvec::SmallVec;

/// The most blocks a prompt is cut into; what follows is counted, not hashed.
pub const PROMPT_BLOCKS_MAX: usize = 256;

/// Byte offset at which block `index` (from 0) ends: strides of 1 KiB up to 64 KiB, of 4 KiB after that.
pub const fn block_end(index: usize) -> u64 {
    if index < 64 { (index as u64 + 1) * 1024 } else { 64 * 1024 + (index as u64 - 63) * 4096 }
}

/// A prompt as a chain of hashes over its raw bytes (the value of `messages`, `prompt` or `input` as sent).
///
/// `blocks[i]` covers the bytes from 0 to `block_end(i)`; a partial last block has no hash. Two prompts of one model
/// with equal `salt` and equal `blocks[i]` share that head. The hashes never leave the process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prompt {
    /// Bytes of the prompt's value.
    pub bytes: u64,
    /// The chain, at most [`PROMPT_BLOCKS_MAX`] long.
    pub blocks: SmallVec<[u64; 16]>,
    /// Hash of what else changes the cache's key: `tools`, `system`, `instructions`, `cache_salt`. 0 if none stands in
    /// the body. The model is mixed in by whoever looks up (it may be rewritten).
    pub salt: u64,
}
