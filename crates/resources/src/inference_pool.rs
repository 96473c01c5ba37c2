//! InferencePool: `inference.networking.k8s.io/v1` and `inference.networking.x-k8s.io/v1alpha2`, read into one type.

use crate::gateway::has_labels;
use crate::object::{Labels, Meta, ObjectName, null_is_default, objects};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

objects!("InferencePool" => InferencePoolV1, "InferencePool" => InferencePoolV1Alpha2);

/// The port of a v1alpha2 pool's endpoint picker that names none.
const ENDPOINT_PICKER_PORT_DEFAULT: u16 = 9002;

/// Which InferencePool: the two versions are of different API groups, so one name may have both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PoolVersion {
    /// `inference.networking.k8s.io/v1`.
    V1,
    /// `inference.networking.x-k8s.io/v1alpha2`.
    V1Alpha2,
}

impl PoolVersion {
    /// The version that lives in an API group.
    pub fn of_group(group: &str) -> Option<PoolVersion> {
        match group {
            crate::INFERENCE_GROUP => Some(PoolVersion::V1),
            crate::INFERENCE_X_GROUP => Some(PoolVersion::V1Alpha2),
            _ => None,
        }
    }

    /// Its API group.
    pub fn group(self) -> &'static str {
        match self {
            PoolVersion::V1 => crate::INFERENCE_GROUP,
            PoolVersion::V1Alpha2 => crate::INFERENCE_X_GROUP,
        }
    }
}

/// Endpoints that serve the same models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InferencePool {
    /// `metadata`.
    pub meta: Meta,
    /// Which of the two.
    pub version: PoolVersion,
    /// The labels of its endpoints, in the pool's namespace. Empty selects nothing.
    pub selector: Labels,
    /// The ports of each of its Pods: one endpoint each; 1 to 8, each once.
    pub target_ports: Vec<u16>,
    /// What the endpoints speak.
    pub app_protocol: AppProtocol,
    /// Who picks; none is the built-in picker.
    pub endpoint_picker: Option<EndpointPickerRef>,
}

impl InferencePool {
    /// Whether it selects an object with these labels in `namespace`.
    pub fn selects(&self, namespace: &str, labels: &Labels) -> bool {
        !self.selector.is_empty()
            && *self.meta.name.namespace == *namespace
            && has_labels(labels, &self.selector)
    }

    /// What is to be told of a pool that selects nothing which is ready.
    pub fn why_without_endpoints(&self) -> String {
        let labels: Vec<String> = self.selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!(
            "no Pod or EndpointSlice in namespace `{}` that is ready has the labels {}: the pool has no endpoint, its requests \
             get 503",
            self.meta.name.namespace,
            labels.join(", ")
        )
    }
}

/// What endpoints speak.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum AppProtocol {
    /// HTTP/1.1.
    #[default]
    #[serde(rename = "http")]
    Http,
    /// HTTP/2 without TLS.
    #[serde(rename = "kubernetes.io/h2c")]
    H2c,
}

/// Names a pool's endpoint picker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointPickerRef {
    /// Its API group; empty is core.
    pub group: String,
    /// Its kind: `Service`.
    pub kind: String,
    /// Its name; it is in the pool's namespace.
    pub name: Arc<str>,
    /// Its port; a v1alpha2 Service without one means 9002.
    pub port: Option<u16>,
    /// What becomes of requests while it does not answer.
    pub failure_mode: FailureMode,
}

/// What becomes of requests while the endpoint picker does not answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum FailureMode {
    /// They go to any endpoint.
    FailOpen,
    /// They are refused.
    #[default]
    FailClose,
}

