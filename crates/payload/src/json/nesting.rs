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

/// Where in the nesting a byte stands: all containers around it, and of how many of them the visitor is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    depth: usize,
    told: usize,
    containers: u64,
}

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
        self.inner = 0;
        self.outer.clear();
    }

    /// How many containers are open.
    #[inline]
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// Where the next byte stands; `None` if that is too deep to be told in a word.
    #[inline]
    pub(super) fn place(&self, told: usize) -> Option<Place> {
        let Nesting { depth, inner: containers, .. } = *self;
        (depth <= WORD_LEVELS).then_some(Place { depth, told, containers })
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
