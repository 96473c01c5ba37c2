//! What is kept of a request.

use arrayvec::{ArrayString, ArrayVec};
use journey::{Decision, Outcome, Step, TargetModel};
use payload::{Dialect, ModelName, Usage};
use scheduling::ENDPOINTS_MAX;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// `x-request-id`: made here, or the client's if it is at most 64 bytes of visible ASCII.
pub type RequestId = ArrayString<64>;

/// One try at an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// The endpoint.
    pub endpoint: SocketAddr,
    /// How it went.
    pub outcome: Outcome,
}

/// Why a request was refused, as a `Refusal` told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The step that refused.
    pub step: Step,
    /// The refusal's metric reason.
    pub reason: &'static str,
    /// What the client was told.
    pub message: Box<str>,
}

/// What is kept of a request; never a prompt. Cheap to write: names are shared, the rest is plain data.
#[derive(Debug, Clone)]
pub struct Record {
    /// The request's id.
    pub id: RequestId,
    /// When its head was read.
    pub at: SystemTime,
    /// The API it spoke.
    pub dialect: Dialect,
    /// The rule that matched, as `namespace/route rule N match M`; `None` if none did.
    pub rule: Option<Arc<str>>,
    /// The InferencePool or Service, as `namespace/name`.
    pub backend: Option<Arc<str>>,
    /// The model asked for.
    pub model: Option<ModelName>,
    /// The model sent, if it was rewritten.
    pub target_model: Option<TargetModel>,
    /// True if the model asked for may be a metric's label.
    pub model_known: bool,
    /// Its priority.
    pub priority: i32,
    /// The client asked for a stream.
    pub stream: bool,
    /// Bytes of the prompt, as the picker saw it.
    pub prompt_bytes: u64,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the response's body.
    pub response_bytes: u64,
    /// Where it was sent, and why; `None` if no pick was made.
    pub decision: Option<Decision>,
    /// The tries, in order.
    pub attempts: ArrayVec<Attempt, ENDPOINTS_MAX>,
    /// Status of the response.
    pub status: u16,
    /// Why it was refused.
    pub refusal: Option<Refused>,
    /// How many steering headers (`x-gateway-*` and the like) were removed because the peer is not trusted.
    pub headers_removed: u32,
    /// True if the client went away before the response was whole.
    pub cancelled: bool,
    /// Time inside parse, route, admit and pick, without waiting for the body.
    pub decided_in: Duration,
    /// From the head of the request to the first byte of the response's body.
    pub first_token_in: Option<Duration>,
    /// From the head of the request to the last byte of the response.
    pub ended_in: Duration,
    /// Tokens.
    pub usage: Usage,
}
