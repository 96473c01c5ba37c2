//! Durations as Go writes them, whose readers most of what people write here was made for.
//!
//! In: `1h30m`, `1.5s`, `500µs`. Out: a [`Duration`], to the nanosecond.
//! Source: Go, `time.ParseDuration`; a sign is not taken, for nothing here lasts less than no time.

use std::time::Duration;

/// The units, in nanoseconds; a longer name before those that it begins with. Micro has a sign of its own, and a letter.
const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
];

/// Digits of a number, before its point or after it.
const DIGITS_MAX: usize = 15;

/// Reads a duration of at least one number and unit; `None` if it is none, or longer than five centuries.
pub fn duration(text: &str) -> Option<Duration> {
    let (mut rest, mut nanos) = (text, 0_u128);
    loop {
        let number = rest.find(|char: char| !char.is_ascii_digit() && char != '.')?;
        let (number, after) = rest.split_at(number);
        let unit = UNITS.iter().find_map(|(unit, nanos)| Some((*nanos, after.strip_prefix(unit)?)));
        let (unit_nanos, after) = unit?;
        nanos += number_of(number, unit_nanos)?;
        if after.is_empty() {
            return u64::try_from(nanos).ok().map(Duration::from_nanos);
        }
        rest = after;
    }
}

/// How many nanoseconds so many units are.
fn number_of(number: &str, unit_nanos: u128) -> Option<u128> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let is_none = (whole.is_empty() && part.is_empty()) || part.contains('.');
    if is_none || whole.len() > DIGITS_MAX || part.len() > DIGITS_MAX {
        return None;
    }
    let of = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse::<u128>().ok() };
    Some(of(whole)? * unit_nanos + of(part)? * unit_nanos / 10_u128.pow(part.len() as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_read_as_go_reads_it() {
        for (text, nanos) in [
            ("50ms", 50_000_000),
            ("1.5s", 1_500_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("1m30s", 90_000_000_000),
            ("2h", 7_200_000_000_000),
            ("500us", 500_000),
            ("500\u{b5}s", 500_000),
            ("500\u{3bc}s", 500_000),
            ("7ns", 7),
            ("0s", 0),
            ("1h2m3s4ms", 3_723_004_000_000),
        ] {
            assert_eq!(duration(text), Some(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_none() {
        let long = format!("{}s", "9".repeat(16));
        for text in [
            "", "0", "5", "s", ".s", "5 s", "-1s", "1x", "1.2.3s", " 1s", "1s ", "1S", "٣s", "9999999h",
            &long,
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
