//! The incremental JSON scanner.
//!
//! In: the bytes of one JSON object, in chunks cut anywhere. Out: calls to a [`Visitor`] for the containers it looks into.
//! Every byte is checked (what passes here, a strict parser takes too). Never: a DOM, a number read as a float, a copy
//! of anything but the keys and the few values that the visitor asked for.

mod escape;
mod nesting;
mod number;
mod seam;
mod stops;
mod stride;
mod utf8;

use crate::ParseError;
use escape::{Escape, HALF};
use nesting::{Container, Nesting};
use number::Digits;
use seam::Seams;
use smallvec::SmallVec;
use std::ops::Range;
use stops::Stops;
use utf8::Utf8;

/// Longer keys are no key that anybody here looks for; they are told cut.
pub(crate) const KEY_BYTES_MAX: usize = 48;

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

    /// A literal's bytes.
    fn word(self) -> &'static [u8] {
        match self {
            Kind::True => b"true",
            Kind::False => b"false",
            Kind::Null => b"null",
            Kind::Object | Kind::Array | Kind::String | Kind::Number => b"",
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
    /// An object's keys and values, or an array's values.
    Inside,
    /// A string's text with its escapes resolved, or a number's digits; what is longer is told cut.
    Text { bytes_max: usize },
    /// Its bytes as sent: the last of them at its end, those of earlier chunks through [`Visitor::raw`].
    Raw,
}

/// A value that ended.
#[derive(Debug)]
pub(crate) struct Ended<'a> {
    pub(crate) kind: Kind,
    /// What [`Want::Text`] asked for, UTF-8 unless cut, or the last bytes of what [`Want::Raw`] did.
    pub(crate) text: &'a [u8],
    /// True if the text was longer than asked for.
    pub(crate) cut: bool,
    /// Offset of the byte after the value.
    pub(crate) end: u64,
}

/// Whether a visitor asks for the value of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    /// It hears of the value.
    Asked,
    /// It hears of the next key.
    None,
}

/// Who listens. `depth` counts the containers around a value: those of the outermost object have depth 1.
pub(crate) trait Visitor {
    /// A key of the object at `depth`, escapes resolved.
    fn key(&mut self, depth: usize, key: &[u8]) -> Interest;
    /// A value that was asked for begins, or the next of an array.
    fn begin(&mut self, depth: usize, kind: Kind, offset: u64) -> Result<Want, ParseError>;
    /// The next bytes of the value that was wanted raw, which goes on in the next chunk.
    fn raw(&mut self, bytes: &[u8]);
    /// A value ended.
    fn end(&mut self, depth: usize, value: Ended<'_>) -> Result<(), ParseError>;
}

/// Where in the grammar the next byte stands. It is asked for at every byte of structure: its tag is a byte of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
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
    /// A literal, and how many of its bytes have come.
    Word(Kind, u8),
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
    seams: Seams,
    /// The depth of the innermost keys and values that the visitor hears of.
    told: usize,
    /// The same, but one less while a value passes that it did not ask for.
    asked: usize,
    utf8: Utf8,
    escape: Escape,
    /// The text being kept, and how much of it is wanted.
    text: SmallVec<[u8; 64]>,
    text_bytes_max: usize,
    text_cut: bool,
    /// A value is wanted raw, and where in the chunk it goes on.
    raw: bool,
    raw_from: usize,
}

impl Scanner {
    pub(crate) fn new(depth_max: usize) -> Scanner {
        Scanner {
            state: State::Start,
            offset: 0,
            nesting: Nesting::new(depth_max),
            seams: Seams::default(),
            told: 1,
            asked: 1,
            utf8: Utf8::default(),
            escape: Escape::default(),
            text: SmallVec::new(),
            text_bytes_max: 0,
            text_cut: false,
            raw: false,
            raw_from: 0,
        }
    }

