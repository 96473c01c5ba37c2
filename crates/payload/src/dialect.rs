//! Which API a request speaks, told by its path and its headers.

use crate::ParseError;

/// The API of a request. Told by the end of its path, so that a prefix (`/llm/v1/chat/completions`) does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// OpenAI `…/chat/completions`.
    ChatCompletions,
    /// OpenAI `…/completions`.
    Completions,
    /// OpenAI `…/embeddings`.
    Embeddings,
    /// OpenAI `…/responses`.
    Responses,
    /// Anthropic `…/messages`.
    Messages,
    /// OpenAI `…/audio/transcriptions` and `…/audio/translations`: `multipart/form-data`.
    Audio,
    /// Anything else with a JSON body: its `model` is read, its prompt is not known.
    Other,
}

/// What the body claims to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Media {
    /// `application/json`, `*+json`, or no `Content-Type`: must be a JSON object.
    Json,
    /// `multipart/form-data` with its boundary.
    Multipart {
        /// The boundary, without the leading dashes.
        boundary: String,
    },
    /// Anything else: forwarded unread, without a model.
    Opaque,
}

/// `Content-Encoding` of a body. Decoded only to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// None.
    Identity,
    /// `gzip` or `x-gzip`.
    Gzip,
    /// `zstd`.
    Zstd,
}

/// What the head of a request says about its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyHead {
    /// The API, from the path.
    pub dialect: Dialect,
    /// From `Content-Type`.
    pub media: Media,
    /// From `Content-Encoding`.
    pub coding: Coding,
}

impl BodyHead {
    /// Reads the head: the path without its query, the values of `Content-Type` and `Content-Encoding`.
    pub fn new(
        path: &str,
        content_type: Option<&[u8]>,
        content_encoding: Option<&[u8]>,
    ) -> Result<BodyHead, ParseError> {
        let _ = (path, content_type, content_encoding);
        Ok(BodyHead { dialect: Dialect::Other, media: Media::Json, coding: Coding::Identity })
    }
}
