//! A gateway on a free port, a client that speaks raw bytes, and endpoints that do as they are told.

use proxy::{Drained, Handle, Proxy, Settings};
use resources::Folder;
use state::{Clock, World};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use telemetry::{Record, Telemetry};

/// How long a test waits for anything before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A Gateway with one listener on port 8080.
pub(crate) const GATEWAY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gateway}
spec:
  gatewayClassName: pointsman
  listeners: [{name: http, protocol: HTTP, port: 8080}]
---
";

/// A Service and its endpoints.
pub(crate) fn service(name: &str, endpoints: &[SocketAddr]) -> String {
    service_at(name, "{name: http, port: 80}", endpoints)
}

/// The same, with this port.
pub(crate) fn service_at(name: &str, port: &str, endpoints: &[SocketAddr]) -> String {
    let mut yaml = format!(
        "
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{ports: [{port}]}}
---
"
    );
    for (index, endpoint) in endpoints.iter().enumerate() {
        yaml += &slice(&format!("{name}-{index}"), &format!("kubernetes.io/service-name: {name}"), *endpoint);
    }
    yaml
}

/// An InferencePool and its endpoints.
pub(crate) fn pool(name: &str, endpoints: &[SocketAddr]) -> String {
    pool_with(name, "{name: none, port: {number: 9002}}", endpoints)
}

/// The same, with this `endpointPickerRef`.
pub(crate) fn pool_with(name: &str, picker: &str, endpoints: &[SocketAddr]) -> String {
    let mut yaml = format!(
        "
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {{name: {name}}}
spec: {{selector: {{matchLabels: {{app: {name}}}}}, targetPorts: [{{number: 8000}}], endpointPickerRef: {picker}}}
---
"
    );
    for (index, endpoint) in endpoints.iter().enumerate() {
        yaml += &slice(&format!("{name}-{index}"), &format!("app: {name}"), *endpoint);
    }
    yaml
}

fn slice(name: &str, labels: &str, endpoint: SocketAddr) -> String {
    format!(
        "
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}, labels: {{{labels}}}}}
addressType: IPv4
endpoints: [{{addresses: [{}]}}]
ports: [{{name: http, port: {}}}]
---
",
        endpoint.ip(),
        endpoint.port()
    )
}

/// An HTTPRoute of one Gateway with these rules, in YAML's flow style.
pub(crate) fn route(rules: &str) -> String {
    format!(
        "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: route}}
spec:
  parentRefs: [{{name: gateway}}]
  rules: [{rules}]
---
"
    )
}

/// Everything to one Service.
pub(crate) fn to_service(endpoints: &[SocketAddr]) -> String {
    [GATEWAY, &route("{backendRefs: [{name: web, port: 80}]}"), &service("web", endpoints)].concat()
}

/// Everything to one InferencePool.
pub(crate) fn to_pool(endpoints: &[SocketAddr]) -> String {
    let rule = "{backendRefs: [{name: llm, kind: InferencePool, group: inference.networking.k8s.io}]}";
    [GATEWAY, &route(rule), &pool("llm", endpoints)].concat()
}

/// The settings of a test: a free port of the loopback address, one data thread.
pub(crate) fn settings() -> Settings {
    Settings { bind: IpAddr::V4(Ipv4Addr::LOCALHOST), free_ports: true, cores: 1, ..Settings::default() }
}

/// A gateway.
pub(crate) struct Gate {
    pub(crate) world: Arc<World>,
    pub(crate) telemetry: Arc<Telemetry>,
    handle: Option<Handle>,
}

impl Gate {
    pub(crate) fn start(manifests: &str) -> Gate {
        Gate::with(manifests, settings())
    }

    pub(crate) fn with(manifests: &str, settings: Settings) -> Gate {
        let world = Arc::new(World::new(state::Settings::default(), Clock::start()));
        let telemetry = Telemetry::new(settings.cores, 64);
        reload(&world, manifests);
        let handle = Proxy::start(Arc::clone(&world), settings, Arc::clone(&telemetry)).unwrap();
        Gate { world, telemetry, handle: Some(handle) }
    }

    pub(crate) fn reload(&self, manifests: &str) {
        reload(&self.world, manifests);
    }

    pub(crate) fn handle(&self) -> &Handle {
        self.handle.as_ref().unwrap()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address_of(8080)
    }

