//! HTTPRoute, `gateway.networking.k8s.io/v1`.

use crate::inference_pool::PoolVersion;
use crate::object::{Meta, ObjectName, null_is_default, objects};
use crate::schema::Form;
use serde::{Deserialize, Deserializer};
use std::sync::Arc;
use std::time::Duration;

objects!("HTTPRoute" => HttpRoute);

/// Where requests go.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct HttpRoute {
    /// `metadata`.
    #[serde(rename = "metadata")]
    pub meta: Meta,
    /// `spec`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub spec: HttpRouteSpec,
}

/// `spec` of an HTTPRoute.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteSpec {
    /// The Gateways it attaches to.
    #[serde(default, deserialize_with = "null_is_default")]
    pub parent_refs: Vec<ParentRef>,
    /// The hosts it takes, as declared; empty takes those of the listener.
    #[serde(default, deserialize_with = "null_is_default")]
    pub hostnames: Vec<Arc<str>>,
    /// Its rules. A missing list means one rule that matches everything and has no backend.
    #[serde(default = "one_rule", deserialize_with = "rules")]
    pub rules: Vec<HttpRouteRule>,
}

/// The API server's default for `rules`.
fn one_rule() -> Vec<HttpRouteRule> {
    vec![HttpRouteRule::default()]
}

fn rules<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<HttpRouteRule>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_else(one_rule))
}

/// Names what a route attaches to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// Its API group; none is Gateway API's.
    pub group: Option<String>,
    /// Its kind; none is `Gateway`.
    pub kind: Option<String>,
    /// Its namespace; none is the route's.
    pub namespace: Option<Arc<str>>,
    /// Its name.
    pub name: Arc<str>,
    /// Only this listener.
    pub section_name: Option<Arc<str>>,
    /// Only listeners of this port.
    pub port: Option<u16>,
}

impl ParentRef {
    /// Whether it names a Gateway (and not a Service or a ListenerSet).
    pub fn is_gateway(&self) -> bool {
        self.group.as_deref().unwrap_or(crate::GATEWAY_GROUP) == crate::GATEWAY_GROUP
            && self.kind.as_deref().unwrap_or("Gateway") == "Gateway"
    }

    /// The parent of a route in `namespace`.
    pub fn target(&self, namespace: &Arc<str>) -> ObjectName {
        ObjectName::new(self.namespace.as_ref().unwrap_or(namespace).clone(), self.name.clone())
    }
}

/// A rule: what it matches, what it does, where it sends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteRule {
    /// Its name.
    pub name: Option<Arc<str>>,
    /// It matches if one of these does; empty matches everything.
    #[serde(default, deserialize_with = "null_is_default")]
    pub matches: Vec<HttpRouteMatch>,
    /// What it does to a request and its response.
    #[serde(default, deserialize_with = "null_is_default")]
    pub filters: Vec<Filter>,
    /// Where it sends, by weight.
    #[serde(default, deserialize_with = "null_is_default")]
    pub backend_refs: Vec<BackendRef>,
    /// How long it may take.
    #[serde(default, deserialize_with = "null_is_default")]
    pub timeouts: Timeouts,
    /// What is sent again.
    pub retry: Option<Retry>,
}

/// All of this must match.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteMatch {
    /// The path; none is the prefix `/`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub path: PathMatch,
    /// All of these headers.
    #[serde(default, deserialize_with = "null_is_default")]
    pub headers: Vec<NamedMatch>,
    /// All of these query parameters.
    #[serde(default, deserialize_with = "null_is_default")]
    pub query_params: Vec<NamedMatch>,
    /// The method, upper case.
    pub method: Option<String>,
}

/// How a path is matched.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "WirePathMatch")]
pub enum PathMatch {
    /// The whole path.
    Exact(String),
    /// Its first elements.
    Prefix(String),
    /// A regular expression for the whole path.
    RegularExpression(String),
}

impl Default for PathMatch {
    fn default() -> PathMatch {
        PathMatch::Prefix("/".to_owned())
    }
}

#[derive(Deserialize)]
struct WirePathMatch {
    r#type: Option<PathMatchType>,
    value: Option<String>,
}

#[derive(Deserialize)]
enum PathMatchType {
    Exact,
    PathPrefix,
    RegularExpression,
}

impl From<WirePathMatch> for PathMatch {
    fn from(wire: WirePathMatch) -> PathMatch {
        let value = wire.value.unwrap_or_else(|| "/".to_owned());
        match wire.r#type {
            Some(PathMatchType::Exact) => PathMatch::Exact(value),
            Some(PathMatchType::PathPrefix) | None => PathMatch::Prefix(value),
            Some(PathMatchType::RegularExpression) => PathMatch::RegularExpression(value),
        }
    }
}

/// A header or a query parameter with its value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "WireNamedMatch")]
pub struct NamedMatch {
    /// Its name, as declared. For headers upper and lower case are alike.
    pub name: String,
    /// Its value.
    pub value: ValueMatch,
}

/// How a value is matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueMatch {
    /// Byte for byte.
    Exact(String),
    /// A regular expression for the whole value.
    RegularExpression(String),
}

