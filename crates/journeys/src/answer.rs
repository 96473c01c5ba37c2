//! What became of a request.

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

/// What became of a request.
#[derive(Debug)]
pub struct Answer {
    /// What the client got; `None` where no model server stands behind the door and one was to answer.
    pub response: Option<Response>,
    /// What an endpoint was sent; `None` if nothing was forwarded.
    pub sent: Option<Sent>,
    /// What `explain` tells of it, if the step asks.
    pub explained: Option<Value>,
}

/// What a client got.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, or what came of it.
    pub body: Bytes,
}

/// What an endpoint was sent.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Its InferencePool or Service.
    pub pool: String,
    /// Its place in the pool, in the order of the manifests' ports.
    pub endpoint: usize,
    /// Path and query.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, whole.
    pub body: Bytes,
}

impl Answer {
    /// The status; a model server that does not stand there would have answered 200.
    pub(crate) fn status(&self) -> u16 {
        self.response.as_ref().map_or(200, |response| response.status)
    }

    /// The model that the endpoint was asked for.
    pub(crate) fn model_sent(&self) -> Option<String> {
        model(&self.sent.as_ref()?.body)
    }
}

/// The model that a JSON body names.
pub(crate) fn model(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    body["model"].as_str().map(str::to_owned)
}
