//! What can be wrong with a body.

/// Why a body is refused. Every variant is the client's fault and is answered 400, but for [`ParseError::TooLarge`]
/// (413) and [`ParseError::UnsupportedCoding`] (415).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The body is not JSON; `offset` counts bytes of the decoded body.
    #[error("the body is not valid JSON: {what} at byte {offset}")]
    NotJson {
        /// What was expected or found.
        what: &'static str,
        /// Byte offset into the decoded body.
        offset: u64,
    },
    /// The body is JSON, but not an object.
    #[error("the body must be a JSON object, not {found}")]
    NotAnObject {
        /// The JSON type found: `an array`, `a string` …
        found: &'static str,
    },
    /// `model` is there, but is not a string.
    #[error("`model` must be a string, not {found}")]
    ModelNotAString {
        /// The JSON type found.
        found: &'static str,
    },
    /// `model` stands twice at the top level: most model servers read the last one, a router the first.
    #[error("`model` stands twice in the body")]
    ModelTwice,
    /// A field that configuration asks for stands twice at the top level, as [`ParseError::ModelTwice`].
    #[error("`{field}` stands twice in the body")]
    FieldTwice {
        /// The field.
        field: Box<str>,
    },
    /// The model's name is longer than [`crate::Limits::model_bytes_max`].
    #[error("`model` is longer than {limit} bytes")]
    ModelTooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Nested deeper than [`crate::Limits::depth_max`].
    #[error("the body is nested deeper than {limit} levels")]
    TooDeep {
        /// The limit, in levels.
        limit: usize,
    },
    /// The body, or what a compressed body decodes to, is larger than the limit.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// `Content-Encoding` names a coding that is not read here.
    #[error("Content-Encoding {coding:?} is not supported; send identity, gzip or zstd")]
    UnsupportedCoding {
        /// The coding as sent, cut to 64 bytes.
        coding: String,
    },
    /// The body does not decode by its `Content-Encoding`.
    #[error("the body does not decode as {coding}")]
    BrokenCoding {
        /// `gzip` or `zstd`.
        coding: &'static str,
    },
    /// `multipart/form-data` that cannot be read.
    #[error("the multipart body cannot be read: {what}")]
    BrokenMultipart {
        /// What is wrong.
        what: &'static str,
    },
}
