//! What goes back on a stream: framed messages, large bodies beside them.

use crate::grpc::{frame, frame_with_tail};
use crate::wire::{Phase, ProcessingResponse, streamed_body};
use bytes::{Buf, Bytes, BytesMut};
use payload::Share;
use prost::Message;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::io::IoSlice;

/// A body's piece shorter than this is copied behind its message's head: one piece of memory is cheaper to write than two.
const COPIED_BYTES_MAX: usize = 2 << 10;

/// What pieces of a body are put together to, bytes: some gateways take no message beyond 64 KiB, and the reference sends
/// pieces of so many.
const MESSAGE_BYTES: usize = 62_000;

/// What waits to leave is charged from so many bytes on: less is what a stream may always have.
const CHARGED_BYTES_MIN: usize = 4 << 10;

/// Room taken for small messages at once, bytes.
const HEAD_BYTES: usize = 1 << 10;

/// Replies that were not sent yet.
#[derive(Debug, Default)]
pub struct Replies {
    head: BytesMut,
    packet: Packet,
    passing: Passing,
}

/// Pieces of a body that go on together.
#[derive(Debug)]
struct Passing {
    phase: Phase,
    pieces: SmallVec<[Bytes; 4]>,
    bytes: usize,
}

impl Default for Passing {
    fn default() -> Passing {
        Passing { phase: Phase::Request, pieces: SmallVec::new(), bytes: 0 }
    }
}

/// Framed messages as the pieces of memory that they lie in.
#[derive(Debug, Default)]
pub(crate) struct Packet {
    pieces: VecDeque<Bytes>,
    bytes: usize,
    /// The charges for it, until all of it has left.
    shares: Vec<Share>,
}

impl Replies {
    /// Adds a message.
    pub fn send(&mut self, message: &impl Message) {
        self.pass_together(false);
        self.make_room();
        frame(message, &mut self.head);
    }

    /// Adds an answer without content.
    pub fn say(&mut self, response: crate::wire::Response) {
        self.send(&ProcessingResponse { response: Some(response), ..ProcessingResponse::default() });
    }

    /// Passes pieces of a body on. Those that are there at one time go on together, in messages of at most
    /// [`MESSAGE_BYTES`].
    pub fn pass_all(&mut self, phase: Phase, pieces: impl IntoIterator<Item = Bytes>, end_of_stream: bool) {
        if self.passing.phase != phase {
            self.pass_together(false);
            self.passing.phase = phase;
        }
        for mut piece in pieces {
            while self.passing.bytes + piece.len() > MESSAGE_BYTES {
                self.passing.push(piece.split_to(MESSAGE_BYTES - self.passing.bytes));
                self.pass_together(false);
            }
            self.passing.push(piece);
        }
        if end_of_stream {
            self.pass_together(true);
        }
    }

    /// Keeps the charge for a body that is passed on until its bytes have left.
    pub fn keep(&mut self, share: Share) {
        self.packet.shares.push(share);
    }

    fn pass_together(&mut self, end_of_stream: bool) {
        let Passing { phase, bytes, .. } = self.passing;
        if bytes == 0 && !end_of_stream {
            return;
        }
        self.make_room();
        frame_with_tail(bytes, &mut self.head, |out| streamed_body(phase, bytes, end_of_stream, out));
        self.passing.bytes = 0;
        for piece in std::mem::take(&mut self.passing.pieces) {
            if piece.len() < COPIED_BYTES_MAX {
                self.head.extend_from_slice(&piece);
            } else {
                self.flush();
                self.packet.push(piece);
            }
        }
    }

    /// Bytes to be sent.
    pub(crate) fn bytes(&self) -> usize {
        self.head.len() + self.packet.bytes + self.passing.bytes
    }

    /// Takes what is to be sent.
    pub fn take(&mut self) -> impl Buf + use<> {
        self.take_packet()
    }

    pub(crate) fn take_packet(&mut self) -> Packet {
        self.pass_together(false);
        self.flush();
        std::mem::take(&mut self.packet)
    }

