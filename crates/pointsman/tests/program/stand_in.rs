//! `bbr` and `epp` as a gateway has them: their ext_proc port, and how they stop.

use crate::support::{Running, on_a_runtime, two_models, until};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::net::TcpStream;

const PROCESS: &str = "/envoy.service.ext_proc.v3.ExternalProcessor/Process";

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

/// Calls a gRPC method, on a connection of its own.
async fn call(
    address: &str,
    method: &str,
    body: impl Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
) -> http::Response<Incoming> {
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::post(format!("http://gateway{method}"));
    let request = request.header("content-type", "application/grpc").body(body).unwrap();
    sender.send_request(request).await.unwrap()
}

/// Starts each with these flags, without TLS on its port of ext_proc; gives it with that port's address.
fn both(flags: &[&str]) -> Vec<(Running, String)> {
    let manifests = two_models();
    let picker = ["epp", "--pool-name", "gemma3", "--admin", "127.0.0.1:0", "--config", &manifests];
    let commands = [
        (&["bbr"][..], "the body-based router listens", "ext_proc"),
        (&picker, "the endpoint picker listens", "address"),
    ];
    let start = |(command, listens, port): (&[&str], _, _)| {
        let mut program = Running::start(&[command, &["--secure-serving=false"], flags].concat());
        let address = program.logged(listens)[port].as_str().unwrap().to_owned();
        (program, address)
    };
    commands.map(start).into()
}

#[test]
fn health_is_told_on_the_port_of_ext_proc_too_unless_that_is_turned_off() {
    // A message without a name, and one that says SERVING.
    let (asked, serving) = (&[0; 5][..], &[0, 0, 0, 0, 2, 8, 1][..]);
    on_a_runtime(async {
        for (flags, expected) in [(&[][..], serving), (&["--health-checking=false"], &[])] {
            for (_program, address) in both(flags) {
                let told = async || {
                    let asked = Full::new(Bytes::from_static(asked));
                    let answer = call(&address, "/grpc.health.v1.Health/Check", asked).await;
                    let told = answer.into_body().collect().await.unwrap().to_bytes();
                    // A picker serves once it has seen its pool.
                    (told == expected).then_some(())
                };
                until("health is told so", told).await;
            }
        }
    });
}

#[test]
fn a_stream_that_does_not_end_holds_a_stand_in_neither_beyond_its_drain_nor_beyond_a_second_signal() {
    on_a_runtime(async {
        for (drain_timeout, is_asked_twice) in [("100ms", false), ("1h", true)] {
            let flags = ["--grpc-message-timeout", "1h", "--drain-timeout", drain_timeout];
            for (mut program, address) in both(&flags) {
                let _answer = call(&address, PROCESS, Awaited).await;
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
                assert_eq!(told["message"], expected);
                assert_eq!(told["cut"].as_u64(), (!is_asked_twice).then_some(1));
            }
        }
    });
}
