//! The incremental JSON scanner.
//!
//! In: the bytes of one JSON object, in chunks cut anywhere. Out: calls to a [`Visitor`] for the outer levels only.
//! Every byte is checked (what passes here, a strict parser takes too). Never: a DOM, a number read as a float, a copy
//! of anything but the keys and the few values that the visitor asked for.

mod escape;
mod nesting;
mod number;
mod stops;
mod utf8;

use crate::ParseError;
use escape::{Escape, HALF};
use nesting::{Container, Nesting};
use number::Digits;
use smallvec::SmallVec;
use std::ops::Range;
use stops::Stops;
use utf8::SplitCharacter;

/// Longer keys are no key that anybody here looks for; they are told cut.
const KEY_BYTES_MAX: usize = 48;

/// What a JSON value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    Number,
    True,
    False,
    Null,
}

impl Kind {
    /// For people: `an array`, `null` …
    pub(crate) fn named(self) -> &'static str {
        match self {
            Kind::Object => "an object",
            Kind::Array => "an array",
            Kind::String => "a string",
            Kind::Number => "a number",
            Kind::True | Kind::False => "a boolean",
            Kind::Null => "null",
        }
    }

    fn of(first: u8) -> Option<Kind> {
        Some(match first {
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b'"' => Kind::String,
            b'-' | b'0'..=b'9' => Kind::Number,
            b't' => Kind::True,
            b'f' => Kind::False,
            b'n' => Kind::Null,
            _ => return None,
        })
    }
}

/// What a visitor wants of a value that begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// Only that it ends.
    Nothing,
    /// A string's text with its escapes resolved, or a number's digits; what is longer is told cut.
    Text { bytes_max: usize },
    /// Its bytes as sent, piece by piece, through [`Visitor::raw`].
    Raw,
}

/// A value that ended.
#[derive(Debug)]
pub(crate) struct Ended<'a> {
    pub(crate) kind: Kind,
    /// What [`Want::Text`] asked for; UTF-8 unless cut.
    pub(crate) text: &'a [u8],
    /// True if the text was longer than asked for.
    pub(crate) cut: bool,
    /// Offset of the byte after the value.
    pub(crate) end: u64,
}

/// Who listens. `depth` counts the containers around a value: those of the outermost object have depth 1.
pub(crate) trait Visitor {
    /// What lies deeper is checked, but not told.
    const DEPTH: usize;
    /// A key of the object at `depth`, escapes resolved.
    fn key(&mut self, depth: usize, key: &[u8]);
    /// A value begins, after its key or as the next of its array.
    fn begin(&mut self, depth: usize, kind: Kind, offset: u64) -> Result<Want, ParseError>;
    /// The next bytes of the value that was wanted raw.
    fn raw(&mut self, bytes: &[u8]);
    /// A value ended.
    fn end(&mut self, depth: usize, value: Ended<'_>) -> Result<(), ParseError>;
}

/// Where in the grammar the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
    Done,
    Text(Role),
    Number(Digits),
    /// A literal, and what of it must still come.
    Word(Kind, &'static [u8]),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Key,
    Value,
}

/// The scanner: one per JSON text.
#[derive(Debug)]
pub(crate) struct Scanner {
    state: State,
    /// Of the first byte of the chunk in hand.
    offset: u64,
    nesting: Nesting,
    escape: Escape,
    split: SplitCharacter,
    /// The text being kept, and how much of it is wanted.
    text: SmallVec<[u8; 64]>,
    text_bytes_max: usize,
    text_cut: bool,
    /// The depth of the value that is wanted raw, and where in the chunk it goes on.
    raw: Option<usize>,
    raw_from: usize,
}

impl Scanner {
    pub(crate) fn new(depth_max: usize) -> Scanner {
        Scanner {
            state: State::Start,
            offset: 0,
            nesting: Nesting::new(depth_max),
            escape: Escape::default(),
            split: SplitCharacter::default(),
            text: SmallVec::new(),
            text_bytes_max: 0,
            text_cut: false,
            raw: None,
            raw_from: 0,
        }
    }

