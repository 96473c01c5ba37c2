//! Durations as Gateway API writes them.
//!
//! In: `1h30m`, `500ms`. Out: a [`Duration`].
//! Source: GEP-2257: `^([0-9]{1,5}(h|m|s|ms)){1,4}$`.

use regex::Regex;
use serde::{Deserialize, Deserializer, de};
use std::sync::LazyLock;
use std::time::Duration;
use thiserror::Error;

/// What the standard takes of Go's durations.
static PATTERN: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^([0-9]{1,5}(h|m|s|ms)){1,4}$").expect("a pattern"));

/// A text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` is not a duration: write up to four numbers of at most five digits, each with h, m, s or ms: `1m30s`"
)]
pub struct NotADuration(String);

/// Reads a GEP-2257 duration.
pub fn parse_duration(text: &str) -> Result<Duration, NotADuration> {
    let duration = if PATTERN.is_match(text) { yaml::duration(text) } else { None };
    duration.ok_or_else(|| NotADuration(text.to_owned()))
}

/// A reader of the durations from `least` to `most`, for a setting that no other would do for.
pub fn durations(
    least: &'static str,
    most: &'static str,
) -> impl Fn(&str) -> Result<Duration, String> + Clone + Send + Sync {
    let bounds = [least, most].map(|bound| parse_duration(bound).expect("a bound is a duration"));
    move |text| {
        let duration = parse_duration(text).map_err(|wrong| wrong.to_string())?;
        match (bounds[0]..=bounds[1]).contains(&duration) {
            true => Ok(duration),
            false => Err(format!("it must be from {least} to {most}")),
        }
    }
}

/// For `#[serde(deserialize_with)]`.
pub(crate) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    Option::<String>::deserialize(deserializer)?
        .map(|text| parse_duration(&text).map_err(de::Error::custom))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    #[test]
    fn durations_are_read_as_gateway_api_writes_them() {
        let row =
            |text, millis| assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        row("0s", 0);
        row("500ms", 500);
        row("1m30s", 90_000);
        row("1h2m3s4ms", 3_723_004);
        row("99999h", 99_999 * 3_600_000);
        row("1s1s", 2_000);
        for wrong in ["", "1", "s", "1.5s", "-1s", "1d", "100000s", "1s1s1s1s1s", " 1s", "1S", "1s ", "٣s"] {
            assert!(parse_duration(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_setting_takes_only_the_durations_within_its_bounds() {
        let read = durations("10ms", "1h");
        for (text, taken) in
            [("9ms", false), ("10ms", true), ("60m", true), ("1h1ms", false), ("0s", false), ("1.5s", false)]
        {
            assert_eq!(read(text).is_ok(), taken, "{text}");
        }
        assert_eq!(read("0s"), Err("it must be from 10ms to 1h".to_owned()));
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_a_duration_or_none(text in any::<String>()) {
            let _ = parse_duration(&text);
        }

        #[test]
        fn what_the_standards_pattern_takes_is_read_and_nothing_else(
            text in "([0-9]{0,6}(h|m|s|ms|d|-)){0,5}[0-9]{0,1}"
        ) {
            let standard = Regex::new(r"^([0-9]{1,5}(h|m|s|ms)){1,4}$").unwrap();
            let part = Regex::new(r"([0-9]+)(h|ms|m|s)").unwrap();
            let sum = || part.captures_iter(&text).map(|part| {
                let millis = match &part[2] { "h" => 3_600_000, "m" => 60_000, "s" => 1_000, _ => 1 };
                part[1].parse::<u64>().unwrap() * millis
            }).sum();
            let expected = standard.is_match(&text).then(|| Duration::from_millis(sum()));
            prop_assert_eq!(parse_duration(&text).ok(), expected);
        }
    }
}
