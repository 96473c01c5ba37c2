//! The host that a peer says it asks, made one that h2 takes.
//!
//! Envoy sends its cluster's name as `:authority` where no other is set, and Istio, which sets none, names its clusters
//! `outbound|9002||epp.default.svc.cluster.local`. No host has a `|` in its name, and h2 resets such a stream before
//! anybody here sees it.
//! In: the bytes of an HTTP/2 connection as the peer sent them. Out: the same, with every literal `:authority` written as
//! so many letters: nobody here reads it. Never: a copy of a frame without headers; another size of an entry of the peer's
//! HPACK table than the peer counts; a judgement, which is h2's.
//! Source: RFC 9113, sections 4.1 and 6.2; RFC 7541, sections 5 and 6 and appendix B.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// What a connection begins with: `PRI * HTTP/2.0 …`.
const PREFACE_BYTES: usize = 24;
const FRAME_HEAD_BYTES: usize = 9;
const HEADERS: u8 = 1;
const PADDED: u8 = 0x08;
const PRIORITY: u8 = 0x20;
/// A longer frame of headers passes as it is: Envoy's of a gRPC call are a few hundred bytes.
const HEADERS_BYTES_MAX: usize = 16 << 10;
/// `:authority` in HPACK's static table.
const AUTHORITY: usize = 1;
/// Bytes after an HPACK integer's first, at most.
const INTEGER_BYTES_MAX: usize = 4;

/// A connection whose every `:authority` h2 takes.
pub(crate) struct AnyAuthority<S> {
    stream: S,
    scanner: Scanner,
}

impl<S: AsyncRead + Unpin> AnyAuthority<S> {
    /// The connection once its peer has sent as much as the preface has. Whether it is one is h2's to judge.
    pub(crate) async fn greeted(mut stream: S) -> io::Result<AnyAuthority<S>> {
        let mut preface = vec![0; PREFACE_BYTES];
        stream.read_exact(&mut preface).await?;
        Ok(AnyAuthority { stream, scanner: Scanner { written: preface, ..Scanner::default() } })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for AnyAuthority<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.scanner.give(buf) {
                return Poll::Ready(Ok(()));
            }
            let before = buf.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
            if buf.filled().len() == before {
                return Poll::Ready(Ok(())); // the end; of a frame that is not whole h2 would say no more
            }
            let passed = this.scanner.scan(&buf.filled()[before..]);
            buf.set_filled(before + passed);
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AnyAuthority<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Where in the peer's frames the connection is.
#[derive(Debug, Default)]
struct Scanner {
    /// Bytes that pass before the next frame begins.
    pass: usize,
    /// The beginning of a frame whose rest has not come.
    held: Vec<u8>,
    /// Bytes that were written anew and not given yet.
    written: Vec<u8>,
    given: usize,
}

impl Scanner {
    /// Gives what was written anew; whether there was any.
    fn give(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let rest = &self.written[self.given..];
        if rest.is_empty() {
            return false;
        }
        let now = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..now]);
        self.given += now;
        if self.given == self.written.len() {
            self.written = Vec::new();
            self.given = 0;
        }
        true
    }

    /// How many of these bytes pass where they lie; the rest is held or written anew.
    fn scan(&mut self, bytes: &[u8]) -> usize {
        let mut place = 0;
        while self.held.is_empty() {
            let step = self.pass.min(bytes.len() - place);
            self.pass -= step;
            place += step;
            let Some(frame) = Frame::begins(&bytes[place..]).filter(|frame| frame.passes(&bytes[place..]))
            else {
                break;
            };
            self.pass = frame.bytes;
        }
        if place < bytes.len() {
            self.held.extend_from_slice(&bytes[place..]);
            self.write();
        }
        place
    }

    /// Writes anew what of the held bytes is whole.
    fn write(&mut self) {
        let held = std::mem::take(&mut self.held);
        let mut rest = &held[..];
        loop {
            let (passed, after) = rest.split_at(self.pass.min(rest.len()));
            self.written.extend_from_slice(passed);
            self.pass -= passed.len();
            rest = after;
            match Frame::begins(rest) {
                Some(frame) if !frame.is_ours() => self.pass = frame.bytes,
                Some(frame) if frame.bytes <= rest.len() => {
                    write_headers(&rest[..frame.bytes], &mut self.written);
                    rest = &rest[frame.bytes..];
                }
                _ => break,
            }
        }
        self.held = rest.to_vec();
    }
}

/// A frame, as its head tells.
struct Frame {
    /// All of it, the head too.
    bytes: usize,
    kind: u8,
}

impl Frame {
    fn begins(bytes: &[u8]) -> Option<Frame> {
        let [high, middle, low, kind, ..] = *bytes.first_chunk::<FRAME_HEAD_BYTES>()?;
        let payload = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        Some(Frame { bytes: FRAME_HEAD_BYTES + payload, kind })
    }

    fn is_ours(&self) -> bool {
        self.kind == HEADERS && self.bytes <= HEADERS_BYTES_MAX
    }

    /// Whether it is not to be written anew: it begins these bytes, which may have more or less than all of it. A peer that
    /// indexes says its `:authority` once.
    fn passes(&self, bytes: &[u8]) -> bool {
        let says = |frame: &[u8]| fields(frame).is_some_and(|fields| says_authority(&frame[fields]));
        !self.is_ours() || bytes.get(..self.bytes).is_some_and(|frame| !says(frame))
    }
}