    /// Makes it ready for another text.
    pub(crate) fn restart(&mut self) {
        self.state = State::Start;
        self.offset = 0;
        self.nesting.restart();
        self.escape = Escape::default();
        self.split = SplitCharacter::default();
        self.raw = None;
    }

    /// Reads the next chunk. After an error the scanner is spent.
    pub(crate) fn feed<V: Visitor>(&mut self, chunk: &[u8], visitor: &mut V) -> Result<(), ParseError> {
        let mut stops = Stops::of(chunk);
        self.raw_from = 0;
        let mut at = 0;
        while at < chunk.len() {
            at = match self.state {
                State::Text(role) => self.in_text(role, &mut stops, at, visitor)?,
                State::Number(digits) => self.in_number(digits, chunk, at, visitor)?,
                State::Word(kind, rest) => self.in_word(kind, rest, chunk, at, visitor)?,
                _ => self.between(chunk, at, visitor)?,
            };
        }
        if self.raw.is_some() {
            visitor.raw(&chunk[self.raw_from..]);
        }
        self.offset += chunk.len() as u64;
        Ok(())
    }

    /// Ends the text: it must be whole.
    pub(crate) fn finish(&self) -> Result<(), ParseError> {
        match self.state {
            State::Done => Ok(()),
            _ => self.refuse(0, "it ends too early"),
        }
    }

    fn refuse<T>(&self, at: usize, what: &'static str) -> Result<T, ParseError> {
        Err(ParseError::NotJson { what, offset: self.offset + at as u64 })
    }

    /// One byte of structure, after any white space.
    #[inline]
    fn between<V: Visitor>(&mut self, chunk: &[u8], at: usize, visitor: &mut V) -> Result<usize, ParseError> {
        let byte = chunk[at];
        match (self.state, byte) {
            (_, b' ' | b'\n' | b'\r' | b'\t') => {}
            (State::Key | State::KeyOrEnd, b'"') => self.open_key::<V>(),
            (State::Colon, b':') => self.state = State::Value,
            (State::CommaOrEnd, b',') => {
                self.state = match self.nesting.innermost() {
                    Container::Object => State::Key,
                    Container::Array => State::Value,
                };
                // The next key stands right behind, as a rule.
                if self.state == State::Key && chunk.get(at + 1) == Some(&b'"') {
                    self.open_key::<V>();
                    return Ok(at + 2);
                }
            }
            (State::CommaOrEnd | State::KeyOrEnd, b'}') if self.nesting.innermost() == Container::Object => {
                self.close(Kind::Object, at, visitor, chunk)?;
            }
            (State::CommaOrEnd | State::ValueOrEnd, b']') if self.nesting.innermost() == Container::Array => {
                self.close(Kind::Array, at, visitor, chunk)?;
            }
            (State::Value | State::ValueOrEnd, _) => self.begin_value(byte, at, visitor)?,
            (State::Start, _) => self.begin_text(byte, at)?,
            (state, _) => return self.refuse(at, expected(state)),
        }
        Ok(at + 1)
    }

    /// The first byte that is not white space.
    fn begin_text(&mut self, byte: u8, at: usize) -> Result<(), ParseError> {
        match Kind::of(byte) {
            Some(Kind::Object) => {
                self.nesting.open(Container::Object)?;
                self.state = State::KeyOrEnd;
                Ok(())
            }
            Some(kind) => Err(ParseError::NotAnObject { found: kind.named() }),
            None if byte == 0xEF => self.refuse(at, "a byte order mark"),
            None => self.refuse(at, "expected `{`"),
        }
    }

