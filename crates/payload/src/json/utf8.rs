//! A character that the end of a chunk cuts.

/// The bytes of a character whose rest is still to come.
#[derive(Debug, Default)]
pub(super) struct SplitCharacter {
    bytes: [u8; 4],
    have: u8,
    need: u8,
}

impl SplitCharacter {
    /// True while bytes are missing.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.have < self.need
    }

    /// Takes the character that begins in the last three bytes of `chunk[from..]` and is not whole. Answers where the
    /// whole characters end. What is no UTF-8 at all stays, for the check of the text to refuse.
    pub(super) fn cut(&mut self, chunk: &[u8], from: usize) -> usize {
        let text = &chunk[from..];
        for missing_at in (text.len().saturating_sub(3)..text.len()).rev() {
            let tail = &text[missing_at..];
            let need = match tail[0] {
                0x80..=0xBF => continue,
                0xC2..=0xDF => 2,
                0xE0..=0xEF => 3,
                0xF0..=0xF4 => 4,
                _ => break,
            };
            if tail.len() < need {
                self.bytes[..tail.len()].copy_from_slice(tail);
                (self.have, self.need) = (tail.len() as u8, need as u8);
                return from + missing_at;
            }
            break;
        }
        chunk.len()
    }

    /// Adds a byte; false if the character is whole and no UTF-8.
    pub(super) fn push(&mut self, byte: u8) -> bool {
        self.bytes[usize::from(self.have)] = byte;
        self.have += 1;
        self.is_open() || std::str::from_utf8(&self.bytes[..usize::from(self.have)]).is_ok()
    }
}
