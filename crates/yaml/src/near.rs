//! Names that may have been meant.

/// At most so many letters may be wrong for a name to be taken for another.
pub const SLIPS_MAX: usize = 3;

/// The name that `written` may have been meant for: the one with the fewest wrong letters, at most half of
/// its own.
pub fn nearest<'n>(written: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let slips = |name: &str| strsim::levenshtein(&name.to_lowercase(), &written.to_lowercase());
    let (slips, name) = names.into_iter().map(|name| (slips(name), name)).min_by_key(|(slips, _)| *slips)?;
    // A short name is near to every other short name.
    (slips <= SLIPS_MAX.min(name.len() / 2)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_seen_and_another_word_is_not() {
        let names = ["pluginRef", "weight", "name"];
        for (written, expected) in [
            ("pluginref", Some("pluginRef")),
            ("wieght", Some("weight")),
            ("nam", Some("name")),
            ("parameters", None),
        ] {
            assert_eq!(nearest(written, names), expected, "{written}");
        }
        assert_eq!(nearest("x", []), None);
    }
}