/// Where the block of header fields is in a whole HEADERS frame; `None` if it is not as it should be.
fn fields(frame: &[u8]) -> Option<Range<usize>> {
    let (flags, payload) = (frame[4], &frame[FRAME_HEAD_BYTES..]);
    let padding = if flags & PADDED != 0 { usize::from(*payload.first()?) } else { 0 };
    let start = usize::from(flags & PADDED != 0) + if flags & PRIORITY != 0 { 5 } else { 0 };
    let end = payload.len().checked_sub(padding).filter(|end| start <= *end)?;
    Some(FRAME_HEAD_BYTES + start..FRAME_HEAD_BYTES + end)
}

/// Writes a whole HEADERS frame; one that is not as it should be, as it is.
fn write_headers(frame: &[u8], out: &mut Vec<u8>) {
    let at = out.len();
    let Some(fields) = fields(frame) else { return out.extend_from_slice(frame) };
    out.extend_from_slice(&frame[..fields.start]);
    write_block(&frame[fields.clone()], out);
    out.extend_from_slice(&frame[fields.end..]);
    let length = (out.len() - at - FRAME_HEAD_BYTES) as u32;
    out[at..at + 3].copy_from_slice(&length.to_be_bytes()[1..]);
}

/// Whether a block has a literal `:authority`.
fn says_authority(mut block: &[u8]) -> bool {
    while let Some(field) = Field::first(block) {
        if field.authority_characters.is_some() {
            return true;
        }
        block = &block[field.bytes..];
    }
    false
}

/// Writes a block of header fields; from where it cannot be read, as it is.
fn write_block(block: &[u8], out: &mut Vec<u8>) {
    let mut rest = block;
    while let Some(field) = Field::first(rest) {
        match field.authority_characters {
            Some(characters) => {
                out.push(rest[0]);
                write_letters(characters, out);
            }
            None => out.extend_from_slice(&rest[..field.bytes]),
        }
        rest = &rest[field.bytes..];
    }
    out.extend_from_slice(rest);
}

/// A string of so many letters, without Huffman's code.
fn write_letters(count: usize, out: &mut Vec<u8>) {
    let (first, mut rest) = (count.min(0x7f), count.saturating_sub(0x7f));
    out.push(first as u8);
    if first == 0x7f {
        while rest >= 0x80 {
            out.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    }
    out.resize(out.len() + count, b'a');
}

/// One field of a block.
struct Field {
    bytes: usize,
    /// How many characters its value has, if it is a literal `:authority`.
    authority_characters: Option<usize>,
}

impl Field {
    fn first(block: &[u8]) -> Option<Field> {
        let prefix_bits = match block.first()? {
            0x80.. => 7,     // indexed: name and value are in a table
            0x40..0x80 => 6, // a literal that enters the table
            0x20..0x40 => 5, // the table's size
            _ => 4,          // a literal that does not
        };
        let (number, mut bytes) = integer(block, prefix_bits)?;
        if matches!(prefix_bits, 7 | 5) {
            return Some(Field { bytes, authority_characters: None });
        }
        if number == 0 {
            bytes += Text::first(block.get(bytes..)?)?.bytes;
        }
        let value = Text::first(block.get(bytes..)?)?;
        let authority_characters = (number == AUTHORITY).then(|| value.characters());
        Some(Field { bytes: bytes + value.bytes, authority_characters })
    }
}

/// A string of a block.
struct Text<'a> {
    bytes: usize,
    content: &'a [u8],
    coded: bool,
}

impl Text<'_> {
    fn first(block: &[u8]) -> Option<Text<'_>> {
        let coded = block.first()? & 0x80 != 0;
        let (length, start) = integer(block, 7)?;
        let content = block.get(start..)?.get(..length)?;
        Some(Text { bytes: start + length, content, coded })
    }

    fn characters(&self) -> usize {
        if self.coded { huffman_characters(self.content) } else { self.content.len() }
    }
}

/// An integer whose first byte has so many bits of it, and how many bytes it took.
fn integer(block: &[u8], prefix_bits: u32) -> Option<(usize, usize)> {
    let full = (1 << prefix_bits) - 1;
    let first = usize::from(*block.first()?) & full;
    if first < full {
        return Some((first, 1));
    }
    let mut number = full;
    for (place, byte) in block[1..].iter().take(INTEGER_BYTES_MAX).enumerate() {
        number += usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((number, place + 2));
        }
    }
    None
}

/// How many characters these bytes are in Huffman's code. The code is canonical: of each length it is enough to know how
/// many there are.
fn huffman_characters(content: &[u8]) -> usize {
    /// Codes of 0, 1, 2 … bits; of those of 30 bits one is the end, which is in no string.
    const CODES: [u32; 31] = [
        0, 0, 0, 0, 0, 10, 26, 32, 6, 0, 5, 3, 2, 6, 2, 3, 0, 0, 0, 3, 8, 13, 26, 29, 12, 4, 15, 19, 29, 0, 4,
    ];
    let (mut characters, mut bits, mut code, mut first) = (0, 0, 0, 0);
    for bit in content.iter().flat_map(|byte| (0..8).rev().map(move |shift| u32::from(byte >> shift & 1))) {
        (bits, code, first) = (bits + 1, code << 1 | bit, first << 1);
        let Some(&codes) = CODES.get(bits) else { return characters };
        if code - first < codes {
            characters += 1;
            (bits, code, first) = (0, 0, 0);
        } else {
            first += codes;
        }
    }
    characters
}

#[cfg(test)]
mod tests;
