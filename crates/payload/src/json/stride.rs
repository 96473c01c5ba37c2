//! The straight way through a chunk.
//!
//! In: the bytes of a chunk from a key, a value or the end of one on. Out: how far they are of the kind that nearly all
//! are: keys and texts that lie whole in the chunk, containers, numbers, literals. The visitor hears of them as it does on
//! the careful way. Never: a judgement of what is wrong or of what the chunk cuts; there the careful way goes on.

use super::nesting::Place;
use super::seam::WORD_BYTES_MAX;
use super::{Container, Digits, KEY_BYTES_MAX, Kind, ParseError, Role, Scanner, State, Stops, Visitor};
use std::convert::Infallible;
use std::ops::Range;

impl Scanner {
    /// Walks on from `from`. Answers where the careful way goes on, at the latest at the end of the chunk.
    #[inline(never)]
    pub(super) fn stride<V: Visitor>(
        &mut self,
        stops: &mut Stops<'_>,
        from: usize,
        visitor: &mut V,
    ) -> Result<usize, ParseError> {
        let state = self.state;
        let mut walk =
            Walk { chunk: stops.chunk(), at: from, stops, scanner: self, visitor, seam_from: None };
        let Err(stop) = walk.values(state);
        let at = walk.at;
        match stop {
            Stop::At(state) => {
                self.state = state;
                Ok(at)
            }
            Stop::Refused(error) => Err(error),
        }
    }
}

/// One stride.
struct Walk<'a, 'chunk, V> {
    chunk: &'chunk [u8],
    at: usize,
    stops: &'a mut Stops<'chunk>,
    scanner: &'a mut Scanner,
    visitor: &'a mut V,
    /// Where the last text that the visitor does not hear of ended, and in which containers.
    seam_from: Option<(usize, Place)>,
}

/// Why a stride ends.
enum Stop {
    /// The careful way goes on in this state.
    At(State),
    Refused(ParseError),
}

impl From<ParseError> for Stop {
    fn from(error: ParseError) -> Stop {
        Stop::Refused(error)
    }
}

impl<V: Visitor> Walk<'_, '_, V> {
    #[inline(always)]
    fn values(&mut self, mut state: State) -> Result<Infallible, Stop> {
        if let State::Key | State::KeyOrEnd = state {
            self.key(state)?;
            state = State::Value;
        }
        loop {
            if state != State::CommaOrEnd {
                self.value(state)?;
            }
            self.ends()?;
            state = State::Value;
        }
    }

    /// A text, a number, a literal or an empty container up to its end, and before it the containers that begin with it.
    #[inline(always)]
    fn value(&mut self, mut state: State) -> Result<(), Stop> {
        loop {
            match self.byte() {
                Some(b'"') => return self.string(),
                Some(b'{') => {
                    self.open(Kind::Object, Container::Object)?;
                    if self.byte() == Some(b'}') {
                        return Ok(());
                    }
                    self.key(State::KeyOrEnd)?;
                    state = State::Value;
                }
                Some(b'[') => {
                    self.open(Kind::Array, Container::Array)?;
                    state = State::ValueOrEnd;
                }
                Some(b'-' | b'0'..=b'9') => return self.number(),
                Some(b']') if state == State::ValueOrEnd => return Ok(()),
                Some(b't') => return self.word(Kind::True),
                Some(b'f') => return self.word(Kind::False),
                Some(b'n') => return self.word(Kind::Null),
                _ => return Err(Stop::At(state)),
            }
        }
    }

    /// What stands between two values: the ends of containers, a comma, a key.
    #[inline(always)]
    fn ends(&mut self) -> Result<(), Stop> {
        if self.byte() != Some(b',') {
            self.closes()?;
        }
        self.pass();
        match self.scanner.nesting.innermost() {
            Container::Object => self.key(State::Key),
            Container::Array => Ok(()),
        }
    }

    /// The ends of containers, up to a comma.
    #[inline(always)]
    fn closes(&mut self) -> Result<(), Stop> {
        loop {
            match self.byte() {
                Some(b',') => return Ok(()),
                Some(b'}') if self.is_inside(Container::Object) => self.close(Kind::Object)?,
                Some(b']') if self.is_inside(Container::Array) => self.close(Kind::Array)?,
                Some(b' ' | b'\n' | b'\r' | b'\t') => {}
                _ => return Err(Stop::At(State::CommaOrEnd)),
            }
            self.pass();
        }
    }

    /// True if the container in hand is of this kind, and another one stands around it.
    #[inline(always)]
    fn is_inside(&self, container: Container) -> bool {
        let nesting = &self.scanner.nesting;
        nesting.innermost() == container && nesting.depth() > 1
    }

    /// True if the visitor asked for the value in hand.
    #[inline(always)]
    fn is_asked(&self) -> bool {
        self.scanner.nesting.depth() <= self.scanner.asked
    }

    /// True if the visitor hears of the keys and values here.
    #[inline(always)]
    fn is_told(&self) -> bool {
        self.scanner.nesting.depth() <= self.scanner.told
    }

    #[inline(always)]
    fn open(&mut self, kind: Kind, container: Container) -> Result<(), Stop> {
        if self.is_asked() {
            self.scanner.begin(kind, self.at, self.visitor)?;
        }
        self.scanner.nesting.open(container)?;
        self.pass();
        Ok(())
    }