    fn begin_value<V: Visitor>(&mut self, byte: u8, at: usize, visitor: &mut V) -> Result<(), ParseError> {
        let Some(kind) = Kind::of(byte) else { return self.refuse(at, "expected a value") };
        let depth = self.nesting.depth();
        let mut text_bytes_max = 0;
        if depth <= V::DEPTH {
            match visitor.begin(depth, kind, self.offset + at as u64)? {
                Want::Nothing => {}
                Want::Text { bytes_max } => text_bytes_max = bytes_max,
                Want::Raw => (self.raw, self.raw_from) = (Some(depth), at),
            }
        }
        match kind {
            Kind::Object => {
                self.nesting.open(Container::Object)?;
                self.state = State::KeyOrEnd;
            }
            Kind::Array => {
                self.nesting.open(Container::Array)?;
                self.state = State::ValueOrEnd;
            }
            Kind::String => self.open_text(Role::Value, text_bytes_max),
            Kind::Number => {
                self.open_text(Role::Value, text_bytes_max);
                self.keep(&[byte]);
                self.state = State::Number(Digits::begin(byte));
            }
            Kind::True => self.state = State::Word(kind, b"rue"),
            Kind::False => self.state = State::Word(kind, b"alse"),
            Kind::Null => self.state = State::Word(kind, b"ull"),
        }
        Ok(())
    }

    fn close<V: Visitor>(
        &mut self,
        kind: Kind,
        at: usize,
        visitor: &mut V,
        chunk: &[u8],
    ) -> Result<(), ParseError> {
        self.nesting.close();
        if self.nesting.depth() == 0 {
            self.state = State::Done;
            return Ok(());
        }
        self.end_value(kind, &[], chunk, at + 1, visitor)
    }

    /// A value ended before `end`.
    #[inline]
    fn end_value<V: Visitor>(
        &mut self,
        kind: Kind,
        text: &[u8],
        chunk: &[u8],
        end: usize,
        visitor: &mut V,
    ) -> Result<(), ParseError> {
        self.state = State::CommaOrEnd;
        let depth = self.nesting.depth();
        if depth > V::DEPTH {
            return Ok(());
        }
        if self.raw == Some(depth) {
            visitor.raw(&chunk[self.raw_from..end]);
            self.raw = None;
        }
        visitor.end(depth, Ended { kind, text, cut: self.text_cut, end: self.offset + end as u64 })
    }

    #[inline]
    fn open_key<V: Visitor>(&mut self) {
        let told = self.nesting.depth() <= V::DEPTH;
        self.open_text(Role::Key, if told { KEY_BYTES_MAX } else { 0 });
    }

    #[inline]
    fn open_text(&mut self, role: Role, bytes_max: usize) {
        self.state = State::Text(role);
        self.text.clear();
        self.text_bytes_max = bytes_max;
        self.text_cut = false;
    }

