//! The incremental reader of a request body.

use crate::{BodyHead, Dialect, ParseError, Prompt, Rope};
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;

/// The model that a client asked for, as the body has it, escapes resolved.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelName(pub Arc<str>);

/// Where the model stands in the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelField {
    /// The name, escapes resolved.
    pub name: ModelName,
    /// The value's bytes in the decoded body: in JSON with its quotes, in a form without anything around it.
    pub span: Range<u64>,
}

/// Limits of one body.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of the body, as sent and as decoded.
    pub body_bytes_max: u64,
    /// Bytes of the model's name.
    pub model_bytes_max: usize,
    /// Levels of nesting.
    pub depth_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { body_bytes_max: 32 << 20, model_bytes_max: 256, depth_max: 128 }
    }
}

/// What was read of a request.
#[derive(Debug, Clone)]
pub struct InferenceRequest {
    /// The API.
    pub dialect: Dialect,
    /// The model asked for; `None` if the body has none, is empty or is opaque.
    pub model: Option<ModelField>,
    /// `"stream": true`.
    pub stream: bool,
    /// `max_tokens`, `max_completion_tokens` or `max_output_tokens`, if it is a whole number.
    pub max_tokens: Option<u32>,
    /// The prompt.
    pub prompt: Prompt,
    /// Bytes of the decoded body.
    pub bytes: u64,
    /// The decoded body, only if `Content-Encoding` was not identity: what a rewrite has to be spliced into.
    pub decoded: Option<Rope>,
}

impl InferenceRequest {
    /// The model's value as it must stand in this body to ask for `target`: a JSON string with quotes, or bare in a form.
    pub fn model_value(&self, target: &str) -> Bytes {
        Bytes::copy_from_slice(target.as_bytes())
    }
}

/// Reads one request body, chunk by chunk, in one pass.
#[derive(Debug)]
pub struct RequestParser {
    head: BodyHead,
    limits: Limits,
    bytes: u64,
}

impl RequestParser {
    /// A parser for a body with this head.
    pub fn new(head: BodyHead, limits: Limits) -> RequestParser {
        RequestParser { head, limits, bytes: 0 }
    }

    /// Reads the next bytes. After an error the parser is spent.
    pub fn feed(&mut self, chunk: &Bytes) -> Result<(), ParseError> {
        self.bytes += chunk.len() as u64;
        if self.bytes > self.limits.body_bytes_max {
            return Err(ParseError::TooLarge { limit: self.limits.body_bytes_max });
        }
        Ok(())
    }

    /// The model, as soon as its value has been read whole. A later duplicate is still an error of `feed`.
    pub fn model(&self) -> Option<&ModelField> {
        None
    }

    /// Ends the body.
    pub fn finish(self) -> Result<InferenceRequest, ParseError> {
        Ok(InferenceRequest {
            dialect: self.head.dialect,
            model: None,
            stream: false,
            max_tokens: None,
            prompt: Prompt::default(),
            bytes: self.bytes,
            decoded: None,
        })
    }
}