    #[inline(always)]
    fn close(&mut self, kind: Kind) -> Result<(), Stop> {
        self.scanner.leave();
        if !self.is_told() {
            return Ok(());
        }
        // A seam leads past nothing that the visitor hears of.
        self.seam_from = None;
        if self.is_asked() {
            let end = self.at + 1;
            self.scanner.end_value(kind, &[], self.chunk, end, self.visitor)?;
        }
        Ok(())
    }

    /// The value that the visitor asked for ended, and its text was wanted so far.
    #[inline(always)]
    fn end(&mut self, kind: Kind, text: Range<usize>, bytes_max: usize) -> Result<(), Stop> {
        let wanted = text.len().min(bytes_max);
        self.scanner.text_cut = wanted < text.len();
        let text = &self.chunk[text.start..text.start + wanted];
        Ok(self.scanner.end_value(kind, text, self.chunk, self.at, self.visitor)?)
    }

    /// A key and its colon.
    #[inline(always)]
    fn key(&mut self, state: State) -> Result<(), Stop> {
        let Some(b'"') = self.byte() else { return Err(Stop::At(state)) };
        let from = self.at + 1;
        if self.is_told() {
            self.text(Role::Key, KEY_BYTES_MAX)?;
            self.scanner.ask(&self.chunk[from..self.at - 1], self.visitor);
        } else {
            self.text(Role::Key, 0)?;
        }
        let Some(b':') = self.byte() else { return Err(Stop::At(State::Colon)) };
        self.pass();
        Ok(())
    }

    /// A string as a value.
    #[inline(always)]
    fn string(&mut self) -> Result<(), Stop> {
        if !self.is_told() {
            return self.texts();
        }
        if !self.is_asked() {
            return self.text(Role::Value, 0);
        }
        let from = self.at;
        let bytes_max = self.scanner.begin(Kind::String, from, self.visitor)?;
        self.text(Role::Value, bytes_max)?;
        self.end(Kind::String, from + 1..self.at - 1, bytes_max)
    }

    /// A string, of which so many bytes are wanted.
    #[inline(always)]
    fn text(&mut self, role: Role, bytes_max: usize) -> Result<(), Stop> {
        let from = self.at + 1;
        self.at =
            if bytes_max == 0 { self.stops.next_but_whole_escapes(from) } else { self.stops.next(from) };
        if self.byte() != Some(b'"') {
            self.scanner.stop_in_text(role, bytes_max, &self.chunk[from..self.at]);
            return Err(Stop::At(State::Text(role)));
        }
        self.at += 1;
        Ok(())
    }

    /// A string that the visitor does not hear of, and behind a text as many more as known seams lead to.
    #[inline(always)]
    fn texts(&mut self) -> Result<(), Stop> {
        let mut from = self.at;
        self.text(Role::Value, 0)?;
        if self.at - from <= WORD_BYTES_MAX {
            return Ok(());
        }
        let Some(place) = self.scanner.place() else { return Ok(()) };
        if let Some((seam_from, begun)) = self.seam_from
            && begun == place
        {
            self.scanner.seams.learn(place, &self.chunk[seam_from..from + 1]);
        }
        while let Some(bytes) = self.scanner.seams.known(place, &self.chunk[self.at..]) {
            from = self.at + bytes - 1;
            self.at = from;
            self.text(Role::Value, 0)?;
        }
        if self.at - from > WORD_BYTES_MAX {
            self.seam_from = Some((self.at, place));
        }
        Ok(())
    }

    /// A number; a whole one at a glance.
    #[inline(always)]
    fn number(&mut self) -> Result<(), Stop> {
        let from = self.at;
        let asked = self.is_asked();
        let bytes_max = if asked { self.scanner.begin(Kind::Number, from, self.visitor)? } else { 0 };
        let mut end = from;
        while let Some(b'0'..=b'9') = self.chunk.get(end) {
            end += 1;
        }
        let zero_leads = self.byte() == Some(b'0') && end > from + 1;
        if end == from || zero_leads || !matches!(self.chunk.get(end), Some(b',' | b']' | b'}')) {
            self.scanner.open_text(Role::Value, bytes_max);
            self.at = self.scanner.in_number(Digits::Start, self.chunk, from, self.visitor)?;
            return self.ended();
        }
        self.at = end;
        if asked { self.end(Kind::Number, from..end, bytes_max) } else { Ok(()) }
    }

    /// A literal.
    #[inline(always)]
    fn word(&mut self, kind: Kind) -> Result<(), Stop> {
        let asked = self.is_asked();
        if asked {
            self.scanner.begin(kind, self.at, self.visitor)?;
        }
        let word = kind.word();
        if !self.chunk[self.at..].starts_with(word) {
            self.at = self.scanner.in_word(kind, 1, self.chunk, self.at + 1, self.visitor)?;
            return self.ended();
        }
        self.at += word.len();
        if asked { self.end(kind, 0..0, 0) } else { Ok(()) }
    }

    /// The walk goes on if the value in hand was whole.
    #[inline(always)]
    fn ended(&self) -> Result<(), Stop> {
        match self.scanner.state {
            State::CommaOrEnd => Ok(()),
            state => Err(Stop::At(state)),
        }
    }

    /// One byte of structure, and the white space behind it.
    #[inline(always)]
    fn pass(&mut self) {
        self.at += 1;
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte() {
            self.at += 1;
        }
    }

    #[inline(always)]
    fn byte(&self) -> Option<u8> {
        self.chunk.get(self.at).copied()
    }
}
