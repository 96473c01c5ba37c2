//! The incremental reader of a request body.

use crate::asked::{AskedFields, FieldNames};
use crate::coding::Decoder;
use crate::json::{Ended, Interest, Kind, Scanner, Visitor, Want};
use crate::multipart::FormReader;
use crate::prompt::PromptHasher;
use crate::rope::Growing;
use crate::{BodyHead, Dialect, Media, ParseError, Prompt, Rope};
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
    /// What the body is.
    pub media: Media,
    /// The model asked for; `None` if the body has none, is empty or is opaque.
    pub model: Option<ModelField>,
    /// True if the object has a `model`, and that is the empty text.
    pub names_empty_model: bool,
    /// `"stream": true`.
    pub stream: bool,
    /// `max_tokens`, `max_completion_tokens` or `max_output_tokens`, if it is a whole number.
    pub max_tokens: Option<u32>,
    /// The prompt.
    pub prompt: Prompt,
    /// Where the prompt's value stands in the decoded body; empty if there is none.
    pub prompt_span: Range<u64>,
    /// Bytes of the decoded body.
    pub bytes: u64,
    /// The decoded body, only if `Content-Encoding` was not identity and it was kept: what a rewrite is spliced into.
    pub decoded: Option<Rope>,
    /// The fields that were asked for; `None` if none were, or the body is opaque.
    pub asked: Option<Box<AskedFields>>,
}

impl InferenceRequest {
    /// `body`, as it was sent, with `target` in the place of the model that it asks for; decoded if it was coded. `None` if
    /// it names none.
    pub fn asking_for(&self, target: &str, body: &Rope) -> Option<Rope> {
        let model = self.model.as_ref()?;
        let body = self.decoded.as_ref().unwrap_or(body);
        Some(body.splice(model.span.clone(), self.model_value(target)))
    }

    /// The model's value as it must stand in this body to ask for `target`: a JSON string with quotes, or bare in a
    /// form. A line end has no place in a form's field and is left out.
    pub fn model_value(&self, target: &str) -> Bytes {
        match self.media {
            Media::Multipart { .. } => target.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect(),
            Media::Json | Media::Opaque => quoted(target).into(),
        }
    }
}

/// `text` as a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string is always JSON")
}

/// What the outermost object or the form said.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    pub(crate) model: Option<ModelField>,
    pub(crate) stream: bool,
    pub(crate) max_tokens: Option<u32>,
    pub(crate) prompt_span: Range<u64>,
    pub(crate) asked: Option<Box<AskedFields>>,
}

/// Reads one request body, chunk by chunk, in one pass.
#[derive(Debug)]
pub struct RequestParser {
    head: BodyHead,
    bytes_max: u64,
    received: u64,
    decoder: Option<Decoder>,
    decoded: Growing,
    /// Bytes decoded.
    decoded_bytes: u64,
    kept: Kept,
    reader: Reader,
}

/// How much of a chunk was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fed {
    /// All of it.
    Whole,
    /// A part: the rest is to be given again, be it empty, once others have had their turn.
    Partly,
}

/// What a parser keeps of a coded body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// The decoded body: a rewrite is spliced into it.
    Decoded,
    Nothing,
}

/// Who reads the decoded bytes.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "the large one is the usual one; a box would cost every request"
)]
enum Reader {
    Json(ObjectReader),
    Form(FormReader),
    Opaque,
}

impl RequestParser {
    /// A parser for a body with this head.
    pub fn new(head: BodyHead, limits: Limits) -> RequestParser {
        let reader = match &head.media {
            Media::Json => Reader::Json(ObjectReader::new(head.dialect, &limits)),
            Media::Multipart { boundary } => Reader::Form(FormReader::new(boundary, &limits)),
            Media::Opaque => Reader::Opaque,
        };
        let bytes_max = limits.body_bytes_max;
        RequestParser {
            head,
            bytes_max,
            received: 0,
            decoder: None,
            decoded: Growing::default(),
            decoded_bytes: 0,
            kept: Kept::Decoded,
            reader,
        }
    }

