//! The server as somebody else's gRPC client (tonic) finds it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use envoy_types::pb::envoy::config::core::v3::{HeaderMap, HeaderValue};
use envoy_types::pb::envoy::service::ext_proc::v3::external_processor_client::ExternalProcessorClient;
use envoy_types::pb::envoy::service::ext_proc::v3::processing_request::Request as Step;
use envoy_types::pb::envoy::service::ext_proc::v3::processing_response::Response as Reply;
use envoy_types::pb::envoy::service::ext_proc::v3::{
    CommonResponse, HttpBody, HttpHeaders, ProcessingRequest, ProcessingResponse, ProtocolConfiguration,
    body_mutation,
};
use extproc::bbr::{Bbr, BbrSettings, FieldHeaders, PassOn};
use extproc::grpc::{Status, frame};
use extproc::wire::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse, ServingStatus,
};
use extproc::{
    BodyMode, Certificates, Door, Drained, Health, Next, Port, Replies, Server, Serving, Session, Settings,
};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use journey::{BodyPace, Now};
use payload::{Budget, Share};
use state::Clock;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use telemetry::BbrCounts;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Streaming};

const STALL: Duration = Duration::from_millis(100);

fn settings() -> Settings {
    Settings {
        bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
        cores: 2,
        grpc_message_bytes_max: 1 << 20,
        ..Settings::default()
    }
}

fn router(budget: &Arc<Budget>) -> impl Fn(usize) -> Bbr + Send + Sync + 'static {
    router_of(budget, PassOn::Early, FieldHeaders::default())
}

fn router_of(
    budget: &Arc<Budget>,
    pass_on: PassOn,
    fields: FieldHeaders,
) -> impl Fn(usize) -> Bbr + Send + Sync + 'static {
    let settings = BbrSettings {
        pass_on,
        fields: Arc::new(fields),
        body_mode: BodyMode::Streamed,
        body_bytes_max: 1 << 20,
        body_pace: BodyPace { stall_timeout: STALL, rate_min: 1024 },
    };
    let (counts, budget) = (Arc::<BbrCounts>::default(), Arc::clone(budget));
    let models = Arc::<ArcSwap<extproc::bbr::BaseModels>>::default();
    move |_| Bbr::new(settings.clone(), Arc::clone(&models), Arc::clone(&budget), Arc::clone(&counts))
}

/// A router on a free port, with health beside it.
fn start() -> (Server, SocketAddr, Arc<Health>) {
    let health = Arc::new(Health::of_names(&["liveness"], &["readiness"]));
    let ports = [Port { process: Some(0), health: Some(Arc::clone(&health)), ..Port::default() }];
    let server = Server::start(settings(), &ports, Clock::start(), router(&Budget::new(1 << 20))).unwrap();
    let address = server.addresses()[0];
    (server, address, health)
}

/// A router with a budget of its own that is soon tired of waiting for messages.
fn start_impatient(budget: &Arc<Budget>, grpc_message_timeout: Duration) -> (Server, SocketAddr) {
    let settings = Settings { grpc_message_timeout, ..settings() };
    let ports = [Port { process: Some(0), ..Port::default() }];
    let server = Server::start(settings, &ports, Clock::start(), router(budget)).unwrap();
    let address = server.addresses()[0];
    (server, address)
}

