//! Messages in a stream of bytes.

use crate::wire::Bodies;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use payload::Growing;
use prost::Message;
use std::collections::{VecDeque, vec_deque};

/// The compression flag and the length that stand before each message, bytes.
const PREFIX_BYTES: usize = 5;

/// What is wrong with a stream of messages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A message is compressed, which was not offered.
    #[error("compressed messages are not accepted")]
    Compressed,
    /// A message is longer than the limit.
    #[error("a message of {length} bytes is longer than {limit}")]
    TooLong {
        /// The length announced.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// A message has too much in it that is no body.
    #[error("a message has {bytes} bytes beside bodies, more than {limit}")]
    TooMuchBeside {
        /// How many.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A message cannot be read.
    #[error("a message cannot be read: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// The stream ended inside a message.
    #[error("the stream ended inside a message")]
    CutShort,
}

/// Finds messages in a stream of bytes.
#[derive(Debug)]
pub struct Decoder {
    /// What is being read: of more than was to be read it has the rest of one piece at most.
    pieces: VecDeque<Bytes>,
    /// What has come behind that, until it can be read.
    arriving: Growing,
    /// Bytes in both.
    held: usize,
    /// The length of the message whose prefix was read.
    length: Option<usize>,
    limit: usize,
    /// Where bodies are, and how much else there may be.
    beside: Option<(&'static Bodies, usize)>,
}

impl Decoder {
    /// A decoder of messages of at most `limit` bytes.
    pub fn new(limit: usize) -> Decoder {
        Decoder {
            pieces: VecDeque::new(),
            arriving: Growing::default(),
            held: 0,
            length: None,
            limit,
            beside: None,
        }
    }

    /// The same with a limit to what is of no body, bytes.
    pub fn with_beside(self, bodies: &'static Bodies, limit: usize) -> Decoder {
        Decoder { beside: Some((bodies, limit)), ..self }
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, piece: Bytes) {
        let before = self.held;
        self.held += piece.len();
        match before {
            _ if piece.is_empty() => {}
            // Most messages come in one piece.
            0 => self.pieces.push_back(piece),
            _ => self.arriving.push(piece),
        }
    }

    /// So many bytes, which have come, to be read.
    fn read(&mut self, count: usize) -> Whole<'_> {
        self.held -= count;
        if self.arriving.bytes() > 0 {
            self.pieces.extend(std::mem::take(&mut self.arriving).finish().into_chunks());
        }
        Whole { pieces: &mut self.pieces, left: count }
    }

    /// Bytes of messages that were not taken.
    pub fn held_bytes(&self) -> u64 {
        self.held as u64
    }

    /// The next message, if it is whole. After an error the stream is spent.
    pub fn next_message<M: Message + Default>(&mut self) -> Result<Option<M>, FrameError> {
        let length = match self.length {
            Some(length) => length,
            None if self.held < PREFIX_BYTES => return Ok(None),
            None => {
                let mut prefix = self.read(PREFIX_BYTES);
                if prefix.get_u8() != 0 {
                    return Err(FrameError::Compressed);
                }
                let length = prefix.get_u32() as usize;
                if length > self.limit {
                    return Err(FrameError::TooLong { length, limit: self.limit });
                }
                self.length = Some(length);
                length
            }
        };
        if self.held < length {
            return Ok(None);
        }
        self.length = None;
        let beside = self.beside.filter(|(_, limit)| length > *limit);
        let mut message = self.read(length);
        if let Some((bodies, limit)) = beside {
            let bytes = bodies.beside(&mut message.look())?;
            if bytes > limit {
                return Err(FrameError::TooMuchBeside { bytes, limit });
            }
        }
        // Most come in one piece, which is read faster.
        let in_one = message.chunk().len() == length;
        Ok(Some(if in_one { M::decode(message.copy_to_bytes(length))? } else { M::decode(message)? }))
    }

    /// The stream has ended: nothing may be left.
    pub fn finish(&self) -> Result<(), FrameError> {
        if self.held == 0 && self.length.is_none() { Ok(()) } else { Err(FrameError::CutShort) }
    }
}

/// A message that is whole, in the pieces that it came in.
struct Whole<'a> {
    pieces: &'a mut VecDeque<Bytes>,
    left: usize,
}

