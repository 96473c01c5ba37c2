//! The lines of `text/event-stream`, cut anywhere.
//!
//! In: bytes. Out: the data of each event in pieces as they lie in the chunks, and where an event ends. A line ends with
//! a line feed, a carriage return, or both. Never: a buffer; so no line is too long.

/// What makes a line one of data.
const FIELD: &[u8] = b"data:";

/// What the bytes hold.
pub(super) enum Part<'a> {
    /// Data of the event in hand.
    Data(&'a [u8]),
    /// A blank line ended the event in hand.
    End,
}

/// What the next byte of the line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// The start of a line, of which this many bytes were those of [`FIELD`].
    Field(usize),
    /// The one space that may follow the colon.
    Space,
    Data,
    /// A comment or another field.
    Other,
}

/// Where in the stream the next byte stands.
#[derive(Debug)]
pub(super) struct Lines {
    line: Line,
    /// The last byte was a carriage return: a line feed belongs to it.
    after_return: bool,
    /// A line of the event in hand has ended.
    in_event: bool,
    /// The event in hand has a line of data.
    has_data: bool,
}

impl Default for Lines {
    fn default() -> Lines {
        Lines { line: Line::Field(0), after_return: false, in_event: false, has_data: false }
    }
}

impl Lines {
    pub(super) fn feed(&mut self, chunk: &[u8], mut tell: impl FnMut(Part<'_>)) {
        let mut rest = chunk;
        if self.after_return && !rest.is_empty() {
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            self.after_return = false;
        }
        while !rest.is_empty() {
            let Some(end) = memchr::memchr2(b'\n', b'\r', rest) else {
                self.in_line(rest, &mut tell);
                return;
            };
            self.in_line(&rest[..end], &mut tell);
            self.end_line(&mut tell);
            let returned = rest[end] == b'\r';
            rest = &rest[end + 1..];
            if returned {
                self.after_return = rest.is_empty();
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
        }
    }

    /// What must be sent so that the next line begins a new event.
    pub(super) fn close(&self) -> &'static str {
        match self.line {
            Line::Field(0) if !self.in_event => "",
            // After a carriage return one line feed would only be the rest of that line's end.
            Line::Field(0) if !self.after_return => "\n",
            _ => "\n\n",
        }
    }

    fn in_line(&mut self, mut bytes: &[u8], tell: &mut impl FnMut(Part<'_>)) {
        while let (Line::Field(matched), Some((first, rest))) = (self.line, bytes.split_first()) {
            self.line = match *first == FIELD[matched] {
                false => Line::Other,
                true if matched + 1 == FIELD.len() => Line::Space,
                true => Line::Field(matched + 1),
            };
            bytes = rest;
        }
        if self.line == Line::Space && !bytes.is_empty() {
            bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
            self.line = Line::Data;
            if self.has_data {
                tell(Part::Data(b"\n"));
            }
            self.has_data = true;
        }
        if self.line == Line::Data && !bytes.is_empty() {
            tell(Part::Data(bytes));
        }
    }

    fn end_line(&mut self, tell: &mut impl FnMut(Part<'_>)) {
        if self.line == Line::Field(0) {
            if self.in_event {
                tell(Part::End);
            }
            (self.in_event, self.has_data) = (false, false);
        } else {
            self.in_event = true;
        }
        self.line = Line::Field(0);
    }
}
