//! Collects findings about one object, each with its line.

use crate::finding::{Finding, Severity};
use crate::object::Origin;
use std::sync::Arc;
use yaml::{FieldPath, Tree};

/// Findings of one object are cut here: a file of nothing but mistakes must not flood the log.
const FINDINGS_MAX: usize = 200;

/// What is wrong with one object.
pub(crate) struct Report<'t> {
    origin: Origin,
    object: Arc<str>,
    tree: &'t Tree,
    has_errors: bool,
    pub(crate) findings: Vec<Finding>,
}

impl<'t> Report<'t> {
    pub(crate) fn new(origin: Origin, object: Arc<str>, tree: &'t Tree) -> Report<'t> {
        Report { origin, object, tree, has_errors: false, findings: Vec::new() }
    }

    /// Where the object stands.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.has_errors
    }

    pub(crate) fn error(&mut self, code: &'static str, path: &FieldPath, message: impl Into<String>) {
        self.add(Severity::Error, code, path, message.into());
    }

    pub(crate) fn warning(&mut self, code: &'static str, path: &FieldPath, message: impl Into<String>) {
        self.add(Severity::Warning, code, path, message.into());
    }

    fn add(&mut self, severity: Severity, code: &'static str, path: &FieldPath, message: String) {
        self.has_errors |= severity == Severity::Error;
        if self.findings.len() == FINDINGS_MAX {
            return;
        }
        let origin = Origin { line: self.tree.line_of(path), ..self.origin.clone() };
        let object = self.object.clone();
        self.findings.push(Finding { origin, severity, code, object, field: path.to_string(), message });
    }
}
