//! What 64 bytes hold: by the widest way that the machine has.

use super::super::escape::is_letter;
use wide::u8x16;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

/// Bytes of a block: a mask of it is one word.
pub(super) const BLOCK: usize = 64;

/// Blocks of a window: few enough to lie in the nearest cache when the walk comes to them.
pub(super) const BLOCKS: usize = 16;

/// What the blocks of a window hold, a word for each, lowest bit first.
#[derive(Default)]
pub(super) struct Window {
    /// Unescaped quotes, control characters, and the backslashes of escapes that are not judged here.
    pub(super) stops: [u64; BLOCKS],
    /// The backslashes of all escapes.
    pub(super) escapes: [u64; BLOCKS],
    /// The blocks looked at last end between the two bytes of an escape.
    pub(super) leaves_escaped: bool,
}

/// The quotes and control characters, and the backslashes of a block.
struct Marks {
    ends: u64,
    backslashes: u64,
}

impl Window {
    /// Looks at up to [`BLOCKS`] blocks; the last may be shorter.
    pub(super) fn look(&mut self, bytes: &[u8]) {
        let (blocks, rest) = bytes.as_chunks();
        self.look_at(0, blocks);
        if !rest.is_empty() {
            let mut block = [b' '; BLOCK];
            block[..rest.len()].copy_from_slice(rest);
            self.look_at(blocks.len(), &[block]);
        }
    }

    /// Looks at whole blocks, of which the first is block `from` of the window.
    fn look_at(&mut self, from: usize, blocks: &[[u8; BLOCK]]) {
        #[cfg(target_arch = "x86_64")]
        #[allow(unsafe_code, reason = "the machine has what the function is compiled for")]
        {
            if is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vbmi2") {
                return unsafe { avx512::look_at(self, from, blocks) };
            }
            if is_x86_feature_detected!("avx2") {
                return unsafe { avx2::look_at(self, from, blocks) };
            }
        }
        self.look_by(from, blocks, marks, letters);
    }

    #[inline(always)]
    fn look_by(
        &mut self,
        from: usize,
        blocks: &[[u8; BLOCK]],
        marks: impl Fn(&[u8; BLOCK]) -> Marks,
        letters: impl Fn(&[u8; BLOCK], u64) -> u64,
    ) {
        let mut first_is_escaped = self.leaves_escaped;
        for ((block, stops), escapes) in
            blocks.iter().zip(&mut self.stops[from..]).zip(&mut self.escapes[from..])
        {
            let Marks { ends, backslashes } = marks(block);
            (*stops, *escapes) = (ends, 0);
            if backslashes == 0 && !first_is_escaped {
                continue;
            }
            *escapes = begins(backslashes, first_is_escaped);
            let escaped = *escapes << 1 | u64::from(first_is_escaped);
            let cut = *escapes & 1 << (BLOCK - 1);
            *stops = ends & !escaped | (escaped & !letters(block, escaped)) >> 1 | cut;
            first_is_escaped = cut != 0;
        }
        self.leaves_escaped = first_is_escaped;
    }
}

/// The backslashes that begin an escape, where some may be the second byte of one: in a run of them every other one does,
/// from the first on. A run is told from the next by where its carry ends.
#[inline(always)]
fn begins(backslashes: u64, first_is_escaped: bool) -> u64 {
    const ODD: u64 = 0xAAAA_AAAA_AAAA_AAAA;
    let rest = backslashes & !u64::from(first_is_escaped);
    let alternating = (rest << 1 | ODD).wrapping_sub(rest) ^ ODD;
    alternating & rest
}

/// In which of the rows 2, 5, 6 and 7 of ASCII the upper half of a byte is, a bit for each,
#[cfg(target_arch = "x86_64")]
const ROWS: [i8; 16] = [0, 0, 1, 0, 0, 2, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0];
/// and in which of them the lower half makes a letter of an escape: `"`, `b` and `r`; `t`; `f`; `\`; `n`; `/`.
#[cfg(target_arch = "x86_64")]
const COLUMNS: [i8; 16] = [0, 0, 1 | 4 | 8, 0, 8, 0, 4, 0, 0, 0, 0, 0, 2, 0, 4, 1];

