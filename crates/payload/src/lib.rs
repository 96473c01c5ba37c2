//! Step 1 of 5, parse: body bytes become an [`InferenceRequest`], response bytes become [`Usage`].
//!
//! In: the bytes of a request as they arrive ([`RequestParser::feed`]), or of a response as they pass
//! ([`ResponseObserver::feed`]). Out: the model asked for and where its value stands in the body, what a picker
//! wants to know of the prompt, and afterwards what was used. One pass, no DOM, no re-serialisation.
//! Never: I/O, a clock, a copy of the prompt, a change to any byte but the model's value.

mod asked;
mod blocks;
mod coding;
mod dialect;
mod error;
mod hash;
mod held;
mod json;
mod multipart;
mod parameters;
mod prompt;
mod request;
mod response;
mod rope;

pub use asked::{
    AskedFields, FIELD_NAME_BYTES_MAX, FIELD_VALUE_BYTES_MAX, FIELDS_MAX, Field, FieldNameError, FieldNames,
    FieldValue,
};
pub use dialect::{BodyHead, Coding, Dialect, Media};
pub use error::ParseError;
pub use held::{Budget, Gathering, Held, Share, Spent};
pub use prompt::{PROMPT_BLOCKS_MAX, Prompt, block_end};
pub use request::{Fed, InferenceRequest, Limits, ModelField, ModelName, RequestParser};
pub use response::{Observed, ResponseObserver, TokenSource, Usage};
pub use rope::{Growing, Rope};
