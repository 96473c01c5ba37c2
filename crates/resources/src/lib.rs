//! What people declare: the API types, their validation, and the sources they come from.
//!
//! In: a folder of manifests, files, or stdin (later: the Kubernetes API). Out: a [`Store`] of typed objects, and
//! [`Finding`]s with file, line and field. Only the fields that are read are kept; unknown ones are tolerated when
//! serving and named by `check`. The types have the names and the shape of the wire.
//! Source: Gateway API v1.6, Gateway API Inference Extension v0.5.1 to v1.6.

mod attachment;
mod backend;
mod base_model;
mod core_v1;
mod document;
mod duration;
mod endpoints;
mod file;
mod finding;
mod folder;
mod gateway;
mod http_route;
mod inference_model;
mod inference_pool;
mod kinds;
mod object;
mod pattern;
mod places;
mod reference_grant;
mod references;
mod refused;
mod report;
mod rules;
mod schema;
mod store;
mod watch;

pub use attachment::{Attached, CONTROLLER_NAME, ServedListener, listeners, takes};
pub use backend::{Dangling, DeclaredBackend};
pub use base_model::{BaseModel, NoBaseModel};
pub use core_v1::{
    ACTIVE_PORTS_ANNOTATION, AddressType, ConfigMap, EndpointConditions, EndpointSlice, Namespace, Pod,
    PodCondition, PodStatus, PortOrName, SERVICE_NAME_LABEL, Secret, Service, ServicePort, ServiceSpec,
    SliceEndpoint, SlicePort, TargetRef,
};
pub use duration::{NotADuration, durations, parse_duration};
pub use endpoints::{PickedBy, SlicedEndpoint};
pub use finding::{Finding, Severity};
pub use folder::{Folder, Load, check, check_text};
pub use gateway::{
    AllowedRoutes, FromNamespaces, Gateway, GatewayClass, GatewayClassSpec, GatewayListener, GatewaySpec,
    Infrastructure, LabelExpression, LabelOperator, LabelSelector, ListenerTls, ParametersRef, Protocol,
    RouteKind, RouteNamespaces, SecretRef, TlsMode, has_labels,
};
pub use http_route::{
    BackendKind, BackendRef, BackendTarget, Cors, Filter, Fraction, HeaderModifier, HeaderValue, HttpRoute,
    HttpRouteMatch, HttpRouteRule, HttpRouteSpec, Mirror, NamedMatch, ParentRef, PathMatch, PathModifier,
    Redirect, Retry, Timeouts, UrlRewrite, ValueMatch,
};
pub use inference_model::{
    Criticality, InferenceModel, InferenceModelRewrite, InferenceModelRewriteSpec, InferenceModelSpec,
    InferenceObjective, InferenceObjectiveSpec, RewriteRule, WeightedModel,
};
pub use inference_pool::{AppProtocol, EndpointPickerRef, FailureMode, InferencePool, PoolRef, PoolVersion};
pub use object::{Labels, Meta, NAMESPACE_DEFAULT, Object, ObjectName, Origin};
pub use pattern::anchored;
pub use places::Places;
pub use reference_grant::{GrantFrom, GrantTo, ReferenceGrant, ReferenceGrantSpec};
pub use references::Audience;
pub use rules::{Effect, reference};
pub use store::{Grant, Objects, Reference, Store};
pub use watch::Watch;
pub use yaml::{FieldPath, field};

/// The API group of Gateway, HTTPRoute and ReferenceGrant.
pub const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";
/// The API group of InferencePool v1.
pub const INFERENCE_GROUP: &str = "inference.networking.k8s.io";
/// The API group of InferencePool v1alpha2, InferenceModel, InferenceObjective and InferenceModelRewrite.
pub const INFERENCE_X_GROUP: &str = "inference.networking.x-k8s.io";