#[derive(Deserialize)]
struct WireNamedMatch {
    r#type: Option<ValueMatchType>,
    name: String,
    value: String,
}

#[derive(Deserialize)]
enum ValueMatchType {
    Exact,
    RegularExpression,
}

impl From<WireNamedMatch> for NamedMatch {
    fn from(wire: WireNamedMatch) -> NamedMatch {
        let value = match wire.r#type {
            Some(ValueMatchType::Exact) | None => ValueMatch::Exact(wire.value),
            Some(ValueMatchType::RegularExpression) => ValueMatch::RegularExpression(wire.value),
        };
        NamedMatch { name: wire.name, value }
    }
}

/// Names what a rule sends to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendRef {
    /// What it names, with its share and filters.
    #[serde(flatten)]
    pub target: BackendTarget,
    /// Its share; 0 gets nothing.
    #[serde(default = "one", deserialize_with = "weight")]
    pub weight: u32,
    /// What is done to requests that go here.
    #[serde(default, deserialize_with = "null_is_default")]
    pub filters: Vec<Filter>,
}

fn one() -> u32 {
    1
}

fn weight<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_else(one))
}

/// An object that requests can be sent to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendTarget {
    /// Its API group; none or empty is core.
    pub group: Option<String>,
    /// Its kind; none is `Service`.
    pub kind: Option<String>,
    /// Its name.
    pub name: Arc<str>,
    /// Its namespace; none is the route's.
    pub namespace: Option<Arc<str>>,
    /// The port; an InferencePool's own ports stand, whatever is said here.
    pub port: Option<u16>,
}

/// The kinds that requests can be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendKind {
    /// A core Service.
    Service,
    /// An InferencePool; without a version (no group was said) v1, then v1alpha2.
    InferencePool(Option<PoolVersion>),
    /// Something that is not served here.
    Unknown,
}

impl BackendTarget {
    /// What it names.
    pub fn kind(&self) -> BackendKind {
        let group = self.group.as_deref().unwrap_or("");
        match (self.kind.as_deref().unwrap_or("Service"), group) {
            ("Service", "") => BackendKind::Service,
            ("InferencePool", "") => BackendKind::InferencePool(None),
            ("InferencePool", group) => match PoolVersion::of_group(group) {
                Some(version) => BackendKind::InferencePool(Some(version)),
                None => BackendKind::Unknown,
            },
            _ => BackendKind::Unknown,
        }
    }

    /// What a route in `namespace` names by it.
    pub fn object(&self, namespace: &Arc<str>) -> ObjectName {
        ObjectName::new(self.namespace.as_ref().unwrap_or(namespace).clone(), self.name.clone())
    }
}

/// What is done to a request or a response.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "WireFilter")]
pub enum Filter {
    /// Changes the request's headers.
    RequestHeaderModifier(HeaderModifier),
    /// Changes the response's headers.
    ResponseHeaderModifier(HeaderModifier),
    /// Sends a copy elsewhere.
    RequestMirror(Mirror),
    /// Answers with a redirection.
    RequestRedirect(Redirect),
    /// Changes host and path.
    UrlRewrite(UrlRewrite),
    /// Answers CORS preflights and marks responses.
    Cors(Cors),
    /// Not served: an implementation's own filter, or external authorisation. A rule with it answers 500, by the standard.
    Unsupported(String),
}

impl Filter {
    /// Why requests that should meet it are refused, if it cannot be honoured.
    pub fn why_not_served(&self) -> Option<String> {
        match self {
            Filter::Cors(_) => Some("the filter CORS is not supported".to_owned()),
            Filter::Unsupported(kind) => Some(format!("the filter {kind} is not supported")),
            Filter::RequestHeaderModifier(modifier) | Filter::ResponseHeaderModifier(modifier) => {
                modifier.why_not_sent()
            }
            Filter::RequestRedirect(Redirect { status_code, .. }) if !REDIRECTIONS.contains(status_code) => {
                Some(format!("the status {status_code} is no redirection"))
            }
            Filter::RequestMirror(_) | Filter::RequestRedirect(_) | Filter::UrlRewrite(_) => None,
        }
    }
}

/// The statuses that a redirection may have.
const REDIRECTIONS: [u16; 5] = [301, 302, 303, 307, 308];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireFilter {
    r#type: String,
    request_header_modifier: Option<HeaderModifier>,
    response_header_modifier: Option<HeaderModifier>,
    request_mirror: Option<Mirror>,
    request_redirect: Option<Redirect>,
    url_rewrite: Option<UrlRewrite>,
    cors: Option<Cors>,
}

/// A filter says its type but not what to do.
#[derive(Debug, thiserror::Error)]
#[error("a filter of type {0} needs its field")]
struct FilterWithoutField(String);

impl TryFrom<WireFilter> for Filter {
    type Error = FilterWithoutField;

