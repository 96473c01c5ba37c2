//! A prompt in blocks of equal size, for a picker that is configured to cut it so.
//!
//! In: the held body, once it is known which pool picks. Out: a chain of hashes like that of every prompt, at other ends.
//! The bytes are those of the prompt's value as it was sent, quotes and escapes among them.

use crate::hash::{chain, hash_of};
use crate::{InferenceRequest, Prompt, Rope};
use smallvec::SmallVec;

impl InferenceRequest {
    /// The prompt as a chain over blocks of `block_bytes`, at most `blocks_max` of them; a partial last block has no hash.
    /// `body` is the body as it was sent.
    pub fn prompt_in_blocks(&self, body: &Rope, block_bytes: u32, blocks_max: usize) -> Prompt {
        let body = self.decoded.as_ref().unwrap_or(body);
        let block_bytes = block_bytes.max(1) as usize;
        let looked_at = (block_bytes * blocks_max) as u64;
        let span = self.prompt_span.start..self.prompt_span.end.min(self.prompt_span.start + looked_at);
        let blocks = chain_of(body.slices(span), block_bytes);
        Prompt { bytes: self.prompt.bytes, blocks, salt: self.prompt.salt }
    }
}

fn chain_of<'a>(pieces: impl Iterator<Item = &'a [u8]>, block_bytes: usize) -> SmallVec<[u64; 16]> {
    let mut blocks: SmallVec<[u64; 16]> = SmallVec::new();
    let mut close = |block: &[u8]| {
        blocks.push(chain(blocks.last().copied().unwrap_or_default(), hash_of(block)));
    };
    // A block that lies in one piece is hashed there; one that is cut is put together first.
    let mut open: SmallVec<[u8; 64]> = SmallVec::new();
    for mut piece in pieces {
        if !open.is_empty() {
            let (rest, after) = piece.split_at(piece.len().min(block_bytes - open.len()));
            open.extend_from_slice(rest);
            piece = after;
            if open.len() < block_bytes {
                continue;
            }
            close(&open);
            open.clear();
        }
        let mut whole = piece.chunks_exact(block_bytes);
        whole.by_ref().for_each(&mut close);
        open.extend_from_slice(whole.remainder());
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn blocks_hash_alike_however_the_body_is_cut(
            bytes in proptest::collection::vec(any::<u8>(), 0..2_000),
            cuts in proptest::collection::vec(1usize..200, 0..40),
            block_bytes in 1usize..200,
        ) {
            let mut pieces = Vec::new();
            let mut rest = &bytes[..];
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            pieces.push(rest);
            let whole = chain_of([&bytes[..]].into_iter(), block_bytes);
            prop_assert_eq!(whole.len(), bytes.len() / block_bytes);
            prop_assert_eq!(chain_of(pieces.into_iter(), block_bytes), whole);
        }
    }

    #[test]
    fn a_block_stands_for_all_before_it() {
        let blocks = |text: &str| chain_of([text.as_bytes()].into_iter(), 4);
        assert_eq!(blocks("abcdefghijk")[..2], blocks("abcdefgh--")[..2]);
        assert_ne!(blocks("xbcdefgh")[1], blocks("abcdefgh")[1]);
    }
}
