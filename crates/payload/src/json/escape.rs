//! The escapes of a string: byte by byte, or at a glance where nobody wants their characters.
//!
//! Half of a surrogate pair is JSON (RFC 8259, section 8.2), and what is left of an emoji that a client cut. It stands for
//! no character, so that it is refused where somebody wants the text, and passes where nobody does.

/// Where in an escape the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    /// In none.
    #[default]
    Outside,
    /// After the backslash.
    Letter,
    /// After `\u`: how many hex digits came, and their value.
    Hex(u8, u16),
}

/// The escape in hand.
#[derive(Debug, Default)]
pub(super) struct Escape {
    place: Place,
    /// The first half of a surrogate pair: the escape of the second must follow at once.
    half: Option<u16>,
}

impl Escape {
    /// A backslash came.
    #[inline]
    pub(super) fn open(&mut self) {
        self.place = Place::Letter;
    }

    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.place != Place::Outside
    }

    /// True if nothing but another escape may follow.
    #[inline]
    pub(super) fn is_half(&self) -> bool {
        self.half.is_some()
    }

    /// The next byte of the escape; answers the character that it completes, if the text is wanted, or what is wrong.
    #[inline]
    pub(super) fn push(&mut self, byte: u8, is_wanted: bool) -> Result<Option<char>, &'static str> {
        match self.place {
            Place::Hex(count, value) => {
                let digit = (byte as char).to_digit(16).ok_or("expected a hex digit")?;
                let value = value << 4 | digit as u16;
                if count < 3 {
                    self.place = Place::Hex(count + 1, value);
                    return Ok(None);
                }
                self.place = Place::Outside;
                if is_wanted { self.code_unit(value) } else { Ok(None) }
            }
            _ if byte == b'u' => {
                self.place = Place::Hex(0, 0);
                Ok(None)
            }
            _ if self.is_half() => Err(HALF),
            _ => {
                self.place = Place::Outside;
                resolve(byte).map(Some).ok_or("an unknown escape")
            }
        }
    }

    /// Four hex digits: a character, or half of one.
    fn code_unit(&mut self, unit: u16) -> Result<Option<char>, &'static str> {
        let first_half = self.half.take();
        let mut characters = char::decode_utf16(first_half.into_iter().chain([unit]));
        match characters.next() {
            Some(Ok(character)) => Ok(Some(character)),
            // A second half that comes first finds no partner either.
            _ if first_half.is_none() => {
                self.half = Some(unit);
                Ok(None)
            }
            _ => Err(HALF),
        }
    }
}

/// What is wrong with a surrogate on its own.
pub(super) const HALF: &str = "half of a surrogate pair";

/// The character that a one-letter escape stands for.
#[inline]
const fn resolve(letter: u8) -> Option<char> {
    Some(match letter {
        b'"' | b'\\' | b'/' => letter as char,
        b'b' => '\u{8}',
        b'f' => '\u{C}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        _ => return None,
    })
}

/// The length of the escape that `rest` begins with, if it stands there whole.
#[inline]
pub(super) fn whole(rest: &[u8]) -> Option<usize> {
    match rest {
        [b'\\', b'u', a, b, c, d, ..] => {
            [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()).then_some(6)
        }
        [b'\\', letter, ..] => is_letter(*letter).then_some(2),
        _ => None,
    }
}

/// True for the letter of an escape of one letter.
#[inline]
pub(super) fn is_letter(byte: u8) -> bool {
    LETTERS[usize::from(byte)]
}

/// The same as a table: there is one every few words.
const LETTERS: [bool; 256] = {
    let mut letters = [false; 256];
    let mut letter = 0;
    while letter < 256 {
        letters[letter] = resolve(letter as u8).is_some();
        letter += 1;
    }
    letters
};
