//! The quick way through what nobody is told of.
//!
//! In: the bytes of containers that the visitor does not look into. Out: how far they are of the kind that nearly all
//! are: containers, strings without half characters, whole numbers. Never: an error (where something else stands, the
//! careful way goes on, and says what is wrong), a text kept.

use super::nesting::{Nesting, Place};
use super::seam::{Seams, WORD_BYTES_MAX};
use super::{Container, Digits, Role, Scanner, State, Stops};
use std::convert::Infallible;

impl Scanner {
    /// Walks on from `from`. Answers where the careful way goes on: at the latest at the end of the chunk, or of the
    /// value that the visitor will be told the end of.
    #[inline]
    pub(super) fn stride(&mut self, stops: &mut Stops<'_>, from: usize) -> usize {
        if !matches!(self.state, State::Value | State::ValueOrEnd | State::CommaOrEnd) {
            return from;
        }
        let chunk = stops.chunk();
        let seam_from = None;
        let Scanner { nesting, seams, told, .. } = self;
        let mut walk = Walk { chunk, at: from, stops, nesting, told: *told, seams, seam_from };
        let Err(state) = walk.values(self.state);
        let at = walk.at;
        self.state = state;
        self.text_bytes_max = 0;
        at
    }
}

/// One stride. An error is the state in which the careful way goes on.
struct Walk<'a, 'chunk> {
    chunk: &'chunk [u8],
    at: usize,
    stops: &'a mut Stops<'chunk>,
    nesting: &'a mut Nesting,
    told: usize,
    seams: &'a mut Seams,
    /// Where the last text ended, and in which containers.
    seam_from: Option<(usize, Place)>,
}

impl Walk<'_, '_> {
    fn values(&mut self, mut state: State) -> Result<Infallible, State> {
        loop {
            if state != State::CommaOrEnd {
                self.value(state)?;
            }
            self.ends()?;
            state = State::Value;
        }
    }

    /// A string or a number, and before it the containers that begin with it.
    #[inline(always)]
    fn value(&mut self, mut state: State) -> Result<(), State> {
        loop {
            match self.byte() {
                Some(b'"') => return self.texts(),
                Some(b'{') if self.nesting.open(Container::Object).is_ok() => {
                    self.key(State::KeyOrEnd)?;
                    state = State::Value;
                }
                Some(b'[') if self.nesting.open(Container::Array).is_ok() => {
                    self.pass();
                    state = State::ValueOrEnd;
                }
                Some(b'1'..=b'9') => return self.number(),
                _ => return Err(state),
            }
        }
    }

    /// A string, and as many more as known seams lead to.
    #[inline(always)]
    fn texts(&mut self) -> Result<(), State> {
        let mut from = self.at;
        self.text(Role::Value)?;
        let Some(place) = self.nesting.place(self.told) else { return Ok(()) };
        if self.at - from > WORD_BYTES_MAX
            && let Some((seam_from, begun)) = self.seam_from
            && begun == place
        {
            self.seams.learn(place, &self.chunk[seam_from..=from]);
        }
        while let Some(bytes) = self.seams.known(place, &self.chunk[self.at..]) {
            from = self.at + bytes - 1;
            self.at = from;
            self.text(Role::Value)?;
        }
        if self.at - from > WORD_BYTES_MAX {
            self.seam_from = Some((self.at, place));
        }
        Ok(())
    }

    /// What stands between two values: the ends of containers, a comma, a key.
    #[inline(always)]
    fn ends(&mut self) -> Result<(), State> {
        loop {
            match self.byte() {
                Some(b',') if self.nesting.innermost() == Container::Object => return self.key(State::Key),
                Some(b',') => {
                    self.pass();
                    return Ok(());
                }
                Some(b'}') if self.ends_untold(Container::Object) => {}
                Some(b']') if self.ends_untold(Container::Array) => {}
                _ => return Err(State::CommaOrEnd),
            }
            self.nesting.close();
            self.pass();
        }
    }

    /// True if the container in hand is of this kind, and another one that nobody is told of stands around it.
    #[inline(always)]
    fn ends_untold(&self, container: Container) -> bool {
        self.nesting.innermost() == container && self.nesting.depth() > self.told + 1
    }

    /// A brace or a comma, the key after it and its colon.
    #[inline(always)]
    fn key(&mut self, state: State) -> Result<(), State> {
        self.pass();
        let Some(b'"') = self.byte() else { return Err(state) };
        self.text(Role::Key)?;
        let Some(b':') = self.byte() else { return Err(State::Colon) };
        self.pass();
        Ok(())
    }

    /// A string.
    #[inline(always)]
    fn text(&mut self, role: Role) -> Result<(), State> {
        self.at = self.stops.next_but_whole_escapes(self.at + 1);
        let Some(b'"') = self.byte() else { return Err(State::Text(role)) };
        self.at += 1;
        Ok(())
    }

    /// A whole number, but for those that may end with the chunk.
    #[inline(always)]
    fn number(&mut self) -> Result<(), State> {
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        match self.byte() {
            Some(b',' | b']' | b'}') => Ok(()),
            _ => Err(State::Number(Digits::Whole)),
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