    fn make_room(&mut self) {
        if self.head.capacity() == self.head.len() {
            self.head.reserve(HEAD_BYTES);
        }
    }

    fn flush(&mut self) {
        if !self.head.is_empty() {
            self.packet.push(self.head.split().freeze());
        }
    }
}

impl Passing {
    fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.bytes += piece.len();
            self.pieces.push(piece);
        }
    }
}

impl Packet {
    /// Charges for what passes without having been held, out of the budget that `share` is of.
    pub(crate) fn charge(&mut self, share: &Share) {
        if self.bytes < CHARGED_BYTES_MIN {
            return;
        }
        let charged = self.shares.iter().map(Share::bytes).sum();
        let mut passing = share.another();
        passing.pass((self.bytes as u64).saturating_sub(charged));
        self.shares.push(passing);
    }

    fn push(&mut self, piece: Bytes) {
        self.bytes += piece.len();
        self.pieces.push_back(piece);
    }
}

impl Buf for Packet {
    fn remaining(&self) -> usize {
        self.bytes
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| &piece[..])
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let pairs = slices.iter_mut().zip(&self.pieces);
        pairs.map(|(slice, piece)| *slice = IoSlice::new(piece)).count()
    }

    fn advance(&mut self, mut count: usize) {
        self.bytes -= count;
        while let Some(first) = self.pieces.front_mut() {
            if count < first.len() {
                return first.advance(count);
            }
            count -= first.len();
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::grpc::Decoder;

    /// The messages, read back.
    pub(crate) fn read(replies: &mut Replies) -> Vec<ProcessingResponse> {
        let mut packet = replies.take();
        let mut decoder = Decoder::new(usize::MAX);
        decoder.feed(packet.copy_to_bytes(packet.remaining()));
        let mut messages = Vec::new();
        while let Some(message) = decoder.next_message().expect("what was written can be read") {
            messages.push(message);
        }
        assert_eq!(decoder.finish(), Ok(()));
        messages
    }

    #[test]
    fn a_large_piece_is_sent_from_where_it_is_and_a_small_one_with_its_head() {
        let large = Bytes::from(vec![b'l'; COPIED_BYTES_MAX]);
        let mut replies = Replies::default();
        replies.pass_all(Phase::Request, [Bytes::from_static(b"small"), large.clone()], true);
        let packet = replies.take_packet();
        assert_eq!(packet.pieces.len(), 2);
        assert_eq!(packet.pieces[1].as_ptr(), large.as_ptr());
        assert_eq!(packet.bytes, packet.pieces.iter().map(Bytes::len).sum::<usize>());
    }

    #[test]
    fn a_packet_is_read_in_order_however_it_is_taken() {
        let mut replies = Replies::default();
        for byte in 0..4 {
            let piece = Bytes::from(vec![byte; COPIED_BYTES_MAX + usize::from(byte)]);
            replies.pass_all(Phase::Response, [piece], false);
        }
        let mut packet = replies.take_packet();
        let whole: Vec<u8> = packet.pieces.iter().flatten().copied().collect();
        let mut taken = Vec::new();
        for step in (1..700).cycle() {
            let count = step.min(packet.chunk().len());
            taken.extend_from_slice(&packet.chunk()[..count]);
            packet.advance(count);
            if !packet.has_remaining() {
                break;
            }
        }
        assert_eq!(taken, whole);
    }

    #[test]
    fn pieces_that_are_there_at_one_time_go_on_in_few_messages_none_too_large_for_any_gateway() {
        let mut replies = Replies::default();
        for _ in 0..5 {
            replies.pass_all(Phase::Request, [Bytes::from(vec![b'x'; 20_000])], false);
        }
        replies.pass_all(Phase::Request, [Bytes::from(vec![b'x'; 100_000])], false);
        replies.pass_all(Phase::Response, [Bytes::from_static(b"y")], true);
        replies.pass_all(Phase::Request, [], true);
        let lengths = read(&mut replies).into_iter().map(|message| message.encoded_len() / 1000);
        assert_eq!(lengths.collect::<Vec<_>>(), [62, 62, 62, 14, 0, 0]);
    }
}
