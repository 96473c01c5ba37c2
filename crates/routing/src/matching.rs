//! What one match of a rule asks of a request's head.
//!
//! The model is kept apart from the other header matches: it is tested against the body, never against a header.

use crate::{Model, RequestHead};
use http::{HeaderMap, HeaderName, Method};
use regex::bytes::Regex;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::sync::Arc;

/// The longest host that is looked up: DNS allows no more.
const HOST_BYTES_MAX: usize = 253;

/// A path match.
#[derive(Debug, Clone)]
pub(crate) enum PathMatch {
    /// The whole path.
    Exact(Arc<str>),
    /// Whole segments at the head of the path; kept without the trailing slash, so `/` is empty.
    Prefix(Arc<str>),
    /// The whole path, by an anchored expression.
    Regex(Regex),
}

impl PathMatch {
    /// A prefix as declared.
    pub(crate) fn prefix(value: &str) -> PathMatch {
        PathMatch::Prefix(Arc::from(value.trim_end_matches('/')))
    }

    pub(crate) fn matches(&self, path: &str) -> bool {
        match self {
            PathMatch::Exact(exact) => &**exact == path,
            PathMatch::Prefix(prefix) => after_prefix(path, prefix).is_some(),
            PathMatch::Regex(regex) => regex.is_match(path.as_bytes()),
        }
    }
}

/// What follows the segments of `prefix` (without trailing slash) in `path`: nothing, or from a slash on.
pub(crate) fn after_prefix<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(prefix)?;
    (rest.starts_with('/') || (rest.is_empty() && !prefix.is_empty())).then_some(rest)
}

/// How a value is tested.
#[derive(Debug, Clone)]
pub(crate) enum ValueMatch {
    Exact(Arc<str>),
    /// Anchored.
    Regex(Regex),
}

impl ValueMatch {
    fn matches(&self, value: &[u8]) -> bool {
        match self {
            ValueMatch::Exact(exact) => exact.as_bytes() == value,
            ValueMatch::Regex(regex) => regex.is_match(value),
        }
    }
}

/// One match of one rule. Header and query matches of a name that stood before are dropped: "only the first entry
/// with an equivalent name MUST be considered for a match".
#[derive(Debug, Clone)]
pub(crate) struct Match {
    pub(crate) path: PathMatch,
    pub(crate) method: Option<Method>,
    /// The model of the body.
    pub(crate) model: Option<ValueMatch>,
    pub(crate) headers: Vec<(HeaderName, ValueMatch)>,
    pub(crate) query: Vec<(Arc<str>, ValueMatch)>,
}

/// What testing the model came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ModelVerdict {
    /// The rule does not test the model, or the model is the one it wants.
    Fits,
    /// The body must be read to know.
    Unknown,
    /// Another model, or none.
    Differs,
}

impl Match {
    /// A match of every request: what a rule without matches stands for.
    pub(crate) fn any() -> Match {
        Match {
            path: PathMatch::prefix("/"),
            method: None,
            model: None,
            headers: Vec::new(),
            query: Vec::new(),
        }
    }

    /// All of the match but its model.
    pub(crate) fn fits_head(&self, head: &RequestHead<'_>) -> bool {
        self.path.matches(head.path) && self.fits_beside_path(head)
    }

    /// All of the match but its path and its model.
    pub(crate) fn fits_beside_path(&self, head: &RequestHead<'_>) -> bool {
        self.method.as_ref().is_none_or(|method| method == head.method)
            && self.headers.iter().all(|(name, test)| header_matches(head.headers, name, test))
            && self.query.iter().all(|(name, test)| query_matches(head.query, name, test))
    }

    /// The model of the match.
    pub(crate) fn fits_model(&self, model: Model<'_>) -> ModelVerdict {
        match (&self.model, model) {
            (None, _) => ModelVerdict::Fits,
            (Some(_), Model::Unread) => ModelVerdict::Unknown,
            (Some(test), Model::Named(name)) if test.matches(name.as_bytes()) => ModelVerdict::Fits,
            (Some(_), Model::Absent | Model::Named(_)) => ModelVerdict::Differs,
        }
    }

    /// The one model that it asks for, if it asks by name.
    pub(crate) fn exact_model(&self) -> Option<&Arc<str>> {
        match &self.model {
            Some(ValueMatch::Exact(name)) => Some(name),
            _ => None,
        }
    }

    /// Header matches as the precedence counts them: the model's is one.
    pub(crate) fn header_count(&self) -> usize {
        self.headers.len() + usize::from(self.model.is_some())
    }
}

/// Several values of one name count as one, joined with commas.
fn header_matches(headers: &HeaderMap, name: &HeaderName, test: &ValueMatch) -> bool {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return false };
    let Some(second) = values.next() else { return test.matches(first.as_bytes()) };
    let mut joined: SmallVec<[u8; 256]> = SmallVec::from_slice(first.as_bytes());
    for value in std::iter::once(second).chain(values) {
        joined.push(b',');
        joined.extend_from_slice(value.as_bytes());
    }
    test.matches(&joined)
}

