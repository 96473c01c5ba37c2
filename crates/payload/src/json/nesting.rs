//! The containers that are open, one bit each.

use crate::ParseError;
use smallvec::SmallVec;

/// What a value stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    Object,
    Array,
}

/// A stack of bits; a set bit is an array.
#[derive(Debug)]
pub(super) struct Nesting {
    depth: usize,
    depth_max: usize,
    arrays: SmallVec<[u64; 2]>,
}

impl Nesting {
    pub(super) fn new(depth_max: usize) -> Nesting {
        Nesting { depth: 0, depth_max, arrays: SmallVec::new() }
    }

    pub(super) fn restart(&mut self) {
        self.depth = 0;
    }

    /// How many containers are open.
    #[inline]
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    #[inline]
    pub(super) fn open(&mut self, container: Container) -> Result<(), ParseError> {
        if self.depth == self.depth_max {
            return Err(ParseError::TooDeep { limit: self.depth_max });
        }
        let (word, bit) = (self.depth / 64, 1 << (self.depth % 64));
        if word == self.arrays.len() {
            self.arrays.push(0);
        }
        match container {
            Container::Object => self.arrays[word] &= !bit,
            Container::Array => self.arrays[word] |= bit,
        }
        self.depth += 1;
        Ok(())
    }

    #[inline]
    pub(super) fn close(&mut self) {
        self.depth -= 1;
    }

    /// The container in hand. Only asked while one is open.
    #[inline]
    pub(super) fn innermost(&self) -> Container {
        let index = self.depth - 1;
        if self.arrays[index / 64] >> (index % 64) & 1 == 1 { Container::Array } else { Container::Object }
    }
}
