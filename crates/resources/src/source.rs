//! Where manifests come from when there is no API server: folders, files and stdin.
//!
//! In: paths. Out: a [`Load`]: a [`Store`] and what was wrong with the manifests.

use crate::{Finding, Store};
use std::path::PathBuf;

/// Folders (their `*.yaml`, `*.yml` and `*.json`, not those of folders within), files, and `-` for stdin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What was given, in this order.
    pub paths: Vec<PathBuf>,
}

/// What a source holds at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Load {
    /// The objects that can be used.
    pub store: Store,
    /// What was wrong, in the order of files and lines. An object with an error is not in the store.
    pub findings: Vec<Finding>,
}
