//! The kinds that are read, and how a document becomes an object.
//!
//! In: `apiVersion` and `kind`. Out: the [`Kind`], or why there is none; from it the fields and rules of `check`, and the
//! typed object.

use crate::core_v1::{ConfigMap, EndpointSlice, Namespace, Pod, Secret, Service};
use crate::gateway::{Gateway, GatewayClass};
use crate::http_route::HttpRoute;
use crate::inference_model::{InferenceModel, InferenceModelRewrite, InferenceObjective};
use crate::inference_pool::{InferencePool, InferencePoolV1, InferencePoolV1Alpha2};
use crate::object::{Meta, Object, Origin};
use crate::reference_grant::ReferenceGrant;
use crate::schema::{self, Field, Rules};
use crate::{GATEWAY_GROUP, INFERENCE_GROUP, INFERENCE_X_GROUP, Store};
use std::collections::btree_map;
use std::sync::Arc;
use yaml::{FieldPath, SLIPS_MAX, Step};

/// A kind that is read.
pub(crate) struct Kind {
    pub(crate) group: &'static str,
    /// The versions that are read, the recommended one first.
    pub(crate) versions: &'static [&'static str],
    /// Those of them that the API is about to drop.
    pub(crate) deprecated: &'static [&'static str],
    pub(crate) name: &'static str,
    pub(crate) scope: Scope,
    /// All its fields but `apiVersion`, `kind` and `metadata`.
    pub(crate) fields: &'static [Field],
    /// What the fields have to do with each other.
    pub(crate) rules: Rules,
    read: fn(serde_json::Value, Origin) -> Result<AnyObject, Unreadable>,
}

/// Whether objects of a kind have a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Cluster,
    Namespaced,
}

/// A document does not have the shape of its kind.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) path: FieldPath,
    pub(crate) message: String,
}

/// What `apiVersion` and `kind` say.
pub(crate) enum Named {
    /// This kind.
    Known(&'static Kind),
    /// A kind that is nothing to us.
    Other,
    /// Something that is probably a slip of the pen: the message names what was meant.
    Unknown(String),
}

impl Kind {
    /// Reads a document of this kind.
    pub(crate) fn read(&self, json: serde_json::Value, origin: Origin) -> Result<AnyObject, Unreadable> {
        let mut object = (self.read)(json, origin)?;
        if self.scope == Scope::Cluster {
            object.meta_mut().name.namespace = "".into();
        }
        Ok(object)
    }

