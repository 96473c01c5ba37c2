//! Why a request was not served. One table: status, metric reason, whose fault, whether a retry may help.

mod examples;

use crate::counted;
use http::StatusCode;
use payload::{Dialect, InferenceRequest, Media, ParseError, Spent};
use scheduling::saturation::SaturationDetector;
use serde::Serialize;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// When to come back where nothing tells better: what was short is usually free again by then.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(1);

/// The step of the journey that refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// 1: the body.
    Parse,
    /// 2: the rules.
    Route,
    /// 3: priority and saturation.
    Admit,
    /// 4: the endpoints.
    Pick,
    /// Between pick and learn: the model server.
    Upstream,
}

/// Whose fault a refusal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The client's.
    Downstream,
    /// The model server's.
    Upstream,
    /// The gateway's or its configuration's.
    Ours,
}

/// Why a request was not served.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The body cannot be read.
    #[error("{0}")]
    Parse(#[from] ParseError),
    /// The request is not HTTP as it must be: no host, or two; a body that breaks off or is badly framed.
    #[error("the request is malformed: {what}")]
    MalformedRequest {
        /// What is wrong.
        what: &'static str,
    },
    /// The target of the request's first line is longer than the server reads.
    #[error("the request's target is longer than {limit} bytes")]
    TargetTooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The head is larger than the settings allow.
    #[error("the request's head is larger than {bytes_max} bytes or has more than {headers_max} headers")]
    HeadTooLarge {
        /// The limit, in bytes.
        bytes_max: usize,
        /// The limit, in headers.
        headers_max: usize,
    },
    /// The body comes in drops.
    #[error("the request body comes too slowly: {received} bytes in {}s, of late fewer than {rate_min} a second", tenths(*after))]
    BodySlow {
        /// Bytes received.
        received: u64,
        /// How long after the body's start.
        after: Duration,
        /// The least rate, bytes per second.
        rate_min: u64,
    },
    /// The body stopped coming.
    #[error("the request body stalled: no byte for {}s after {received} bytes", stalled.as_secs_f32())]
    BodyStalled {
        /// Bytes received before.
        received: u64,
        /// How long nothing came.
        stalled: Duration,
    },
    /// The body was not whole when the route's time for the request was over.
    #[error("the request body was not whole within {}s, the route's request timeout; {received} bytes came", limit.as_secs_f32())]
    BodyLate {
        /// Bytes received by then.
        received: u64,
        /// The limit.
        limit: Duration,
    },
    /// The bytes held for all requests reached the limit.
    #[error("the gateway holds {held} of at most {limit} bytes of request bodies; try again")]
    BodyBudgetSpent {
        /// Bytes held.
        held: u64,
        /// The limit.
        limit: u64,
    },
    /// The request alone needs more than may be held for all requests.
    #[error(
        "the request needs {needed} bytes, and the gateway holds at most {limit} for all requests together"
    )]
    BodyOverBudget {
        /// Bytes that it needs: its body, or both while another takes its place.
        needed: u64,
        /// The limit.
        limit: u64,
    },
    /// No listener of this port takes this host.
    #[error("no listener takes host {host:?}")]
    NoListener {
        /// The request's host.
        host: String,
    },
    /// No rule matches.
    #[error("no route matches {method} {path} on host {host:?}")]
    NoRoute {
        /// The request's method.
        method: String,
        /// The request's path, cut to 256 bytes.
        path: String,
        /// The request's host.
        host: String,
    },
    /// Only rules that name a model match, and the body has none.
    #[error("{why}; models here: {}", list(models))]
    ModelMissing {
        /// The models of this listener and host.
        models: Vec<String>,
        /// Why there is none.
        why: Unnamed,
    },
    /// Only rules that name a model match, and none names this one.
    #[error("the model {model:?} does not exist here; models here: {}", list(models))]
    ModelUnknown {
        /// The model asked for.
        model: String,
        /// The models of this listener and host.
        models: Vec<String>,
    },
    /// The matched rule's backend cannot be used.
    #[error("the route {route} leads nowhere: {why}")]
    BackendUnresolved {
        /// The route.
        route: Arc<str>,
        /// What is wrong with its backend.
        why: String,
    },
    /// The pool that is picked for is not declared.
    #[error("the InferencePool {pool}, for which this port picks, is not declared")]
    PoolNotDeclared {
        /// The pool.
        pool: Arc<str>,
    },
    /// The pool is saturated, and the request's priority is below 0.
    #[error(
        "InferencePool {pool} is saturated and the request's priority is {priority}: {}", detector.why(*ready)
    )]
    Saturated {
        /// The pool.
        pool: Arc<str>,
        /// The request's priority.
        priority: i32,
        /// Ready endpoints.
        ready: u32,
        /// What told so.
        detector: SaturationDetector,
        /// When to come back.
        retry_after: Duration,
    },
    /// No endpoint can be picked.
    #[error(
        "no ready endpoint in InferencePool {pool}: 0 of {endpoints} ready, {resting} resting after failures, {outside_subset} outside the subset; {cause}"
    )]
    NoReadyEndpoint {
        /// The pool.
        pool: Arc<str>,
        /// The request's priority.
        priority: i32,
        /// Endpoints in the pool.
        endpoints: u32,
        /// Of these, resting after failures.
        resting: u32,
        /// Of these, outside the subset hint.
        outside_subset: u32,
        /// The likely cause.
        cause: Cause,
    },
    /// Endpoints are ready, and the pool's own filters took every one: the request is dropped.
    #[error("the filters of InferencePool {pool} left none of {}", counted(*ready, "ready endpoint"))]
    EveryEndpointFiltered {
        /// The pool.
        pool: Arc<str>,
        /// The request's priority.
        priority: i32,
        /// Ready endpoints.
        ready: u32,
    },
    /// The pool's own endpoint picker, a Service, did not pick, and its `failureMode` is `FailClose`.
    #[error(
        "{picker}, the endpoint picker of InferencePool {pool}, failed, and its failureMode is FailClose: {why}"
    )]
    EndpointPickerFailed {
        /// The pool.
        pool: Arc<str>,
        /// The picker, as `namespace/service:port`.
        picker: Arc<str>,
        /// What happened.
        why: String,
    },
    /// The matched rule's Service has no ready endpoint.
    #[error("no ready endpoint in Service {service}: no EndpointSlice of the Service has one")]
    EmptyService {
        /// The Service.
        service: Arc<str>,
    },
    /// Every endpoint tried failed before a response came.
    #[error("{} tried, none answered; the last, {last}: {why}", counted(*tried, "endpoint"))]
    EveryEndpointFailed {
        /// How many were tried.
        tried: u32,
        /// The last one tried.
        last: SocketAddr,
        /// What happened there.
        why: String,
    },
    /// The endpoint took the request and broke the connection before a response.
    #[error("{endpoint} broke the connection before it answered: {why}")]
    UpstreamReset {
        /// The endpoint.
        endpoint: SocketAddr,
        /// What happened.
        why: String,
    },
    /// A time limit of the route passed.
    #[error("no answer from {endpoint} within {}s", limit.as_secs_f32())]
    UpstreamTimeout {
        /// The endpoint.
        endpoint: SocketAddr,
        /// The limit.
        limit: Duration,
    },
    /// The route's time for the request was over before an endpoint could be asked.
    #[error("{}s, the route's request timeout, had passed before an endpoint was asked", limit.as_secs_f32())]
    RequestTimeout {
        /// The limit.
        limit: Duration,
    },
    /// The process is stopping.
    #[error("the gateway is stopping")]
    Stopping,
}

