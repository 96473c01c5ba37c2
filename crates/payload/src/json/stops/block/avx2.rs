//! The same by 32 bytes at a time, on machines with AVX2.

use super::{BLOCK, COLUMNS, Marks, ROWS, Window};
use std::arch::x86_64::{
    __m256i, _mm256_and_si256, _mm256_cmpeq_epi8, _mm256_min_epu8, _mm256_movemask_epi8, _mm256_set1_epi8,
    _mm256_setr_epi8, _mm256_setr_epi64x, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi16,
    _mm256_xor_si256,
};

#[target_feature(enable = "avx2")]
pub(super) fn look_at(window: &mut Window, from: usize, blocks: &[[u8; BLOCK]]) {
    window.look_by(from, blocks, |block| marks(block), |block, _| letters(block));
}

#[inline]
#[target_feature(enable = "avx2")]
fn marks(block: &[u8; BLOCK]) -> Marks {
    let turn = _mm256_set1_epi8(0x02);
    let last = _mm256_set1_epi8((b'"' ^ 0x02) as i8);
    let backslash = _mm256_set1_epi8(b'\\' as i8);
    let halves = halves(block);
    let turned = halves.map(|bytes| _mm256_xor_si256(bytes, turn));
    Marks {
        ends: mask(turned.map(|bytes| _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, last), bytes))),
        backslashes: mask(halves.map(|bytes| _mm256_cmpeq_epi8(bytes, backslash))),
    }
}

/// The bytes that a backslash before makes an escape of one letter: both halves of such a byte tell of the same row.
#[inline]
#[target_feature(enable = "avx2")]
fn letters(block: &[u8; BLOCK]) -> u64 {
    let (rows, columns) = (table(ROWS), table(COLUMNS));
    let low = _mm256_set1_epi8(0x0F);
    let none = _mm256_setzero_si256();
    let others = halves(block).map(|bytes| {
        let row = _mm256_shuffle_epi8(rows, _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), low));
        let column = _mm256_shuffle_epi8(columns, _mm256_and_si256(bytes, low));
        _mm256_cmpeq_epi8(_mm256_and_si256(row, column), none)
    });
    !mask(others)
}

#[inline]
#[target_feature(enable = "avx2")]
fn halves(block: &[u8; BLOCK]) -> [__m256i; 2] {
    let (words, _) = block.as_chunks();
    let word = |index: usize| i64::from_le_bytes(words[index]);
    [0, 4].map(|half| _mm256_setr_epi64x(word(half), word(half + 1), word(half + 2), word(half + 3)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn table(entries: [i8; 16]) -> __m256i {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = entries;
    _mm256_setr_epi8(
        a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p,
    )
}

/// The lanes that are set.
#[inline]
#[target_feature(enable = "avx2")]
fn mask(halves: [__m256i; 2]) -> u64 {
    let [low, high] = halves.map(|lanes| u64::from(_mm256_movemask_epi8(lanes).cast_unsigned()));
    low | high << 32
}
