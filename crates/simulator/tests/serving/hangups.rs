//! A client that hangs up: its request leaves the engine at once.

use http::Method;
use http_body_util::BodyExt;
use simulator::Config;

use crate::client::{begin, fast, start, until};

/// A server that computes so slowly that nothing ends by itself.
fn slow() -> Config {
    Config { speed: 1e-3, ..fast() }
}

#[tokio::test]
async fn a_whole_answer_that_nobody_waits_for_is_cancelled() {
    let (simulator, address) = start(slow()).await;
    let asking =
        tokio::spawn(begin(address, Method::POST, "/v1/completions", r#"{"prompt":"hi","max_tokens":1000}"#));
    until(|| simulator.load().running == 1).await;
    asking.abort();
    until(|| simulator.load().running == 0).await;
    assert_eq!(simulator.counters().cancelled, 1);
}

#[tokio::test]
async fn a_stream_that_nobody_reads_is_cancelled() {
    // The first token takes 6 ms of virtual time, and every later one as long.
    let (simulator, address) = start(Config { speed: 1.0, ..slow() }).await;
    let body = r#"{"prompt":"hi","max_tokens":100000,"ignore_eos":true,"stream":true}"#;
    let mut answer = begin(address, Method::POST, "/v1/completions", body).await.expect("an answer");
    answer.body_mut().frame().await.expect("a frame").expect("sound");
    assert_eq!(simulator.load().running, 1);
    drop(answer);
    until(|| simulator.load().running == 0).await;
    assert_eq!(simulator.counters().cancelled, 1);
}
