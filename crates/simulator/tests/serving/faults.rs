//! Each fault, as a client sees it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use http::StatusCode;
use simulator::{Config, Fault, Simulator};

use crate::client::{ask, fast, get, post, start, until};

const ASK: &str = r#"{"prompt":"hi","max_tokens":20,"ignore_eos":true}"#;
const STREAM: &str = r#"{"prompt":"hi","max_tokens":20,"ignore_eos":true,"stream":true}"#;

async fn faulty(fault: &str) -> (Simulator, SocketAddr) {
    start(Config { faults: vec![fault.parse().expect("a fault")], ..fast() }).await
}

/// Asks over a bare socket, and reads until the end: the bytes, and how it ended.
async fn raw(address: SocketAddr, body: &str) -> (String, Result<(), ErrorKind>) {
    let request = format!(
        "POST /v1/completions HTTP/1.1\r\nhost: sim\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let read = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).expect("a listener");
        stream.write_all(request.as_bytes()).expect("a sound socket");
        let mut bytes = Vec::new();
        let end = stream.read_to_end(&mut bytes).map(|_| ()).map_err(|error| error.kind());
        (String::from_utf8(bytes).expect("UTF-8"), end)
    });
    read.await.expect("no panic")
}

#[tokio::test]
async fn slow_makes_every_step_take_longer() {
    let seconds = async |fault: Option<&str>| {
        let faults = fault.map(|fault| fault.parse().expect("a fault")).into_iter().collect();
        let (simulator, address) = start(Config { faults, ..fast() }).await;
        post(address, "/v1/completions", ASK).await;
        simulator.counters().end_to_end.sum()
    };
    let (usual, slow) = (seconds(None).await, seconds(Some("slow=3")).await);
    assert!((2.99..3.01).contains(&(slow / usual)), "{slow} {usual}");
}

#[tokio::test]
async fn hang_answers_nothing_until_it_is_healed() {
    let (simulator, address) = faulty("hang").await;
    let hung = tokio::spawn(async move { get(address, "/metrics").await.status });
    // Control is always answered, by another connection after the one that hangs.
    let control = post(address, "/sim/fault", "[]").await;
    assert_eq!(control.status, StatusCode::OK);
    assert_eq!(get(address, "/health").await.status, StatusCode::OK);
    simulator.set_faults(vec![Fault::Hang]);
    let asked = tokio::spawn(async move { post(address, "/v1/completions", ASK).await.status });
    tokio::task::yield_now().await;
    assert!(!asked.is_finished());
    hung.abort();
    asked.abort();
}

#[tokio::test]
async fn slow_headers_come_late() {
    let (_, address) = faulty("slow-headers=30ms").await;
    let asked = Instant::now();
    assert_eq!(post(address, "/v1/completions", ASK).await.status, StatusCode::OK);
    assert!(asked.elapsed() >= Duration::from_millis(30));
}

#[tokio::test]
async fn status_is_answered_at_its_rate() {
    let (_, address) = faulty("status=503@0.5").await;
    let mut failed = 0;
    for _ in 0..60 {
        failed +=
            u32::from(post(address, "/v1/completions", ASK).await.status == StatusCode::SERVICE_UNAVAILABLE);
    }
    assert!((15..45).contains(&failed), "{failed}");
    assert_eq!(get(address, "/metrics").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_stream_is_reset_after_so_many_tokens() {
    let (simulator, address) = faulty("reset-after-tokens=3").await;
    let (text, end) = raw(address, STREAM).await;
    assert_eq!(text.matches("\ndata: ").count(), 3, "{text}");
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
    until(|| simulator.load().running == 0).await;
}

#[tokio::test]
async fn a_whole_answer_is_reset_before_its_head_is_through() {
    let (_, address) = faulty("reset-after-tokens=3").await;
    assert_eq!(raw(address, ASK).await.1, Err(ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn a_body_is_dropped_after_so_many_bytes() {
    let (_, address) = faulty("drop-after-bytes=10").await;
    let (text, end) = raw(address, ASK).await;
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    assert_eq!((body.len(), end), (10, Ok(())));
    assert!(!head.contains("content-length: 10\r\n"), "{head}");
    assert!(ask(address, http::Method::POST, "/v1/completions", STREAM).await.is_err());
}

#[tokio::test]
async fn excess_bytes_follow_the_announced_ones() {
    let (_, address) = faulty("excess-bytes=300").await;
    let (text, _) = raw(address, ASK).await;
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let announced = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("announced");
    assert_eq!(body.len(), announced.parse::<usize>().expect("a number") + 300);
    assert!(body.ends_with("xxx"));
}

#[tokio::test]
async fn refuse_resets_the_next_connections_only() {
    let (_, address) = faulty("refuse=2").await;
    for _ in 0..2 {
        assert!(ask(address, http::Method::GET, "/health", "").await.is_err());
    }
    assert_eq!(get(address, "/health").await.status, StatusCode::OK);
}

#[tokio::test]
async fn refuse_without_a_count_resets_all_but_what_heals_it() {
    let (_, address) = faulty("refuse").await;
    for _ in 0..3 {
        assert!(ask(address, http::Method::GET, "/health", "").await.is_err());
    }
    assert_eq!(post(address, "/sim/fault", "[]").await.status, StatusCode::OK);
    assert_eq!(get(address, "/health").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_bad_fault_is_refused_and_says_what_there_is() {
    let (_, address) = start(fast()).await;
    for bad in [r#"["meteor"]"#, r#"["slow=fast"]"#, r#"["status=200"]"#, "{}"] {
        assert_eq!(post(address, "/sim/fault", bad).await.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    let error = "meteor".parse::<Fault>().expect_err("no such fault");
    assert!(error.to_string().contains("slow=FACTOR"));
}
