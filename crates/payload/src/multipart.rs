//! The fields `model`, `stream` and those that were asked for of `multipart/form-data` (RFC 7578).
//!
//! In: the body in chunks cut anywhere. Out: the fields and where the model stands. Every other part is passed
//! over unread; what is held is a part's header lines and one field's value, both bounded.

use crate::asked::FIELD_VALUE_BYTES_MAX;
use crate::parameters::parameter;
use crate::request::{Fields, ModelField, ModelName};
use crate::{Limits, ParseError};

/// Header lines of one part: a name, a file name and a type fit ten times over.
const PART_HEAD_BYTES_MAX: usize = 8 << 10;

/// A `stream` field's value is a word.
const STREAM_BYTES_MAX: usize = 8;

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A part's body, or what stands before the first part.
    Content,
    /// The rest of a boundary's line.
    BoundaryLine,
    /// The header lines of a part.
    Head,
    /// After the last boundary: ignored.
    Epilogue,
}

/// What a part's value is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Model,
    Stream,
    /// One that was asked for, by its place.
    Asked(usize),
    Other,
}

/// Reads one form.
#[derive(Debug)]
pub(crate) struct FormReader {
    /// `\r\n--` and the boundary.
    delimiter: Vec<u8>,
    /// How much of the delimiter the last bytes were.
    matched: usize,
    place: Place,
    field: Field,
    /// The boundary's line, the head or the value in hand.
    held: Vec<u8>,
    /// Offset of the next byte, and of the first of the value in hand.
    offset: u64,
    value_start: u64,
    model_bytes_max: usize,
    model_seen: bool,
    fields: Fields,
}

impl FormReader {
    pub(crate) fn new(boundary: &str, limits: &Limits) -> FormReader {
        FormReader {
            delimiter: [b"\r\n--", boundary.as_bytes()].concat(),
            // The line end before the first boundary is the start of the body.
            matched: 2,
            place: Place::Content,
            field: Field::Other,
            held: Vec::new(),
            offset: 0,
            value_start: 0,
            model_bytes_max: limits.model_bytes_max,
            model_seen: false,
            fields: Fields::default(),
        }
    }

    pub(crate) fn fields(&self) -> &Fields {
        &self.fields
    }

    pub(crate) fn fields_mut(&mut self) -> &mut Fields {
        &mut self.fields
    }

