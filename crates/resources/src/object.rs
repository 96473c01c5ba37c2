//! What every object has.

use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::path::Path;
use std::sync::Arc;

/// The namespace of an object that names none.
pub const NAMESPACE_DEFAULT: &str = "default";

/// Labels or annotations.
pub type Labels = BTreeMap<String, String>;

/// `namespace/name` of an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// The namespace; a missing one is `default`; empty for kinds that have none (GatewayClass, Namespace).
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
}

impl ObjectName {
    /// `namespace/name`.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> ObjectName {
        ObjectName { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.namespace {
            "" => f.write_str(&self.name),
            namespace => write!(f, "{namespace}/{}", self.name),
        }
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

/// `file:line`, or the file alone where there is no line.
impl Display for Origin {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.file.display()),
            line => write!(f, "{}:{line}", self.file.display()),
        }
    }
}

impl Origin {
    /// Of an object that came over the wire.
    pub fn kubernetes() -> Origin {
        Origin { file: Path::new("kubernetes").into(), line: 0 }
    }
}

/// `metadata`, as far as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Who it is.
    pub name: ObjectName,
    /// `metadata.uid`.
    pub uid: Option<Arc<str>>,
    /// `metadata.labels`.
    pub labels: Labels,
    /// `metadata.annotations`.
    pub annotations: Labels,
    /// `metadata.creationTimestamp`, seconds since 1970; `None` from a file that has none. Ties go by name.
    pub created: Option<i64>,
    /// `metadata.deletionTimestamp` is set: the object is being deleted.
    pub deleting: bool,
    /// Where it was declared.
    pub origin: Origin,
}

impl Meta {
    /// Orders objects from the oldest to the youngest: those without a creation time first, ties by name.
    pub fn by_age(&self, other: &Meta) -> std::cmp::Ordering {
        self.created.cmp(&other.created).then_with(|| self.name.cmp(&other.name))
    }
}

/// `metadata` on the wire.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMeta {
    name: Arc<str>,
    namespace: Option<Arc<str>>,
    uid: Option<Arc<str>>,
    #[serde(default, deserialize_with = "null_is_default")]
    labels: Labels,
    #[serde(default, deserialize_with = "null_is_default")]
    annotations: Labels,
    creation_timestamp: Option<jiff::Timestamp>,
    deletion_timestamp: Option<jiff::Timestamp>,
}

impl<'de> Deserialize<'de> for Meta {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Meta, D::Error> {
        let wire = WireMeta::deserialize(deserializer)?;
        let namespace = wire.namespace.filter(|namespace| !namespace.is_empty());
        Ok(Meta {
            name: ObjectName::new(namespace.unwrap_or_else(|| NAMESPACE_DEFAULT.into()), wire.name),
            uid: wire.uid,
            labels: wire.labels,
            annotations: wire.annotations,
            created: wire.creation_timestamp.map(|at| at.as_second()),
            deleting: wire.deletion_timestamp.is_some(),
            origin: Origin::kubernetes(),
        })
    }
}

/// `null` where a list or a map may stand means the empty one, as for the API server.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A kind of object that is read.
pub trait Object: for<'de> Deserialize<'de> {
    /// Its `kind`.
    const KIND: &'static str;
    /// Its `metadata`.
    fn meta(&self) -> &Meta;
    /// Its `metadata`, to say where it was declared.
    fn meta_mut(&mut self) -> &mut Meta;
}

/// Says that a struct with a field `meta` is an [`Object`] of a kind.
macro_rules! objects {
    ($($kind:literal => $object:ty),+ $(,)?) => {$(
        impl $crate::object::Object for $object {
            const KIND: &'static str = $kind;
            fn meta(&self) -> &$crate::object::Meta {
                &self.meta
            }
            fn meta_mut(&mut self) -> &mut $crate::object::Meta {
                &mut self.meta
            }
        }
    )+};
}
pub(crate) use objects;
