//! A metrics page, line by line.
//!
//! In: bytes in Prometheus' text format 0.0.4, or OpenMetrics 1.0 as far as it is alike. Out: the [`Line`]s that hold a
//! sample; their labels and values only when asked for, so that what nobody reads costs one `memchr`.
//! Never: a panic, an allocation for a line that is skipped, an error for the whole page because of one line.
//! Source: Prometheus, "Exposition formats".

use memchr::{memchr, memchr2};
use std::borrow::Cow;

/// The largest page that is read: a hundred times what a busy vLLM serves.
pub const PAGE_BYTES_MAX: usize = 4 << 20;

/// The longest line that is read; a longer one is skipped. Room for a thousand adapter names.
pub const LINE_BYTES_MAX: usize = 64 << 10;

/// A line that holds a sample, not yet read beyond its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'p> {
    /// The metric's name.
    pub name: &'p [u8],
    /// What follows it: labels, value, timestamp.
    rest: &'p [u8],
}

/// A sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample<'p> {
    /// Its labels.
    pub labels: Labels<'p>,
    /// Its value.
    pub value: f64,
    /// Its timestamp: milliseconds in Prometheus' format, seconds in OpenMetrics. Only compared within a page.
    pub timestamp: Option<f64>,
}

/// The labels of a sample, read as they are walked. They have been seen to be well formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Labels<'p>(&'p str);

/// The lines of a page that hold samples; comments, empty lines and those over [`LINE_BYTES_MAX`] are left out.
pub fn lines(page: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let mut left = page;
    std::iter::from_fn(move || {
        while !left.is_empty() {
            let (line, after) = match memchr(b'\n', left) {
                Some(end) => (&left[..end], &left[end + 1..]),
                None => (left, &left[left.len()..]),
            };
            left = after;
            if let Some(line) = Line::new(line) {
                return Some(line);
            }
        }
        None
    })
}

impl<'p> Line<'p> {
    fn new(line: &'p [u8]) -> Option<Line<'p>> {
        if line.first().is_none_or(|first| *first == b'#') || line.len() > LINE_BYTES_MAX {
            return None;
        }
        let line = line.trim_ascii_start();
        let end = memchr2(b'{', b' ', line)?;
        let name = line[..end].trim_ascii_end();
        (!name.is_empty() && name[0] != b'#').then_some(Line { name, rest: &line[end..] })
    }

    /// Reads the rest of the line. `None` if it is not well formed.
    pub fn sample(&self) -> Option<Sample<'p>> {
        let rest = std::str::from_utf8(self.rest).ok()?.trim_ascii_start();
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(inside) => split_labels(inside)?,
            None => (Labels(""), rest),
        };
        let mut words = rest.split_ascii_whitespace();
        let value = words.next()?.parse().ok()?;
        // A `#` opens an OpenMetrics exemplar.
        let timestamp = match words.next().filter(|word| !word.starts_with('#')) {
            Some(word) => Some(word.parse().ok()?),
            None => None,
        };
        Some(Sample { labels, value, timestamp })
    }
}

/// Walks over the labels after `{`, and splits behind the `}`.
fn split_labels(inside: &str) -> Option<(Labels<'_>, &str)> {
    let mut at = inside;
    loop {
        at = at.trim_ascii_start();
        if let Some(rest) = at.strip_prefix('}') {
            let labels = &inside[..inside.len() - rest.len() - 1];
            return Some((Labels(labels), rest));
        }
        (_, at) = split_label(at)?;
        at = at.trim_ascii_start();
        match at.strip_prefix(',') {
            Some(next) => at = next,
            None if at.starts_with('}') => {}
            None => return None,
        }
    }
}

/// Splits `name="value"` off; the value is still escaped.
fn split_label(text: &str) -> Option<((&str, &str), &str)> {
    let (name, text) = text.split_once('=')?;
    let name = name.trim_ascii();
    let text = text.trim_ascii_start().strip_prefix('"')?;
    let mut end = 0;
    loop {
        end += memchr2(b'"', b'\\', text.as_bytes().get(end..)?)?;
        if text.as_bytes()[end] == b'"' {
            break;
        }
        end += 2; // the backslash and what it escapes
    }
    let valid = !name.is_empty() && !name.contains([',', '{', '}', '"']);
    valid.then(|| ((name, &text[..end]), &text[end + 1..]))
}

impl<'p> Labels<'p> {
    /// The value of a label, its escapes resolved; of the first, if the page has it twice.
    pub fn get(&self, name: &str) -> Option<Cow<'p, str>> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Every label, as it stands.
    pub fn iter(&self) -> impl Iterator<Item = (&'p str, Cow<'p, str>)> + use<'p> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let text = left.trim_ascii_start();
            let ((name, value), rest) =
                split_label(text.strip_prefix(',').unwrap_or(text).trim_ascii_start())?;
            left = rest;
            Some((name, unescaped(value)))
        })
    }
}

/// Resolves `\\`, `\"` and `\n`; a backslash before anything else stands for itself.
fn unescaped(value: &str) -> Cow<'_, str> {
    if memchr(b'\\', value.as_bytes()).is_none() {
        return Cow::Borrowed(value);
    }
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(char) = chars.next() {
        match (char, chars.as_str().chars().next()) {
            ('\\', Some(escaped @ ('\\' | '"' | 'n'))) => {
                plain.push(if escaped == 'n' { '\n' } else { escaped });
                chars.next();
            }
            (char, _) => plain.push(char),
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests;
