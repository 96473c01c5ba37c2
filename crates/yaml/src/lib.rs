//! YAML texts (and so JSON) as trees that know their lines.
//!
//! In: a text that somebody wrote. Out: one [`Tree`] a document, and where the text is broken. What a document means is for
//! its readers: manifests in `resources`, an `EndpointPickerConfig` in `scheduling`.
//! Never: a panic, or more memory than the limits allow, however the text is made.

mod document;
mod duration;
mod near;
mod tree;

pub use document::{Broken, TEXT_BYTES_MAX, documents};
pub use duration::duration;
pub use near::{SLIPS_MAX, nearest};
pub use tree::{Entry, FieldPath, Step, Tree, Value, shorten};