/// Why no model was found in a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unnamed {
    /// The body has no `model`.
    #[error("`model` is missing")]
    Missing,
    /// The body's `model` is the empty text.
    #[error("`model` is empty")]
    Empty,
    /// The body was not read: a client that sent JSON under another name, as curl does with `-d` alone, is told what to
    /// change.
    #[error("`model` is missing: the body's Content-Type is {content_type:?}; send application/json")]
    Unread {
        /// As sent, cut to 64 bytes.
        content_type: String,
    },
    /// There is no body.
    #[error("the request has no body that could name a model")]
    NoBody,
}

/// The likely cause of an empty pick.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The pool has no endpoint at all.
    #[error("its selector matches no ready Pod or EndpointSlice address")]
    Empty,
    /// The subset hint leaves none.
    #[error("none of them stands in x-gateway-destination-endpoint-subset")]
    Subset,
}

/// A time that was measured, in seconds: a reader has no use for more than its tenths.
fn tenths(time: Duration) -> f32 {
    (time.as_secs_f32() * 10.0).round() / 10.0
}

/// Models that a message lists; the rest are counted.
const MODELS_LISTED_MAX: usize = 20;

fn list(models: &[String]) -> String {
    match models.split_at_checked(MODELS_LISTED_MAX) {
        Some((listed, more)) if !more.is_empty() => format!("{} and {} more", listed.join(", "), more.len()),
        _ if models.is_empty() => "none".to_owned(),
        _ => models.join(", "),
    }
}

/// The longest `Content-Type` that a message repeats, bytes.
const CONTENT_TYPE_TOLD_MAX: usize = 64;

/// A `Content-Type` as a message repeats it: cut, and what is not UTF-8 replaced.
fn content_type_told(value: &[u8]) -> String {
    let cut = &value[..value.len().min(CONTENT_TYPE_TOLD_MAX)];
    String::from_utf8_lossy(cut).into_owned()
}