    /// A parser that keeps nothing of a coded body: for a door that changes none. [`InferenceRequest::decoded`] is `None`.
    pub fn looking(head: BodyHead, limits: Limits) -> RequestParser {
        RequestParser { kept: Kept::Nothing, ..RequestParser::new(head, limits) }
    }

    /// Reads these fields too, for its caller alone: `stream` among them is not told as such. To be said before the first byte.
    pub fn ask_for(&mut self, names: &Arc<FieldNames>) {
        if let Some(fields) = self.reader.fields_mut()
            && names.iter().len() > 0
        {
            fields.asked = Some(Box::new(AskedFields::new(Arc::clone(names))));
        }
    }

    /// Reads the next bytes. After an error the parser is spent.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), ParseError> {
        let mut rest = chunk;
        while self.feed_part(&mut rest)? == Fed::Partly {}
        Ok(())
    }

    /// Reads as many of the next bytes as are a bounded amount of work, and takes them off `rest`: a few bytes of a coded body
    /// may stand for a great many.
    pub fn feed_part(&mut self, rest: &mut &[u8]) -> Result<Fed, ParseError> {
        let before = rest.len();
        if self.received == 0 && before > 0 && self.decoder.is_none() {
            self.decoder = Decoder::new(self.head.coding)?;
        }
        if self.received + before as u64 > self.bytes_max {
            return Err(ParseError::TooLarge { limit: self.bytes_max });
        }
        let Some(mut decoder) = self.decoder.take() else {
            self.received += before as u64;
            return self.reader.feed(std::mem::take(rest)).map(|()| Fed::Whole);
        };
        let fed = decoder.feed(rest, |piece| self.take_decoded(piece));
        self.received += (before - rest.len()) as u64;
        self.decoder = Some(decoder);
        fed
    }

    fn take_decoded(&mut self, piece: &[u8]) -> Result<(), ParseError> {
        self.reader.feed(piece)?;
        self.decoded_bytes += piece.len() as u64;
        if self.kept == Kept::Decoded {
            self.decoded.copy(piece);
        }
        if self.decoded_bytes > self.bytes_max {
            return Err(ParseError::TooLarge { limit: self.bytes_max });
        }
        Ok(())
    }

    /// True once a coded body has begun: its bytes stand for others, and decoding them takes time and memory.
    pub fn is_decoding(&self) -> bool {
        self.decoder.is_some()
    }

    /// Bytes held of a coded body: what was decoded, and the coding's window. They grow with each [`feed`](Self::feed).
    pub fn held_bytes(&self) -> u64 {
        let window = self.decoder.as_ref().map_or(0, |decoder| decoder.window_bytes(self.decoded_bytes));
        self.decoded.bytes() + window
    }

    /// The model, as soon as its value has been read whole. A later duplicate is still an error of `feed`.
    pub fn model(&self) -> Option<&ModelField> {
        self.reader.fields()?.model.as_ref()
    }

    /// The fields that were asked for, each as soon as its value has been read whole, duplicates as with the model.
    pub fn asked(&self) -> Option<&AskedFields> {
        self.reader.fields()?.asked.as_deref()
    }

    /// True if the object read so far has a `model`, and that is the empty text: it names none.
    pub fn names_empty_model(&self) -> bool {
        match &self.reader {
            Reader::Json(reader) => reader.visitor.model_seen && reader.visitor.fields.model.is_none(),
            Reader::Form(_) | Reader::Opaque => false,
        }
    }

    /// Ends the body.
    pub fn finish(mut self) -> Result<InferenceRequest, ParseError> {
        let coded = self.decoder.is_some();
        if let Some(decoder) = self.decoder.take() {
            let last = decoder.finish()?;
            self.take_decoded(&last)?;
        }
        let bytes = if coded { self.decoded_bytes } else { self.received };
        let names_empty_model = self.names_empty_model();
        // A body that was never there is no broken one.
        let (fields, prompt) = if self.received == 0 { Default::default() } else { self.reader.finish()? };
        Ok(InferenceRequest {
            dialect: self.head.dialect,
            media: self.head.media,
            model: fields.model,
            names_empty_model,
            stream: fields.stream,
            max_tokens: fields.max_tokens,
            prompt,
            prompt_span: fields.prompt_span,
            bytes,
            decoded: (coded && self.kept == Kept::Decoded).then(|| self.decoded.finish()),
            asked: fields.asked,
        })
    }
}

