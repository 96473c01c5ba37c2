//! A body as the chunks in which it arrived.

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;
use std::ops::Range;

/// A body held as the chunks in which it arrived: no copy is made to hold, to send or to send it again.
#[derive(Debug, Clone, Default)]
pub struct Rope {
    chunks: SmallVec<[Bytes; 4]>,
    bytes: u64,
}

impl Rope {
    /// Adds a chunk; an empty one is dropped.
    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.bytes += chunk.len() as u64;
            self.chunks.push(chunk);
        }
    }

    /// Bytes in all chunks.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// True if no byte is held.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The chunks, in order; none is empty.
    pub fn chunks(&self) -> &[Bytes] {
        &self.chunks
    }

    /// The same body with `span` replaced: every other byte is shared, not copied. A span outside the body is cut to it.
    pub fn splice(&self, span: Range<u64>, replacement: Bytes) -> Rope {
        let start = span.start.min(self.bytes);
        let end = span.end.clamp(start, self.bytes);
        let mut spliced = Rope::default();
        self.pieces(0..start).for_each(|piece| spliced.push(piece));
        spliced.push(replacement);
        self.pieces(end..self.bytes).for_each(|piece| spliced.push(piece));
        spliced
    }

    /// The bytes of `span`, where they lie. A span outside the body is cut to it.
    pub fn slices(&self, span: Range<u64>) -> impl Iterator<Item = &[u8]> {
        self.spans(span).map(|(chunk, inside)| &chunk[inside])
    }

    /// The bytes of `span`, shared.
    fn pieces(&self, span: Range<u64>) -> impl Iterator<Item = Bytes> {
        self.spans(span).map(|(chunk, inside)| chunk.slice(inside))
    }

    /// The chunks that `span` lies in, each with its part of it.
    fn spans(&self, span: Range<u64>) -> impl Iterator<Item = (&Bytes, Range<usize>)> {
        let mut chunk_start = 0;
        self.chunks.iter().filter_map(move |chunk| {
            let (start, end) = (chunk_start, chunk_start + chunk.len() as u64);
            chunk_start = end;
            let inside = span.start.max(start)..span.end.min(end);
            let cut = |at: u64| (at - start) as usize;
            (inside.start < inside.end).then(|| (chunk, cut(inside.start)..cut(inside.end)))
        })
    }
}

impl FromIterator<Bytes> for Rope {
    fn from_iter<I: IntoIterator<Item = Bytes>>(chunks: I) -> Rope {
        let mut rope = Rope::default();
        chunks.into_iter().for_each(|chunk| rope.push(chunk));
        rope
    }
}

/// Room for bytes that are copied together.
const GATHER_BYTES: usize = 16 << 10;

/// A rope that grows: by chunks that are shared, and by bytes that are copied together into buffers of fixed size, so that
/// what it holds is never much more than what it counts.
#[derive(Debug, Default)]
pub(crate) struct Growing {
    rope: Rope,
    tail: BytesMut,
}

impl Growing {
    /// Bytes so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.rope.bytes + self.tail.len() as u64
    }

    /// Adds a chunk without a copy.
    pub(crate) fn share(&mut self, chunk: Bytes) {
        self.flush();
        self.rope.push(chunk);
    }

    /// Adds a copy of `bytes`.
    pub(crate) fn copy(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.tail.len() == self.tail.capacity() {
                self.flush();
                self.tail = BytesMut::with_capacity(GATHER_BYTES);
            }
            let room = self.tail.capacity() - self.tail.len();
            let (fits, rest) = bytes.split_at(room.min(bytes.len()));
            self.tail.extend_from_slice(fits);
            bytes = rest;
        }
    }

    /// The rope, whole.
    pub(crate) fn finish(mut self) -> Rope {
        self.flush();
        self.rope
    }

    fn flush(&mut self) {
        if !self.tail.is_empty() {
            self.rope.push(self.tail.split().freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn flat(rope: &Rope) -> Vec<u8> {
        rope.chunks().concat()
    }

    proptest! {
        #[test]
        fn a_splice_changes_its_span_and_no_other_byte(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..8), 0..8),
            start in 0u64..40,
            length in 0u64..40,
            replacement in proptest::collection::vec(any::<u8>(), 0..8),
        ) {
            let rope: Rope = chunks.iter().cloned().map(Bytes::from).collect();
            let spliced = rope.splice(start..start + length, Bytes::from(replacement.clone()));
            let mut expected = flat(&rope);
            let end = (start + length).min(rope.bytes()) as usize;
            let start = start.min(rope.bytes()) as usize;
            expected.splice(start..end, replacement);
            prop_assert_eq!(flat(&spliced), &expected[..]);
            prop_assert_eq!(spliced.bytes(), expected.len() as u64);
            prop_assert!(spliced.chunks().iter().all(|chunk| !chunk.is_empty()));
        }
    }

    #[test]
    fn a_splice_shares_what_it_does_not_change() {
        let body = Bytes::from_static(b"{\"model\":\"a\",\"prompt\":\"b\"}");
        let rope: Rope = [body.clone()].into_iter().collect();
        let spliced = rope.splice(9..12, Bytes::from_static(b"\"c\""));
        assert_eq!(spliced.chunks()[0].as_ptr(), body.as_ptr());
        assert_eq!(spliced.chunks()[2].as_ptr(), body[12..].as_ptr());
    }
}
