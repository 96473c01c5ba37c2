//! SIGTERM: what is under way ends whole, nothing new is taken, and readiness says so; what does not end is cut.

use crate::support::{Bench, Running, chat, on_a_runtime, open, two_models, until};
use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
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

/// A body that never comes.
struct Awaited;

impl Body for Awaited {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

/// Opens a stream of ext_proc that says nothing; it is answered as long as the answer is kept.
async fn open_process(address: &str) -> http::Response<hyper::body::Incoming> {
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let path = "/envoy.service.ext_proc.v3.ExternalProcessor/Process";
    let request = http::Request::post(format!("http://gateway{path}"));
    let request = request.header("content-type", "application/grpc").body(Awaited).unwrap();
    sender.send_request(request).await.unwrap()
}

#[test]
fn a_stream_that_does_not_end_holds_a_stand_in_neither_beyond_its_drain_nor_beyond_a_second_signal() {
    on_a_runtime(async {
        let manifests = two_models();
        let picker = ["epp", "--pool-name", "gemma3", "--admin", "127.0.0.1:0", "--config", &manifests];
        for (command, listens, port) in [
            (&["bbr"][..], "the body-based router listens", "ext_proc"),
            (&picker, "the endpoint picker listens", "address"),
        ] {
            for (drain_timeout, is_asked_twice) in [("100ms", false), ("1h", true)] {
                let flags = ["--secure-serving=false", "--grpc-message-timeout", "1h"];
                let drain = ["--drain-timeout", drain_timeout];
                let mut program = Running::start(&[command, &flags, &drain].concat());
                let address = program.logged(listens)[port].as_str().unwrap().to_owned();
                let _answer = open_process(&address).await;
                program.terminate();
                program.logged("stopping");
                if is_asked_twice {
                    let refused = async || TcpStream::connect(&address).await.is_err().then_some(());
                    until("it takes no more", refused).await;
                    program.terminate();
                }
                assert!(until("the program ends", async || program.has_ended_well()).await);
                let told = program.logged("stopped");
                let expected = if is_asked_twice { "stopped at once" } else { "stopped" };
                assert_eq!(told["message"], expected, "{command:?}");
                assert_eq!(told["cut"].as_u64(), (!is_asked_twice).then_some(1), "{command:?}");
            }
        }
    });
}
