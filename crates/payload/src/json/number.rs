//! The grammar of a number.

/// Where in a number the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Digits {
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    E,
    Sign,
    Exponent,
}

impl Digits {
    /// After the number's first byte.
    pub(super) fn begin(first: u8) -> Digits {
        match first {
            b'-' => Digits::Minus,
            b'0' => Digits::Zero,
            _ => Digits::Whole,
        }
    }

    /// What stands after `byte`; `None` if the number does not go on with it.
    #[inline]
    pub(super) fn after(self, byte: u8) -> Option<Digits> {
        use Digits::{E, Exponent, Fraction, Minus, Point, Sign, Whole, Zero};
        Some(match (self, byte) {
            (Minus, b'0') => Zero,
            (Minus | Whole, b'0'..=b'9') => Whole,
            (Zero | Whole, b'.') => Point,
            (Point | Fraction, b'0'..=b'9') => Fraction,
            (Zero | Whole | Fraction, b'e' | b'E') => E,
            (E, b'+' | b'-') => Sign,
            (E | Sign | Exponent, b'0'..=b'9') => Exponent,
            _ => return None,
        })
    }

    /// True if the number may end here.
    pub(super) fn may_end(self) -> bool {
        matches!(self, Digits::Zero | Digits::Whole | Digits::Fraction | Digits::Exponent)
    }
}
