//! Objects that are written and refused.
//!
//! In: the files as they stand. Out: where an object that seems to be missing is declared, so that what refers to it is told
//! the truth; and second declarations of one object of which one is refused.

use crate::file::{Declared, File};
use crate::finding::Finding;
use crate::object::{ObjectName, Origin};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is refused.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    /// By what findings call them: `Kind namespace/name`.
    objects: BTreeMap<Arc<str>, Origin>,
    /// Where the first text is broken: what stands below is not known.
    unread: Option<Origin>,
}

impl Refused {
    pub(crate) fn of<'f>(files: impl IntoIterator<Item = &'f File>) -> Refused {
        let mut refused = Refused::default();
        for file in files {
            for object in file.objects.iter().filter(|object| object.typed.is_none()) {
                refused.objects.entry(Arc::clone(&object.shown)).or_insert_with(|| object.origin.clone());
            }
            let unread = file.findings.iter().find(|finding| finding.code == "not-yaml");
            refused.unread = refused.unread.or_else(|| unread.map(|finding| finding.origin.clone()));
        }
        refused
    }

    /// Why an object that is not found may be declared all the same.
    pub(crate) fn why_missing(&self, kind: &str, name: &ObjectName) -> Option<String> {
        if let Some(origin) = self.objects.get(&*format!("{kind} {name}")) {
            return Some(format!("{kind} `{name}` is declared in {origin}, but refused there"));
        }
        let unread = self.unread.as_ref()?;
        Some(format!("no {kind} `{name}` among what can be read; it may stand in {unread}, which is broken"))
    }

    /// Whether an object of this kind may be declared and missing only because it is refused.
    pub(crate) fn has(&self, kind: &str) -> bool {
        self.unread.is_some() || self.objects.keys().any(|shown| shown.split(' ').next() == Some(kind))
    }
}

/// Second declarations of an object of which one is refused: those of good ones are found when they meet.
pub(crate) fn duplicates<'f>(files: impl IntoIterator<Item = &'f File>) -> Vec<Finding> {
    let mut written: BTreeMap<String, Vec<&Declared>> = BTreeMap::new();
    for object in files.into_iter().flat_map(|file| &file.objects) {
        if let Some(identity) = object.identity() {
            written.entry(identity).or_default().push(object);
        }
    }
    let mut findings = Vec::new();
    for objects in written.values() {
        let (first, rest) = objects.split_first().expect("what is written is written once at least");
        for second in rest.iter().filter(|second| first.typed.is_none() || second.typed.is_none()) {
            findings.extend(second.is_a_second(&first.origin));
        }
    }
    findings
}
