//! An endpoint picker that does as it is told: one script for each stream.

use crate::support::{Endpoint, GATEWAY, Gate, pool_with, route, service_at, settings};
use bytes::{Bytes, BytesMut};
use extproc::grpc::{Decoder, Status, frame};
use extproc::wire::{
    BodyMutation, BodyResponse, CommonResponse, HeaderMutation, HeadersResponse, Mutation, ProcessingRequest,
    ProcessingResponse, Request, Response, StreamedBodyResponse, Struct, Value,
};
use h2::RecvStream;
use h2::server::{Builder, SendResponse};
use http_body::Frame;
use proxy::Settings;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// A picker.
pub(crate) struct Picker {
    pub(crate) address: SocketAddr,
    heard: Arc<Mutex<Heard>>,
    connections: Arc<AtomicUsize>,
}

/// What a picker has heard.
#[derive(Default)]
struct Heard {
    messages: Vec<ProcessingRequest>,
    ends: Vec<End>,
}

/// How the gateway left a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It said that nothing more comes.
    Closed,
    /// It reset the stream as cancelled.
    Cancelled,
    /// The connection broke.
    Broken,
}

/// How a picker is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Tls,
    Plain,
}

/// What a picker allows itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    pub(crate) wire: Wire,
    pub(crate) streams_max: Option<u32>,
}

pub(crate) const PLAIN: Manner = Manner { wire: Wire::Plain, streams_max: None };

impl Picker {
    pub(crate) fn start<F, S>(manner: Manner, script: F) -> Picker
    where
        F: Fn(Stream) -> S + Send + Sync + 'static,
        S: Future<Output = ()> + 'static,
    {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        Picker::on(listener, manner, script)
    }

