//! What passes on the way back: first token, tokens, usage. Rides on the bytes; holds none back.
//!
//! In: a response's bytes as they pass, cut anywhere. Out: how many deltas ended in each chunk, and the usage as far as
//! it has been seen. Every event, and a body that is one JSON object, goes through the scanner that reads requests, so
//! that no text of an answer can pass for usage. Never: a copy of an event, a body of any size in memory, an error (what
//! cannot be read is not observed, and passes).

mod events;
mod reading;

#[cfg(test)]
mod tests;

use crate::Dialect;
use crate::dialect::{essence, is_json};
use crate::json::Scanner;
use crate::request::quoted;
use arrayvec::ArrayVec;
use bytes::Bytes;
use events::{Lines, Part};
use reading::Reading;

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

/// An answer nested deeper is not observed further.
const DEPTH_MAX: usize = 128;

/// OpenAI's last event.
const DONE: &[u8] = b"[DONE]";

/// Watches a response body pass.
#[derive(Debug)]
pub struct ResponseObserver {
    dialect: Dialect,
    body: Body,
    /// The object in hand: an event's data or the whole body.
    object: Object,
    /// Delta events with content so far.
    deltas: u32,
}

/// What a response's headers say it is.
#[derive(Debug)]
enum Body {
    EventStream(EventStream),
    Json,
    /// Compressed, or no type that holds usage.
    Unobserved,
}

/// An event stream being followed.
#[derive(Debug, Default)]
struct EventStream {
    lines: Lines,
    /// The first bytes of the event's data, enough to know [`DONE`].
    head: ArrayVec<u8, 7>,
    /// The stream's own last event has passed.
    ended: bool,
}

/// A JSON object being read.
#[derive(Debug)]
struct Object {
    scanner: Scanner,
    reading: Reading,
    /// It is no JSON object: passed over.
    broken: bool,
}

impl Object {
    fn feed(&mut self, bytes: &[u8]) {
        self.broken = self.broken || self.scanner.feed(bytes, &mut self.reading).is_err();
    }

    fn restart(&mut self) {
        self.scanner.restart();
        self.broken = false;
    }
}

impl ResponseObserver {
    /// An observer for a response with these headers' values.
    pub fn new(dialect: Dialect, content_type: Option<&[u8]>, content_encoding: Option<&[u8]>) -> Self {
        let coding = content_encoding.unwrap_or_default().trim_ascii();
        let content_type = content_type.unwrap_or_default();
        let body = if !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity") {
            Body::Unobserved
        } else if essence(content_type).eq_ignore_ascii_case(b"text/event-stream") {
            Body::EventStream(EventStream::default())
        } else if content_type.is_empty() || is_json(content_type) {
            Body::Json
        } else {
            Body::Unobserved
        };
        let object = Object { scanner: Scanner::new(DEPTH_MAX), reading: Reading::default(), broken: false };
        ResponseObserver { dialect, body, object, deltas: 0 }
    }

    /// Looks at the next bytes.
    pub fn feed(&mut self, chunk: &Bytes) -> Observed {
        let stream = match &mut self.body {
            Body::Unobserved => return Observed::default(),
            Body::Json => {
                self.object.feed(chunk);
                return Observed::default();
            }
            Body::EventStream(stream) => stream,
        };
        let mut tokens = 0;
        let EventStream { lines, head, ended } = stream;
        lines.feed(chunk, |part| match part {
            Part::Data(bytes) => {
                let room = head.remaining_capacity().min(bytes.len());
                head.extend(bytes[..room].iter().copied());
                self.object.feed(bytes);
            }
            Part::End => {
                let event = self.object.reading.take_event();
                tokens += u32::from(event.has_content);
                *ended |= event.is_last || head.as_slice() == DONE;
                head.clear();
                self.object.restart();
            }
        });
        self.deltas = self.deltas.saturating_add(tokens);
        Observed { tokens }
    }

    /// True if the body is `text/event-stream`.
    pub fn is_event_stream(&self) -> bool {
        matches!(self.body, Body::EventStream(_))
    }

    /// What was used, as far as it has been seen.
    pub fn usage(&self) -> Usage {
        let counts = &self.object.reading.counts;
        let (output_tokens, source) = match (counts.output, self.deltas) {
            (Some(output), _) => (Some(output), Some(TokenSource::Reported)),
            (None, 0) => (None, None),
            (None, deltas) => (Some(deltas), Some(TokenSource::Estimated)),
        };
        // Anthropic counts apart what came from the cache and what went into it.
        let apart = [counts.cache_read, counts.cache_creation].into_iter().flatten();
        let input_tokens = counts.input.map(|input| apart.fold(input, u32::saturating_add));
        let cached_tokens = counts.cached.or(counts.cache_read);
        Usage { input_tokens, cached_tokens, output_tokens, source }
    }

    /// What to send when the model server dies in the middle of an event stream: a blank line if an event is cut, then
    /// one error event in the dialect's shape, no `[DONE]`. `None` if the body is not an event stream or had ended.
    pub fn cut(&self, message: &str) -> Option<Bytes> {
        let Body::EventStream(stream) = &self.body else { return None };
        if stream.ended {
            return None;
        }
        let close = stream.lines.close();
        let message = quoted(message);
        let event = match self.dialect {
            Dialect::Messages => format!(
                "{close}event: error\ndata: {{\"type\":\"error\",\"error\":{{\"type\":\"api_error\",\"message\":{message}}}}}\n\n"
            ),
            Dialect::Responses => format!(
                "{close}event: error\ndata: {{\"type\":\"error\",\"code\":\"server_error\",\"message\":{message},\"param\":null}}\n\n"
            ),
            _ => format!(
                "{close}data: {{\"error\":{{\"message\":{message},\"type\":\"server_error\",\"param\":null,\"code\":null}}}}\n\n"
            ),
        };
        Some(Bytes::from(event))
    }
}
