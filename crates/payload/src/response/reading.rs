//! What counts in an answer's JSON, by where it stands.
//!
//! In: the scanner's outer levels. Out: whether an event carries content, whether it is the stream's last, and the
//! numbers of every `usage`, the last one of each winning. The shapes of all dialects are read together: none of them
//! uses another's places for something else.

use crate::ParseError;
use crate::json::{Ended, Interest, Kind, Visitor, Want};
use crate::request::whole_number;

/// `choices[0].delta.tool_calls[0]` is the deepest that is looked at.
const DEPTH: usize = 5;

/// Longer than every `type` that is known here.
const TYPE_BYTES_MAX: usize = 48;

/// As many digits as `u64` has.
const NUMBER_BYTES_MAX: usize = 20;

/// Where a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    #[default]
    Root,
    /// `type` of an event.
    Type,
    /// `choices`, and each of them.
    Choices,
    /// `choices[].delta`.
    Delta,
    /// A text that a model made.
    Content,
    /// `choices[].delta.tool_calls`, and each of them.
    ToolCalls,
    /// `response`, of Responses.
    Response,
    /// `message`, of Messages: its `usage` is only the beginning.
    Message,
    Usage,
    FirstUsage,
    /// `usage.prompt_tokens_details` and the like.
    Details,
    Input,
    Output,
    Cached,
    CacheRead,
    CacheCreation,
}

impl Place {
    /// The place of the value of `key` in the object at this place, if it counts.
    fn step(self, key: &[u8]) -> Option<Place> {
        Some(match (self, key) {
            (Place::Root, b"type") => Place::Type,
            (Place::Root, b"choices") => Place::Choices,
            (Place::Root, b"response") => Place::Response,
            (Place::Root, b"message") => Place::Message,
            (Place::Root | Place::Response, b"usage") => Place::Usage,
            (Place::Message, b"usage") => Place::FirstUsage,
            (Place::Choices, b"delta") => Place::Delta,
            (Place::Choices, b"text") => Place::Content,
            (Place::Delta, b"content" | b"reasoning_content" | b"reasoning" | b"refusal") => Place::Content,
            (Place::Delta, b"tool_calls") => Place::ToolCalls,
            (Place::Usage | Place::FirstUsage, b"prompt_tokens" | b"input_tokens") => Place::Input,
            (Place::Usage, b"completion_tokens" | b"output_tokens") => Place::Output,
            (Place::Usage | Place::FirstUsage, b"cache_read_input_tokens") => Place::CacheRead,
            (Place::Usage | Place::FirstUsage, b"cache_creation_input_tokens") => Place::CacheCreation,
            (Place::Usage, b"prompt_tokens_details" | b"input_tokens_details") => Place::Details,
            (Place::Details, b"cached_tokens") => Place::Cached,
            _ => return None,
        })
    }
}

/// What was reported, by name.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) input: Option<u32>,
    pub(super) output: Option<u32>,
    pub(super) cached: Option<u32>,
    pub(super) cache_read: Option<u32>,
    pub(super) cache_creation: Option<u32>,
}

/// What one event was.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) has_content: bool,
    pub(super) is_last: bool,
}

/// A container around the value in hand.
#[derive(Debug, Clone, Copy, Default)]
struct Around {
    place: Place,
    array: bool,
}

/// Reads one object after the other.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) counts: Counts,
    event: Event,
    /// By depth; index 0 is not used.
    around: [Around; DEPTH + 2],
    /// The place that the last key led to, and the one of the value that began last.
    keyed: Place,
    value: Place,
}

impl Reading {
    /// What the event that ends here was.
    pub(super) fn take_event(&mut self) -> Event {
        std::mem::take(&mut self.event)
    }

    fn read_type(&mut self, name: &[u8]) {
        let delta_of_responses = name.starts_with(b"response.") && name.ends_with(b".delta");
        self.event.has_content |= delta_of_responses || name == b"content_block_delta";
        self.event.is_last |= matches!(
            name,
            b"message_stop" | b"response.completed" | b"response.incomplete" | b"response.failed" | b"error"
        );
    }
}

impl Visitor for Reading {
    fn key(&mut self, depth: usize, key: &[u8]) -> Interest {
        let Some(place) = self.around[depth].place.step(key) else { return Interest::None };
        self.keyed = place;
        Interest::Asked
    }

    fn begin(&mut self, depth: usize, kind: Kind, _offset: u64) -> Result<Want, ParseError> {
        let around = self.around[depth];
        self.value = if around.array { around.place } else { self.keyed };
        let want = match (kind, self.value) {
            (Kind::Object | Kind::Array, place) => {
                self.event.has_content |= around.array && place == Place::ToolCalls;
                self.around[depth + 1] = Around { place, array: kind == Kind::Array };
                if depth == DEPTH { Want::Nothing } else { Want::Inside }
            }
            (Kind::String, Place::Content) => Want::Text { bytes_max: 1 },
            (Kind::String, Place::Type) => Want::Text { bytes_max: TYPE_BYTES_MAX },
            (Kind::Number, _) => Want::Text { bytes_max: NUMBER_BYTES_MAX },
            _ => Want::Nothing,
        };
        Ok(want)
    }

    fn raw(&mut self, _bytes: &[u8]) {}

    fn end(&mut self, _depth: usize, value: Ended<'_>) -> Result<(), ParseError> {
        if !matches!(value.kind, Kind::String | Kind::Number) {
            return Ok(());
        }
        let field = match self.value {
            Place::Content => {
                self.event.has_content |= value.kind == Kind::String && !value.text.is_empty();
                return Ok(());
            }
            Place::Type => {
                self.read_type(value.text);
                return Ok(());
            }
            Place::Input => &mut self.counts.input,
            Place::Output => &mut self.counts.output,
            Place::Cached => &mut self.counts.cached,
            Place::CacheRead => &mut self.counts.cache_read,
            Place::CacheCreation => &mut self.counts.cache_creation,
            _ => return Ok(()),
        };
        *field = whole_number(&value).or(*field);
        Ok(())
    }
}