impl Whole<'_> {
    /// The same, of which nothing is taken.
    fn look(&self) -> Look<'_> {
        let mut pieces = self.pieces.iter();
        Look { piece: pieces.next().map_or(&[], |piece| piece), pieces, left: self.left }
    }
}

/// A message that is looked at before it is read.
struct Look<'a> {
    piece: &'a [u8],
    pieces: vec_deque::Iter<'a, Bytes>,
    left: usize,
}

impl Buf for Look<'_> {
    fn remaining(&self) -> usize {
        self.left
    }

    fn chunk(&self) -> &[u8] {
        &self.piece[..self.piece.len().min(self.left)]
    }

    fn advance(&mut self, mut count: usize) {
        self.left -= count;
        while count >= self.piece.len() {
            count -= self.piece.len();
            let Some(next) = self.pieces.next() else { return self.piece = &[] };
            self.piece = next;
        }
        self.piece = &self.piece[count..];
    }
}

impl Buf for Whole<'_> {
    fn remaining(&self) -> usize {
        self.left
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |first| &first[..first.len().min(self.left)])
    }

    fn advance(&mut self, mut count: usize) {
        self.left -= count;
        while count > 0 {
            let first = self.pieces.front_mut().expect("every piece of a whole message is there");
            let step = count.min(first.len());
            first.advance(step);
            count -= step;
            if first.is_empty() {
                self.pieces.pop_front();
            }
        }
    }

    /// Shared where they came in one piece, else copied together.
    fn copy_to_bytes(&mut self, count: usize) -> Bytes {
        match self.pieces.front_mut() {
            Some(first) if first.len() > count => {
                self.left -= count;
                first.split_to(count)
            }
            Some(first) if first.len() == count => {
                self.left -= count;
                self.pieces.pop_front().expect("it is there")
            }
            _ => {
                let mut together = BytesMut::with_capacity(count);
                together.put(self.take(count));
                together.freeze()
            }
        }
    }
}

/// Appends a message with its prefix.
pub fn frame(message: &impl Message, out: &mut BytesMut) {
    let length = message.encoded_len();
    out.reserve(PREFIX_BYTES + length);
    prefix(length, out);
    message.encode(out).expect("a `BytesMut` grows");
}

/// Appends a message of which `head` writes all but the last `tail` bytes: those follow from where they are.
pub fn frame_with_tail(tail: usize, out: &mut BytesMut, head: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    prefix(0, out);
    head(out);
    let length = out.len() - start - PREFIX_BYTES + tail;
    (&mut out[start + 1..start + PREFIX_BYTES]).put_u32(length as u32);
}

