//! A message's body, of which the parser is shown as much at once as a thread may work on.
//!
//! In: a body's message. Out: whether the parser has seen all of it. In the clear that is at once; of a coded body, of which a
//! few bytes may stand for a great many, a part in each turn.
//! Never: more than one part in a call, however small the messages are that hold them.

use crate::wire::HttpBody;
use bytes::Bytes;
use payload::{Fed, Gathering, ParseError, RequestParser, Spent};

/// A beginning of a body from so many bytes on is kept where it lies: a good part of what it keeps.
const BEGINNING_BYTES_MIN: usize = 8 << 10;

/// Holds a message's body, which was read. Where more is to come, a short beginning is copied: a slice would keep all that was
/// read from the connection with it, the headers' message for one, for as long as the rest is awaited.
pub(crate) fn hold(body: &mut HttpBody, held: &mut Gathering) -> Result<(), Spent> {
    let more_comes = !body.end_of_stream;
    std::mem::take(&mut body.body).into_iter().try_for_each(|piece| {
        let begins_short = held.bytes() == 0 && piece.len() < BEGINNING_BYTES_MIN;
        held.push(if more_comes && begins_short { Bytes::copy_from_slice(&piece) } else { piece })
    })
}

/// A message whose body is being read.
#[derive(Debug)]
pub(crate) struct Unread {
    /// The message, whole.
    pub(crate) body: HttpBody,
    /// Pieces that were read,
    pieces: usize,
    /// and bytes of the one that follows.
    bytes: usize,
}

impl Unread {
    /// A message of which nothing was read.
    pub(crate) fn new(body: HttpBody) -> Unread {
        Unread { body, pieces: 0, bytes: 0 }
    }

    /// Shows the parser what comes next.
    pub(crate) fn show(&mut self, parser: &mut RequestParser) -> Result<Fed, ParseError> {
        while let Some(piece) = self.body.body.get(self.pieces) {
            let mut rest = &piece[self.bytes..];
            if parser.feed_part(&mut rest)? == Fed::Partly {
                self.bytes = piece.len() - rest.len();
                return Ok(Fed::Partly);
            }
            (self.pieces, self.bytes) = (self.pieces + 1, 0);
            if parser.is_decoding() {
                return Ok(Fed::Partly);
            }
        }
        Ok(Fed::Whole)
    }
}
