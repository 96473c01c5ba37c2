//! A response, cut anywhere: observed alike.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use payload::{Dialect, ResponseObserver, Usage};

fn observe(content_type: &str, body: &[u8], piece: usize) -> (u64, Usage, Option<Bytes>) {
    let mut observer = ResponseObserver::new(Dialect::Messages, Some(content_type.as_bytes()), None);
    let tokens = body.chunks(piece).map(|chunk| u64::from(observer.feed(&Bytes::copy_from_slice(chunk)).tokens)).sum();
    (tokens, observer.usage(), observer.cut("gone"))
}

// The first byte tells the length of the pieces.
fuzz_target!(|input: &[u8]| {
    let Some((piece, body)) = input.split_first() else { return };
    let piece = usize::from(*piece).max(1);
    for content_type in ["text/event-stream", "application/json"] {
        assert_eq!(observe(content_type, body, usize::MAX), observe(content_type, body, piece));
    }
});