/// A row of the table: all that is fixed for a kind of refusal.
struct Row {
    status: StatusCode,
    step: Step,
    reason: &'static str,
    fault: Fault,
    retry: Retry,
}

/// Whether the same request may succeed when it is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Retry {
    Helps,
    Useless,
}

impl From<Spent> for Refusal {
    fn from(spent: Spent) -> Refusal {
        let Spent { held, limit, own } = spent;
        if own > limit {
            Refusal::BodyOverBudget { needed: own, limit }
        } else {
            Refusal::BodyBudgetSpent { held, limit }
        }
    }
}

impl Refusal {
    /// No model was found in `request`, whose head had this `Content-Type`.
    pub fn model_missing(
        models: Vec<String>,
        request: &InferenceRequest,
        content_type: Option<&[u8]>,
    ) -> Refusal {
        let why = match content_type {
            _ if request.bytes == 0 => Unnamed::NoBody,
            Some(value) if request.media == Media::Opaque => {
                Unnamed::Unread { content_type: content_type_told(value) }
            }
            _ if request.names_empty_model => Unnamed::Empty,
            _ => Unnamed::Missing,
        };
        Refusal::ModelMissing { models, why }
    }

    /// The table.
    fn row(&self) -> Row {
        use Fault::{Downstream, Ours, Upstream};
        use Retry::{Helps, Useless};
        let (status, step, reason, fault, retry) = match self {
            Refusal::Parse(error) => return Row::of_parse_error(error),
            Refusal::MalformedRequest { .. } => (400, Step::Parse, "malformed_request", Downstream, Useless),
            Refusal::TargetTooLong { .. } => (414, Step::Parse, "target_too_long", Downstream, Useless),
            Refusal::HeadTooLarge { .. } => (431, Step::Parse, "head_too_large", Downstream, Useless),
            Refusal::BodySlow { .. } => (408, Step::Parse, "body_slow", Downstream, Helps),
            Refusal::BodyStalled { .. } => (408, Step::Parse, "body_stalled", Downstream, Helps),
            Refusal::BodyLate { .. } => (408, Step::Parse, "body_late", Downstream, Helps),
            Refusal::BodyBudgetSpent { .. } => (503, Step::Parse, "body_budget_spent", Ours, Helps),
            Refusal::BodyOverBudget { .. } => (413, Step::Parse, "body_over_budget", Downstream, Useless),
            Refusal::NoListener { .. } => (404, Step::Route, "no_listener", Downstream, Useless),
            Refusal::NoRoute { .. } => (404, Step::Route, "no_route", Downstream, Useless),
            Refusal::ModelMissing { .. } => (400, Step::Route, "model_missing", Downstream, Useless),
            Refusal::ModelUnknown { .. } => (404, Step::Route, "model_not_found", Downstream, Useless),
            Refusal::BackendUnresolved { .. } => (500, Step::Route, "backend_unresolved", Ours, Useless),
            Refusal::PoolNotDeclared { .. } => (503, Step::Pick, "pool_not_declared", Ours, Helps),
            Refusal::Saturated { .. } => (429, Step::Admit, "saturated", Upstream, Helps),
            Refusal::NoReadyEndpoint { .. } => (503, Step::Pick, "no_ready_endpoint", Upstream, Helps),
            Refusal::EveryEndpointFiltered { .. } => {
                (429, Step::Pick, "every_endpoint_filtered", Upstream, Helps)
            }
            Refusal::EndpointPickerFailed { .. } => (503, Step::Pick, "endpoint_picker_failed", Ours, Helps),
            Refusal::EmptyService { .. } => (503, Step::Upstream, "no_service_endpoint", Upstream, Helps),
            Refusal::EveryEndpointFailed { .. } => {
                (503, Step::Upstream, "every_endpoint_failed", Upstream, Helps)
            }
            Refusal::UpstreamReset { .. } => (502, Step::Upstream, "upstream_reset", Upstream, Helps),
            Refusal::UpstreamTimeout { .. } => (504, Step::Upstream, "upstream_timeout", Upstream, Helps),
            Refusal::RequestTimeout { .. } => (504, Step::Pick, "request_timeout", Ours, Helps),
            Refusal::Stopping => (503, Step::Route, "stopping", Ours, Helps),
        };
        let status = StatusCode::from_u16(status).expect("every status above is three digits");
        Row { status, step, reason, fault, retry }
    }

    /// HTTP status of the answer.
    pub fn status(&self) -> StatusCode {
        self.row().status
    }

    /// The step that refused.
    pub fn step(&self) -> Step {
        self.row().step
    }