impl Reader {
    fn fields(&self) -> Option<&Fields> {
        match self {
            Reader::Json(reader) => Some(&reader.visitor.fields),
            Reader::Form(reader) => Some(reader.fields()),
            Reader::Opaque => None,
        }
    }

    fn fields_mut(&mut self) -> Option<&mut Fields> {
        match self {
            Reader::Json(reader) => Some(&mut reader.visitor.fields),
            Reader::Form(reader) => Some(reader.fields_mut()),
            Reader::Opaque => None,
        }
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<(), ParseError> {
        match self {
            Reader::Json(reader) => reader.scanner.feed(bytes, &mut reader.visitor),
            Reader::Form(reader) => reader.feed(bytes),
            Reader::Opaque => Ok(()),
        }
    }

    fn finish(self) -> Result<(Fields, Prompt), ParseError> {
        match self {
            Reader::Json(reader) => {
                reader.scanner.finish()?;
                Ok((reader.visitor.fields, reader.visitor.prompt.finish()))
            }
            Reader::Form(reader) => Ok((reader.finish()?, Prompt::default())),
            Reader::Opaque => Ok(Default::default()),
        }
    }
}

/// A JSON object being read.
#[derive(Debug)]
struct ObjectReader {
    scanner: Scanner,
    visitor: ObjectVisitor,
}

impl ObjectReader {
    fn new(dialect: Dialect, limits: &Limits) -> ObjectReader {
        let visitor = ObjectVisitor {
            dialect,
            model_bytes_max: limits.model_bytes_max,
            model_seen: false,
            model_start: 0,
            key: Key::Other,
            prompt: PromptHasher::default(),
            fields: Fields::default(),
        };
        ObjectReader { scanner: Scanner::new(limits.depth_max), visitor }
    }
}

/// Picks the keys that count out of the outermost object.
#[derive(Debug)]
struct ObjectVisitor {
    dialect: Dialect,
    model_bytes_max: usize,
    model_seen: bool,
    model_start: u64,
    /// The key whose value comes next.
    key: Key,
    prompt: PromptHasher,
    fields: Fields,
}

/// What a top-level key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Model,
    Stream,
    MaxTokens,
    Prompt,
    /// Something that changes the prefix cache's key; the number tells which.
    Salt(u64),
    /// A field that was asked for, by its place.
    Asked(usize),
    Other,
}

impl Key {
    fn of(key: &[u8]) -> Key {
        match key {
            b"model" => Key::Model,
            b"stream" => Key::Stream,
            b"max_tokens" | b"max_completion_tokens" | b"max_output_tokens" => Key::MaxTokens,
            b"messages" | b"prompt" | b"input" => Key::Prompt,
            b"tools" => Key::Salt(1),
            b"system" => Key::Salt(2),
            b"instructions" => Key::Salt(3),
            b"cache_salt" => Key::Salt(4),
            _ => Key::Other,
        }
    }
}

/// What is done for fields that were asked for: apart from the rest, since most bodies are read without.
impl ObjectVisitor {
    #[cold]
    fn look_whether_it_was_asked_for(&mut self, key: &[u8]) {
        if let Some(place) = self.fields.asked.as_ref().and_then(|asked| asked.place(key)) {
            self.key = Key::Asked(place);
        }
    }

