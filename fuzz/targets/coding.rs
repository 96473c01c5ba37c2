//! A compressed body: never more than the limit, and what was coded whole is read as if it had not been.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use payload::{BodyHead, InferenceRequest, Limits, ParseError, RequestParser};
use std::io::Write;

const LIMIT: u64 = 1 << 16;

fn parse(coding: &str, body: &[u8], piece: usize) -> Result<InferenceRequest, ParseError> {
    let head = BodyHead::new("/v1/chat/completions", None, Some(coding.as_bytes()))?;
    let mut parser = RequestParser::new(head, Limits { body_bytes_max: LIMIT, ..Limits::default() });
    for chunk in body.chunks(piece) {
        parser.feed(&Bytes::copy_from_slice(chunk))?;
    }
    parser.finish()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).expect("a vector takes everything");
    encoder.finish().expect("a vector takes everything")
}

// The first byte tells the length of the pieces.
fuzz_target!(|input: &[u8]| {
    let Some((piece, body)) = input.split_first() else { return };
    let piece = usize::from(*piece).max(1);
    for coding in ["gzip", "zstd"] {
        // As it came: broken, most of the time.
        if let Ok(request) = parse(coding, body, piece) {
            assert!(request.bytes <= LIMIT);
            assert_eq!(request.decoded.is_some(), !body.is_empty());
        }
        // Coded here: as if it had not been.
        let coded = match coding {
            "gzip" => gzip(body),
            _ => zstd::encode_all(body, 1).expect("a vector takes everything"),
        };
        let plain = parse("identity", body, piece);
        match (plain, parse(coding, &coded, piece)) {
            (Ok(plain), Ok(decoded)) => {
                assert_eq!((plain.model, plain.bytes), (decoded.model, decoded.bytes));
                assert_eq!(decoded.decoded.expect("the decoded body").chunks().concat(), body);
            }
            // Of two things that are wrong, the one told may depend on how the body is cut.
            (Err(_), Err(_)) => {}
            // Without a byte there is no body, but coded nothing is an object that is missing.
            (Ok(_), Err(_)) if body.is_empty() => {}
            (plain, decoded) => panic!("plain {plain:?}, {coding} {decoded:?}"),
        }
    }
});
