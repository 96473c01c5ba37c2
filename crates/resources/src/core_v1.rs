//! The kinds of Kubernetes itself: Service, EndpointSlice, Pod, ConfigMap, Secret, Namespace.

use crate::object::{Labels, Meta, null_is_default, objects};
use serde::{Deserialize, Deserializer};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

objects!(
    "Service" => Service,
    "EndpointSlice" => EndpointSlice,
    "Pod" => Pod,
    "ConfigMap" => ConfigMap,
    "Secret" => Secret,
    "Namespace" => Namespace,
);

/// The label of an EndpointSlice that names its Service.
pub const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// The annotation of a Pod that says which of its pool's ports it serves.
pub const ACTIVE_PORTS_ANNOTATION: &str = "inference.networking.k8s.io/active-ports";

/// A Service.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Service {
    /// `metadata`.
    #[serde(rename = "metadata")]
    pub meta: Meta,
    /// `spec`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub spec: ServiceSpec,
}

impl Service {
    /// Whether it stands for a name elsewhere.
    pub fn is_external_name(&self) -> bool {
        self.spec.r#type.as_deref() == Some("ExternalName")
    }
}

/// `spec` of a Service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceSpec {
    /// `ClusterIP`, `ExternalName` …; none is `ClusterIP`.
    pub r#type: Option<String>,
    /// An address, `None`, or nothing.
    #[serde(rename = "clusterIP")]
    pub cluster_ip: Option<String>,
    /// The name that an `ExternalName` stands for.
    pub external_name: Option<String>,
    /// The labels of its Pods; empty: its slices are made by somebody else.
    #[serde(default, deserialize_with = "null_is_default")]
    pub selector: Labels,
    /// Its ports.
    #[serde(default, deserialize_with = "null_is_default")]
    pub ports: Vec<ServicePort>,
}

/// A port of a Service.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePort {
    /// Its name; the port of a slice has the same.
    pub name: Option<Arc<str>>,
    /// Its number.
    pub port: u16,
    /// The port of the Pods; none is the same number.
    pub target_port: Option<PortOrName>,
    /// What is spoken: `http`, `kubernetes.io/h2c` …
    pub app_protocol: Option<String>,
}

/// A port's number, or the name it has in the Pod.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum PortOrName {
    /// The number.
    Port(u16),
    /// The name.
    Name(Arc<str>),
}

/// Addresses that serve the same ports.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSlice {
    /// `metadata`.
    #[serde(rename = "metadata")]
    pub meta: Meta,
    /// What its addresses are.
    pub address_type: AddressType,
    /// Its endpoints.
    #[serde(default, deserialize_with = "null_is_default")]
    pub endpoints: Vec<SliceEndpoint>,
    /// Its ports.
    #[serde(default, deserialize_with = "null_is_default")]
    pub ports: Vec<SlicePort>,
}

impl EndpointSlice {
    /// The Service it belongs to.
    pub fn service(&self) -> Option<&str> {
        self.meta.labels.get(SERVICE_NAME_LABEL).map(String::as_str)
    }
}

/// What the addresses of a slice are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum AddressType {
    /// Addresses like `10.0.0.1`.
    IPv4,
    /// Addresses like `fd00::1`.
    IPv6,
    /// Names to be resolved.
    #[serde(rename = "FQDN")]
    Fqdn,
}

/// An endpoint of a slice.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SliceEndpoint {
    /// Its addresses; they are the same thing, the first is used.
    pub addresses: Vec<Arc<str>>,
    /// How it is.
    #[serde(default, deserialize_with = "null_is_default")]
    pub conditions: EndpointConditions,
    /// Its host name.
    pub hostname: Option<Arc<str>>,
    /// What stands behind it.
    pub target_ref: Option<TargetRef>,
}

impl SliceEndpoint {
    /// Whether a Pod stands behind it: from the API server a pool then selects the Pod, not the slice.
    pub fn is_pod(&self) -> bool {
        self.target_ref.as_ref().is_some_and(|target| target.kind.as_deref() == Some("Pod"))
    }
}