    pub(crate) fn feed(&mut self, chunk: &[u8]) -> Result<(), ParseError> {
        let mut rest = chunk;
        while !rest.is_empty() {
            let used = match self.place {
                Place::Content => self.in_content(rest)?,
                Place::BoundaryLine => self.in_boundary_line(rest[0])?,
                Place::Head => self.in_head(rest[0])?,
                Place::Epilogue => rest.len(),
            };
            self.offset += used as u64;
            rest = &rest[used..];
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<Fields, ParseError> {
        // The last line may come without its line end.
        let closed =
            self.place == Place::Epilogue || (self.place == Place::BoundaryLine && self.held == b"--");
        if closed { Ok(self.fields) } else { broken("it ends before its last boundary") }
    }

    /// Content up to the delimiter. Only the delimiter's first byte is a carriage return, so a failed match can begin
    /// anew at the byte where it failed and nowhere before.
    fn in_content(&mut self, bytes: &[u8]) -> Result<usize, ParseError> {
        if self.matched == 0 {
            let plain = memchr::memchr(b'\r', bytes).unwrap_or(bytes.len());
            self.keep(&bytes[..plain])?;
            self.matched = usize::from(plain < bytes.len());
            return Ok(plain + self.matched);
        }
        if bytes[0] != self.delimiter[self.matched] {
            let failed = std::mem::take(&mut self.matched);
            if self.field != Field::Other {
                let text = self.delimiter[..failed].to_vec();
                self.keep(&text)?;
            }
            return Ok(0);
        }
        self.matched += 1;
        if self.matched == self.delimiter.len() {
            self.matched = 0;
            // The first boundary stands where no value was, with less before it than a delimiter.
            self.end_value((self.offset + 1).saturating_sub(self.delimiter.len() as u64))?;
            self.place = Place::BoundaryLine;
            self.held.clear();
        }
        Ok(1)
    }

    /// Behind a boundary: `--` after the last, else spaces, and a line end.
    fn in_boundary_line(&mut self, byte: u8) -> Result<usize, ParseError> {
        match (self.held.as_slice(), byte) {
            (b"", b' ' | b'\t') => return Ok(1),
            (b"\r", b'\n') => {
                self.place = Place::Head;
                self.held.clear();
                return Ok(1);
            }
            (b"--", b'\r' | b' ' | b'\t') => self.place = Place::Epilogue,
            (b"" | b"-", b'-') | (b"", b'\r') => self.held.push(byte),
            _ => return broken("a boundary is not alone on its line"),
        }
        Ok(1)
    }

    fn in_head(&mut self, byte: u8) -> Result<usize, ParseError> {
        self.held.push(byte);
        if self.held == b"\r\n" || self.held.ends_with(b"\r\n\r\n") {
            self.field = self.field_of_head()?;
            self.place = Place::Content;
            self.held.clear();
            self.value_start = self.offset + 1;
        } else if self.held.len() == PART_HEAD_BYTES_MAX {
            return broken("a part's header lines are longer than 8 KiB");
        }
        Ok(1)
    }

    /// What the part in hand is, by its `Content-Disposition`.
    fn field_of_head(&mut self) -> Result<Field, ParseError> {
        let Ok(head) = std::str::from_utf8(&self.held) else {
            return broken("a part's header lines are not UTF-8");
        };
        let mut dispositions = head.split("\r\n").filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
        });
        let disposition = dispositions.next().unwrap_or_default();
        if dispositions.next().is_some() {
            return broken("a part has two Content-Dispositions");
        }
        let Ok(name) = parameter(disposition, "name") else { return broken("a part has two names") };
        match name.as_deref() {
            Some("model") if self.model_seen => Err(ParseError::ModelTwice),
            Some("model") => {
                self.model_seen = true;
                Ok(Field::Model)
            }
            Some(name) => self.further_field(name),
            None => Ok(Field::Other),
        }
    }

    fn further_field(&self, name: &str) -> Result<Field, ParseError> {
        if let Some(asked) = &self.fields.asked
            && let Some(place) = asked.place(name.as_bytes())
        {
            return asked.check_first(place).map(|()| Field::Asked(place));
        }
        Ok(if name == "stream" { Field::Stream } else { Field::Other })
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), ParseError> {
        match self.field {
            Field::Model if self.held.len() + bytes.len() > self.model_bytes_max => {
                Err(ParseError::ModelTooLong { limit: self.model_bytes_max })
            }
            Field::Model => {
                self.held.extend_from_slice(bytes);
                Ok(())
            }
            Field::Stream => self.keep_up_to(STREAM_BYTES_MAX, bytes),
            Field::Asked(_) => self.keep_up_to(FIELD_VALUE_BYTES_MAX, bytes),
            Field::Other => Ok(()),
        }
    }

    /// Keeps one byte more, which tells that there were more.
    fn keep_up_to(&mut self, bytes_max: usize, bytes: &[u8]) -> Result<(), ParseError> {
        let room = (bytes_max + 1).saturating_sub(self.held.len());
        self.held.extend_from_slice(&bytes[..bytes.len().min(room)]);
        Ok(())
    }

    /// The value in hand ends before offset `end`.
    fn end_value(&mut self, end: u64) -> Result<(), ParseError> {
        match std::mem::replace(&mut self.field, Field::Other) {
            Field::Model => {
                let Ok(name) = std::str::from_utf8(&self.held) else { return broken("`model` is not UTF-8") };
                if !name.is_empty() {
                    let name = ModelName(name.into());
                    self.fields.model = Some(ModelField { name, span: self.value_start..end });
                }
            }
            Field::Stream => {
                self.fields.stream = self.held.eq_ignore_ascii_case(b"true") || self.held == b"1";
            }
            Field::Asked(place) => {
                if let Some(asked) = &mut self.fields.asked {
                    asked.end_part(place, &self.held);
                }
            }
            Field::Other => {}
        }
        Ok(())
    }
}

fn broken<T>(what: &'static str) -> Result<T, ParseError> {
    Err(ParseError::BrokenMultipart { what })
}