    /// `group/version`.
    pub(crate) fn api_version(&self) -> String {
        match self.group {
            "" => self.versions[0].to_owned(),
            group => format!("{group}/{}", self.versions[0]),
        }
    }
}

/// The kind of a document.
pub(crate) fn kind_of(api_version: &str, kind: &str) -> Named {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    if let Some(known) = KINDS.iter().find(|known| known.group == group && known.name == kind) {
        return match known.versions.contains(&version) {
            true => Named::Known(known),
            false => Named::Unknown(format!(
                "apiVersion `{api_version}` of {kind} is not read here; write `{}`",
                known.api_version()
            )),
        };
    }
    if NOT_READ.contains(&kind) {
        return Named::Other;
    }
    let near = |known: &&Kind| {
        let slips = strsim::levenshtein(known.group, group) + strsim::levenshtein(known.name, kind);
        let same_family = known.group == group || known.name == kind;
        let other_case = known.name.eq_ignore_ascii_case(kind);
        same_family && !group.is_empty() && slips <= SLIPS_MAX || other_case && known.group == group
    };
    match KINDS.iter().find(near) {
        Some(known) => Named::Unknown(format!(
            "no kind `{kind}` in apiVersion `{api_version}`; did you mean `{}` in `{}`?",
            known.name,
            known.api_version()
        )),
        None => Named::Other,
    }
}

/// Kinds of the groups above that are right as they are and nothing to us.
const NOT_READ: &[&str] = &[
    "BackendTLSPolicy",
    "GRPCRoute",
    "InferencePoolImport",
    "ListenerSet",
    "TCPRoute",
    "TLSRoute",
    "UDPRoute",
    "XBackendTrafficPolicy",
    "XListenerSet",
    "XMesh",
];

/// An object of any kind, a place for it in the [`Store`], and its row in [`KINDS`].
macro_rules! kinds {
    ($($variant:ident in $map:ident,)+) => {
        /// An object of any kind that is read.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub(crate) enum AnyObject {
            InferencePool(Arc<InferencePool>),
            $($variant(Arc<$variant>),)+
        }

        impl AnyObject {
            /// Its `metadata`.
            pub(crate) fn meta(&self) -> &Meta {
                match self {
                    AnyObject::InferencePool(object) => &object.meta,
                    $(AnyObject::$variant(object) => &object.meta,)+
                }
            }

            fn meta_mut(&mut self) -> &mut Meta {
                match self {
                    AnyObject::InferencePool(object) => &mut Arc::make_mut(object).meta,
                    $(AnyObject::$variant(object) => &mut Arc::make_mut(object).meta,)+
                }
            }

            /// Puts it into a store; gives the origin of the object that has its place already.
            pub(crate) fn put(&self, store: &mut Store) -> Result<(), Origin> {
                let name = self.meta().name.clone();
                match self {
                    AnyObject::InferencePool(object) => {
                        put(&mut store.inference_pools, (object.version, name), object, |o| &o.meta)
                    }
                    $(AnyObject::$variant(object) => put(&mut store.$map, name, object, |o| &o.meta),)+
                }
            }
        }

        $(impl From<$variant> for AnyObject {
            fn from(object: $variant) -> AnyObject {
                AnyObject::$variant(Arc::new(object))
            }
        })+
    };
}

kinds! {
    ConfigMap in config_maps,
    EndpointSlice in endpoint_slices,
    Gateway in gateways,
    GatewayClass in gateway_classes,
    HttpRoute in http_routes,
    InferenceModel in inference_models,
    InferenceModelRewrite in inference_model_rewrites,
    InferenceObjective in inference_objectives,
    Namespace in namespaces,
    Pod in pods,
    ReferenceGrant in reference_grants,
    Secret in secrets,
    Service in services,
}

impl From<InferencePoolV1> for AnyObject {
    fn from(pool: InferencePoolV1) -> AnyObject {
        AnyObject::InferencePool(Arc::new(pool.into()))
    }
}

impl From<InferencePoolV1Alpha2> for AnyObject {
    fn from(pool: InferencePoolV1Alpha2) -> AnyObject {
        AnyObject::InferencePool(Arc::new(pool.into()))
    }
}

/// Puts an object at its place unless it is taken.
fn put<K: Ord, T>(
    map: &mut btree_map::BTreeMap<K, Arc<T>>,
    key: K,
    object: &Arc<T>,
    meta: fn(&T) -> &Meta,
) -> Result<(), Origin> {
    match map.entry(key) {
        btree_map::Entry::Vacant(place) => {
            place.insert(object.clone());
            Ok(())
        }
        btree_map::Entry::Occupied(first) => Err(meta(first.get()).origin.clone()),
    }
}

/// Reads a document as a `T`.
fn read<T: Object + Into<AnyObject>>(
    json: serde_json::Value,
    origin: Origin,
) -> Result<AnyObject, Unreadable> {
    let mut object: T = serde_path_to_error::deserialize(json)
        .map_err(|error| Unreadable { path: field_path(error.path()), message: error.inner().to_string() })?;
    object.meta_mut().origin = origin;
    Ok(object.into())
}

fn field_path(path: &serde_path_to_error::Path) -> FieldPath {
    use serde_path_to_error::Segment;
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Map { key } => Some(Step::Field(key.clone())),
        Segment::Enum { .. } | Segment::Unknown => None,
    };
    FieldPath(path.iter().filter_map(step).collect())
}

