//! A prompt as the engine needs it: how many tokens, and the chained hash of every whole block.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;

/// A prompt: its length, and what its blocks hash to.
///
/// Two prompts share a prefix exactly as far as their block hashes agree, since each hash covers all bytes before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prompt {
    tokens: u32,
    blocks: Box<[u64]>,
}

/// English text has about four bytes to the token; the estimate stands in for a tokenizer.
const BYTES_PER_TOKEN: usize = 4;

impl Prompt {
    /// Estimates a prompt from its text: four bytes to the token, blocks of `block_tokens` tokens.
    ///
    /// `salt` separates what must not share blocks though the text agrees: another adapter, another tenant.
    pub fn from_bytes(text: &[u8], salt: u64, block_tokens: u32) -> Self {
        let tokens = u32::try_from(text.len().div_ceil(BYTES_PER_TOKEN)).unwrap_or(u32::MAX).max(1);
        let block_bytes = block_tokens.max(1) as usize * BYTES_PER_TOKEN;
        let blocks = text.chunks_exact(block_bytes);
        Self { tokens, blocks: chain(blocks.map(hash_of), salt) }
    }

    /// Builds a prompt from a trace: `ids` name its whole blocks (equal ids mean equal content), `tokens` is its
    /// length. Ids beyond the length's whole blocks are dropped.
    pub fn from_ids(ids: impl IntoIterator<Item = u64>, tokens: u32, salt: u64, block_tokens: u32) -> Self {
        let whole = (tokens / block_tokens.max(1)) as usize;
        Self { tokens: tokens.max(1), blocks: chain(ids.into_iter().take(whole), salt) }
    }

    /// Its length in tokens, at least 1.
    pub fn tokens(&self) -> u32 {
        self.tokens
    }

    /// The chained hash of each whole block, in order.
    pub fn blocks(&self) -> &[u64] {
        &self.blocks
    }
}

/// Fixed, so that runs repeat; block keys need no defence against an attacker here.
const HASH: FixedState = FixedState::with_seed(0);

fn hash_of(block: &[u8]) -> u64 {
    HASH.hash_one(block)
}

fn chain(blocks: impl Iterator<Item = u64>, salt: u64) -> Box<[u64]> {
    let mut parent = salt;
    blocks
        .map(|block| {
            let mut hasher = HASH.build_hasher();
            hasher.write_u64(parent);
            hasher.write_u64(block);
            parent = hasher.finish();
            parent
        })
        .collect()
}
