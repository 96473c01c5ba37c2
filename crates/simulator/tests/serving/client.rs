//! A server to ask, and a client to ask it with.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use simulator::{Config, Simulator};
use tokio::net::{TcpListener, TcpStream};

/// A server that computes a virtual hour in under a wall millisecond.
pub(crate) fn fast() -> Config {
    Config { model: "chatbot".into(), speed: 1e7, ..Config::default() }
}

/// Starts a server; it ends with the test's runtime.
pub(crate) async fn start(config: Config) -> (Simulator, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let simulator = Simulator::new(config);
    let serving = simulator.clone();
    tokio::spawn(async move { serving.serve(listener, std::future::pending()).await });
    (simulator, address)
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    /// The data of each event of a stream; the last one must be `[DONE]`, and is left out.
    pub(crate) fn events(&self) -> Vec<Value> {
        let mut events: Vec<&str> =
            self.text().split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect();
        assert_eq!(events.pop(), Some("[DONE]"));
        events.iter().map(|event| serde_json::from_str(event).expect("JSON")).collect()
    }
}

/// Asks, and reads the head of the answer.
pub(crate) async fn begin(
    address: SocketAddr,
    method: Method,
    path: &str,
    body: &str,
) -> hyper::Result<http::Response<Incoming>> {
    let stream = TcpStream::connect(address).await.expect("a listener");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "sim")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
        .expect("a request");
    sender.send_request(request).await
}

/// Asks, and reads the whole answer.
pub(crate) async fn ask(
    address: SocketAddr,
    method: Method,
    path: &str,
    body: &str,
) -> hyper::Result<Answer> {
    let (head, body) = begin(address, method, path, body).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Answer { status: head.status, headers: head.headers, body })
}

pub(crate) async fn post(address: SocketAddr, path: &str, body: &str) -> Answer {
    ask(address, Method::POST, path, body).await.expect("an answer")
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, Method::GET, path, "").await.expect("an answer")
}

/// Waits for a condition that other tasks bring about.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), waiting)
        .await
        .expect("the condition comes true");
}
