//! A form, cut anywhere: read alike, what was asked for too, and the span is where the model stands.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use payload::{BodyHead, FieldNames, InferenceRequest, Limits, ParseError, RequestParser};
use std::sync::Arc;

fn parse(body: &[u8], piece: usize) -> Result<InferenceRequest, ParseError> {
    let head = BodyHead::new("/v1/audio/transcriptions", Some(b"multipart/form-data; boundary=XX"), None)?;
    let mut names = FieldNames::default();
    names.ask("language").expect("a good name");
    let limits = Limits { model_bytes_max: 64, ..Limits::default() };
    let mut parser = RequestParser::new(head, limits);
    parser.ask_for(&Arc::new(names));
    for chunk in body.chunks(piece) {
        parser.feed(&Bytes::copy_from_slice(chunk))?;
    }
    parser.finish()
}

// The first byte tells the length of the pieces.
fuzz_target!(|input: &[u8]| {
    let Some((piece, body)) = input.split_first() else { return };
    let whole = parse(body, usize::MAX);
    let pieces = parse(body, usize::from(*piece).max(1));
    match (whole, pieces) {
        (Ok(whole), Ok(pieces)) => {
            assert_eq!((&whole.model, whole.stream, whole.bytes), (&pieces.model, pieces.stream, pieces.bytes));
            assert_eq!(whole.asked, pieces.asked);
            if let Some(model) = whole.model {
                assert_eq!(&body[model.span.start as usize..model.span.end as usize], model.name.0.as_bytes());
            }
        }
        (Err(whole), Err(pieces)) => assert_eq!(whole, pieces),
        (whole, pieces) => panic!("whole {whole:?}, in pieces {pieces:?}"),
    }
});