    /// Keeps text as far as it is wanted.
    #[inline]
    fn keep(&mut self, bytes: &[u8]) {
        if self.text_bytes_max == 0 {
            return;
        }
        let room = self.text_bytes_max - self.text.len();
        self.text_cut |= bytes.len() > room;
        self.text.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// The inside of a string: strides to the next byte that is a quote, a backslash or a control character.
    fn in_text<V: Visitor>(
        &mut self,
        role: Role,
        stops: &mut Stops<'_>,
        from: usize,
        visitor: &mut V,
    ) -> Result<usize, ParseError> {
        let chunk = stops.chunk();
        // Only the first bytes of a chunk can go on with what the end of the last one cut.
        let from = if from == 0 { self.resume_text(chunk)? } else { from };
        let mut at = from;
        let mut ascii = true;
        while at < chunk.len() {
            let plain = self.text_bytes_max == 0 && !self.escape.is_half();
            let stop =
                if plain { stops.next_but_letters(at, &mut ascii) } else { stops.next(at, &mut ascii) };
            let found = chunk.get(stop);
            if self.escape.is_half() && (stop > at || found == Some(&b'"')) {
                return self.refuse(at, HALF);
            }
            match found {
                Some(b'"') => {
                    self.check_utf8(&chunk[from..stop], from, ascii)?;
                    return self.end_text(role, chunk, at..stop, visitor);
                }
                Some(b'\\') => {
                    self.keep(&chunk[at..stop]);
                    self.escape.open();
                    at = self.in_escape(chunk, stop + 1)?;
                }
                Some(_) => return self.refuse(stop, "a control character in a string"),
                None => {
                    self.keep(&chunk[at..]);
                    at = chunk.len();
                }
            }
        }
        let whole = if ascii { at } else { self.split.cut(chunk, from) };
        self.check_utf8(&chunk[from..whole], from, ascii)?;
        Ok(at)
    }

    /// Goes on with a character or an escape that the end of the last chunk cut.
    fn resume_text(&mut self, chunk: &[u8]) -> Result<usize, ParseError> {
        let mut at = 0;
        while self.split.is_open() && at < chunk.len() {
            if !self.split.push(chunk[at]) {
                return self.refuse(at, "not UTF-8");
            }
            self.keep(&chunk[at..at + 1]);
            at += 1;
        }
        self.in_escape(chunk, at)
    }

    #[inline]
    fn check_utf8(&self, text: &[u8], from: usize, ascii: bool) -> Result<(), ParseError> {
        if ascii {
            return Ok(());
        }
        match simdutf8::compat::from_utf8(text) {
            Ok(_) => Ok(()),
            Err(error) => self.refuse(from + error.valid_up_to(), "not UTF-8"),
        }
    }

    /// A string ends with the bytes of `last`. A text that is all of them is told from where it lies.
    #[inline]
    fn end_text<V: Visitor>(
        &mut self,
        role: Role,
        chunk: &[u8],
        last: Range<usize>,
        visitor: &mut V,
    ) -> Result<usize, ParseError> {
        let end = last.end + 1;
        let last = &chunk[last];
        let kept;
        let text = if self.text.is_empty() {
            self.text_cut = last.len() > self.text_bytes_max;
            &last[..last.len().min(self.text_bytes_max)]
        } else {
            self.keep(last);
            kept = std::mem::take(&mut self.text);
            kept.as_slice()
        };
        match role {
            Role::Value => {
                self.end_value(Kind::String, text, chunk, end, visitor)?;
                Ok(end)
            }
            Role::Key => {
                if self.nesting.depth() <= V::DEPTH {
                    visitor.key(self.nesting.depth(), text);
                }
                // The colon stands next, as a rule.
                let colon = chunk.get(end) == Some(&b':');
                self.state = if colon { State::Value } else { State::Colon };
                Ok(end + usize::from(colon))
            }
        }
    }

    /// The rest of an escape, as far as it stands in this chunk. Answers where the text goes on.
    #[inline]
    fn in_escape(&mut self, chunk: &[u8], mut at: usize) -> Result<usize, ParseError> {
        while self.escape.is_open() && at < chunk.len() {
            match self.escape.push(chunk[at]) {
                Ok(Some(character)) if self.text_bytes_max > 0 => {
                    self.keep(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Ok(_) => {}
                Err(what) => return self.refuse(at, what),
            }
            at += 1;
        }
        Ok(at)
    }

    fn in_number<V: Visitor>(
        &mut self,
        mut digits: Digits,
        chunk: &[u8],
        from: usize,
        visitor: &mut V,
    ) -> Result<usize, ParseError> {
        let mut at = from;
        while let Some(next) = chunk.get(at).and_then(|byte| digits.after(*byte)) {
            digits = next;
            at += 1;
        }
        self.keep(&chunk[from..at]);
        self.state = State::Number(digits);
        if at < chunk.len() {
            if !digits.may_end() {
                return self.refuse(at, "expected a digit");
            }
            let text = std::mem::take(&mut self.text);
            self.end_value(Kind::Number, &text, chunk, at, visitor)?;
        }
        Ok(at)
    }

    fn in_word<V: Visitor>(
        &mut self,
        kind: Kind,
        rest: &'static [u8],
        chunk: &[u8],
        from: usize,
        visitor: &mut V,
    ) -> Result<usize, ParseError> {
        let here = rest.len().min(chunk.len() - from);
        if chunk[from..from + here] != rest[..here] {
            return self.refuse(from, "expected `true`, `false` or `null`");
        }
        let at = from + here;
        if here < rest.len() {
            self.state = State::Word(kind, &rest[here..]);
        } else {
            self.end_value(kind, &[], chunk, at, visitor)?;
        }
        Ok(at)
    }
}

fn expected(state: State) -> &'static str {
    match state {
        State::Key => "expected a key",
        State::KeyOrEnd => "expected a key or `}`",
        State::Colon => "expected `:`",
        State::CommaOrEnd => "expected `,` or the end of the object or array",
        State::Done => "something follows the object",
        _ => "expected a value",
    }
}