/// `inference.networking.k8s.io/v1` on the wire.
#[derive(Deserialize)]
pub(crate) struct InferencePoolV1 {
    #[serde(rename = "metadata")]
    meta: Meta,
    spec: SpecV1,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SpecV1 {
    selector: SelectorV1,
    target_ports: Vec<PortV1>,
    #[serde(default, deserialize_with = "null_is_default")]
    app_protocol: AppProtocol,
    endpoint_picker_ref: Option<PickerV1>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SelectorV1 {
    match_labels: Labels,
}

#[derive(Deserialize)]
struct PortV1 {
    number: u16,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PickerV1 {
    #[serde(default)]
    group: String,
    kind: Option<String>,
    name: Arc<str>,
    port: Option<PortV1>,
    #[serde(default, deserialize_with = "null_is_default")]
    failure_mode: FailureMode,
}

impl From<InferencePoolV1> for InferencePool {
    fn from(InferencePoolV1 { meta, spec }: InferencePoolV1) -> InferencePool {
        let picker = |picker: PickerV1| EndpointPickerRef {
            group: picker.group,
            kind: picker.kind.unwrap_or_else(|| "Service".to_owned()),
            name: picker.name,
            port: picker.port.map(|port| port.number),
            failure_mode: picker.failure_mode,
        };
        InferencePool {
            meta,
            version: PoolVersion::V1,
            selector: spec.selector.match_labels,
            target_ports: spec.target_ports.into_iter().map(|port| port.number).collect(),
            app_protocol: spec.app_protocol,
            endpoint_picker: spec.endpoint_picker_ref.map(picker),
        }
    }
}

/// `inference.networking.x-k8s.io/v1alpha2` on the wire.
#[derive(Deserialize)]
pub(crate) struct InferencePoolV1Alpha2 {
    #[serde(rename = "metadata")]
    meta: Meta,
    spec: SpecV1Alpha2,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SpecV1Alpha2 {
    selector: BTreeMap<String, String>,
    target_port_number: u16,
    extension_ref: Option<PickerV1Alpha2>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PickerV1Alpha2 {
    #[serde(default)]
    group: String,
    kind: Option<String>,
    name: Arc<str>,
    port_number: Option<u16>,
    #[serde(default, deserialize_with = "null_is_default")]
    failure_mode: FailureMode,
}

impl From<InferencePoolV1Alpha2> for InferencePool {
    fn from(InferencePoolV1Alpha2 { meta, spec }: InferencePoolV1Alpha2) -> InferencePool {
        let picker = |picker: PickerV1Alpha2| {
            let kind = picker.kind.unwrap_or_else(|| "Service".to_owned());
            let inferred = (kind == "Service").then_some(ENDPOINT_PICKER_PORT_DEFAULT);
            EndpointPickerRef {
                group: picker.group,
                kind,
                name: picker.name,
                port: picker.port_number.or(inferred),
                failure_mode: picker.failure_mode,
            }
        };
        InferencePool {
            meta,
            version: PoolVersion::V1Alpha2,
            selector: spec.selector,
            target_ports: vec![spec.target_port_number],
            app_protocol: AppProtocol::Http,
            endpoint_picker: spec.extension_ref.map(picker),
        }
    }
}

/// Names the pool of a model, an objective or a rewrite.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PoolRef {
    /// Its API group; the default differs by the kind that refers.
    pub group: Option<String>,
    /// Its kind; none is `InferencePool`.
    pub kind: Option<String>,
    /// Its name; it is in the namespace of the object that refers.
    pub name: Arc<str>,
}

impl PoolRef {
    /// Whether it names a pool, `fallback` being the version of the group that goes without saying. An InferenceModel's
    /// group is not looked at by the reference picker, and so not here: it names the pools of either version.
    pub(crate) fn names(&self, namespace: &str, pool: &InferencePool, fallback: Option<PoolVersion>) -> bool {
        let version = self.group.as_deref().map_or(fallback, PoolVersion::of_group);
        let version_fits = fallback.is_none() || version == Some(pool.version);
        version_fits && self.is_of_pools() && pool.meta.name == ObjectName::new(namespace, self.name.clone())
    }

    /// Whether its kind is the pools'.
    pub(crate) fn is_of_pools(&self) -> bool {
        self.kind.as_deref().is_none_or(|kind| kind == "InferencePool")
    }
}