/// By 16 bytes at a time, which is what every machine has.
#[inline(always)]
fn marks(block: &[u8; BLOCK]) -> Marks {
    // `"` is 0x22: with bit 1 turned over it stands right behind the control characters, and one comparison finds both.
    let turn = u8x16::splat(0x02);
    let last = u8x16::splat(b'"' ^ 0x02);
    let backslash = u8x16::splat(b'\\');
    let mut marks = Marks { ends: 0, backslashes: 0 };
    for (index, lane) in block.as_chunks::<16>().0.iter().enumerate() {
        let bytes = u8x16::new(*lane);
        let turned = bytes ^ turn;
        let ends = turned.min(last).simd_eq(turned);
        marks.ends |= u64::from(ends.to_bitmask()) << (index * 16);
        marks.backslashes |= u64::from(bytes.simd_eq(backslash).to_bitmask()) << (index * 16);
    }
    marks
}

/// Those of the `escaped` bytes that make an escape with the backslash before.
#[inline(always)]
fn letters(block: &[u8; BLOCK], escaped: u64) -> u64 {
    let (mut rest, mut letters) = (escaped, 0);
    while rest != 0 {
        let at = rest.trailing_zeros();
        letters |= u64::from(is_letter(block[at as usize % BLOCK])) << at;
        rest &= rest - 1;
    }
    letters
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Backslashes one after the other, as the grammar reads them.
    fn begins_one_by_one(backslashes: u64, first_is_escaped: bool) -> u64 {
        let (mut begins, mut at) = (0, u32::from(first_is_escaped));
        while at < 64 {
            let escape = backslashes >> at & 1;
            begins |= escape << at;
            at += 1 + escape as u32;
        }
        begins
    }

    proptest! {
        #[test]
        fn every_other_backslash_of_a_run_begins_an_escape(ones: u64, more: u64, first_is_escaped: bool) {
            for backslashes in [ones, more, ones | more, ones & more] {
                let expected = begins_one_by_one(backslashes, first_is_escaped);
                prop_assert_eq!(begins(backslashes, first_is_escaped), expected, "{:#b}", backslashes);
            }
        }
    }

    /// The masks of one block by each way that the machine has, which must be the same.
    fn look(block: &[u8; BLOCK], escaped: bool) -> (u64, u64, bool) {
        let by = |look: &dyn Fn(&mut Window)| {
            let mut window = Window { leaves_escaped: escaped, ..Window::default() };
            look(&mut window);
            (window.stops[0], window.escapes[0], window.leaves_escaped)
        };
        let plain = by(&|window| window.look_by(0, &[*block], marks, letters));
        assert_eq!(by(&|window| window.look(block)), plain);
        #[cfg(target_arch = "x86_64")]
        #[allow(unsafe_code, reason = "the machine has what the function is compiled for")]
        if is_x86_feature_detected!("avx2") {
            assert_eq!(by(&|window| unsafe { avx2::look_at(window, 0, &[*block]) }), plain);
        }
        plain
    }

    #[test]
    fn every_byte_is_a_stop_or_not_as_the_grammar_says() {
        for byte in 0..=255 {
            for place in 0..BLOCK {
                let mut block = [b'n'; BLOCK];
                block[place] = byte;
                let escape = u64::from(byte == b'\\') << place;
                let stop = u64::from(byte < 0x20 || byte == b'"') << place | escape & 1 << (BLOCK - 1);
                assert_eq!(look(&block, false), (stop, escape, escape >> 63 != 0), "{byte:#x} at {place}");
            }
        }
    }

    #[test]
    fn every_byte_behind_a_backslash_makes_an_escape_or_not_as_the_grammar_says() {
        for byte in 0..=255 {
            for place in 1..BLOCK {
                let mut block = [b' '; BLOCK];
                (block[place - 1], block[place]) = (b'\\', byte);
                let letter = br#""\/bfnrt"#.contains(&byte);
                let escape = 1 << (place - 1);
                let stop = if letter { 0 } else { escape };
                assert_eq!(look(&block, false), (stop, escape, false), "{byte:#x} at {place}");
            }
        }
    }

    #[test]
    fn the_first_byte_belongs_to_an_escape_that_the_block_before_began() {
        let mut block = [b' '; BLOCK];
        for first in [b'"', b'\\', b'x', 0x01] {
            block[0] = first;
            assert_eq!(look(&block, true), (0, 0, false));
        }
    }
}