/// How an endpoint of a slice is; what is not said counts in its favour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct EndpointConditions {
    /// It takes requests; none is yes.
    pub ready: Option<bool>,
    /// It can still answer; none is as `ready`.
    pub serving: Option<bool>,
    /// It is being stopped; none is no.
    pub terminating: Option<bool>,
}

impl EndpointConditions {
    /// Whether new requests may go to it.
    pub fn is_ready(&self) -> bool {
        self.ready.unwrap_or(true)
    }
}

/// What stands behind an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TargetRef {
    /// `Pod`.
    pub kind: Option<String>,
    /// Its name.
    pub name: Option<Arc<str>>,
    /// Its namespace.
    pub namespace: Option<Arc<str>>,
    /// Its identity.
    pub uid: Option<Arc<str>>,
}

/// A port of a slice.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SlicePort {
    /// Its name, as the Service's port has it; none and empty are the same.
    #[serde(default, deserialize_with = "null_is_default")]
    pub name: String,
    /// Its number; none is every port.
    pub port: Option<u16>,
    /// What is spoken.
    pub app_protocol: Option<String>,
}

/// A Pod.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Pod {
    /// `metadata`.
    #[serde(rename = "metadata")]
    pub meta: Meta,
    /// `status`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub status: PodStatus,
}

impl Pod {
    /// Whether new requests may go to it: it runs, is not being deleted, and nothing says that it is not ready. A Pod from
    /// a file that has no conditions is ready.
    pub fn is_ready(&self) -> bool {
        let ready = |condition: &&PodCondition| condition.r#type == "Ready";
        !self.meta.deleting
            && self.status.phase.as_deref().is_none_or(|phase| phase == "Running")
            && self.status.conditions.iter().find(ready).is_none_or(|condition| condition.status == "True")
    }

    /// Where it is an endpoint, if it has an address: a port for each of these that it serves.
    pub fn addresses(&self, target_ports: &[u16]) -> Vec<SocketAddr> {
        let active = self.active_ports();
        let serves = |port: &&u16| active.as_ref().is_none_or(|active| active.contains(port));
        let at =
            |address| target_ports.iter().filter(serves).map(move |&port| SocketAddr::new(address, port));
        self.status.pod_ip.into_iter().flat_map(at).collect()
    }

    /// The ports it serves, if it says so; what is not a number is left out.
    pub fn active_ports(&self) -> Option<BTreeSet<u16>> {
        let ports = self.meta.annotations.get(ACTIVE_PORTS_ANNOTATION)?;
        Some(ports.split(',').filter_map(|port| port.trim().parse().ok()).collect())
    }
}

/// `status` of a Pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct PodStatus {
    /// Its address.
    #[serde(default, rename = "podIP", deserialize_with = "address")]
    pub pod_ip: Option<IpAddr>,
    /// `Pending`, `Running`, `Succeeded`, `Failed`, `Unknown`.
    pub phase: Option<String>,
    /// `Ready` among others.
    #[serde(default, deserialize_with = "null_is_default")]
    pub conditions: Vec<PodCondition>,
}

/// A Pod without an address yet has an empty text there.
fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IpAddr>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty());
    text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
}

/// A condition of a Pod.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PodCondition {
    /// `Ready`.
    pub r#type: String,
    /// `True`, `False`, `Unknown`.
    pub status: String,
}

/// A ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ConfigMap {
    /// `metadata`.
    #[serde(rename = "metadata")]
    pub meta: Meta,
    /// Its texts.
    #[serde(default, deserialize_with = "null_is_default")]
    pub data: BTreeMap<String, String>,
}

/// A Secret: its name, never its contents.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Secret {
    /// `metadata`.
    #[serde(rename = "metadata")]
    pub meta: Meta,
    /// `kubernetes.io/tls` …
    pub r#type: Option<String>,
}

/// A Namespace: its labels.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Namespace {
    /// `metadata`; it has no namespace.
    #[serde(rename = "metadata")]
    pub meta: Meta,
}
