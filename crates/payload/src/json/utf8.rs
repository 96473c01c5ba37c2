//! Whether the bytes are UTF-8: judged for a chunk at once, before the grammar looks at it.

use arrayvec::ArrayVec;

/// The check of one text.
#[derive(Debug, Default)]
pub(super) struct Utf8 {
    /// A character that the end of the last chunk cut.
    cut: ArrayVec<u8, 4>,
}

impl Utf8 {
    /// Looks at the next chunk. An error is where it stops being UTF-8; a character may go on in the next chunk.
    pub(super) fn check(&mut self, chunk: &[u8]) -> Result<(), usize> {
        let whole_from = if self.cut.is_empty() { 0 } else { self.go_on(chunk)? };
        let rest = &chunk[whole_from..];
        match simdutf8::compat::from_utf8(rest) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_none() => {
                self.cut.extend(rest[error.valid_up_to()..].iter().copied());
                Ok(())
            }
            Err(error) => Err(whole_from + error.valid_up_to()),
        }
    }

    /// The rest of the character that was cut. Answers where the next one begins.
    fn go_on(&mut self, chunk: &[u8]) -> Result<usize, usize> {
        for (at, byte) in chunk.iter().enumerate() {
            self.cut.push(*byte);
            match std::str::from_utf8(&self.cut) {
                Ok(_) => {
                    self.cut.clear();
                    return Ok(at + 1);
                }
                Err(error) if error.error_len().is_some() => return Err(at),
                Err(_) => {}
            }
        }
        Ok(chunk.len())
    }
}