    fn try_from(wire: WireFilter) -> Result<Filter, FilterWithoutField> {
        let filter = match wire.r#type.as_str() {
            "RequestHeaderModifier" => wire.request_header_modifier.map(Filter::RequestHeaderModifier),
            "ResponseHeaderModifier" => wire.response_header_modifier.map(Filter::ResponseHeaderModifier),
            "RequestMirror" => wire.request_mirror.map(Filter::RequestMirror),
            "RequestRedirect" => wire.request_redirect.map(Filter::RequestRedirect),
            "URLRewrite" => wire.url_rewrite.map(Filter::UrlRewrite),
            "CORS" => wire.cors.map(Filter::Cors),
            _ => Some(Filter::Unsupported(wire.r#type.clone())),
        };
        filter.ok_or(FilterWithoutField(wire.r#type))
    }
}

/// Changes headers: `set`, then `add`, then `remove`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct HeaderModifier {
    /// Put in place of what is there.
    #[serde(default, deserialize_with = "null_is_default")]
    pub set: Vec<HeaderValue>,
    /// Put beside what is there.
    #[serde(default, deserialize_with = "null_is_default")]
    pub add: Vec<HeaderValue>,
    /// Taken away, by name.
    #[serde(default, deserialize_with = "null_is_default")]
    pub remove: Vec<String>,
}

impl HeaderModifier {
    fn why_not_sent(&self) -> Option<String> {
        let is_name = |name: &str| Form::HeaderName.accepts(name);
        let is_value = |value: &str| Form::HeaderValue.accepts(value);
        let pairs = || self.set.iter().chain(&self.add);
        let mut names = pairs().map(|header| &header.name).chain(&self.remove);
        if let Some(name) = names.find(|name| !is_name(name)) {
            return Some(format!("{name:?} is no header name"));
        }
        let value = pairs().find(|header| !is_value(&header.value))?;
        Some(format!("the value {:?} of {} is no header value: printable ASCII is", value.value, value.name))
    }
}

/// A header with its value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct HeaderValue {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// Sends a copy elsewhere; its answer is ignored.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mirror {
    /// Where.
    pub backend_ref: BackendTarget,
    /// Of a hundred requests so many; neither this nor `fraction` is all.
    pub percent: Option<u32>,
    /// The share of requests.
    pub fraction: Option<Fraction>,
}

/// A share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Fraction {
    /// So many ...
    pub numerator: u32,
    /// ... of so many.
    #[serde(default = "hundred")]
    pub denominator: u32,
}

fn hundred() -> u32 {
    100
}

impl Mirror {
    /// The share of requests that is mirrored.
    pub fn share(&self) -> Fraction {
        let of_hundred = |numerator| Fraction { numerator, denominator: hundred() };
        self.fraction.unwrap_or_else(|| of_hundred(self.percent.unwrap_or_else(hundred)))
    }
}

/// Answers with a redirection. What is not said stays as the request has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Redirect {
    /// `http` or `https`.
    pub scheme: Option<String>,
    /// The host.
    pub hostname: Option<String>,
    /// The path.
    pub path: Option<PathModifier>,
    /// The port.
    pub port: Option<u16>,
    /// 301, 302, 303, 307 or 308.
    #[serde(default = "found")]
    pub status_code: u16,
}

fn found() -> u16 {
    302
}

/// Changes host and path.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct UrlRewrite {
    /// The host.
    pub hostname: Option<String>,
    /// The path.
    pub path: Option<PathModifier>,
}

/// How a path is changed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
pub enum PathModifier {
    /// The whole of it.
    ReplaceFullPath {
        /// What stands instead.
        replace_full_path: String,
    },
    /// The prefix that the rule matched.
    ReplacePrefixMatch {
        /// What stands instead.
        replace_prefix_match: String,
    },
}

/// Cross-origin resource sharing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cors {
    /// The origins that may ask; `*` within.
    #[serde(default, deserialize_with = "null_is_default")]
    pub allow_origins: Vec<String>,
    /// With credentials.
    #[serde(default, deserialize_with = "null_is_default")]
    pub allow_credentials: bool,
    /// With these methods.
    #[serde(default, deserialize_with = "null_is_default")]
    pub allow_methods: Vec<String>,
    /// With these headers.
    #[serde(default, deserialize_with = "null_is_default")]
    pub allow_headers: Vec<String>,
    /// And may read these headers of the response.
    #[serde(default, deserialize_with = "null_is_default")]
    pub expose_headers: Vec<String>,
    /// Seconds that a preflight's answer holds; none is 5.
    pub max_age: Option<u32>,
}

/// How long a request may take. Zero is without limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// From the request's arrival to the end of its response.
    #[serde(default, deserialize_with = "crate::duration::optional")]
    pub request: Option<Duration>,
    /// One try at one endpoint.
    #[serde(default, deserialize_with = "crate::duration::optional")]
    pub backend_request: Option<Duration>,
}

/// What is sent again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Retry {
    /// On these answers, besides what is always safe.
    #[serde(default, deserialize_with = "null_is_default")]
    pub codes: Vec<u16>,
    /// At most so many times.
    pub attempts: Option<u32>,
    /// After this time.
    #[serde(default, deserialize_with = "crate::duration::optional")]
    pub backoff: Option<Duration>,
}
