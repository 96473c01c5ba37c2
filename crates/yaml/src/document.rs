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
    let mut text = text;
    for document in serde_saphyr::read_with_options::<_, Tree>(&mut text, options) {
        match document {
            Ok(tree) => trees.push(tree),
            Err(error) => return (trees, Some(broken(&error))),
        }
    }
    (trees, None)
}

fn broken(error: &serde_saphyr::Error) -> Broken {
    let message = UserMessageFormatter.format_message(error).into_owned();
    Broken { line: error.location().map_or(0, line), message }
}
