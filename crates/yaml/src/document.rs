//! The documents of a text.
//!
//! In: YAML or JSON, many documents. Out: one [`Tree`] for each, and where the text is broken.
//! Never: a panic, or more memory than the limits allow.

use crate::tree::{Tree, line};
use serde_saphyr::{MessageFormatter, UserMessageFormatter};

/// The largest text: etcd takes 1.5 MiB per object, and a file holds several.
pub const TEXT_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// A manifest is some twenty levels deep.
const DEPTH_MAX: usize = 64;
/// Scalars, lists and maps of one document after aliases were followed: 8 MiB of short lines.
const NODES_MAX: usize = 1_000_000;
/// Documents of one text.
const DOCUMENTS_MAX: usize = 10_000;
/// Values that aliases may repeat, so that a few lines cannot become gigabytes.
const REPEATED_MAX: usize = 10_000;

/// A text is not YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Line, from 1; 0 if that is not known.
    pub line: u32,
    /// What is wrong there.
    pub message: String,
}

/// The documents of a text up to where it is broken.
pub fn documents(text: &[u8]) -> (Vec<Tree>, Option<Broken>) {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_reader_input_bytes: Some(TEXT_BYTES_MAX as usize),
            max_depth: DEPTH_MAX,
            max_nodes: NODES_MAX,
            max_events: 2 * NODES_MAX,
            max_documents: DOCUMENTS_MAX,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: REPEATED_MAX },
        with_snippet: false,
    };
    let mut trees = Vec::new();
    let mut unread = text;
    for document in serde_saphyr::read_with_options::<_, Tree>(&mut unread, options) {
        match document {
            Ok(tree) => trees.push(tree),
            Err(error) => return (trees, Some(not_utf8(text).unwrap_or_else(|| broken(&error)))),
        }
    }
    (trees, None)
}

/// That a text which cannot be read is not UTF-8, and where; UTF-16 with its mark is read.
fn not_utf8(text: &[u8]) -> Option<Broken> {
    if text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff") {
        return None;
    }
    let place = std::str::from_utf8(text).err()?.valid_up_to();
    let line = 1 + text[..place].iter().filter(|byte| **byte == b'\n').count() as u32;
    let message = format!("not UTF-8: byte {} of the text is 0x{:02x}", place + 1, text[place]);
    Some(Broken { line, message })
}

fn broken(error: &serde_saphyr::Error) -> Broken {
    let message = UserMessageFormatter.format_message(error).into_owned();
    Broken { line: error.location().map_or(0, line), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_not_utf8_is_told_with_its_byte_and_line() {
        let (trees, broken) = documents(b"a: b\nc: K\xf6ln\n");
        assert_eq!(trees.len(), 0);
        let message = "not UTF-8: byte 10 of the text is 0xf6".to_owned();
        assert_eq!(broken, Some(Broken { line: 2, message }));
        assert_eq!(documents("a: Köln\n".as_bytes()).1, None);
    }
}
