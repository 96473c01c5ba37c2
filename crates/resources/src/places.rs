//! Where the fields of objects stand.
//!
//! In: an object's origin. Out: the document that it was read from, so that a finding has its very line.

use crate::finding::Finding;
use crate::object::{Meta, Origin};
use crate::report::Report;
use std::collections::BTreeMap;
use std::sync::Arc;
use yaml::{FieldPath, Tree};

/// The objects as they were written, by where they stand. Two are equal if every document is the very same.
#[derive(Debug, Clone, Default)]
pub struct Places(BTreeMap<Origin, Arc<Tree>>);

impl Places {
    pub(crate) fn add(&mut self, origin: Origin, tree: Arc<Tree>) {
        self.0.insert(origin, tree);
    }

    /// Which they are.
    fn documents(&self) -> impl Iterator<Item = (&Origin, *const Tree)> {
        self.0.iter().map(|(origin, tree)| (origin, Arc::as_ptr(tree)))
    }

    /// Findings about one object.
    pub(crate) fn report(&self, kind: &str, meta: &Meta) -> Report<'_> {
        let tree = self.0.get(&meta.origin).map(|tree| &**tree);
        Report::new(meta.origin.clone(), format!("{kind} {}", meta.name).into(), tree)
    }

    /// That a field of an object breaks a rule that only a running process can check.
    pub fn finding(
        &self,
        (kind, meta): (&str, &Meta),
        code: &'static str,
        at: &FieldPath,
        message: String,
    ) -> Vec<Finding> {
        let mut report = self.report(kind, meta);
        report.tell(code, at, message);
        report.findings
    }
}

impl PartialEq for Places {
    fn eq(&self, other: &Places) -> bool {
        self.documents().eq(other.documents())
    }
}

impl Eq for Places {}