    #[cold]
    fn begin_asked(&self, place: usize, kind: Kind) -> Result<Want, ParseError> {
        self.fields.asked.as_ref().map_or(Ok(Want::Nothing), |asked| asked.begin(place, kind))
    }

    #[cold]
    fn end_asked(&mut self, place: usize, value: &Ended<'_>) {
        if let Some(asked) = &mut self.fields.asked {
            asked.end(place, value);
        }
    }
}

/// Digits kept of a number: as many as `u64` has.
const NUMBER_BYTES_MAX: usize = 20;

impl Visitor for ObjectVisitor {
    fn key(&mut self, _depth: usize, key: &[u8]) -> Interest {
        self.key = match Key::of(key) {
            // The prompt of an API that is not known is not known.
            Key::Prompt | Key::Salt(_) if self.dialect == Dialect::Other => Key::Other,
            // In Responses it names a template; the prompt is `input`.
            Key::Prompt if self.dialect == Dialect::Responses && key == b"prompt" => Key::Salt(5),
            key => key,
        };
        if self.fields.asked.is_some() {
            self.look_whether_it_was_asked_for(key);
        }
        if self.key == Key::Other { Interest::None } else { Interest::Asked }
    }

    fn begin(&mut self, _depth: usize, kind: Kind, offset: u64) -> Result<Want, ParseError> {
        match self.key {
            Key::Model if self.model_seen => Err(ParseError::ModelTwice),
            Key::Model if kind != Kind::String => Err(ParseError::ModelNotAString { found: kind.named() }),
            Key::Model => {
                self.model_seen = true;
                self.model_start = offset;
                Ok(Want::Text { bytes_max: self.model_bytes_max })
            }
            Key::MaxTokens if kind == Kind::Number => Ok(Want::Text { bytes_max: NUMBER_BYTES_MAX }),
            Key::Prompt => {
                // As with its hashes, the first one counts.
                if self.fields.prompt_span.is_empty() {
                    self.fields.prompt_span = offset..offset;
                }
                Ok(Want::Raw)
            }
            Key::Salt(_) => Ok(Want::Raw),
            Key::Asked(place) => self.begin_asked(place, kind),
            _ => Ok(Want::Nothing),
        }
    }

    fn raw(&mut self, bytes: &[u8]) {
        match self.key {
            Key::Prompt => self.prompt.feed(bytes),
            _ => self.prompt.feed_salt(bytes),
        }
    }

    fn end(&mut self, _depth: usize, value: Ended<'_>) -> Result<(), ParseError> {
        match self.key {
            Key::Model if value.cut => return Err(ParseError::ModelTooLong { limit: self.model_bytes_max }),
            Key::Model if !value.text.is_empty() => {
                let name = std::str::from_utf8(value.text).expect("the scanner lets only UTF-8 end");
                let span = self.model_start..value.end;
                self.fields.model = Some(ModelField { name: ModelName(name.into()), span });
            }
            Key::Stream => self.fields.stream = value.kind == Kind::True,
            Key::MaxTokens => self.fields.max_tokens = whole_number(&value).or(self.fields.max_tokens),
            Key::Prompt => {
                if self.fields.prompt_span.is_empty() {
                    self.fields.prompt_span.end = value.end;
                }
                self.prompt.end(value.text);
            }
            Key::Salt(key) => self.prompt.end_salt(key, value.text),
            Key::Asked(place) => self.end_asked(place, &value),
            _ => {}
        }
        Ok(())
    }
}

/// A number without sign, point and exponent; what is beyond `u32` is its largest, what is beyond `u64` no number.
pub(crate) fn whole_number(value: &Ended<'_>) -> Option<u32> {
    if value.kind != Kind::Number || value.cut {
        return None;
    }
    let number = value.text.iter().try_fold(0u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    });
    number.map(|number| number.try_into().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