/// Waits until the budget is charged for so many bytes.
async fn until_held(budget: &Budget, bytes: u64) {
    let waited = async {
        while budget.held() != bytes {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waited).await.expect("so many are held");
}

/// Opens a stream on which these bytes are sent and nothing more; gives the status that the client is answered with, and the
/// stream's own, once it has ended.
async fn process_cut(address: SocketAddr, bytes: impl Into<Bytes>) -> JoinHandle<(Option<i32>, String)> {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let piece = Ok::<_, Infallible>(Frame::data(bytes.into()));
    let body = StreamBody::new(tokio_stream::iter([piece]).chain(tokio_stream::pending()));
    let request = http::Request::post(format!("http://gateway{}", extproc::wire::PROCESS_PATH))
        .header("content-type", "application/grpc");
    let answered = sender.send_request(request.body(body).unwrap());
    tokio::spawn(async move {
        let answer = answered.await.unwrap().into_body().collect().await.unwrap();
        drop(sender);
        let status = answer.trailers().map(|trailers| trailers["grpc-status"].to_str().unwrap().to_owned());
        let mut replies = extproc::grpc::Decoder::new(1 << 20);
        replies.feed(answer.to_bytes());
        let reply: Option<ProcessingResponse> = replies.next_message().unwrap();
        (reply.as_ref().and_then(immediate), status.unwrap_or_default())
    })
}

#[tokio::test]
async fn a_stream_that_says_nothing_ends() {
    let (_server, address) = start_impatient(&Budget::new(1 << 20), STALL);
    let mut replies = process(&channel(address).await, Vec::new()).await;
    assert_eq!(replies.message().await.unwrap_err().code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_message_that_is_never_whole_is_charged_and_its_client_gets_408() {
    let budget = Budget::new(1 << 20);
    let (_server, address) = start_impatient(&budget, Duration::from_secs(1));
    let ended = process_cut(address, &b"\0\0\0\0\x09half"[..]).await;
    until_held(&budget, 4).await;
    assert_eq!(ended.await.unwrap(), (Some(408), "0".to_owned()));
    assert_eq!(budget.held(), 0);
}

#[tokio::test]
async fn a_message_that_the_budget_has_no_room_for_gets_its_client_503_and_one_that_never_will_have_413() {
    for (of_others, status) in [(6, 503), (0, 413)] {
        let budget = Budget::new(if of_others > 0 { 8 } else { 3 });
        let mut others = Share::new(&budget);
        others.hold(of_others).unwrap();
        let (_server, address) = start_impatient(&budget, Duration::from_secs(30));
        let ended = process_cut(address, &b"\0\0\0\0\x09half"[..]).await;
        assert_eq!(ended.await.unwrap(), (Some(status), "0".to_owned()));
        assert_eq!(budget.held(), of_others);
    }
}

#[tokio::test]
async fn what_a_stream_holds_already_counts_where_the_rest_can_never_be_held() {
    let mut sent = BytesMut::new();
    frame(&headers(), &mut sent);
    frame(&body(&" ".repeat(600), false), &mut sent);
    sent.extend_from_slice(b"\0\0\0\x02\x58");
    sent.extend_from_slice(&[0; 500]);
    for (of_others, limit, status) in [(500, 1500, 503), (0, 1000, 413)] {
        let budget = Budget::new(limit);
        let mut others = Share::new(&budget);
        others.hold(of_others).unwrap();
        let (_server, address) = start_impatient(&budget, Duration::from_secs(30));
        let ended = process_cut(address, sent.clone()).await;
        assert_eq!(ended.await.unwrap(), (Some(status), "0".to_owned()));
        assert_eq!(budget.held(), of_others);
    }
}

#[tokio::test]
async fn a_port_where_nobody_calls_keeps_no_place_from_the_others() {
    let health = Arc::new(Health::of_any_name());
    let port = Port { health: Some(Arc::clone(&health)), ..Port::default() };
    let port = Port { process: Some(0), ..port };
    let ports = [port.clone(), port.clone(), port];
    let settings = Settings { connections_max: 1, ..settings() };
    let server = Server::start(settings, &ports, Clock::start(), router(&Budget::new(1 << 20))).unwrap();
    for address in server.addresses().iter().rev() {
        let channel = channel(*address).await;
        let asked = ask(&channel, "/grpc.health.v1.Health/Check", HealthCheckRequest::default());
        let told: HealthCheckResponse = asked.await.unwrap();
        assert_eq!(told.status(), ServingStatus::NotServing);
    }
}

#[tokio::test]
async fn health_is_told_while_gateways_have_every_place() {
    let health = Some(Arc::new(Health::of_any_name()));
    let ports = [Port { process: Some(0), ..Port::default() }, Port { health, ..Port::default() }];
    let settings = Settings { connections_max: 1, ..settings() };
    let server = Server::start(settings, &ports, Clock::start(), router(&Budget::new(1 << 20))).unwrap();
    let _gateways =
        (channel(server.addresses()[0]).await, tokio::net::TcpStream::connect(server.addresses()[0]).await);
    let channel = channel(server.addresses()[1]).await;
    let asked = ask(&channel, "/grpc.health.v1.Health/Check", HealthCheckRequest::default());
    let told: HealthCheckResponse =
        tokio::time::timeout(Duration::from_secs(10), asked).await.expect("an answer").unwrap();
    assert_eq!(told.status(), ServingStatus::NotServing);
}

/// What a client begins with: the preface, and its settings, none.
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[tokio::test]
async fn health_is_told_however_many_keep_connections_to_its_port_and_not_to_those_who_came_first() {
    let ports = [Port { health: Some(Arc::new(Health::of_any_name())), ..Port::default() }];
    let server = Server::start(settings(), &ports, Clock::start(), router(&Budget::new(1 << 20))).unwrap();
    let mut idle = Vec::new();
    for _ in 0..100 {
        let mut stream = tokio::net::TcpStream::connect(server.addresses()[0]).await.unwrap();
        stream.write_all(GREETING).await.unwrap();
        idle.push(stream);
    }
    let channel = channel(server.addresses()[0]).await;
    let asked = ask(&channel, "/grpc.health.v1.Health/Check", HealthCheckRequest::default());
    let told: HealthCheckResponse =
        tokio::time::timeout(Duration::from_secs(10), asked).await.expect("an answer").unwrap();
    assert_eq!(told.status(), ServingStatus::NotServing);
    // It ends, with or without an error: what it had sent may not have been read.
    let _ = idle[0].read_to_end(&mut Vec::new()).await;
}

#[tokio::test]
async fn what_passes_is_charged_until_it_has_left() {
    let budget = Budget::new(1 << 20);
    let (_server, address) = start_impatient(&budget, Duration::from_secs(30));
    let mut upload = headers();
    let Some(Step::RequestHeaders(of_request)) = &mut upload.request else { panic!("headers") };
    of_request.headers.as_mut().unwrap().headers[1].raw_value = b"image/png".to_vec();
    let large = "x".repeat(300_000);
    // The peer's window is smaller than what comes back, and the peer does not read.
    let narrow =
        Channel::from_shared(format!("http://{address}")).unwrap().initial_stream_window_size(65_535);
    let steps = vec![upload, body(&large, false), body(&large, false)];
    let mut replies = process(&narrow.connect().await.unwrap(), steps).await;
    let charged = async {
        while budget.held() < 200_000 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), charged).await.expect("what waits is charged");
    let mut passed = 0;
    while passed < 2 * large.len() {
        let reply = replies.message().await.unwrap().unwrap();
        passed += streamed(&reply).map_or(0, |(piece, _)| piece.len());
    }
    until_held(&budget, 0).await;
}

/// The modes of bodies, by their numbers.
const BUFFERED: i32 = 2;
const FULL_DUPLEX_STREAMED: i32 = 4;

/// The headers that the first answer sets which sets any, of a request with three fields in two pieces, or in one if buffered.
async fn set_by(pass_on: PassOn, body_mode: i32) -> Vec<String> {
    let mut fields = FieldHeaders::default();
    fields.add("user", "X-User").unwrap();
    fields.add("service_tier", "X-Tier").unwrap();
    let ports = [Port { process: Some(0), ..Port::default() }];
    let make = router_of(&Budget::new(1 << 20), pass_on, fields);
    let server = Server::start(settings(), &ports, Clock::start(), make).unwrap();
    let mut first = headers();
    first.protocol_config.as_mut().unwrap().request_body_mode = body_mode;
    let (begin, end) = (r#"{"model":"a","user":"gr\u00fcn","#, r#""service_tier":7}"#);
    let steps = match body_mode {
        BUFFERED => vec![first, body(&format!("{begin}{end}"), true)],
        _ => vec![first, body(begin, false), body(end, true)],
    };
    let mut replies = process(&channel(server.addresses()[0]).await, steps).await;
    loop {
        let reply = replies.message().await.unwrap().expect("an answer that sets headers");
        let mutation = common(&reply).and_then(|common| common.header_mutation);
        let set = mutation.into_iter().flat_map(|mutation| mutation.set_headers);
        let told = set
            .filter_map(|set| set.header)
            .map(|header| format!("{}={}", header.key, String::from_utf8(header.raw_value).expect("UTF-8")));
        let told: Vec<String> = told.filter(|header| !header.starts_with("content-length")).collect();
        if !told.is_empty() {
            return told;
        }
    }
}

fn common(reply: &ProcessingResponse) -> Option<CommonResponse> {
    match reply.response.as_ref()? {
        Reply::RequestHeaders(headers) => headers.response.clone(),
        Reply::RequestBody(body) => body.response.clone(),
        _ => None,
    }
}

#[tokio::test]
async fn fields_that_were_asked_for_reach_another_client_as_headers_in_every_mode() {
    for (pass_on, mode) in [
        (PassOn::Early, FULL_DUPLEX_STREAMED),
        (PassOn::Whole, FULL_DUPLEX_STREAMED),
        (PassOn::Early, BUFFERED),
    ] {
        let set = set_by(pass_on, mode).await;
        assert_eq!(set, ["x-gateway-model-name=a", "x-user=grün", "x-tier=7"], "{pass_on:?} {mode}");
    }
}

async fn channel(address: SocketAddr) -> Channel {
    Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

fn step(request: Step) -> ProcessingRequest {
    ProcessingRequest { request: Some(request), ..ProcessingRequest::default() }
}

fn headers() -> ProcessingRequest {
    let header = |key: &str, value: &str| HeaderValue {
        key: key.to_owned(),
        raw_value: value.as_bytes().to_vec(),
        ..HeaderValue::default()
    };
    let headers = vec![header(":path", "/v1/completions"), header("content-type", "application/json")];
    ProcessingRequest {
        protocol_config: Some(ProtocolConfiguration {
            request_body_mode: FULL_DUPLEX_STREAMED,
            ..ProtocolConfiguration::default()
        }),
        ..step(Step::RequestHeaders(HttpHeaders {
            headers: Some(HeaderMap { headers }),
            ..HttpHeaders::default()
        }))
    }
}

fn body(text: &str, end_of_stream: bool) -> ProcessingRequest {
    let body = HttpBody { body: text.as_bytes().to_vec(), end_of_stream, ..HttpBody::default() };
    step(Step::RequestBody(body))
}

async fn process(channel: &Channel, steps: Vec<ProcessingRequest>) -> Streaming<ProcessingResponse> {
    // The peer keeps its side open, as Envoy does.
    let steps = tokio_stream::iter(steps).chain(tokio_stream::pending());
    ExternalProcessorClient::new(channel.clone()).process(steps).await.unwrap().into_inner()
}

/// The status of an answer that the client is to get at once.
fn immediate(reply: &ProcessingResponse) -> Option<i32> {
    let Some(Reply::ImmediateResponse(immediate)) = &reply.response else { return None };
    immediate.status.as_ref().map(|status| status.code)
}

/// The model that an answer to headers tells.
fn model(reply: &ProcessingResponse) -> Option<String> {
    let Some(Reply::RequestHeaders(headers)) = &reply.response else { return None };
    let mutation = headers.response.as_ref()?.header_mutation.as_ref()?;
    let set = mutation.set_headers.iter().filter_map(|set| set.header.as_ref());
    let header = set.into_iter().find(|header| header.key == "x-gateway-model-name")?;
    Some(String::from_utf8_lossy(&header.raw_value).into_owned())
}

/// The bytes of a streamed body.
fn streamed(reply: &ProcessingResponse) -> Option<(String, bool)> {
    let Some(Reply::RequestBody(body)) = &reply.response else { return None };
    let mutation = body.response.as_ref()?.body_mutation.as_ref()?.mutation.as_ref()?;
    let body_mutation::Mutation::StreamedResponse(piece) = mutation else { return None };
    Some((String::from_utf8_lossy(&piece.body).into_owned(), piece.end_of_stream))
}

#[tokio::test]
async fn a_stream_is_answered_while_it_goes_on() {
    let (_server, address, _) = start();
    let channel = channel(address).await;
    let mut replies = process(&channel, vec![headers(), body(r#"{"model":"a","#, false)]).await;
    let first = replies.message().await.unwrap().unwrap();
    assert_eq!(model(&first).as_deref(), Some("a"));
    let second = replies.message().await.unwrap().unwrap();
    assert_eq!(streamed(&second), Some((r#"{"model":"a","#.to_owned(), false)));
}

#[tokio::test]
async fn two_thousand_streams_of_one_connection_are_answered_side_by_side() {
    let (_server, address, _) = start();
    let channel = channel(address).await;
    let mut streams = JoinSet::new();
    for number in 0..2000 {
        let channel = channel.clone();
        streams.spawn(async move {
            let mut replies =
                process(&channel, vec![headers(), body(&format!(r#"{{"model":"m{number}","#), false)]).await;
            let first = replies.message().await.unwrap().unwrap();
            // Held until every stream is answered.
            (model(&first), number, replies)
        });
    }
    let answered = streams.join_all().await;
    assert_eq!(answered.len(), 2000);
    for (model, number, _) in &answered {
        assert_eq!(model.as_deref(), Some(&*format!("m{number}")));
    }
}

#[tokio::test]
async fn a_body_that_stalls_is_refused_by_our_own_clock() {
    let (_server, address, _) = start();
    let mut replies = process(&channel(address).await, vec![headers(), body("{", false)]).await;
    let reply = replies.message().await.unwrap().unwrap();
    assert_eq!(immediate(&reply), Some(408));
    assert!(replies.message().await.unwrap().is_none(), "the stream has ended");
}

#[tokio::test]
async fn a_large_body_passes_whole_and_a_message_beyond_the_limit_is_answered_413() {
    let (_server, address, _) = start();
    let channel = channel(address).await;
    let text = format!(r#"{{"model":"a","prompt":"{}"}}"#, "x".repeat(900_000));
    let mut replies = process(&channel, vec![headers(), body(&text, true)]).await;
    assert_eq!(model(&replies.message().await.unwrap().unwrap()).as_deref(), Some("a"));
    let mut passed = String::new();
    while !passed.ends_with('}') {
        passed += &streamed(&replies.message().await.unwrap().unwrap()).expect("a piece").0;
    }
    assert!(passed == text);
    let mut replies = process(&channel, vec![headers(), body(&"x".repeat(1 << 20), true)]).await;
    assert_eq!(immediate(&replies.message().await.unwrap().unwrap()), Some(413));
}

#[tokio::test]
async fn headers_beyond_what_a_message_may_have_beside_a_body_are_answered_400() {
    let settings = Settings { grpc_message_bytes_max: 4 << 20, ..settings() };
    let ports = [Port { process: Some(0), ..Port::default() }];
    let server = Server::start(settings, &ports, Clock::start(), router(&Budget::new(8 << 20))).unwrap();
    let channel = channel(server.addresses()[0]).await;
    let long = |bytes: usize| {
        let header = HeaderValue { key: "x".to_owned(), value: "y".repeat(bytes), ..HeaderValue::default() };
        let headers = Some(HeaderMap { headers: vec![header] });
        step(Step::RequestHeaders(HttpHeaders { headers, end_of_stream: true, ..HttpHeaders::default() }))
    };
    let mut replies = process(&channel, vec![long(1 << 20)]).await;
    assert_eq!(immediate(&replies.message().await.unwrap().unwrap()), Some(400));
    let mut replies = process(&channel, vec![long(1_000_000)]).await;
    assert_eq!(immediate(&replies.message().await.unwrap().unwrap()), None);
}

#[tokio::test]
async fn a_coded_body_that_is_read_in_turns_is_answered_and_passes() {
    let (_server, address, _) = start();
    // A zstd frame with a window of 8 MiB and no size: the start of an object, 7 blocks of 128 KiB of one letter, its end.
    let block = |bytes: usize, kind: u32| ((bytes as u32) << 3 | kind).to_le_bytes()[..3].to_vec();
    let mut coded = b"\x28\xb5\x2f\xfd\x00\x68".to_vec();
    let start = br#"{"model":"m","prompt":""#;
    coded.extend([block(start.len(), 0), start.to_vec()].concat());
    (0..7).for_each(|_| coded.extend([block(128 << 10, 2), b"a".to_vec()].concat()));
    coded.extend([block(2, 1), br#""}"#.to_vec()].concat());
    let mut first = headers();
    let Some(Step::RequestHeaders(of_request)) = &mut first.request else { panic!("headers") };
    let coding = HeaderValue {
        key: "content-encoding".to_owned(),
        raw_value: b"zstd".to_vec(),
        ..HeaderValue::default()
    };
    of_request.headers.as_mut().unwrap().headers.push(coding);
    let (head, tail) = coded.split_at(30);
    let piece = |piece: &[u8], end_of_stream| {
        step(Step::RequestBody(HttpBody { body: piece.to_vec(), end_of_stream, ..HttpBody::default() }))
    };
    let steps = vec![first, piece(head, false), piece(tail, false), piece(b"", true)];
    let mut replies = process(&channel(address).await, steps).await;
    let whole = async {
        assert_eq!(model(&replies.message().await.unwrap().unwrap()).as_deref(), Some("m"));
        while !streamed(&replies.message().await.unwrap().unwrap()).expect("a piece").1 {}
    };
    tokio::time::timeout(Duration::from_secs(30), whole).await.expect("the stream is woken for each turn");
}

async fn ask<A, B>(channel: &Channel, method: &'static str, asked: A) -> Result<B, tonic::Status>
where
    A: prost::Message + Send + Sync + 'static,
    B: prost::Message + Default + Send + Sync + 'static,
{
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static(method);
    let codec = tonic_prost::ProstCodec::<A, B>::default();
    grpc.unary(tonic::Request::new(asked), path, codec).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn health_is_told_by_name() {
    let (_server, address, health) = start();
    let channel = channel(address).await;
    let check = |service: &str| {
        let (channel, service) = (channel.clone(), service.to_owned());
        async move {
            let asked = HealthCheckRequest { service };
            let told: Result<HealthCheckResponse, _> =
                ask(&channel, "/grpc.health.v1.Health/Check", asked).await;
            told.map(|told| told.status())
        }
    };
    assert_eq!(check("readiness").await.unwrap(), ServingStatus::NotServing);
    assert_eq!(check("liveness").await.unwrap(), ServingStatus::Serving);
    health.becomes(Serving::Yes);
    assert_eq!(check("readiness").await.unwrap(), ServingStatus::Serving);
    assert_eq!(check("other").await.unwrap(), ServingStatus::ServiceUnknown, "as GAIE from v1.0 on");
    let list: HealthListResponse =
        ask(&channel, "/grpc.health.v1.Health/List", HealthListRequest {}).await.unwrap();
    assert_eq!(list.statuses.len(), 2);
    let watch: Result<HealthCheckResponse, _> =
        ask(&channel, "/grpc.health.v1.Health/Watch", HealthCheckRequest::default()).await;
    assert_eq!(watch.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_drain_lets_streams_end_and_takes_no_new_connection() {
    let (server, address, _) = start();
    let (sender, steps) = tokio::sync::mpsc::unbounded_channel();
    sender.send(headers()).unwrap();
    sender.send(body(r#"{"model":"a","#, false)).unwrap();
    let mut client = ExternalProcessorClient::new(channel(address).await);
    let replies = client.process(UnboundedReceiverStream::new(steps)).await.unwrap();
    let mut replies = replies.into_inner();
    replies.message().await.unwrap();
    let drain = tokio::spawn(server.drain());
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!drain.is_finished());
    drop(sender);
    while replies.message().await.unwrap().is_some() {}
    assert_eq!(drain.await.unwrap().cut, 0);
}

/// Drains a server whose time is over once `seen` says so; a drain that does not end then fails the test.
fn drained(server: Server, seen: oneshot::Receiver<()>) -> mpsc::Receiver<Drained> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _ = tell.send(runtime.block_on(async {
            let mut drain = std::pin::pin!(server.drain());
            tokio::select! {
                drained = &mut drain => return drained,
                _ = seen => tokio::time::pause(),
            }
            drain.await
        }));
    });
    told
}

#[tokio::test]
async fn a_stream_that_does_not_end_is_cut_when_the_drain_has_had_its_time() {
    let (server, address, _) = start();
    let channel = channel(address).await;
    let mut replies = process(&channel, vec![headers(), body(r#"{"model":"a","#, false)]).await;
    replies.message().await.unwrap();
    let (over, seen) = oneshot::channel();
    let drained = drained(server, seen);
    // The connection takes no more, and nor does the port.
    while ask::<_, HealthListResponse>(&channel, "/grpc.health.v1.Health/List", HealthListRequest {})
        .await
        .is_ok()
    {}
    over.send(()).unwrap();
    let drained = drained.recv_timeout(Duration::from_secs(30)).expect("a drain ends");
    assert_eq!(drained.cut, 1);
    while replies.message().await.is_ok_and(|message| message.is_some()) {}
}

#[tokio::test]
async fn a_lame_duck_serves_new_connections_until_its_time_is_over() {
    let ports = [Port { health: Some(Arc::new(Health::of_any_name())), ..Port::default() }];
    let settings = Settings { lame_duck: Duration::from_hours(1), ..settings() };
    let server = Server::start(settings, &ports, Clock::start(), router(&Budget::new(1 << 20))).unwrap();
    let address = server.addresses()[0];
    let mut drain = tokio::spawn(server.drain());
    tokio::task::yield_now().await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_mins(59)).await;
    tokio::time::resume();
    let channel = channel(address).await;
    let asked = ask(&channel, "/grpc.health.v1.Health/Check", HealthCheckRequest::default());
    let told: HealthCheckResponse = asked.await.unwrap();
    assert_eq!(told.status(), ServingStatus::NotServing);
    assert!(!drain.is_finished());
    drop(channel);
    tokio::time::pause();
    (&mut drain).await.unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

/// Panics at the word `panic`, and answers anything else with nothing.
struct Fragile(Arc<Budget>);

struct FragileSession;

impl Door for Fragile {
    type Session = FragileSession;

    fn budget(&self) -> &Arc<Budget> {
        &self.0
    }

    fn open(self: &Rc<Self>, _port: usize) -> FragileSession {
        FragileSession
    }
}

impl Session for FragileSession {
    type Message = extproc::wire::ProcessingRequest;

    fn on(&mut self, message: Self::Message, _now: Now, replies: &mut Replies) -> Next {
        assert!(message.request.is_none(), "this test panics on purpose");
        replies.send(&extproc::wire::ProcessingResponse::default());
        Next::End(Status::OK)
    }
}

#[tokio::test]
async fn a_panic_ends_its_own_stream_and_no_other() {
    let ports = [Port { process: Some(0), ..Port::default() }];
    let server =
        Server::start(settings(), &ports, Clock::start(), |_| Fragile(Budget::new(1 << 20))).unwrap();
    let channel = channel(server.addresses()[0]).await;
    let mut panics = process(&channel, vec![headers()]).await;
    assert!(panics.message().await.is_err());
    let mut goes_on = process(&channel, vec![ProcessingRequest::default()]).await;
    assert!(goes_on.message().await.unwrap().is_some());
}

#[tokio::test]
async fn tls_is_spoken_with_http2_and_a_certificate_of_our_own() {
    let tls = Certificates::self_signed().unwrap().config().unwrap();
    let ports = [Port { tls: Some(tls), process: Some(0), ..Port::default() }];
    let server = Server::start(settings(), &ports, Clock::start(), router(&Budget::new(1 << 20))).unwrap();
    let stream = tokio::net::TcpStream::connect(server.addresses()[0]).await.unwrap();
    let stream = extproc::client::connector().connect("localhost".try_into().unwrap(), stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
}
