//! What a picker wants to know of a prompt: how long it is, and whether its head was seen before.

use crate::hash::{PieceHash, chain};
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

/// Hashes a prompt as it arrives, in pieces cut anywhere.
#[derive(Debug, Default)]
pub(crate) struct PromptHasher {
    prompt: Prompt,
    /// The prompt's value has been read whole.
    ended: bool,
    block: PieceHash,
    salt: PieceHash,
}

impl PromptHasher {
    /// The next bytes of the prompt, which goes on.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let begun = self.close_blocks(bytes);
        if self.hashes() && !begun.is_empty() {
            self.block.add(begun);
        }
    }

    /// The last bytes of the prompt. The block that they leave open has no hash, and a second prompt gets none.
    pub(crate) fn end(&mut self, bytes: &[u8]) {
        self.close_blocks(bytes);
        self.ended = true;
    }

    fn hashes(&self) -> bool {
        !self.ended && self.prompt.blocks.len() < PROMPT_BLOCKS_MAX
    }

    /// Counts the bytes and hashes each block that ends in them. Answers what they hold of the next one.
    fn close_blocks<'a>(&mut self, mut bytes: &'a [u8]) -> &'a [u8] {
        while self.hashes() {
            let missing = (block_end(self.prompt.blocks.len()) - self.prompt.bytes) as usize;
            let Some((rest_of_block, after)) = bytes.split_at_checked(missing) else { break };
            let before = self.prompt.blocks.last().copied().unwrap_or_default();
            self.prompt.blocks.push(chain(before, self.block.close(rest_of_block)));
            self.prompt.bytes += missing as u64;
            bytes = after;
        }
        self.prompt.bytes += bytes.len() as u64;
        bytes
    }

    /// The next bytes of a value that changes what the prompt means, and goes on.
    pub(crate) fn feed_salt(&mut self, bytes: &[u8]) {
        self.salt.add(bytes);
    }

    /// Ends such a value. The order of the keys does not count.
    pub(crate) fn end_salt(&mut self, key: u64, last: &[u8]) {
        let hash = chain(key, self.salt.close(last));
        self.prompt.salt = self.prompt.salt.wrapping_add(hash).max(1);
    }

    pub(crate) fn finish(self) -> Prompt {
        self.prompt
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(bytes: &[u8]) -> Prompt {
        let mut hasher = PromptHasher::default();
        hasher.end(bytes);
        hasher.finish()
    }

    #[test]
    fn a_longer_prompt_shares_every_full_block_of_its_head() {
        let long: Vec<u8> = (0..100_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let long_blocks = whole(&long).blocks;
        assert_eq!(long_blocks.len(), 64 + (100_000 - 65_536) / 4096);
        for cut in [1, 1023, 1024, 1025, 65_536, 70_000, 99_999] {
            let head = whole(&long[..cut]);
            assert_eq!(head.bytes, cut as u64);
            assert_eq!(head.blocks[..], long_blocks[..head.blocks.len()], "cut at {cut}");
        }
    }

    #[test]
    fn blocks_end_at_their_cap_and_the_rest_is_only_counted() {
        let bytes = vec![b'x'; block_end(PROMPT_BLOCKS_MAX - 1) as usize + 5000];
        let prompt = whole(&bytes);
        assert_eq!((prompt.blocks.len(), prompt.bytes), (PROMPT_BLOCKS_MAX, bytes.len() as u64));
    }

    #[test]
    fn the_salt_knows_which_key_held_what_but_not_their_order() {
        let salt = |values: &[(u64, &str)]| {
            let mut hasher = PromptHasher::default();
            for (key, value) in values {
                hasher.end_salt(*key, value.as_bytes());
            }
            hasher.finish().salt
        };
        assert_eq!(salt(&[]), 0);
        assert_eq!(salt(&[(1, "a"), (2, "b")]), salt(&[(2, "b"), (1, "a")]));
        assert_ne!(salt(&[(1, "a"), (2, "b")]), salt(&[(1, "b"), (2, "a")]));
        assert_ne!(salt(&[(1, "a")]), salt(&[(1, "b")]));
    }

    proptest! {
        #[test]
        fn a_prompt_hashes_alike_however_it_is_cut(
            bytes in proptest::collection::vec(any::<u8>(), 0..20_000),
            cuts in proptest::collection::vec(1usize..3000, 0..20),
        ) {
            let mut hasher = PromptHasher::default();
            let mut rest = &bytes[..];
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                hasher.feed(piece);
                rest = after;
            }
            hasher.end(rest);
            prop_assert_eq!(hasher.finish(), whole(&bytes));
        }
    }
}
