//! What `check` and the log say about a manifest.

use crate::Origin;
use std::sync::Arc;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Served, but probably not what was meant.
    Warning,
    /// The API server would refuse the object, or it cannot be used.
    Error,
}

/// Something worth telling about a manifest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where it stands.
    pub origin: Origin,
    /// How bad it is.
    pub severity: Severity,
    /// A stable name for machines, in kebab case: `unknown-field`.
    pub code: &'static str,
    /// The object, as `Kind namespace/name`; empty if it could not be read so far.
    pub object: Arc<str>,
    /// The field, as `spec.rules[0].backendRefs[0].kind`; empty if it is the object as a whole.
    pub field: String,
    /// What is wrong, with the values, and what to do.
    pub message: String,
}
