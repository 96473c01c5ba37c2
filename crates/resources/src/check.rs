//! What `check` says about manifests: what is wrong with each object, and with what they refer to.
//!
//! In: paths. Out: findings, in the order of files and lines.

use crate::file::read_file;
use crate::finding::Finding;
use crate::folder::{Folder, Load};
use crate::references::{self, Trees};
use std::path::{Path, PathBuf};

/// Checks folders, files and, as `-`, stdin.
pub fn check(paths: &[PathBuf]) -> Vec<Finding> {
    let mut folder = Folder::new(paths);
    let load = folder.load();
    with_references(load, &folder.trees())
}

/// Checks a text as if it were a file of this name.
pub fn check_text(file: &Path, text: &[u8]) -> Vec<Finding> {
    let file = read_file(&file.into(), text);
    with_references(Load::of([(&file, &file)]), &file.trees().collect())
}

fn with_references(load: Load, trees: &Trees<'_>) -> Vec<Finding> {
    let mut findings = load.findings;
    findings.extend(references::check(&load.store, trees));
    findings.sort();
    findings.dedup();
    findings
}
