//! What compiling has to tell besides what is wrong with the manifests: what only a running process knows.

use resources::{FieldPath, Finding, Meta, Places};
use std::collections::BTreeSet;

/// What was found, each once, without end only in the number of objects.
#[derive(Debug)]
pub(crate) struct Findings<'p> {
    places: &'p Places,
    found: BTreeSet<Finding>,
}

impl<'p> Findings<'p> {
    /// What was found before, and where things stand.
    pub(crate) fn new(before: &[Finding], places: &'p Places) -> Findings<'p> {
        Findings { places, found: before.iter().cloned().collect() }
    }

    /// That a field of an object breaks a rule.
    pub(crate) fn tell(
        &mut self,
        code: &'static str,
        object: (&str, &Meta),
        at: &FieldPath,
        message: String,
    ) {
        self.found.extend(self.places.finding(object, code, at, message));
    }

    /// In the order of files and lines.
    pub(crate) fn into_sorted(self) -> Vec<Finding> {
        self.found.into_iter().collect()
    }
}
