//! What goes back on a stream: framed messages, large bodies beside them.

use crate::grpc::{frame, frame_with_tail};
use crate::wire::{Phase, ProcessingResponse, streamed_body};
use bytes::{Buf, Bytes, BytesMut};
use prost::Message;
use std::collections::VecDeque;
use std::io::IoSlice;

/// A body's piece shorter than this is copied behind its message's head: one piece of memory is cheaper to write than two.
const COPIED_BYTES_MAX: usize = 2 << 10;

/// What pieces of a body are put together to, bytes: some gateways take no message beyond 64 KiB, and the reference sends
/// pieces of so many.
const MESSAGE_BYTES: usize = 62_000;

/// Room taken for small messages at once, bytes.
const HEAD_BYTES: usize = 1 << 10;

/// Replies that were not sent yet.
#[derive(Debug, Default)]
pub struct Replies {
    head: BytesMut,
    packet: Packet,
}

/// Framed messages as the pieces of memory that they lie in.
#[derive(Debug, Default)]
pub(crate) struct Packet {
    pieces: VecDeque<Bytes>,
    bytes: usize,
}

impl Replies {
    /// Adds a message.
    pub fn send(&mut self, message: &impl Message) {
        self.make_room();
        frame(message, &mut self.head);
    }

    /// Adds an answer without content.
    pub fn say(&mut self, response: crate::wire::Response) {
        self.send(&ProcessingResponse { response: Some(response), ..ProcessingResponse::default() });
    }

    /// Passes these pieces of a body on as one `StreamedBodyResponse`.
    pub fn pass(&mut self, phase: Phase, pieces: &[Bytes], end_of_stream: bool) {
        self.make_room();
        let length = pieces.iter().map(Bytes::len).sum();
        frame_with_tail(length, &mut self.head, |out| streamed_body(phase, length, end_of_stream, out));
        for piece in pieces {
            if piece.len() < COPIED_BYTES_MAX {
                self.head.extend_from_slice(piece);
            } else {
                self.flush();
                self.packet.push(piece.clone());
            }
        }
    }

    /// Passes these pieces on in few messages, none longer than [`MESSAGE_BYTES`] unless a piece is.
    pub fn pass_all(&mut self, phase: Phase, pieces: &[Bytes], end_of_stream: bool) {
        let (mut start, mut bytes) = (0, 0);
        for (place, piece) in pieces.iter().enumerate() {
            if place > start && bytes + piece.len() > MESSAGE_BYTES {
                self.pass(phase, &pieces[start..place], false);
                (start, bytes) = (place, 0);
            }
            bytes += piece.len();
        }
        self.pass(phase, &pieces[start..], end_of_stream);
    }

    /// Bytes to be sent.
    pub(crate) fn bytes(&self) -> usize {
        self.head.len() + self.packet.bytes
    }

    /// Takes what is to be sent.
    pub(crate) fn take(&mut self) -> Packet {
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

impl Packet {
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
        replies.pass(Phase::Request, &[Bytes::from_static(b"small"), large.clone()], false);
        replies.pass(Phase::Request, &[], true);
        let packet = replies.take();
        assert_eq!(packet.pieces.len(), 3);
        assert_eq!(packet.pieces[1].as_ptr(), large.as_ptr());
        assert_eq!(packet.bytes, packet.pieces.iter().map(Bytes::len).sum::<usize>());
    }

    #[test]
    fn a_packet_is_read_in_order_however_it_is_taken() {
        let mut replies = Replies::default();
        for byte in 0..4 {
            replies.pass(
                Phase::Response,
                &[Bytes::from(vec![byte; COPIED_BYTES_MAX + usize::from(byte)])],
                false,
            );
        }
        let whole: Vec<u8> =
            replies.packet.pieces.iter().flatten().copied().chain(replies.head.clone()).collect();
        let mut packet = replies.take();
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
}
