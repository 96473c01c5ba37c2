//! What reading one request allocates, counted.

use allocation_counter::measure;
use bytes::Bytes;
use payload::{BodyHead, Dialect, Limits, RequestParser, ResponseObserver};

fn chat(text_bytes: usize) -> Bytes {
    let text = r"It was a bright cold day in April, and the clocks struck\n".repeat(text_bytes / 57);
    let body = format!(
        r#"{{"model":"chatbot","messages":[{{"role":"user","content":"{text}"}}],"max_tokens":100}}"#
    );
    Bytes::from(body)
}

#[test]
fn a_chat_request_of_1_kb_allocates_at_most_3_times_and_a_long_one_hardly_more() {
    for (bytes, most) in [(1 << 10, 3), (16 << 10, 3), (220 << 10, 7)] {
        let body = chat(bytes);
        let allocations = measure(|| {
            let head = BodyHead::new("/v1/chat/completions", Some(b"application/json"), None).unwrap();
            let mut parser = RequestParser::new(head, Limits::default());
            parser.feed(&body).unwrap();
            parser.finish().unwrap();
        })
        .count_total;
        assert!(allocations <= most, "{allocations} allocations for {bytes} bytes");
    }
}

#[test]
fn a_stream_is_observed_without_an_allocation() {
    let event = Bytes::from_static(b"data: {\"choices\":[{\"delta\":{\"content\":\" word\"}}]}\n\n");
    let allocations = measure(|| {
        let mut observer = ResponseObserver::new(Dialect::ChatCompletions, Some(b"text/event-stream"), None);
        for _ in 0..100 {
            assert_eq!(observer.feed(&event).tokens, 1);
        }
    });
    assert_eq!(allocations.count_total, 0);
}
