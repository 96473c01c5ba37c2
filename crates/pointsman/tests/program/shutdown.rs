//! SIGTERM: what is under way ends whole, nothing new is taken, and readiness says so.

use crate::support::{Bench, chat, on_a_runtime, open, until};
use http::StatusCode;
use http_body_util::BodyExt;
use tokio::net::TcpStream;

/// Tokens of the stream that is under way: at [`SLOW`] it takes a good while.
const TOKENS: u32 = 20;

/// How many times slower than the bench's simulators a step of it is.
const SLOW: f64 = 1000.0;

#[test]
fn a_stream_under_way_ends_whole_and_the_program_ends_well() {
    on_a_runtime(async {
        let mut bench = Bench::two_models().await;
        bench.servers["gemma3"].slow_down(SLOW);
        assert_eq!(bench.admin("/readyz").await.status, StatusCode::OK);
        let mut silent = TcpStream::connect(bench.gateway).await.unwrap();
        let mut answer = open(bench.gateway, chat("chatbot", TOKENS, true)).await;
        let first = answer.frame().await.unwrap().unwrap().into_data().unwrap();

        bench.terminate();
        let refused = async || TcpStream::connect(bench.gateway).await.is_err().then_some(());
        until("no connection is accepted any more", refused).await;
        let ready = bench.admin("/readyz").await;
        assert_eq!((ready.status, ready.text().trim()), (StatusCode::SERVICE_UNAVAILABLE, "draining"));
        assert_eq!(bench.admin("/healthz").await.status, StatusCode::OK);

        let rest = answer.into_body().collect().await.expect("a whole stream").to_bytes();
        let text = String::from_utf8([first, rest].concat()).unwrap();
        assert_eq!(text.matches("\"index\":0,\"delta\":").count() as u32, TOKENS, "{text}");
        assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
        assert!(until("the program ends", async || bench.has_ended_well()).await);
        let closed = tokio::io::AsyncReadExt::read(&mut silent, &mut [0; 1]).await;
        assert_eq!(closed.unwrap(), 0, "a connection that has said nothing is closed");
    });
}