    pub(crate) fn address_of(&self, port: u16) -> SocketAddr {
        until("the port is bound", || {
            self.handle().addresses().into_iter().find(|(listener, _)| *listener == port).map(|(_, at)| at)
        })
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address())
    }

    /// One request on a connection of its own.
    pub(crate) fn ask(&self, request: &str) -> Response {
        let mut client = self.client();
        client.send(request);
        client.response()
    }

    /// The record of the request that this response answers.
    pub(crate) fn record(&self, response: &Response) -> Record {
        let id = response.header("x-request-id").expect("every response has its id").to_owned();
        until("the record is written", || self.telemetry.record(&id))
    }

    /// Reservations at the endpoints of the first pool.
    pub(crate) fn in_flight(&self) -> u32 {
        let snapshot = self.world.load();
        let state = snapshot.pools[0].domain.lock();
        state.endpoints(self.world.clock().now()).iter().map(|endpoint| endpoint.in_flight).sum()
    }

    /// Drains on a thread of its own.
    pub(crate) fn drain(mut self) -> std::thread::JoinHandle<Drained> {
        let handle = self.handle.take().unwrap();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(handle.drain())
        })
    }
}

fn reload(world: &World, manifests: &str) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("manifests.yaml"), manifests).unwrap();
    let load = Folder::new([folder.path()]).load();
    let errors: Vec<_> = load.broken().collect();
    assert!(errors.is_empty(), "{errors:?}");
    world.apply(load);
}

/// Waits until `ready` gives something.
pub(crate) fn until<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::yield_now();
    }
}

/// A POST with a body and its length.
pub(crate) fn post(path: &str, headers: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: a.example\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A GET.
pub(crate) fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: a.example\r\n{headers}\r\n")
}

/// A peer's bytes, read as messages.
struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// The start line and the headers of a message.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    pub(crate) start: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

impl Wire {
    fn new(stream: TcpStream) -> Wire {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Wire { stream, buffer: Vec::new() }
    }

    /// More bytes; `false` at the end or after a reset.
    fn more(&mut self) -> bool {
        let mut chunk = [0; 64 << 10];
        match self.stream.read(&mut chunk) {
            Ok(0) => false,
            Ok(read) => {
                self.buffer.extend_from_slice(&chunk[..read]);
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("waited in vain for bytes")
            }
            Err(_) => false,
        }
    }

    fn take(&mut self, bytes: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < bytes {
            if !self.more() {
                return None;
            }
        }
        Some(self.buffer.drain(..bytes).collect())
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.take(end + 2)?;
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if !self.more() {
                return None;
            }
        }
    }

    fn head(&mut self) -> Option<Head> {
        let mut head = Head { start: self.line()?, headers: Vec::new() };
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { return Some(head) };
            head.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// A chunk; empty is the last one, `None` is a message that was broken off.
    fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = usize::from_str_radix(self.line()?.split(';').next()?.trim(), 16).ok()?;
        let chunk = self.take(size)?;
        if size > 0 {
            self.take(2)?;
        } else {
            while !self.line()?.is_empty() {}
        }
        Some(chunk)
    }

    /// The body by its framing, and whether it came whole.
    fn body(&mut self, head: &Head, is_request: bool) -> (Vec<u8>, bool) {
        let mut body = Vec::new();
        if head.header("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
            loop {
                match self.chunk() {
                    Some(chunk) if chunk.is_empty() => return (body, true),
                    Some(chunk) => body.extend(chunk),
                    None => return (body, false),
                }
            }
        }
        let length = head.header("content-length").map(|length| length.parse::<usize>().unwrap());
        match length {
            Some(length) => match self.take(length) {
                Some(body) => (body, true),
                None => (std::mem::take(&mut self.buffer), false),
            },
            None if is_request => (body, true),
            None => {
                while self.more() {}
                (std::mem::take(&mut self.buffer), true)
            }
        }
    }
}

/// A client.
pub(crate) struct Client(Wire);

