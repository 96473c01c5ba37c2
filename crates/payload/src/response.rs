//! What passes on the way back: first token, tokens, usage. Rides on the bytes; holds none back.

use crate::Dialect;
use bytes::Bytes;

/// Where a token count comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenSource {
    /// The model server's own `usage`.
    Reported,
    /// Counted from delta events: one event, one token.
    Estimated,
}

/// What a response used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Prompt tokens, if reported.
    pub input_tokens: Option<u32>,
    /// Of these, tokens that came from the prefix cache, if reported.
    pub cached_tokens: Option<u32>,
    /// Generated tokens.
    pub output_tokens: Option<u32>,
    /// Where `output_tokens` comes from; `None` if it is `None`.
    pub source: Option<TokenSource>,
}

/// What a chunk held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Observed {
    /// Delta events with content that ended in this chunk.
    pub tokens: u32,
}

/// Watches a response body pass.
#[derive(Debug)]
pub struct ResponseObserver {
    dialect: Dialect,
}

impl ResponseObserver {
    /// An observer for a response with these headers' values.
    pub fn new(dialect: Dialect, content_type: Option<&[u8]>, content_encoding: Option<&[u8]>) -> Self {
        let _ = (content_type, content_encoding);
        ResponseObserver { dialect }
    }

    /// Looks at the next bytes.
    pub fn feed(&mut self, chunk: &Bytes) -> Observed {
        let _ = chunk;
        Observed::default()
    }

    /// True if the body is `text/event-stream`.
    pub fn is_event_stream(&self) -> bool {
        false
    }

    /// What was used, as far as it has been seen.
    pub fn usage(&self) -> Usage {
        Usage::default()
    }

    /// What to send when the model server dies in the middle of an event stream: a blank line if an event is cut, then
    /// one error event in the dialect's shape, no `[DONE]`. `None` if the body is not an event stream or had ended.
    pub fn cut(&self, message: &str) -> Option<Bytes> {
        let _ = (message, self.dialect);
        None
    }
}
