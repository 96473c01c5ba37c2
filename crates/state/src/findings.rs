//! What compiling has to tell about the manifests.

use resources::{Finding, Meta, Severity};

/// What was found, without end only in the number of objects.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Finding>);

/// A finding about an object, without its message.
pub(crate) fn about(meta: &Meta, kind: &str, severity: Severity, code: &'static str) -> Finding {
    Finding {
        origin: meta.origin.clone(),
        severity,
        code,
        object: format!("{kind} {}", meta.name).into(),
        field: String::new(),
        message: String::new(),
    }
}

impl Findings {
    pub(crate) fn push(&mut self, finding: Finding, message: String) {
        self.0.push(Finding { message, ..finding });
    }

    pub(crate) fn push_field(&mut self, finding: Finding, field: String, message: String) {
        self.0.push(Finding { field, message, ..finding });
    }

    pub(crate) fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.0.extend(findings);
    }

    /// Each once (a route attached to two listeners is compiled twice), in the order of files and lines.
    pub(crate) fn into_sorted(mut self) -> Vec<Finding> {
        self.0.sort_unstable();
        self.0.dedup();
        self.0
    }
}
