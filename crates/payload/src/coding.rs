//! Decoding a compressed body, only to look at it.
//!
//! In: the compressed bytes in chunks cut anywhere. Out: decoded pieces of bounded size, so that whoever takes them can
//! stop a bomb at its limit, and a bounded number of them at once, so that a thread does not work for one body alone.
//! Never: more than one piece and the coding's own window in memory; a piece that outlives its taking, however little is
//! in it.

use crate::{Coding, Fed, ParseError};
use flate2::write::MultiGzDecoder;
use std::io::Write;
use zstd::stream::raw::{DParameter, Decoder as ZstdDecoder, InBuffer, Operation, OutBuffer};

/// Compressed bytes handed to gzip at once: deflate makes at most 1,032 bytes of one, so a piece stays near 1 MiB.
const GZIP_INPUT_BYTES: usize = 1024;

/// The window of deflate.
const GZIP_WINDOW_BYTES: u64 = 32 << 10;

/// Decoded bytes taken from zstd at once.
const ZSTD_OUTPUT_BYTES: usize = 32 << 10;

/// Decoded bytes after which a call of [`Decoder::feed`] ends: about a millisecond's work.
const DECODED_AT_ONCE: usize = 1 << 20;

/// 8 MiB, the most that RFC 9659 lets a sender of `Content-Encoding: zstd` ask for.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// That window, bytes.
const ZSTD_WINDOW_BYTES_MAX: u64 = 1 << ZSTD_WINDOW_LOG_MAX;

/// One compressed body being decoded.
pub(crate) enum Decoder {
    /// Any number of members, one after the other.
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    /// Any number of frames.
    Zstd {
        /// The decoder's context.
        decoder: ZstdDecoder<'static>,
        /// Room for one piece, used again for each.
        piece: Vec<u8>,
        /// True between frames.
        whole: bool,
        /// True while it may give more without being given any.
        behind: bool,
    },
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.coding())
    }
}