/// What a client got.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    /// False if the body was broken off.
    pub(crate) whole: bool,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The `code` of an error in OpenAI's shape.
    pub(crate) fn code(&self) -> String {
        let text = self.text();
        let value: HashMap<String, serde_json::Value> =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        value["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Client {
        Client(Wire::new(TcpStream::connect(address).unwrap()))
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// The head of the next response.
    pub(crate) fn head(&mut self) -> Head {
        self.0.head().expect("a response")
    }

    /// The next response, its body by its framing.
    pub(crate) fn response(&mut self) -> Response {
        self.try_response().expect("a response")
    }

    pub(crate) fn try_response(&mut self) -> Option<Response> {
        let head = self.0.head()?;
        let status = head.start.split(' ').nth(1).unwrap().parse().unwrap();
        let bodiless = status == 204 || status == 304 || (100..200).contains(&status);
        let (body, whole) = if bodiless { (Vec::new(), true) } else { self.0.body(&head, false) };
        Some(Response { status, head, body, whole })
    }

    /// The next chunk of a chunked response; `None` if it was broken off.
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        self.0.chunk()
    }

    /// True once the other side has closed, whatever it sends before.
    pub(crate) fn is_closed(&mut self) -> bool {
        while self.0.more() {}
        true
    }

    /// Takes all that comes until the other side closes, with a pause after each so many bytes. `false`: it never does.
    pub(crate) fn takes_all(&mut self, bytes: usize, mut pause: impl FnMut()) -> bool {
        let (mut buffer, mut taken) = (vec![0; 256 << 10], 0);
        loop {
            match self.0.stream.read(&mut buffer) {
                Ok(0) => return true,
                Ok(read) => {
                    if (taken + read) / bytes != taken / bytes {
                        pause();
                    }
                    taken += read;
                }
                Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        }
    }

    /// Ends what it sends.
    pub(crate) fn end_sending(&self) {
        // The other side may have gone before.
        let _ = self.0.stream.shutdown(Shutdown::Write);
    }
}

/// A request as an endpoint got it.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    pub(crate) whole: bool,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }
}

/// One connection at an endpoint.
pub(crate) struct Connection {
    wire: Wire,
    /// Counts the endpoint's connections, from 0.
    pub(crate) number: usize,
    got: Arc<Mutex<Vec<Got>>>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Connection {
    /// The next request; `None` if the gateway closes.
    pub(crate) fn request(&mut self) -> Option<Got> {
        let head = self.wire.head()?;
        let (body, whole) = self.wire.body(&head, true);
        let got = Got { head, body, whole };
        self.got.lock().unwrap().push(got.clone());
        Some(got)
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.wire.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Tells the test something.
    pub(crate) fn hear(&self, what: &str) {
        self.heard.lock().unwrap().push(what.to_owned());
    }

    /// How long a send may take.
    pub(crate) fn patience(&self, limit: Duration) {
        self.wire.stream.set_write_timeout(Some(limit)).unwrap();
    }

    /// Waits until the gateway closes the connection.
    pub(crate) fn wait_for_close(&mut self) {
        while self.wire.more() {}
    }
}

/// A 200 with this body.
pub(crate) fn ok(body: &str) -> String {
    answer("200 OK", "", body)
}

/// An answer with a body and its length.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

/// One chunk of a chunked body.
pub(crate) fn chunk(body: &str) -> String {
    format!("{:x}\r\n{body}\r\n", body.len())
}

/// An endpoint: each connection is served by `script` on a thread of its own.
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Endpoint {
    pub(crate) fn start(script: impl Fn(Connection) + Send + Sync + 'static) -> Endpoint {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let got = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (seen, hears) = (Arc::clone(&got), Arc::clone(&heard));
        let script = Arc::new(script);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let wire = Wire::new(stream.unwrap());
                let connection =
                    Connection { wire, number, got: Arc::clone(&seen), heard: Arc::clone(&hears) };
                let script = Arc::clone(&script);
                std::thread::spawn(move || script(connection));
            }
        });
        Endpoint { address, got, heard }
    }

    /// Answers every request on every connection with these bytes.
    pub(crate) fn answering(answer: impl Into<String>) -> Endpoint {
        let answer = answer.into();
        Endpoint::start(
            move |mut connection| {
                while connection.request().is_some() && connection.send(&answer) {}
            },
        )
    }

    /// An address where nobody listens.
    pub(crate) fn absent() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.local_addr().unwrap()
    }

    /// What its connections told.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    /// What it got so far.
    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }
}
