//! Collects findings about one object, each with its line.

use crate::finding::{Finding, Severity};
use crate::object::Origin;
use crate::rules::effect_of;
use std::sync::Arc;
use yaml::{FieldPath, Tree};

/// Findings of one object are cut here: a file of nothing but mistakes must not flood the log.
const FINDINGS_MAX: usize = 200;

/// What is wrong with one object.
pub(crate) struct Report<'t> {
    origin: Origin,
    object: Arc<str>,
    /// As it was written; none of an object that came over the wire.
    tree: Option<&'t Tree>,
    has_errors: bool,
    pub(crate) findings: Vec<Finding>,
}

impl<'t> Report<'t> {
    pub(crate) fn new(origin: Origin, object: Arc<str>, tree: Option<&'t Tree>) -> Report<'t> {
        Report { origin, object, tree, has_errors: false, findings: Vec::new() }
    }

    /// Where the object stands.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.has_errors
    }

    /// That a field breaks a rule of the table in `rules`.
    pub(crate) fn tell(&mut self, code: &'static str, path: &FieldPath, message: impl Into<String>) {
        let severity = effect_of(code).severity();
        self.has_errors |= severity == Severity::Error;
        if self.findings.len() == FINDINGS_MAX {
            return;
        }
        let line = self.tree.map_or(self.origin.line, |tree| tree.line_of(path));
        let origin = Origin { line, ..self.origin.clone() };
        let (object, field) = (self.object.clone(), path.to_string());
        self.findings.push(Finding { origin, severity, code, object, field, message: message.into() });
    }
}
