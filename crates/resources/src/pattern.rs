//! Regular expressions from manifests: anchored, and bounded in size.

use regex::bytes::{Regex, RegexBuilder};

/// The most memory one compiled expression may take, in bytes: enough for any sane path or model name.
const PROGRAM_BYTES_MAX: usize = 256 << 10;
/// The most memory the lazy automaton of one expression may take, in bytes.
const AUTOMATON_BYTES_MAX: usize = 1 << 20;

/// Compiles an expression that must match a value as a whole.
pub fn anchored(expression: &str) -> Result<Regex, regex::Error> {
    // First alone: `a)|(b` must not be made whole by the group around it.
    bounded(expression)?;
    bounded(&format!(r"\A(?:{expression})\z"))
}

fn bounded(expression: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(expression).size_limit(PROGRAM_BYTES_MAX).dfa_size_limit(AUTOMATON_BYTES_MAX).build()
}

#[cfg(test)]
mod tests {
    use super::anchored;

    #[test]
    fn an_expression_matches_the_whole_value_or_nothing() {
        assert!(anchored("a|ab").unwrap().is_match(b"ab"));
        assert!(!anchored("a|ab").unwrap().is_match(b"abc"));
        assert!(!anchored("a").unwrap().is_match(b"a\n"));
    }

    #[test]
    fn an_expression_that_is_broken_or_too_large_is_an_error() {
        assert!(anchored("a)|(b").is_err());
        assert!(anchored("(").is_err());
        assert!(anchored("a{1000}{1000}").is_err());
    }
}