/// The first parameter of the name counts; name and value are compared decoded.
fn query_matches(query: Option<&str>, name: &str, test: &ValueMatch) -> bool {
    let parameters = query.unwrap_or_default().split('&').filter(|parameter| !parameter.is_empty());
    parameters
        .map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
        .find(|(key, _)| *decoded(key) == *name.as_bytes())
        .is_some_and(|(_, value)| test.matches(&decoded(value)))
}

/// `application/x-www-form-urlencoded`, read leniently: a stray `%` stands for itself. Allocates only if it must.
fn decoded(text: &str) -> Cow<'_, [u8]> {
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(text.as_bytes());
    }
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = bytes.get(at + 1..at + 3).and_then(hex_byte).filter(|_| bytes[at] == b'%');
        plain.push(match (escape, bytes[at]) {
            (Some(byte), _) => byte,
            (None, b'+') => b' ',
            (None, byte) => byte,
        });
        at += if escape.is_some() { 3 } else { 1 };
    }
    Cow::Owned(plain)
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let high = (*digits.first()? as char).to_digit(16)?;
    let low = (*digits.get(1)? as char).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

/// The wildcards under which `host` may stand, longest first: `.b.c` and `.c` for `a.b.c`.
pub(crate) fn wildcard_suffixes(host: &str) -> impl Iterator<Item = &str> {
    let host = if host.len() <= HOST_BYTES_MAX { host } else { "" };
    host.bytes().enumerate().filter(|&(at, byte)| byte == b'.' && at > 0).map(move |(at, _)| &host[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(kind: &str, value: &str) -> PathMatch {
        match kind {
            "Exact" => PathMatch::Exact(Arc::from(value)),
            "PathPrefix" => PathMatch::prefix(value),
            _ => PathMatch::Regex(resources::anchored(value).unwrap()),
        }
    }

    #[test]
    fn paths_match_as_the_standard_has_it() {
        let table = [
            ("PathPrefix", "/", "/", true),
            ("PathPrefix", "/", "/anything/at/all", true),
            ("PathPrefix", "/", "*", false),
            ("PathPrefix", "/foo", "/foo", true),
            ("PathPrefix", "/foo", "/foo/", true),
            ("PathPrefix", "/foo", "/foo/bar", true),
            ("PathPrefix", "/foo", "/foobar", false),
            ("PathPrefix", "/foo/", "/foo", true),
            ("PathPrefix", "/foo/", "/foo/bar", true),
            ("PathPrefix", "/aaa/bbb", "/aaa/bbbxyz", false),
            ("PathPrefix", "/aaa/bbb", "/aaa", false),
            ("PathPrefix", "/foo", "/Foo", false),
            ("Exact", "/foo", "/foo", true),
            ("Exact", "/foo", "/foo/", false),
            ("Exact", "/foo/", "/foo", false),
            ("Exact", "/foo", "/FOO", false),
            ("RegularExpression", "/v[12]/.*", "/v1/chat", true),
            ("RegularExpression", "/v[12]/", "/v1/chat", false),
            ("RegularExpression", "v1", "/v1", false),
            ("RegularExpression", "/a|/b", "/bc", false),
            ("RegularExpression", "/a|/ab", "/ab", true),
        ];
        for (kind, value, sent, expected) in table {
            assert_eq!(path(kind, value).matches(sent), expected, "{kind} {value} against {sent}");
        }
    }

    #[test]
    fn several_values_of_a_header_count_as_one_joined_with_commas() {
        let mut headers = HeaderMap::new();
        let name = HeaderName::from_static("version");
        let test = ValueMatch::Exact(Arc::from("one,two"));
        assert!(!header_matches(&headers, &name, &test));
        headers.append(&name, http::HeaderValue::from_static("one"));
        assert!(!header_matches(&headers, &name, &test));
        headers.append(&name, http::HeaderValue::from_static("two"));
        assert!(header_matches(&headers, &name, &test));
    }

    #[test]
    fn query_parameters_are_compared_decoded_and_the_first_counts() {
        let table = [
            (Some("a=1"), true),
            (Some("b=2&a=1"), true),
            (Some("%61=%31"), true),
            (Some("a=2&a=1"), false),
            (Some("a"), false),
            (Some("A=1"), false),
            (None, false),
        ];
        for (query, expected) in table {
            let test = ValueMatch::Exact(Arc::from("1"));
            assert_eq!(query_matches(query, "a", &test), expected, "{query:?}");
        }
        assert_eq!(&*decoded("a+b%2"), b"a b%2");
        assert_eq!(&*decoded("%zz%4"), b"%zz%4");
    }

    #[test]
    fn a_wildcard_stands_for_one_label_or_more_but_not_for_none() {
        let suffixes = |host| wildcard_suffixes(host).collect::<Vec<_>>();
        assert_eq!(suffixes("a.b.c"), [".b.c", ".c"]);
        assert_eq!(suffixes(".b"), Vec::<&str>::new());
        assert_eq!(suffixes("localhost"), Vec::<&str>::new());
        assert!(suffixes(&"a.".repeat(5_000)).is_empty());
    }
}
