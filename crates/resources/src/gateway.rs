//! GatewayClass and Gateway, `gateway.networking.k8s.io/v1`.

use crate::object::{Labels, Meta, null_is_default, objects};
use serde::Deserialize;
use std::sync::Arc;

objects!("GatewayClass" => GatewayClass, "Gateway" => Gateway);

/// Who serves the Gateways of a class.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GatewayClass {
    /// `metadata`; it has no namespace.
    #[serde(rename = "metadata")]
    pub meta: Meta,
    /// `spec`.
    pub spec: GatewayClassSpec,
}

/// `spec` of a GatewayClass.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayClassSpec {
    /// Who serves it: `pointsman.dev/gateway`.
    pub controller_name: String,
    /// Settings for all Gateways of the class.
    pub parameters_ref: Option<ParametersRef>,
}

/// Names an object that holds settings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ParametersRef {
    /// Its API group; empty is core.
    #[serde(default)]
    pub group: String,
    /// Its kind: `ConfigMap`.
    pub kind: String,
    /// Its name.
    pub name: Arc<str>,
    /// Its namespace; a Gateway's parameters are in the Gateway's own.
    pub namespace: Option<Arc<str>>,
}

/// A Gateway.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Gateway {
    /// `metadata`.
    #[serde(rename = "metadata")]
    pub meta: Meta,
    /// `spec`.
    pub spec: GatewaySpec,
}

/// `spec` of a Gateway.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewaySpec {
    /// Its class.
    pub gateway_class_name: Arc<str>,
    /// Where it listens.
    #[serde(default, deserialize_with = "null_is_default")]
    pub listeners: Vec<GatewayListener>,
    /// What it runs on.
    #[serde(default, deserialize_with = "null_is_default")]
    pub infrastructure: Infrastructure,
}

/// `spec.infrastructure` of a Gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Infrastructure {
    /// Settings of this Gateway.
    pub parameters_ref: Option<ParametersRef>,
}

/// A listener, as declared.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayListener {
    /// Its name, unique in the Gateway.
    pub name: Arc<str>,
    /// Its hostname, perhaps `*.example.com`; none takes every host.
    #[serde(default, deserialize_with = "hostname")]
    pub hostname: Option<Arc<str>>,
    /// Its port.
    pub port: u16,
    /// What is spoken.
    pub protocol: Protocol,
    /// How TLS ends here.
    pub tls: Option<ListenerTls>,
    /// Which routes may attach.
    #[serde(default, deserialize_with = "null_is_default")]
    pub allowed_routes: AllowedRoutes,
}

/// An empty hostname is none.
fn hostname<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Arc<str>>, D::Error> {
    Ok(Option::<Arc<str>>::deserialize(deserializer)?.filter(|hostname| !hostname.is_empty()))
}

/// `protocol` of a listener.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE", from = "String")]
pub enum Protocol {
    /// `HTTP`.
    Http,
    /// `HTTPS`.
    Https,
    /// `TLS`, `TCP`, `UDP` or an implementation's own: no HTTPRoute can attach.
    Other(String),
}

impl From<String> for Protocol {
    fn from(text: String) -> Protocol {
        match text.as_str() {
            "HTTP" => Protocol::Http,
            "HTTPS" => Protocol::Https,
            _ => Protocol::Other(text),
        }
    }
}

/// `tls` of a listener.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerTls {
    /// Where TLS ends.
    #[serde(default)]
    pub mode: TlsMode,
    /// The Secrets with the certificates.
    #[serde(default, deserialize_with = "null_is_default")]
    pub certificate_refs: Vec<SecretRef>,
}

/// Where TLS ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum TlsMode {
    /// Here.
    #[default]
    Terminate,
    /// Behind.
    Passthrough,
}

/// Names a Secret.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SecretRef {
    /// Its API group; empty is core.
    #[serde(default)]
    pub group: String,
    /// Its kind; none is `Secret`.
    pub kind: Option<String>,
    /// Its name.
    pub name: Arc<str>,
    /// Its namespace; none is the Gateway's.
    pub namespace: Option<Arc<str>>,
}

/// Which routes may attach to a listener.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct AllowedRoutes {
    /// From which namespaces.
    #[serde(default, deserialize_with = "null_is_default")]
    pub namespaces: RouteNamespaces,
    /// Of which kinds; empty means what the protocol serves.
    #[serde(default, deserialize_with = "null_is_default")]
    pub kinds: Vec<RouteKind>,
}

impl AllowedRoutes {
    /// Whether HTTPRoutes are among `kinds`.
    pub fn allows_http_routes(&self) -> bool {
        let http_route = |kind: &RouteKind| kind.kind == "HTTPRoute" && kind.group() == crate::GATEWAY_GROUP;
        self.kinds.is_empty() || self.kinds.iter().any(http_route)
    }
}

/// A kind of route.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RouteKind {
    /// Its API group; none is Gateway API's.
    pub group: Option<String>,
    /// `HTTPRoute`.
    pub kind: String,
}

impl RouteKind {
    /// Its API group.
    pub fn group(&self) -> &str {
        self.group.as_deref().unwrap_or(crate::GATEWAY_GROUP)
    }
}

/// The namespaces whose routes may attach.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct RouteNamespaces {
    /// Which.
    #[serde(default)]
    pub from: FromNamespaces,
    /// With [`FromNamespaces::Selector`]: the labels of the Namespace.
    #[serde(default, deserialize_with = "null_is_default")]
    pub selector: LabelSelector,
}

/// Which namespaces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum FromNamespaces {
    /// Every one.
    All,
    /// Those with these labels.
    Selector,
    /// The Gateway's own.
    #[default]
    Same,
    /// None.
    None,
}

/// Labels asked for, with operators. Empty selects everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelector {
    /// These labels with these values.
    #[serde(default, deserialize_with = "null_is_default")]
    pub match_labels: Labels,
    /// And these conditions.
    #[serde(default, deserialize_with = "null_is_default")]
    pub match_expressions: Vec<LabelExpression>,
}

/// A condition on a label.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LabelExpression {
    /// The label's name.
    pub key: String,
    /// What about it.
    pub operator: LabelOperator,
    /// The values for `In` and `NotIn`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub values: Vec<String>,
}

/// What a condition asks of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum LabelOperator {
    /// Its value is one of these.
    In,
    /// It is missing or has another value.
    NotIn,
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}

impl LabelSelector {
    /// Whether an object with these labels is selected.
    pub fn matches(&self, labels: &Labels) -> bool {
        has_labels(labels, &self.match_labels)
            && self.match_expressions.iter().all(|expression| expression.matches(labels))
    }
}

impl LabelExpression {
    fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        let listed = value.is_some_and(|value| self.values.contains(value));
        match self.operator {
            LabelOperator::In => listed,
            LabelOperator::NotIn => !listed,
            LabelOperator::Exists => value.is_some(),
            LabelOperator::DoesNotExist => value.is_none(),
        }
    }
}

/// Whether `labels` hold all that `wanted` asks for. An empty `wanted` selects everything.
pub fn has_labels(labels: &Labels, wanted: &Labels) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}
