//! Strides through the inside of strings, 64 bytes at a time.
//!
//! In: a chunk. Out: the next byte that is a quote, a backslash or a control character. A block's stops are found once,
//! as a bit mask, and used for every string that touches the block.

use super::escape::whole;
use wide::u8x16;

const BLOCK: usize = 64;

/// The stops of one chunk.
pub(super) struct Stops<'a> {
    chunk: &'a [u8],
    /// Where the block in hand begins, and where the next one does.
    block: usize,
    block_end: usize,
    mask: u64,
}

impl<'a> Stops<'a> {
    pub(super) fn of(chunk: &'a [u8]) -> Stops<'a> {
        Stops { chunk, block: 0, block_end: 0, mask: 0 }
    }

    pub(super) fn chunk(&self) -> &'a [u8] {
        self.chunk
    }

    /// The first stop at or after `at`, or the chunk's length. `at` never goes back.
    #[inline]
    pub(super) fn next(&mut self, at: usize) -> usize {
        let passed = at - self.block;
        if passed < BLOCK {
            let mask = self.mask >> passed;
            if mask != 0 {
                return at + mask.trailing_zeros() as usize;
            }
        }
        self.next_in_later_blocks(at)
    }

    #[inline(never)]
    fn next_in_later_blocks(&mut self, at: usize) -> usize {
        let mut at = at.max(self.block_end);
        while at < self.chunk.len() {
            self.load(at);
            if self.mask != 0 {
                return at + self.mask.trailing_zeros() as usize;
            }
            at = self.block_end;
        }
        self.chunk.len()
    }

    /// The same, but passes over escapes that stand whole in the chunk.
    #[inline]
    pub(super) fn next_but_whole_escapes(&mut self, at: usize) -> usize {
        let stop = self.next(at);
        if self.chunk.get(stop) == Some(&b'\\') { self.pass_escapes(stop) } else { stop }
    }

    /// The first stop from the escape at `at` on that is no whole escape.
    #[inline(never)]
    fn pass_escapes(&mut self, mut at: usize) -> usize {
        while let Some(rest @ [b'\\', ..]) = self.chunk.get(at..)
            && let Some(bytes) = whole(rest)
        {
            at = self.next(at + bytes);
        }
        at
    }

    #[inline]
    fn load(&mut self, at: usize) {
        let rest = &self.chunk[at..];
        self.mask = match rest.first_chunk() {
            Some(block) => find(block),
            None => find_in_rest(rest),
        };
        self.block = at;
        self.block_end = self.chunk.len().min(at + BLOCK);
    }
}

/// The same for the end of a chunk, which is less than a block. Apart, so that whole blocks are read where they lie.
#[inline(never)]
fn find_in_rest(rest: &[u8]) -> u64 {
    let mut block = [b' '; BLOCK];
    block[..rest.len()].copy_from_slice(rest);
    find(&block)
}

/// The stops of a block, lowest bit first.
#[inline]
fn find(block: &[u8; BLOCK]) -> u64 {
    // `"` is 0x22: with bit 1 turned over it stands right behind the control characters, and one comparison finds both.
    let turn = u8x16::splat(0x02);
    let last = u8x16::splat(b'"' ^ 0x02);
    let backslash = u8x16::splat(b'\\');
    let mut mask = 0;
    for (index, lane) in block.as_chunks::<16>().0.iter().enumerate() {
        let bytes = u8x16::new(*lane);
        let turned = bytes ^ turn;
        let stops = turned.min(last).simd_eq(turned) | bytes.simd_eq(backslash);
        mask |= u64::from(stops.to_bitmask()) << (index * 16);
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_a_stop_or_not_as_the_grammar_says() {
        for byte in 0..=255 {
            for place in 0..BLOCK {
                let mut block = [b'a'; BLOCK];
                block[place] = byte;
                let stop = byte < 0x20 || byte == b'"' || byte == b'\\';
                assert_eq!(find(&block), u64::from(stop) << place, "byte {byte:#x} at {place}");
            }
        }
    }

    #[test]
    fn stops_of_a_chunk_are_found_in_order_and_a_string_may_begin_inside_a_block() {
        let mut chunk = vec![b'x'; 200];
        for place in [3, 63, 64, 130, 199] {
            chunk[place] = b'"';
        }
        let mut stops = Stops::of(&chunk);
        let (mut at, mut found) = (0, Vec::new());
        while at < chunk.len() {
            at = stops.next(at);
            found.push(at);
            at += 1;
        }
        assert_eq!(found, [3, 63, 64, 130, 199]);
    }
}
