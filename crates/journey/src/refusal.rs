//! Why a request was not served. One table: status, metric reason, whose fault, whether a retry may help.

use payload::{Dialect, ParseError};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

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
    /// The body stopped coming.
    #[error("the request body stalled: no byte for {}s after {received} bytes", stalled.as_secs_f32())]
    BodyStalled {
        /// Bytes received before.
        received: u64,
        /// How long nothing came.
        stalled: Duration,
    },
    /// The bytes held for all requests reached the limit.
    #[error("the gateway holds {held} of at most {limit} bytes of request bodies; try again")]
    BodyBudgetSpent {
        /// Bytes held.
        held: u64,
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
    #[error("`model` is missing; models here: {}", list(models))]
    ModelMissing {
        /// The models of this listener and host.
        models: Vec<String>,
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
    /// The pool is saturated, and the request's priority is below 0.
    #[error(
        "InferencePool {pool} is saturated and the request's priority is {priority}: every one of {ready} ready endpoints has more than {queue_depth_max} requests waiting or KV use above {kv_used_max}"
    )]
    Saturated {
        /// The pool.
        pool: Arc<str>,
        /// The request's priority.
        priority: i32,
        /// Ready endpoints.
        ready: u32,
        /// The setting.
        queue_depth_max: u32,
        /// The setting.
        kv_used_max: f32,
        /// When to come back.
        retry_after: Duration,
    },
    /// No endpoint can be picked.
    #[error(
        "no ready endpoint in InferencePool {pool}: 0 of {endpoints} ready, {resting} rest after failures, {outside_subset} outside the subset; {cause}"
    )]
    NoReadyEndpoint {
        /// The pool.
        pool: Arc<str>,
        /// Endpoints in the pool.
        endpoints: u32,
        /// Of these, resting after failures.
        resting: u32,
        /// Of these, outside the subset hint.
        outside_subset: u32,
        /// The likely cause.
        cause: Cause,
    },
    /// Every endpoint tried failed before a response came.
    #[error("{tried} of {tried} endpoints tried failed; the last, {last}: {why}")]
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
    /// The process is stopping.
    #[error("the gateway is stopping")]
    Stopping,
}

fn list(models: &[String]) -> String {
    if models.is_empty() { "none".to_owned() } else { models.join(", ") }
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
    /// The pool's own filters took every one.
    #[error("the pool's filters left none of them")]
    Filtered,
}

impl Refusal {
    /// HTTP status of the answer.
    pub fn status(&self) -> http::StatusCode {
        http::StatusCode::INTERNAL_SERVER_ERROR
    }

    /// The reason as metrics and logs name it, in `snake_case`.
    pub fn reason(&self) -> &'static str {
        "unknown"
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        Fault::Ours
    }

    /// True if the same request may succeed when it is sent again.
    pub fn may_retry(&self) -> bool {
        false
    }

    /// When to come back: the `Retry-After` header.
    pub fn retry_after(&self) -> Option<Duration> {
        None
    }

    /// One example of every variant, for the documentation.
    pub fn table() -> Vec<Refusal> {
        Vec::new()
    }

    /// The step that refused.
    pub fn step(&self) -> Step {
        match self {
            Refusal::Parse(_) | Refusal::BodyStalled { .. } | Refusal::BodyBudgetSpent { .. } => Step::Parse,
            _ => Step::Route,
        }
    }

    /// The error body in the dialect's shape: OpenAI's `{"error":{"message","type","param","code"}}`, Anthropic's
    /// `{"type":"error","error":{"type","message"}}`.
    pub fn body(&self, dialect: Dialect) -> String {
        let _ = dialect;
        String::new()
    }
}
