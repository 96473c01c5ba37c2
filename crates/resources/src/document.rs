//! The documents of a text.
//!
//! In: YAML or JSON, many documents, some of them a `List`. Out: one [`Tree`] per object, and where the text is broken.
//! Never: a panic, or more memory than the limits allow.

use crate::tree::{Tree, Value, line};
use serde_saphyr::{MessageFormatter, UserMessageFormatter};

/// The largest text: etcd takes 1.5 MiB per object, and a file holds several.
pub(crate) const TEXT_BYTES_MAX: u64 = 8 * 1024 * 1024;
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
pub(crate) struct Broken {
    pub(crate) line: u32,
    pub(crate) message: String,
}

/// The objects of a text up to where it is broken.
pub(crate) fn documents(text: &[u8]) -> (Vec<Tree>, Option<Broken>) {
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
    let mut objects = Vec::new();
    let mut text = text;
    for document in serde_saphyr::read_with_options::<_, Tree>(&mut text, options) {
        match document {
            Ok(tree) => unfold(tree, &mut objects),
            Err(error) => return (objects, Some(broken(&error))),
        }
    }
    (objects, None)
}

fn broken(error: &serde_saphyr::Error) -> Broken {
    let message = UserMessageFormatter.format_message(error).into_owned();
    Broken { line: error.location().map_or(0, line), message }
}

/// A `List` stands for its items.
fn unfold(tree: Tree, objects: &mut Vec<Tree>) {
    let is_list = tree.text("apiVersion") == Some("v1") && tree.text("kind") == Some("List");
    if !is_list {
        objects.push(tree);
        return;
    }
    let Value::Map(entries) = tree.value else { return };
    for entry in entries.into_iter().filter(|entry| entry.name == "items") {
        if let Value::List(items) = entry.value.value {
            objects.extend(items);
        }
    }
}