/// A kind of which nothing but the fields has to be said.
const fn kind(group: &'static str, name: &'static str, fields: &'static [Field]) -> KindWithoutReader {
    KindWithoutReader { group, name, fields }
}

/// A row of [`KINDS`] that still lacks its type.
struct KindWithoutReader {
    group: &'static str,
    name: &'static str,
    fields: &'static [Field],
}

impl KindWithoutReader {
    const fn read_as<T: Object + Into<AnyObject>>(self) -> Kind {
        Kind {
            group: self.group,
            versions: &["v1"],
            deprecated: &[],
            name: self.name,
            scope: Scope::Namespaced,
            fields: self.fields,
            rules: schema::no_rules,
            read: read::<T>,
        }
    }
}

impl Kind {
    const fn versions(self, versions: &'static [&'static str], deprecated: &'static [&'static str]) -> Kind {
        Kind { versions, deprecated, ..self }
    }

    const fn of_the_cluster(self) -> Kind {
        Kind { scope: Scope::Cluster, ..self }
    }

    const fn rules(self, rules: Rules) -> Kind {
        Kind { rules, ..self }
    }
}

/// Every kind that is read.
pub(crate) static KINDS: &[Kind] = &[
    kind(GATEWAY_GROUP, "GatewayClass", schema::gateway_class::FIELDS)
        .read_as::<GatewayClass>()
        .versions(&["v1", "v1beta1"], &["v1beta1"])
        .of_the_cluster(),
    kind(GATEWAY_GROUP, "Gateway", schema::gateway::FIELDS)
        .read_as::<Gateway>()
        .versions(&["v1", "v1beta1"], &["v1beta1"])
        .rules(schema::gateway::rules),
    kind(GATEWAY_GROUP, "HTTPRoute", schema::http_route::FIELDS)
        .read_as::<HttpRoute>()
        .versions(&["v1", "v1beta1"], &["v1beta1"])
        .rules(schema::http_route_rules::rules),
    kind(GATEWAY_GROUP, "ReferenceGrant", schema::reference_grant::FIELDS)
        .read_as::<ReferenceGrant>()
        .versions(&["v1", "v1beta1"], &[]),
    kind(INFERENCE_GROUP, "InferencePool", schema::inference_pool::FIELDS)
        .read_as::<InferencePoolV1>()
        .rules(schema::inference_pool::rules),
    kind(INFERENCE_X_GROUP, "InferencePool", schema::inference_pool_v1alpha2::FIELDS)
        .read_as::<InferencePoolV1Alpha2>()
        .versions(&["v1alpha2"], &[]),
    kind(INFERENCE_X_GROUP, "InferenceModel", schema::inference_model::FIELDS)
        .read_as::<InferenceModel>()
        .versions(&["v1alpha2"], &[])
        .rules(schema::inference_model::rules),
    kind(INFERENCE_X_GROUP, "InferenceObjective", schema::inference_objective::FIELDS)
        .read_as::<InferenceObjective>()
        .versions(&["v1alpha2"], &[]),
    kind(INFERENCE_X_GROUP, "InferenceModelRewrite", schema::inference_model_rewrite::FIELDS)
        .read_as::<InferenceModelRewrite>()
        .versions(&["v1alpha2"], &[]),
    kind("", "ConfigMap", schema::config_map::FIELDS).read_as::<ConfigMap>(),
    kind("", "Namespace", schema::namespace::FIELDS).read_as::<Namespace>().of_the_cluster(),
    kind("", "Pod", schema::pod::FIELDS).read_as::<Pod>(),
    kind("", "Secret", schema::secret::FIELDS).read_as::<Secret>(),
    kind("", "Service", schema::service::FIELDS).read_as::<Service>().rules(schema::service::rules),
    kind("discovery.k8s.io", "EndpointSlice", schema::endpoint_slice::FIELDS)
        .read_as::<EndpointSlice>()
        .rules(schema::endpoint_slice::rules),
];
