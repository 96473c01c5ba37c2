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

    /// The chunks, in order; none is empty.
    pub fn into_chunks(self) -> impl Iterator<Item = Bytes> {
        self.chunks.into_iter()
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

/// Chunks smaller than this are copied together: each would cost its 32 bytes and keep a read buffer of 8 KiB alive, and a peer
/// that sends byte by byte would hold thousands of times what it is charged for. So it is twice at most.
const CHUNK_BYTES_MIN: usize = 4 << 10;

/// Room for bytes that are copied together: as much as is held already, from the least to the most.
const GATHER_BYTES: (usize, usize) = (256, 16 << 10);

/// A rope that grows: chunks are shared, and small ones copied together, so that what it holds is never much more than what
/// it counts.
#[derive(Debug, Default)]
pub struct Growing {
    rope: Rope,
    tail: BytesMut,
}

impl Growing {
    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.rope.bytes + self.tail.len() as u64
    }

    /// Adds a chunk: shared if it is the first, which is often all, or no small one.
    pub fn push(&mut self, chunk: Bytes) {
        if chunk.len() >= CHUNK_BYTES_MIN || self.bytes() == 0 {
            self.flush();
            self.rope.push(chunk);
        } else {
            self.copy(&chunk);
        }
    }

    /// Adds a copy of `bytes`.
    pub(crate) fn copy(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.tail.len() == self.tail.capacity() {
                self.flush();
                let (least, most) = GATHER_BYTES;
                self.tail = BytesMut::with_capacity((self.rope.bytes as usize).clamp(least, most));
            }
            let room = self.tail.capacity() - self.tail.len();
            let (fits, rest) = bytes.split_at(room.min(bytes.len()));
            self.tail.extend_from_slice(fits);
            bytes = rest;
        }
    }

    /// The rope, whole.
    pub fn finish(mut self) -> Rope {
        self.flush();
        self.rope
    }

    fn flush(&mut self) {
        if !self.tail.is_empty() {
            self.rope.push(self.tail.split().freeze());
        }
    }
}

/// It grows from what it is.
impl From<Rope> for Growing {
    fn from(rope: Rope) -> Growing {
        Growing { rope, tail: BytesMut::new() }
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

    #[test]
    fn small_chunks_are_gathered_and_large_ones_are_not_copied() {
        let large = Bytes::from(vec![7; CHUNK_BYTES_MIN]);
        let mut growing = Growing::default();
        let mut expected = Vec::new();
        for chunk in (0..100_000_u32).map(|n| Bytes::from(vec![n as u8; 1])).chain([large.clone()]) {
            expected.extend_from_slice(&chunk);
            growing.push(chunk);
        }
        assert_eq!(growing.bytes(), expected.len() as u64);
        let rope = growing.finish();
        assert_eq!(flat(&rope), expected);
        assert!(rope.chunks().len() <= 20, "{} chunks", rope.chunks().len());
        assert_eq!(rope.chunks().last().unwrap().as_ptr(), large.as_ptr());
    }

    #[test]
    fn a_few_bytes_take_little_room() {
        let mut growing = Growing::default();
        for chunk in [&b"a"[..], b"b"] {
            growing.push(Bytes::from_static(chunk));
            assert!(growing.tail.capacity() <= GATHER_BYTES.0, "{} bytes", growing.tail.capacity());
        }
    }
}