    /// The reason as metrics, logs and OpenAI's `code` name it, in `snake_case`.
    pub fn reason(&self) -> &'static str {
        self.row().reason
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        self.row().fault
    }

    /// True if the same request may succeed when it is sent again.
    pub fn may_retry(&self) -> bool {
        self.row().retry == Retry::Helps
    }

    /// The request's priority, if it was weighed before it was refused.
    pub fn priority(&self) -> Option<i32> {
        match self {
            Refusal::Saturated { priority, .. }
            | Refusal::NoReadyEndpoint { priority, .. }
            | Refusal::EveryEndpointFiltered { priority, .. } => Some(*priority),
            _ => None,
        }
    }

    /// When to come back: the `Retry-After` header, in whole seconds. `None` where a retry is useless, or need not wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Refusal::Saturated { retry_after, .. } => Some(*retry_after),
            Refusal::BodyBudgetSpent { .. }
            | Refusal::PoolNotDeclared { .. }
            | Refusal::NoReadyEndpoint { .. }
            | Refusal::EveryEndpointFiltered { .. }
            | Refusal::EmptyService { .. }
            | Refusal::EveryEndpointFailed { .. }
            | Refusal::EndpointPickerFailed { .. }
            | Refusal::Stopping => Some(RETRY_AFTER_DEFAULT),
            _ => None,
        }
    }

    /// The error body in the dialect's shape: OpenAI's `{"error":{"message","type","param","code"}}`, Anthropic's
    /// `{"type":"error","error":{"type","message"}}`.
    pub fn body(&self, dialect: Dialect) -> String {
        let message = &self.to_string();
        let body = match dialect {
            Dialect::Messages => {
                let error = AnthropicError { r#type: self.anthropic_type(), message };
                serde_json::to_string(&AnthropicBody { r#type: "error", error })
            }
            _ => {
                let (r#type, param, code) = (self.openai_type(), self.param(), self.reason());
                serde_json::to_string(&OpenAiBody { error: OpenAiError { message, r#type, param, code } })
            }
        };
        body.expect("strings always serialise")
    }

    fn openai_type(&self) -> &'static str {
        match self.status().as_u16() {
            429 => "rate_limit_error",
            400..=499 => "invalid_request_error",
            _ => "server_error",
        }
    }

    fn anthropic_type(&self) -> &'static str {
        match self.status().as_u16() {
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            400..=499 => "invalid_request_error",
            503 => "overloaded_error",
            504 => "timeout_error",
            _ => "api_error",
        }
    }

    /// The field of the body that is wrong.
    fn param(&self) -> Option<&str> {
        match self {
            Refusal::ModelMissing { .. }
            | Refusal::ModelUnknown { .. }
            | Refusal::Parse(
                ParseError::ModelNotAString { .. } | ParseError::ModelTwice | ParseError::ModelTooLong { .. },
            ) => Some("model"),
            Refusal::Parse(ParseError::FieldTwice { field }) => Some(field),
            _ => None,
        }
    }
}

impl Row {
    fn of_parse_error(error: &ParseError) -> Row {
        let (status, reason) = match error {
            ParseError::NotJson { .. } => (StatusCode::BAD_REQUEST, "not_json"),
            ParseError::NotAnObject { .. } => (StatusCode::BAD_REQUEST, "not_an_object"),
            ParseError::ModelNotAString { .. } => (StatusCode::BAD_REQUEST, "model_not_a_string"),
            ParseError::ModelTwice => (StatusCode::BAD_REQUEST, "model_twice"),
            ParseError::FieldTwice { .. } => (StatusCode::BAD_REQUEST, "field_twice"),
            ParseError::ModelTooLong { .. } => (StatusCode::BAD_REQUEST, "model_too_long"),
            ParseError::TooDeep { .. } => (StatusCode::BAD_REQUEST, "too_deep"),
            ParseError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            ParseError::UnsupportedCoding { .. } => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_coding")
            }
            ParseError::BrokenCoding { .. } => (StatusCode::BAD_REQUEST, "broken_coding"),
            ParseError::BrokenMultipart { .. } => (StatusCode::BAD_REQUEST, "broken_multipart"),
        };
        Row { status, step: Step::Parse, reason, fault: Fault::Downstream, retry: Retry::Useless }
    }
}

/// OpenAI's error, in the order of its fields.
#[derive(Serialize)]
struct OpenAiBody<'a> {
    error: OpenAiError<'a>,
}

#[derive(Serialize)]
struct OpenAiError<'a> {
    message: &'a str,
    r#type: &'a str,
    param: Option<&'a str>,
    code: &'a str,
}

/// Anthropic's error.
#[derive(Serialize)]
struct AnthropicBody<'a> {
    r#type: &'a str,
    error: AnthropicError<'a>,
}

#[derive(Serialize)]
struct AnthropicError<'a> {
    r#type: &'a str,
    message: &'a str,
}

#[cfg(test)]
mod tests;
