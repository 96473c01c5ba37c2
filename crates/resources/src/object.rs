//! What every object has.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// `namespace/name` of an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// The namespace; a missing one is `default`.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Where an object or a field was declared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The file as given on the command line and below; `<stdin>`; or `kubernetes`.
    pub file: Arc<Path>,
    /// Line, from 1; 0 where there is none.
    pub line: u32,
}

/// `metadata`, as far as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Who it is.
    pub name: ObjectName,
    /// `metadata.uid`.
    pub uid: Option<Arc<str>>,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
    /// `metadata.creationTimestamp`, seconds since 1970; `None` from a file that has none. Ties go by name.
    pub created: Option<i64>,
    /// Where it was declared.
    pub origin: Origin,
}
