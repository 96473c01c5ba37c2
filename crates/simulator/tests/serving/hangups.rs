//! A client that hangs up, and a server that does.

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

#[tokio::test]
async fn a_server_that_ends_cuts_its_connections() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(simulator::serve(Config { speed: 1.0, ..slow() }, listener, async {
        let _ = ended.await;
    }));
    let body = r#"{"prompt":"hi","max_tokens":100000,"ignore_eos":true,"stream":true}"#;
    let answer = begin(address, Method::POST, "/v1/completions", body).await.expect("an answer");
    end.send(()).expect("it serves");
    serving.await.expect("no panic");
    assert!(answer.collect().await.is_err(), "cut, not ended");
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody listens");
}
