//! What `check` says about manifests: what is wrong with each object, and with what they refer to.
//!
//! In: paths. Out: findings, in the order of files and lines.

use crate::finding::Finding;
use crate::folder::Folder;
use crate::references;
use std::path::PathBuf;

/// Checks folders, files and, as `-`, stdin.
pub fn check(paths: &[PathBuf]) -> Vec<Finding> {
    let mut folder = Folder::new(paths);
    let load = folder.load();
    let mut findings = load.findings;
    findings.extend(references::check(&load.store, &folder.trees()));
    findings.sort();
    findings.dedup();
    findings
}