    /// Makes it ready for another text.
    pub(crate) fn restart(&mut self) {
        self.state = State::Start;
        self.offset = 0;
        self.nesting.restart();
        self.seams.forget();
        (self.told, self.asked) = (1, 1);
        self.utf8 = Utf8::default();
        self.escape = Escape::default();
        self.text.clear();
        self.raw = false;
    }

    /// Reads the next chunk. After an error the scanner is spent.
    pub(crate) fn feed<V: Visitor>(&mut self, chunk: &[u8], visitor: &mut V) -> Result<(), ParseError> {
        self.raw_from = 0;
        if let Err(broken_at) = self.utf8.check(chunk) {
            // Something else may be wrong before that.
            self.scan(&chunk[..broken_at], visitor)?;
            return self.refuse(broken_at, "not UTF-8");
        }
        self.scan(chunk, visitor)?;
        if self.raw {
            visitor.raw(&chunk[self.raw_from..]);
        }
        self.offset += chunk.len() as u64;
        Ok(())
    }

    fn scan<V: Visitor>(&mut self, chunk: &[u8], visitor: &mut V) -> Result<(), ParseError> {
        let mut stops = Stops::of(chunk);
        let mut at = 0;
        while at < chunk.len() {
            at = match self.state {
                State::Text(role) => self.in_text(role, &mut stops, at, visitor)?,
                State::Number(digits) => self.in_number(digits, chunk, at, visitor)?,
                State::Word(kind, have) => self.in_word(kind, have, chunk, at, visitor)?,
                _ => self.between(&mut stops, at, visitor)?,
            };
        }
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

    /// What stands between texts, numbers and literals: one byte, or as many as one stride takes.
    #[inline]
    fn between<V: Visitor>(
        &mut self,
        stops: &mut Stops<'_>,
        from: usize,
        visitor: &mut V,
    ) -> Result<usize, ParseError> {
        if let State::Key | State::KeyOrEnd | State::Value | State::ValueOrEnd | State::CommaOrEnd =
            self.state
        {
            let at = self.stride(stops, from, visitor)?;
            if at > from {
                return Ok(at);
            }
        }
        let (chunk, at) = (stops.chunk(), from);
        match (self.state, chunk[at]) {
            (_, b' ' | b'\n' | b'\r' | b'\t') => {}
            (State::Key | State::KeyOrEnd, b'"') => {
                self.open_key();
                return self.in_text(Role::Key, stops, at + 1, visitor);
            }
            (State::Colon, b':') => self.state = State::Value,
            (State::CommaOrEnd, b',') => self.state = self.after_comma(),
            (State::CommaOrEnd | State::KeyOrEnd, b'}') if self.nesting.innermost() == Container::Object => {
                self.close(Kind::Object, at, visitor, chunk)?;
            }
            (State::CommaOrEnd | State::ValueOrEnd, b']') if self.nesting.innermost() == Container::Array => {
                self.close(Kind::Array, at, visitor, chunk)?;
            }
            (State::Value | State::ValueOrEnd, byte) => return self.begin_value(byte, stops, at, visitor),
            (State::Start, byte) => self.begin_text(byte, at)?,
            (state, _) => return self.refuse(at, expected(state)),
        }
        Ok(at + 1)
    }

    #[inline]
    fn after_comma(&self) -> State {
        match self.nesting.innermost() {
            Container::Object => State::Key,
            Container::Array => State::Value,
        }
    }

    /// The first byte that is not white space.
    fn begin_text(&mut self, byte: u8, at: usize) -> Result<(), ParseError> {
        match Kind::of(byte) {
            Some(Kind::Object) => {
                self.nesting.open(Container::Object)?;
                self.state = State::KeyOrEnd;
                Ok(())
            }
            // What begins as a literal may be no JSON at all.
            Some(kind @ (Kind::True | Kind::False | Kind::Null)) => {
                self.state = State::Word(kind, 1);
                Ok(())
            }
            Some(kind) => Err(ParseError::NotAnObject { found: kind.named() }),
            None if byte == 0xEF => self.refuse(at, "a byte order mark"),
            None => self.refuse(at, "expected `{`"),
        }
    }

    /// A value's first byte. Answers where it goes on; a string is read at once.
    fn begin_value<V: Visitor>(
        &mut self,
        byte: u8,
        stops: &mut Stops<'_>,
        at: usize,
        visitor: &mut V,
    ) -> Result<usize, ParseError> {
        let Some(kind) = Kind::of(byte) else { return self.refuse(at, "expected a value") };
        let asked = self.nesting.depth() <= self.asked;
        let text_bytes_max = if asked { self.begin(kind, at, visitor)? } else { 0 };
        match kind {
            Kind::Object => {
                self.nesting.open(Container::Object)?;
                self.state = State::KeyOrEnd;
            }
            Kind::Array => {
                self.nesting.open(Container::Array)?;
                self.state = State::ValueOrEnd;
            }
            Kind::String => {
                self.open_text(Role::Value, text_bytes_max);
                return self.in_text(Role::Value, stops, at + 1, visitor);
            }
            Kind::Number => {
                self.open_text(Role::Value, text_bytes_max);
                self.state = State::Number(Digits::Start);
                return Ok(at);
            }
            Kind::True | Kind::False | Kind::Null => self.state = State::Word(kind, 1),
        }
        Ok(at + 1)
    }

    /// Whether the visitor asks for the value of this key.
    #[inline(always)]
    fn ask<V: Visitor>(&mut self, key: &[u8], visitor: &mut V) {
        let depth = self.nesting.depth();
        self.asked = match visitor.key(depth, key) {
            Interest::Asked => depth,
            Interest::None => depth - 1,
        };
    }

    /// Tells of a value that begins and was asked for. Answers how much of its text is wanted.
    #[inline(always)]
    fn begin<V: Visitor>(&mut self, kind: Kind, at: usize, visitor: &mut V) -> Result<usize, ParseError> {
        let depth = self.nesting.depth();
        match visitor.begin(depth, kind, self.offset + at as u64)? {
            Want::Nothing => {}
            Want::Inside => (self.told, self.asked) = (depth + 1, depth + 1),
            Want::Text { bytes_max } => return Ok(bytes_max),
            Want::Raw => (self.raw, self.raw_from) = (true, at),
        }
        Ok(0)
    }

    fn close<V: Visitor>(
        &mut self,
        kind: Kind,
        at: usize,
        visitor: &mut V,
        chunk: &[u8],
    ) -> Result<(), ParseError> {
        self.leave();
        if self.nesting.depth() == 0 {
            self.state = State::Done;
            return Ok(());
        }
        self.end_value(kind, &[], chunk, at + 1, visitor)
    }

    /// A container ended. What the visitor looked into, it had asked for.
    #[inline(always)]
    fn leave(&mut self) {
        self.nesting.close();
        let depth = self.nesting.depth();
        if depth < self.told {
            (self.told, self.asked) = (depth, depth);
        }
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
        if depth > self.asked {
            return Ok(());
        }
        let text = if std::mem::take(&mut self.raw) { &chunk[self.raw_from..end] } else { text };
        visitor.end(depth, Ended { kind, text, cut: self.text_cut, end: self.offset + end as u64 })
    }

    /// Where the byte in hand stands, if that can be told in a word.
    #[inline]
    fn place(&self) -> Option<nesting::Place> {
        self.nesting.place(self.told)
    }

    #[inline]
    fn open_key(&mut self) {
        let told = self.nesting.depth() <= self.told;
        self.open_text(Role::Key, if told { KEY_BYTES_MAX } else { 0 });
    }

    #[inline]
    fn open_text(&mut self, role: Role, bytes_max: usize) {
        self.state = State::Text(role);
        self.text.clear();
        self.text_bytes_max = bytes_max;
        self.text_cut = false;
    }

    /// The stride left a text that begins with these bytes.
    #[cold]
    fn stop_in_text(&mut self, role: Role, bytes_max: usize, bytes: &[u8]) {
        self.open_text(role, bytes_max);
        self.keep(bytes);
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

    /// The inside of a string: goes on at the next byte that is a quote, a backslash or a control character.
    fn in_text<V: Visitor>(
        &mut self,
        role: Role,
        stops: &mut Stops<'_>,
        from: usize,
        visitor: &mut V,
    ) -> Result<usize, ParseError> {
        let chunk = stops.chunk();
        // Only the first bytes of a chunk can go on with what the end of the last one cut.
        let mut at = if from == 0 { self.in_escape(chunk, 0)? } else { from };
        while at < chunk.len() {
            let plain = self.text_bytes_max == 0 && !self.escape.is_half();
            let stop = if plain { stops.next_but_whole_escapes(at) } else { stops.next(at) };
            let found = chunk.get(stop);
            if self.escape.is_half() && (stop > at || found == Some(&b'"')) {
                return self.refuse(at, HALF);
            }
            match found {
                Some(b'"') => return self.end_text(role, chunk, at..stop, visitor),
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
        Ok(at)
    }

    /// The text that ends with the bytes of `last`. What is all of them is told from where it lies.
    #[inline]
    fn whole_text<'a>(&mut self, last: &'a [u8], kept: &'a mut SmallVec<[u8; 64]>) -> &'a [u8] {
        if self.text.is_empty() {
            self.text_cut = last.len() > self.text_bytes_max;
            return &last[..last.len().min(self.text_bytes_max)];
        }
        self.keep(last);
        *kept = std::mem::take(&mut self.text);
        kept
    }

    /// A string ends with the bytes of `last`.
    #[inline]
    fn end_text<V: Visitor>(
        &mut self,
        role: Role,
        chunk: &[u8],
        last: Range<usize>,
        visitor: &mut V,
    ) -> Result<usize, ParseError> {
        let end = last.end + 1;
        let mut kept = SmallVec::new();
        let text = self.whole_text(&chunk[last], &mut kept);
        match role {
            Role::Value => {
                self.end_value(Kind::String, text, chunk, end, visitor)?;
                Ok(end)
            }
            Role::Key => {
                if self.nesting.depth() <= self.told {
                    self.ask(text, visitor);
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
            match self.escape.push(chunk[at], self.text_bytes_max > 0) {
                Ok(Some(character)) => self.keep(character.encode_utf8(&mut [0; 4]).as_bytes()),
                Ok(None) => {}
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
        if at == chunk.len() {
            self.keep(&chunk[from..]);
            self.state = State::Number(digits);
            return Ok(at);
        }
        if !digits.may_end() {
            return self.refuse(at, "expected a digit");
        }
        // Told only if what follows may: half a broken character shows only with its other half.
        if !matches!(chunk[at], b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t') {
            return self.refuse(at, expected(State::CommaOrEnd));
        }
        let mut kept = SmallVec::new();
        let text = self.whole_text(&chunk[from..at], &mut kept);
        self.end_value(Kind::Number, text, chunk, at, visitor)?;
        Ok(at)
    }

    fn in_word<V: Visitor>(
        &mut self,
        kind: Kind,
        have: u8,
        chunk: &[u8],
        from: usize,
        visitor: &mut V,
    ) -> Result<usize, ParseError> {
        let rest = &kind.word()[usize::from(have)..];
        let here = rest.len().min(chunk.len() - from);
        let is_body = self.nesting.depth() == 0;
        if chunk[from..from + here] != rest[..here] {
            return match is_body {
                true => {
                    let offset = self.offset + from as u64 - u64::from(have);
                    Err(ParseError::NotJson { what: "expected `{`", offset })
                }
                false => self.refuse(from, "expected `true`, `false` or `null`"),
            };
        }
        let at = from + here;
        if here < rest.len() {
            self.state = State::Word(kind, have + here as u8);
        } else if is_body {
            return Err(ParseError::NotAnObject { found: kind.named() });
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
