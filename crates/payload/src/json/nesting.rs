//! The containers that are open, one bit each.

use crate::ParseError;

/// What a value stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    Object,
    Array,
}

/// Levels that one word holds.
const WORD_LEVELS: usize = u64::BITS as usize;

/// A stack of bits; a set bit is an array.
#[derive(Debug)]
pub(super) struct Nesting {
    depth: usize,
    depth_max: usize,
    /// The innermost levels, the container in hand lowest.
    inner: u64,
    /// The words before, each full.
    outer: Vec<u64>,
}

impl Nesting {
    pub(super) fn new(depth_max: usize) -> Nesting {
        Nesting { depth: 0, depth_max, inner: 0, outer: Vec::new() }
    }

    pub(super) fn restart(&mut self) {
        self.depth = 0;
        self.outer.clear();
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
        if self.depth > 0 && self.depth.is_multiple_of(WORD_LEVELS) {
            self.outer.push(self.inner);
        }
        self.inner = self.inner << 1 | u64::from(container == Container::Array);
        self.depth += 1;
        Ok(())
    }

    #[inline]
    pub(super) fn close(&mut self) {
        self.depth -= 1;
        self.inner >>= 1;
        if self.depth.is_multiple_of(WORD_LEVELS) {
            self.inner = self.outer.pop().unwrap_or_default();
        }
    }

    /// The container in hand. Only asked while one is open.
    #[inline]
    pub(super) fn innermost(&self) -> Container {
        if self.inner & 1 == 1 { Container::Array } else { Container::Object }
    }
}