fn prefix(length: usize, out: &mut BytesMut) {
    out.put_u8(0);
    out.put_u32(u32::try_from(length).expect("no message is longer than 4 GiB"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{BODIES_OF_REQUEST, HttpBody, ProcessingRequest, Request};
    use proptest::prelude::*;

    fn body(length: usize) -> ProcessingRequest {
        let body = HttpBody { body: Bytes::from(vec![7; length]).into(), end_of_stream: true };
        ProcessingRequest { request: Some(Request::RequestBody(body)), ..ProcessingRequest::default() }
    }

    fn framed(messages: &[ProcessingRequest]) -> Bytes {
        let mut out = BytesMut::new();
        messages.iter().for_each(|message| frame(message, &mut out));
        out.freeze()
    }

    proptest! {
        #[test]
        fn messages_come_out_as_they_went_in_however_they_are_cut(
            lengths in proptest::collection::vec(0usize..300, 0..8),
            cut in 1usize..400,
        ) {
            let messages: Vec<_> = lengths.into_iter().map(body).collect();
            let mut decoder = Decoder::new(1 << 20);
            let mut found = Vec::new();
            let stream = framed(&messages);
            for start in (0..stream.len()).step_by(cut) {
                decoder.feed(stream.slice(start..stream.len().min(start + cut)));
                while let Some(message) = decoder.next_message::<ProcessingRequest>().unwrap() {
                    found.push(message);
                }
            }
            prop_assert_eq!(found, messages);
            prop_assert_eq!(decoder.finish(), Ok(()));
        }
    }

    #[test]
    fn a_body_is_not_copied_however_its_message_was_cut() {
        let stream = framed(&[body(20_000)]);
        let mut decoder = Decoder::new(1 << 20);
        for piece in [stream.slice(..6000), stream.slice(6000..12_000), stream.slice(12_000..)] {
            decoder.feed(piece);
        }
        let message: ProcessingRequest = decoder.next_message().unwrap().unwrap();
        let Some(Request::RequestBody(body)) = message.request else { panic!("a body") };
        let places = body.body.iter().map(|piece| stream.as_ptr_range().contains(&piece.as_ptr()));
        assert_eq!(places.collect::<Vec<_>>(), [true; 3]);
    }

    #[test]
    fn a_message_that_comes_byte_by_byte_is_held_in_few_pieces() {
        let stream = framed(&[body(100_000)]);
        let mut decoder = Decoder::new(1 << 20);
        let last = stream.len() - 1;
        for place in 0..last {
            decoder.feed(stream.slice(place..=place));
            assert_eq!(decoder.next_message::<ProcessingRequest>(), Ok(None));
        }
        assert_eq!(decoder.held_bytes(), (last - PREFIX_BYTES) as u64);
        decoder.feed(stream.slice(last..));
        let message: ProcessingRequest = decoder.next_message().unwrap().unwrap();
        assert_eq!(message, body(100_000));
        let Some(Request::RequestBody(body)) = message.request else { panic!("a body") };
        assert!(body.body.iter().count() <= 20, "{} pieces", body.body.iter().count());
    }

    #[test]
    fn what_is_of_no_body_has_a_limit_of_its_own() {
        let told = |cut: usize, stream: &Bytes| {
            let mut decoder = Decoder::new(1 << 20).with_beside(&BODIES_OF_REQUEST, 1000);
            for start in (0..stream.len()).step_by(cut) {
                decoder.feed(stream.slice(start..stream.len().min(start + cut)));
            }
            decoder.next_message::<ProcessingRequest>().map(|message| message.is_some())
        };
        // `metadata_context`, whatever is in it.
        let mut metadata = Vec::new();
        prost::encoding::bytes::encode(8, &vec![0_u8; 5000], &mut metadata);
        let bytes = metadata.len();
        let mut stream = BytesMut::new();
        prefix(bytes, &mut stream);
        stream.extend_from_slice(&metadata);
        let metadata = stream.freeze();
        for cut in [1, 700, 3000, 1 << 20] {
            assert_eq!(told(cut, &framed(&[body(100_000)])), Ok(true), "{cut}");
            let refused = Err(FrameError::TooMuchBeside { bytes, limit: 1000 });
            assert_eq!(told(cut, &metadata), refused, "{cut}");
        }
    }

    #[test]
    fn what_is_too_long_compressed_or_cut_short_is_an_error() {
        let next = |bytes: &[u8]| {
            let mut decoder = Decoder::new(100);
            decoder.feed(Bytes::copy_from_slice(bytes));
            let next = decoder.next_message::<ProcessingRequest>();
            (next, decoder)
        };
        assert_eq!(next(&[0, 0, 0, 0, 101]).0, Err(FrameError::TooLong { length: 101, limit: 100 }));
        assert_eq!(next(&[1, 0, 0, 0, 1, 0]).0, Err(FrameError::Compressed));
        assert!(matches!(next(&[0, 0, 0, 0, 1, 0xff]).0, Err(FrameError::Malformed(_))));
        for cut in [&[0, 0][..], &[0, 0, 0, 0, 9, 1]] {
            let (message, decoder) = next(cut);
            assert_eq!(message, Ok(None));
            assert_eq!(decoder.finish(), Err(FrameError::CutShort));
        }
    }

    #[test]
    fn a_message_with_its_tail_elsewhere_is_the_message() {
        let whole = framed(&[body(500)]);
        let (head, tail) = whole.split_at(20);
        let mut out = BytesMut::from("before");
        frame_with_tail(tail.len(), &mut out, |out| out.extend_from_slice(&head[PREFIX_BYTES..]));
        out.extend_from_slice(tail);
        assert_eq!(&out[6..], &whole[..]);
    }
}
