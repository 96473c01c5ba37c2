//! What `check` and the log say about a manifest.

use crate::rules::effect_of;
use crate::{Effect, Origin};
use std::sync::Arc;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Served, but probably not what was meant.
    Warning,
    /// The API server would refuse the object, or it cannot be used.
    Error,
}

impl Severity {
    /// Its name: `error` or `warning`.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// Something worth telling about a manifest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where it stands.
    pub origin: Origin,
    /// How bad it is.
    pub severity: Severity,
    /// The rule that is broken, a stable name for machines in kebab case: `unknown-field`.
    pub code: &'static str,
    /// The object, as `Kind namespace/name`; empty if it could not be read so far.
    pub object: Arc<str>,
    /// The field, as `spec.rules[0].backendRefs[0].kind`; empty if it is the object as a whole.
    pub field: String,
    /// What is wrong, with the values, and what to do.
    pub message: String,
}

impl Finding {
    /// About a file or a folder as a whole.
    pub(crate) fn of_file(origin: Origin, code: &'static str, message: impl Into<String>) -> Finding {
        let severity = effect_of(code).severity();
        Finding { origin, severity, code, object: "".into(), field: String::new(), message: message.into() }
    }

    /// What becomes of what it is about.
    pub fn effect(&self) -> Effect {
        effect_of(self.code)
    }
}
