//! Strides through the inside of strings, 64 bytes at a time.
//!
//! In: a chunk. Out: the next byte that ends a string, is a control character, or begins an escape that somebody must
//! look at. What a block holds is found once, as bit masks, for every string that touches the block, a window of blocks
//! at a time. An escape of one letter is judged by its mask; one of hex digits, or cut by the end of its block, where it
//! stands. Never: a judgement of what stands outside strings.

mod block;

use super::escape::whole;
use block::{BLOCK, BLOCKS, Window};

/// The stops of one chunk.
pub(super) struct Stops<'a> {
    chunk: &'a [u8],
    /// Where the window in hand begins and ends.
    from: usize,
    end: usize,
    window: Window,
}

impl<'a> Stops<'a> {
    pub(super) fn of(chunk: &'a [u8]) -> Stops<'a> {
        Stops { chunk, from: 0, end: 0, window: Window::default() }
    }

    pub(super) fn chunk(&self) -> &'a [u8] {
        self.chunk
    }

    /// The first unescaped quote, control character or backslash at or after `at`, or the chunk's length. `at` never
    /// goes back, and is no second byte of an escape.
    #[inline]
    pub(super) fn next(&mut self, at: usize) -> usize {
        self.find(at, |window, block| window.stops[block] | window.escapes[block])
    }

    /// The same, but passes over escapes that stand whole in the chunk.
    #[inline]
    pub(super) fn next_but_whole_escapes(&mut self, at: usize) -> usize {
        let stop = self.find(at, |window, block| window.stops[block]);
        if self.chunk.get(stop) == Some(&b'\\') { self.pass_escapes(stop) } else { stop }
    }

    /// The first stop from the escape at `at` on that is no whole escape.
    #[inline(never)]
    fn pass_escapes(&mut self, mut at: usize) -> usize {
        while let Some(rest @ [b'\\', ..]) = self.chunk.get(at..)
            && let Some(bytes) = whole(rest)
        {
            at = self.find(at + bytes, |window, block| window.stops[block]);
        }
        at
    }

    #[inline(always)]
    fn find(&mut self, mut at: usize, mask: impl Fn(&Window, usize) -> u64) -> usize {
        loop {
            while at < self.end {
                let passed = at - self.from;
                let mask = mask(&self.window, passed / BLOCK % BLOCKS) >> (passed % BLOCK);
                if mask != 0 {
                    return at + mask.trailing_zeros() as usize;
                }
                at += BLOCK - passed % BLOCK;
            }
            if at >= self.chunk.len() {
                return self.chunk.len();
            }
            self.load(at);
        }
    }

    /// Looks at the window that begins at `at`.
    #[inline(never)]
    fn load(&mut self, at: usize) {
        // Who goes on behind the window has passed the byte that it left escaped.
        self.window.leaves_escaped &= at == self.end;
        let bytes = &self.chunk[at..self.chunk.len().min(at + BLOCK * BLOCKS)];
        self.window.look(bytes);
        (self.from, self.end) = (at, at + bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Where a walk stops that passes over what `next` finds, escapes as a whole.
    fn stops_of(chunk: &[u8], next: impl Fn(&mut Stops<'_>, usize) -> usize) -> Vec<usize> {
        let mut stops = Stops::of(chunk);
        let (mut at, mut found) = (0, Vec::new());
        while at < chunk.len() {
            at = next(&mut stops, at);
            found.push(at);
            at += if chunk.get(at) == Some(&b'\\') { 2 } else { 1 };
        }
        found
    }

    #[test]
    fn stops_of_a_chunk_are_found_in_order_and_a_string_may_begin_inside_a_block() {
        let mut chunk = vec![b'x'; 3000];
        let places = [3, 63, 64, 130, 1023, 1024, 2500, 2999];
        for place in places {
            chunk[place] = b'"';
        }
        assert_eq!(stops_of(&chunk, |stops, at| stops.next(at)), places);
        assert_eq!(Stops::of(&chunk).next(131), 1023);
        assert_eq!(Stops::of(&chunk).next(2501), 2999);
    }

    proptest! {
        #[test]
        fn escapes_are_stops_or_passed_over_as_they_stand_byte_by_byte(
            pieces in proptest::collection::vec(
                (0usize..150, proptest::sample::select(vec![r"\n", r#"\""#, r"\\", r"\\\\\\\\", r"\u0041", r"\x", "\"", "\t"])),
                0..60,
            ),
        ) {
            let mut chunk = Vec::new();
            for (plain, piece) in pieces {
                chunk.extend(vec![b'.'; plain]);
                chunk.extend(piece.bytes());
            }
            let (mut at, mut all, mut hard) = (0, Vec::new(), Vec::new());
            while at < chunk.len() {
                match chunk[at] {
                    b'\\' => {
                        all.push(at);
                        if chunk[at + 1] == b'x' {
                            hard.push(at);
                        }
                        at += 1;
                    }
                    b'"' | b'\t' => {
                        all.push(at);
                        hard.push(at);
                    }
                    _ => {}
                }
                at += 1;
            }
            let mut found = stops_of(&chunk, |stops, at| stops.next(at));
            found.retain(|at| *at < chunk.len());
            prop_assert_eq!(found, all);
            let mut found = stops_of(&chunk, |stops, at| stops.next_but_whole_escapes(at));
            found.retain(|at| *at < chunk.len());
            prop_assert_eq!(found, hard);
        }
    }
}
