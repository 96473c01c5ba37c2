//! What reading a request and watching an answer costs: `cargo bench -p payload`.
#![allow(missing_docs, reason = "the macro's own functions have none")]

use bytes::Bytes;
use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use payload::{BodyHead, Dialect, InferenceRequest, Limits, RequestParser, ResponseObserver};

fn main() {
    divan::main();
}

/// A chat whose text has an escape about every 60 bytes.
fn chat(text_bytes: usize, line: &str) -> Bytes {
    let text = line.repeat(text_bytes / line.len());
    let body = format!(
        r#"{{"model":"chatbot","messages":[{{"role":"user","content":"{text}"}}],"max_tokens":100,"temperature":0}}"#
    );
    Bytes::from(body)
}

fn parse(body: &Bytes) -> InferenceRequest {
    let head = BodyHead::new("/v1/chat/completions", Some(b"application/json"), None).expect("a good head");
    let mut parser = RequestParser::new(head, Limits::default());
    parser.feed(body).expect("a good body");
    parser.finish().expect("a whole body")
}

fn read(bencher: Bencher, body: Bytes) {
    bencher.counter(BytesCount::new(body.len())).bench(|| parse(black_box(&body)));
}

#[divan::bench(args = [1, 16, 220])]
fn chat_kib(bencher: Bencher, kib: usize) {
    read(bencher, chat(kib << 10, r"It was a bright cold day in April, and the clocks struck\n"));
}

#[divan::bench(args = [16])]
fn chat_beyond_ascii_kib(bencher: Bencher, kib: usize) {
    read(bencher, chat(kib << 10, r"那是四月里一个明朗而寒冷的日子，时钟敲了十三下。\n"));
}

/// Turns of prose and of quoted code as they come, so that nothing foresees where the next escape stands.
#[divan::bench(args = [220])]
fn chat_of_many_turns_kib(bencher: Bencher, kib: usize) {
    const LINES: [&str; 6] = [
        r#"fn main() -> Result<(), Error> {\n\tlet path = \"C:\\\\logs\\\\queue.txt\";\n"#,
        r#"\tprintln!(\"{} took 7 ms\\n\", path);\n}\n"#,
        "It was a bright cold day in April, and the clocks were striking thirteen. ",
        "The queue was long and the model slow, ",
        "模型服务器的队列很长 ",
        r#"he said: \"Wait\". "#,
    ];
    let (mut random, mut body) = (1u64, String::from(r#"{"model":"chatbot","messages":["#));
    let mut draw = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % below
    };
    while body.len() < kib << 10 {
        let lines = (0..draw(8) + 1).map(|_| LINES[draw(6) as usize]).collect::<String>();
        body += &format!(r#"{{"role":"user","content":"{lines}"}},"#);
    }
    body.pop();
    read(bencher, Bytes::from(body + r#"],"max_tokens":100}"#));
}

#[divan::bench(args = [220])]
fn chat_in_chunks_of_16_kib(bencher: Bencher, kib: usize) {
    let body = chat(kib << 10, r"It was a bright cold day in April, and the clocks struck\n");
    bencher.counter(BytesCount::new(body.len())).bench(|| {
        let head = BodyHead::new("/v1/chat/completions", None, None).expect("a good head");
        let mut parser = RequestParser::new(head, Limits::default());
        let mut rest = black_box(&body).clone();
        while !rest.is_empty() {
            parser.feed(&rest.split_to(rest.len().min(16 << 10))).expect("a good body");
        }
        parser.finish().expect("a whole body")
    });
}

#[divan::bench]
fn one_event_of_a_stream(bencher: Bencher) {
    let event = Bytes::from_static(
        b"data: {\"id\":\"chatcmpl-0123456789abcdef\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\
          \"model\":\"chatbot\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"},\"logprobs\":null,\
          \"finish_reason\":null}]}\n\n",
    );
    bencher
        .with_inputs(|| ResponseObserver::new(Dialect::ChatCompletions, Some(b"text/event-stream"), None))
        .bench_local_refs(|observer| (0..100).map(|_| observer.feed(black_box(&event)).tokens).sum::<u32>());
}
