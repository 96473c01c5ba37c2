//! The same by a whole block at a time, on machines with AVX-512 of the second generation or later: the first slows its
//! clock down for such words.

use super::{BLOCK, COLUMNS, Marks, ROWS, Window};
use std::arch::x86_64::{
    __m512i, _mm_setr_epi8, _mm512_and_si512, _mm512_broadcast_i32x4, _mm512_cmpeq_epi8_mask,
    _mm512_cmple_epu8_mask, _mm512_set1_epi8, _mm512_setr_epi64, _mm512_shuffle_epi8, _mm512_srli_epi16,
    _mm512_test_epi8_mask, _mm512_xor_si512,
};

#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn look_at(window: &mut Window, from: usize, blocks: &[[u8; BLOCK]]) {
    window.look_by(from, blocks, |block| marks(block), |block, _| letters(block));
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn marks(block: &[u8; BLOCK]) -> Marks {
    let bytes = bytes(block);
    let turned = _mm512_xor_si512(bytes, _mm512_set1_epi8(0x02));
    Marks {
        ends: _mm512_cmple_epu8_mask(turned, _mm512_set1_epi8((b'"' ^ 0x02) as i8)),
        backslashes: _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(b'\\' as i8)),
    }
}

/// The bytes that a backslash before makes an escape of one letter, as with AVX2.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn letters(block: &[u8; BLOCK]) -> u64 {
    let bytes = bytes(block);
    let low = _mm512_set1_epi8(0x0F);
    let (rows, columns) = (table(ROWS), table(COLUMNS));
    let row = _mm512_shuffle_epi8(rows, _mm512_and_si512(_mm512_srli_epi16::<4>(bytes), low));
    let column = _mm512_shuffle_epi8(columns, _mm512_and_si512(bytes, low));
    _mm512_test_epi8_mask(row, column)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn bytes(block: &[u8; BLOCK]) -> __m512i {
    let (words, _) = block.as_chunks();
    let word = |index: usize| i64::from_le_bytes(words[index]);
    _mm512_setr_epi64(word(0), word(1), word(2), word(3), word(4), word(5), word(6), word(7))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn table(entries: [i8; 16]) -> __m512i {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = entries;
    _mm512_broadcast_i32x4(_mm_setr_epi8(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p))
}