    pub(crate) fn on<F, S>(listener: std::net::TcpListener, manner: Manner, script: F) -> Picker
    where
        F: Fn(Stream) -> S + Send + Sync + 'static,
        S: Future<Output = ()> + 'static,
    {
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let heard = Arc::new(Mutex::new(Heard::default()));
        let connections = Arc::new(AtomicUsize::new(0));
        let (hears, counts) = (Arc::clone(&heard), Arc::clone(&connections));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let script = Rc::new(script);
            let serve = async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let tls = acceptor();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    counts.fetch_add(1, Ordering::SeqCst);
                    let (script, hears, tls) = (Rc::clone(&script), Arc::clone(&hears), tls.clone());
                    tokio::task::spawn_local(async move {
                        match manner.wire {
                            Wire::Plain => connection(stream, manner, hears, script).await,
                            Wire::Tls => {
                                let Ok(stream) = tls.accept(stream).await else { return };
                                connection(stream, manner, hears, script).await;
                            }
                        }
                    });
                }
            };
            tokio::task::LocalSet::new().block_on(&runtime, serve);
        });
        Picker { address, heard, connections }
    }

    /// What it was told so far.
    pub(crate) fn heard(&self) -> Vec<ProcessingRequest> {
        self.heard.lock().unwrap().messages.clone()
    }

    /// How the gateway left its streams so far, as far as their scripts listened.
    pub(crate) fn ends(&self) -> Vec<End> {
        self.heard.lock().unwrap().ends.clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// A gateway with one pool of these endpoints, for which the picker at `picker` picks.
pub(crate) fn gate(picker: SocketAddr, wire: Wire, mode: &str, endpoints: &[&Endpoint]) -> Gate {
    let addresses: Vec<SocketAddr> = endpoints.iter().map(|endpoint| endpoint.address).collect();
    gate_with(picker, (wire, mode), &addresses, brief())
}

/// The same, with other endpoints and settings.
pub(crate) fn gate_with(
    picker: SocketAddr,
    (wire, mode): (Wire, &str),
    endpoints: &[SocketAddr],
    settings: Settings,
) -> Gate {
    let picker = Some(picker);
    Gate::with(&manifests(picker, (wire, mode), endpoints), settings)
}

/// The manifests of such a gateway; without `picker` its Service has no endpoint.
pub(crate) fn manifests(
    picker: Option<SocketAddr>,
    (wire, mode): (Wire, &str),
    endpoints: &[SocketAddr],
) -> String {
    let protocol = match wire {
        Wire::Tls => "http2",
        Wire::Plain => "kubernetes.io/h2c",
    };
    let reference = format!("{{name: epp, port: {{number: 9002}}, failureMode: {mode}}}");
    let rule = "{backendRefs: [{name: llm, kind: InferencePool, group: inference.networking.k8s.io}]}";
    let picker: Vec<SocketAddr> = picker.into_iter().collect();
    let epp = service_at("epp", &format!("{{name: http, port: 9002, appProtocol: {protocol}}}"), &picker);
    [GATEWAY, &route(rule), &pool_with("llm", &reference, endpoints), &epp].concat()
}

/// Settings under which a picker that hangs is soon given up.
pub(crate) fn brief() -> Settings {
    Settings { endpoint_picker_timeout: Duration::from_secs(5), ..settings() }
}

fn acceptor() -> TlsAcceptor {
    let own = rcgen::generate_simple_self_signed(["anybody".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

async fn connection<T, F, S>(io: T, manner: Manner, heard: Arc<Mutex<Heard>>, script: Rc<F>)
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
    F: Fn(Stream) -> S + 'static,
    S: Future<Output = ()> + 'static,
{
    let dies = Rc::new(Notify::new());
    let killed = Rc::clone(&dies);
    let mut builder = Builder::new();
    manner.streams_max.map(|max| builder.max_concurrent_streams(max));
    let serving = async move {
        let Ok(mut connection) = builder.handshake(io).await else { return };
        while let Some(Ok((request, respond))) = connection.accept().await {
            assert_eq!(request.uri().path(), extproc::wire::PROCESS_PATH);
            let (out, frames) = mpsc::unbounded_channel();
            let stream = Stream {
                body: request.into_body(),
                decoder: Decoder::new(64 << 20),
                out,
                heard: Arc::clone(&heard),
                dies: Rc::clone(&dies),
            };
            tokio::task::spawn_local(script(stream));
            tokio::task::spawn_local(answer(respond, frames));
        }
    };
    tokio::select! {
        () = serving => {}
        () = killed.notified() => {}
    }
}

/// Sends what a script says; the gateway may have gone. As servers of gRPC do, it sends its head with its first message.
async fn answer(mut respond: SendResponse<Bytes>, mut frames: mpsc::UnboundedReceiver<Frame<Bytes>>) {
    let mut next = frames.recv().await;
    let head = http::Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    let Ok(mut answers) = respond.send_response(head, false) else { return };
    while let Some(frame) = next {
        match frame.into_data() {
            Ok(data) => _ = answers.send_data(data, false),
            Err(frame) => {
                _ = answers.send_trailers(frame.into_trailers().unwrap());
                return;
            }
        }
        next = frames.recv().await;
    }
    let _ = answers.send_data(Bytes::new(), true);
}

/// One request at a picker.
pub(crate) struct Stream {
    body: RecvStream,
    decoder: Decoder,
    out: mpsc::UnboundedSender<Frame<Bytes>>,
    heard: Arc<Mutex<Heard>>,
    dies: Rc<Notify>,
}

impl Stream {
    /// The next message; `None` once the gateway has closed the stream.
    pub(crate) async fn next(&mut self) -> Option<ProcessingRequest> {
        loop {
            if let Some(message) = self.decoder.next_message::<ProcessingRequest>().unwrap() {
                self.heard.lock().unwrap().messages.push(message.clone());
                return Some(message);
            }
            let end = match self.body.data().await {
                Some(Ok(data)) => {
                    self.body.flow_control().release_capacity(data.len()).unwrap();
                    self.decoder.feed(data);
                    continue;
                }
                Some(Err(error)) if error.reason() == Some(h2::Reason::CANCEL) => End::Cancelled,
                Some(Err(_)) => End::Broken,
                None => End::Closed,
            };
            self.heard.lock().unwrap().ends.push(end);
            return None;
        }
    }

    pub(crate) fn send(&self, message: &ProcessingResponse) {
        let mut written = BytesMut::new();
        frame(message, &mut written);
        self.send_bytes(written.freeze());
    }

    pub(crate) fn send_bytes(&self, bytes: Bytes) {
        // The gateway may have gone.
        let _ = self.out.send(Frame::data(bytes));
    }

    /// Ends the stream with this status.
    pub(crate) fn end(&self, status: &Status) {
        let _ = self.out.send(Frame::trailers(status.trailers()));
    }

    /// The whole connection breaks.
    pub(crate) fn die(&self) {
        self.dies.notify_one();
    }

    /// The request's head, and its body.
    pub(crate) async fn request(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        while let Some(message) = self.next().await {
            match message.request {
                Some(Request::RequestHeaders(headers)) if headers.end_of_stream => break,
                Some(Request::RequestBody(part)) => {
                    body.extend(part.body.iter().flatten());
                    if part.end_of_stream {
                        break;
                    }
                }
                _ => {}
            }
        }
        body
    }

    /// Picks these endpoints, and gives this body back in pieces of 62,000 bytes, as the reference does.
    pub(crate) fn pick(&self, endpoints: &[SocketAddr], body: &[u8]) {
        self.send(&picked(endpoints));
        self.give_back(body);
    }

    pub(crate) fn give_back(&self, body: &[u8]) {
        let count = body.len().div_ceil(62_000);
        for (place, piece) in body.chunks(62_000).enumerate() {
            self.send(&piece_of(piece, place + 1 == count));
        }
    }

    /// Answers the head of the response with these headers, and waits until the request has ended.
    pub(crate) async fn answer_response(&mut self, headers: &[(&'static str, &'static str)]) {
        while let Some(message) = self.next().await {
            if let Some(Request::ResponseHeaders(_)) = message.request {
                let mut mutation = HeaderMutation::default();
                headers.iter().for_each(|&(name, value)| mutation.set(name, value.as_bytes()));
                let response =
                    Some(CommonResponse { header_mutation: Some(mutation), ..CommonResponse::default() });
                let response = Some(Response::ResponseHeaders(HeadersResponse { response }));
                self.send(&ProcessingResponse { response, ..ProcessingResponse::default() });
            }
        }
    }
}

/// The answer to a request's headers: these endpoints, in the header and in the metadata.
pub(crate) fn picked(endpoints: &[SocketAddr]) -> ProcessingResponse {
    const DESTINATION: &str = "x-gateway-destination-endpoint";
    let list = endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let mut mutation = HeaderMutation::default();
    mutation.set(DESTINATION, list.clone());
    mutation.set("x-of-the-picker", "1");
    let response = Some(CommonResponse { header_mutation: Some(mutation), ..CommonResponse::default() });
    let lb = Value::object(Struct::of(DESTINATION, Value::string(list)));
    ProcessingResponse {
        response: Some(Response::RequestHeaders(HeadersResponse { response })),
        dynamic_metadata: Some(Struct::of("envoy.lb", lb)),
        ..ProcessingResponse::default()
    }
}

/// A piece of the body as it is to go on.
pub(crate) fn piece_of(piece: &[u8], end_of_stream: bool) -> ProcessingResponse {
    let streamed = StreamedBodyResponse { body: Bytes::copy_from_slice(piece), end_of_stream };
    let body_mutation = Some(BodyMutation { mutation: Some(Mutation::StreamedResponse(streamed)) });
    let response = Some(CommonResponse { body_mutation, ..CommonResponse::default() });
    let response = Some(Response::RequestBody(BodyResponse { response }));
    ProcessingResponse { response, ..ProcessingResponse::default() }
}

/// A picker that picks these endpoints and gives the body back as it came.
pub(crate) fn picks(manner: Manner, endpoints: &[SocketAddr]) -> Picker {
    let endpoints = endpoints.to_vec();
    Picker::start(manner, move |mut stream: Stream| {
        let endpoints = endpoints.clone();
        async move {
            let body = stream.request().await;
            stream.pick(&endpoints, &body);
            stream.answer_response(&[("x-of-the-picker", "seen"), ("server", "picked")]).await;
        }
    })
}