impl Decoder {
    /// A decoder, or none if nothing is coded.
    pub(crate) fn new(coding: Coding) -> Result<Option<Decoder>, ParseError> {
        match coding {
            Coding::Identity => Ok(None),
            Coding::Gzip => Ok(Some(Decoder::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))))),
            Coding::Zstd => {
                let limited = ZstdDecoder::new().and_then(|mut decoder| {
                    decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))?;
                    Ok(decoder)
                });
                let decoder = limited.map_err(|_| ParseError::BrokenCoding { coding: "zstd" })?;
                let piece = Vec::with_capacity(ZSTD_OUTPUT_BYTES);
                Ok(Some(Decoder::Zstd { decoder, piece, whole: false, behind: false }))
            }
        }
    }

    /// Decodes bytes of `chunk`, takes them off it, and hands on each piece as it comes; stops at the first error, its own or
    /// the taker's, and after [`DECODED_AT_ONCE`].
    pub(crate) fn feed(
        &mut self,
        chunk: &mut &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), ParseError>,
    ) -> Result<Fed, ParseError> {
        let broken = ParseError::BrokenCoding { coding: self.coding() };
        let mut decoded = 0;
        match self {
            Decoder::Gzip(decoder) => {
                while !chunk.is_empty() && decoded < DECODED_AT_ONCE {
                    let (input, rest) = chunk.split_at(chunk.len().min(GZIP_INPUT_BYTES));
                    *chunk = rest;
                    decoder.write_all(input).and_then(|()| decoder.flush()).map_err(|_| broken.clone())?;
                    decoded += decoder.get_ref().len();
                    take(decoder.get_ref())?;
                    decoder.get_mut().clear();
                }
                Ok(if chunk.is_empty() { Fed::Whole } else { Fed::Partly })
            }
            Decoder::Zstd { decoder, piece, whole, behind } => {
                while (*behind || !chunk.is_empty()) && decoded < DECODED_AT_ONCE {
                    piece.clear();
                    let mut input = InBuffer::around(chunk);
                    let mut output = OutBuffer::around(piece);
                    let missing = decoder.run(&mut input, &mut output).map_err(|_| broken.clone())?;
                    let full = output.pos() == output.capacity();
                    *chunk = &chunk[input.pos()..];
                    *whole = missing == 0;
                    *behind = full && !*whole;
                    decoded += piece.len();
                    take(piece)?;
                }
                Ok(if chunk.is_empty() && !*behind { Fed::Whole } else { Fed::Partly })
            }
        }
    }

    /// The most memory that the coding's own window, and room for a piece, take once so many bytes are decoded: no page of
    /// a window is touched before.
    pub(crate) fn window_bytes(&self, decoded: u64) -> u64 {
        match self {
            Decoder::Gzip(decoder) => GZIP_WINDOW_BYTES + decoder.get_ref().capacity() as u64,
            Decoder::Zstd { piece, .. } => decoded.min(ZSTD_WINDOW_BYTES_MAX) + piece.capacity() as u64,
        }
    }

    /// Ends the body: the last member or frame must be whole. Hands on what was still held.
    pub(crate) fn finish(self) -> Result<Vec<u8>, ParseError> {
        let broken = ParseError::BrokenCoding { coding: self.coding() };
        match self {
            Decoder::Gzip(decoder) => decoder.finish().map_err(|_| broken),
            Decoder::Zstd { whole: true, .. } => Ok(Vec::new()),
            Decoder::Zstd { whole: false, .. } => Err(broken),
        }
    }

    fn coding(&self) -> &'static str {
        match self {
            Decoder::Gzip(_) => "gzip",
            Decoder::Zstd { .. } => "zstd",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        zstd::encode_all(text, 3).unwrap()
    }

    fn decode(coding: Coding, coded: &[u8], cut: usize) -> Result<Vec<u8>, ParseError> {
        let mut decoder = Decoder::new(coding)?.expect("a coding");
        let mut decoded = Vec::new();
        for mut chunk in coded.chunks(cut) {
            while decoder.feed(&mut chunk, |piece| {
                decoded.extend_from_slice(piece);
                Ok(())
            })? == Fed::Partly
            {}
        }
        decoded.extend_from_slice(&decoder.finish()?);
        Ok(decoded)
    }

    #[test]
    fn what_was_coded_comes_back_however_it_is_cut_and_in_several_members() {
        let text = "a line of a prompt, and another one; ".repeat(5000);
        let (head, tail) = text.as_bytes().split_at(70_001);
        for (coding, coded) in [
            (Coding::Gzip, [gzip(head), gzip(tail)].concat()),
            (Coding::Zstd, [zstd(head), zstd(tail)].concat()),
        ] {
            for cut in [1, 2, 7, 1000, usize::MAX] {
                assert_eq!(
                    decode(coding, &coded, cut).as_deref(),
                    Ok(text.as_bytes()),
                    "{coding:?} cut at {cut}"
                );
            }
        }
    }

    #[test]
    fn an_end_too_early_and_anything_after_the_end_are_errors() {
        for (coding, coded) in [(Coding::Gzip, gzip(b"{}")), (Coding::Zstd, zstd(b"{}"))] {
            for length in 0..coded.len() {
                assert!(decode(coding, &coded[..length], 5).is_err(), "{coding:?} cut to {length}");
            }
            for garbage in [&b"\0"[..], b"{", b"garbage that follows"] {
                assert!(
                    decode(coding, &[&coded, garbage].concat(), 5).is_err(),
                    "{coding:?} and {garbage:?}"
                );
            }
        }
    }

    #[test]
    fn a_bomb_comes_in_pieces_of_bounded_size() {
        let zeros = vec![0; 64 << 20];
        for (coding, coded) in [(Coding::Gzip, gzip(&zeros)), (Coding::Zstd, zstd(&zeros))] {
            let mut decoder = Decoder::new(coding).unwrap().expect("a coding");
            let (mut largest, mut sum, mut rest) = (0, 0, &coded[..]);
            let stopped = loop {
                let before = sum;
                let fed = decoder.feed(&mut rest, |piece| {
                    largest = largest.max(piece.len());
                    sum += piece.len();
                    if sum > 8 << 20 { Err(ParseError::TooLarge { limit: 8 << 20 }) } else { Ok(()) }
                });
                assert!(sum - before <= 3 << 20, "{coding:?}: {} bytes at once", sum - before);
                if fed != Ok(Fed::Partly) {
                    break fed;
                }
            };
            assert_eq!(stopped, Err(ParseError::TooLarge { limit: 8 << 20 }), "{coding:?}");
            assert!(largest <= 2 << 20, "{coding:?}: a piece of {largest} bytes");
        }
    }

    #[test]
    fn a_zstd_window_beyond_8_mib_is_refused() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(24).unwrap();
        encoder.write_all(&vec![b'x'; 20 << 20]).unwrap();
        let coded = encoder.finish().unwrap();
        assert_eq!(
            decode(Coding::Zstd, &coded, usize::MAX),
            Err(ParseError::BrokenCoding { coding: "zstd" })
        );
    }
}
