//! Seams: what stands between two texts, known again when it comes again.
//!
//! The messages of a chat differ in their text and hardly in what stands between: `},{"role":"user","content":"`. In:
//! bytes that the walk has gone through, from the end of one string to the beginning of another, and the place in the
//! nesting where it did. Out: how many bytes of the chunk are the same ones at the same place, which the same walk would
//! go through alike. Never: an error, a seam of another JSON text.

use super::nesting::Place;
use arrayvec::ArrayVec;

/// Two roles, a tool's answer, and one to spare.
const SEAMS: usize = 4;

/// `}]},{"role":"assistant","content":[{"type":"text","text":"` has 58.
const SEAM_BYTES_MAX: usize = 64;

/// A string of more bytes is text; a shorter one may be part of a seam, as a role is.
pub(super) const WORD_BYTES_MAX: usize = 16;

/// The seams that were met last.
#[derive(Debug, Default)]
pub(super) struct Seams {
    known: ArrayVec<Seam, SEAMS>,
    /// The one that the next new one replaces.
    oldest: usize,
}

#[derive(Debug)]
struct Seam {
    /// Where it begins and ends: the containers that it closes are opened again by its end.
    place: Place,
    bytes: ArrayVec<u8, SEAM_BYTES_MAX>,
}

impl Seams {
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    /// Bytes of the seam that `rest` begins with.
    #[inline(always)]
    pub(super) fn known(&self, place: Place, rest: &[u8]) -> Option<usize> {
        let same = |seam: &&Seam| seam.place == place && rest.starts_with(&seam.bytes);
        self.known.iter().find(same).map(|seam| seam.bytes.len())
    }

    /// The walk went through these bytes and came back to the place where it began.
    #[inline(never)]
    pub(super) fn learn(&mut self, place: Place, bytes: &[u8]) {
        let Ok(bytes) = ArrayVec::try_from(bytes) else { return };
        let seam = Seam { place, bytes };
        if let Err(full) = self.known.try_push(seam) {
            self.known[self.oldest] = full.element();
            self.oldest = (self.oldest + 1) % SEAMS;
        }
    }
}
