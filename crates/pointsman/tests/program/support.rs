//! A gateway as a user has it (the built program, a folder of manifests) before simulated model servers.

use crate::recorder::Recorder;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper_util::rt::TokioIo;
use journeys::Journey;
use resources::{Folder, SERVICE_NAME_LABEL};
use serde_json::{Value, json};
use simulator::{Config, Fault, Simulator};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

/// The built program.
const PROGRAM: &str = env!("CARGO_BIN_EXE_pointsman");

/// The longest that a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// What stands behind one InferencePool or Service.
pub(crate) struct ModelServers {
    pub(crate) addresses: Vec<SocketAddr>,
    simulators: Vec<Simulator>,
}

impl ModelServers {
    /// Every step takes this many times as long from now on.
    pub(crate) fn slow_down(&self, factor: f64) {
        self.simulators.iter().for_each(|simulator| simulator.set_faults(vec![Fault::Slow(factor)]));
    }
}

/// An endpoint picker, `pointsman epp`. Dropped, it ends.
pub(crate) struct Picker {
    pub(crate) address: SocketAddr,
    process: Child,
}

impl Picker {
    pub(crate) fn end(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Picker {
    fn drop(&mut self) {
        self.end();
    }
}

/// A gateway under test. Dropped, everything it started ends.
pub(crate) struct Bench {
    pub(crate) servers: BTreeMap<String, ModelServers>,
    pub(crate) gateway: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) folder: TempDir,
    log: Arc<Mutex<Vec<Value>>>,
    process: Child,
}

impl Drop for Bench {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Ports of ext_proc, health and metrics that are free.
pub(crate) const FREE_PORTS: [&str; 8] =
    ["--bind", "127.0.0.1", "--grpc-port", "0", "--grpc-health-port", "0", "--metrics-port", "0"];

/// Where the endpoint of the example's picker is declared.
pub(crate) const PICKERS_ENDPOINTS: &str = "gemma3-epp-endpoints.yaml";

/// Where nobody listens: the port of a service that no machine has any more.
pub(crate) const NOBODYS_PORT: u16 = 9;

impl Bench {
    /// A gateway of a journey, with endpoints that tell what they were sent in the place of its own.
    pub(crate) async fn of(journey: &Journey) -> (Bench, Recorder) {
        let mut program = Command::new(PROGRAM);
        program.env("POINTSMAN_BODY_BYTES_MAX", journey.body_bytes_max.to_string());
        let recorder = Recorder::default();
        let endpoints = Endpoints { serve: &journey.model_servers, recorder: Some(&recorder) };
        (Bench::start(program, &journey.folder, endpoints).await, recorder)
    }

    /// Starts the manifests of `folder` by a command that runs the program with the arguments that it is given.
    async fn start(program: Command, folder: &Path, endpoints: Endpoints<'_>) -> Bench {
        let mut manifests = read_manifests(folder);
        let servers = endpoints.start(folder, &mut manifests).await;
        if let Some(slice) = manifests.get_mut(PICKERS_ENDPOINTS) {
            // At the port that it names somebody else's picker may listen.
            *slice = slice.replace("port: 9002\n", &format!("port: {NOBODYS_PORT}\n"));
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in &manifests {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let (process, gateway, admin, log) = run(program, folder.path());
        Bench { servers, gateway, admin, folder, log, process }
    }

    /// Starts an endpoint picker of a pool of these manifests.
    pub(crate) fn picker(&self, pool: &str) -> Picker {
        let mut process = Command::new(PROGRAM)
            .args(["epp", "--log-format", "json", "--admin", "127.0.0.1:0"])
            .args(FREE_PORTS)
            .args(["--pool-name", pool, "--config"])
            .arg(self.folder.path())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut log = BufReader::new(process.stderr.take().expect("its log is ours"));
        let mut said = String::new();
        let address = loop {
            let mut line = String::new();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "the picker ended: {said}");
            let told: Value = serde_json::from_str(&line).unwrap_or_default();
            if told["message"] == "the endpoint picker listens" {
                break told["address"].as_str().and_then(|address| address.parse().ok());
            }
            said.push_str(&line);
        };
        std::thread::spawn(move || log.lines().map_while(Result::ok).for_each(drop));
        Picker { address: address.expect("it tells where it listens"), process }
    }

    /// The two models behind one address, of `examples/two-models`.
    pub(crate) async fn two_models() -> Bench {
        Bench::two_models_by(Command::new(PROGRAM)).await
    }

    /// The same, with so many descriptors to the program.
    pub(crate) async fn two_models_with_descriptors(descriptors: u32) -> Bench {
        let mut limited = Command::new("sh");
        limited.args(["-c", &format!("ulimit -n {descriptors} && exec \"$0\" \"$@\""), PROGRAM]);
        Bench::two_models_by(limited).await
    }

    async fn two_models_by(program: Command) -> Bench {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/two-models");
        let serve = json!({"gemma3": {"model": "chatbot"}, "deepseek-r1": {"model": "recommender"}});
        Bench::start(program, &example, Endpoints { serve: &serve, recorder: None }).await
    }

    /// Writes a manifest of the folder as an editor does: whole, under another name, then in its place.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let draft = self.folder.path().join(".draft");
        fs::write(&draft, text).unwrap();
        fs::rename(draft, self.folder.path().join(name)).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// The lines of the log so far that `is_meant` picks out.
    pub(crate) fn logged(&self, is_meant: impl Fn(&Value) -> bool) -> Vec<Value> {
        self.log.lock().unwrap().iter().filter(|line| is_meant(line)).cloned().collect()
    }

    /// Asks the program to stop, as an init system does.
    pub(crate) fn terminate(&self) {
        terminate(&self.process);
    }

    /// Whether the program has ended, and well.
    pub(crate) fn has_ended_well(&mut self) -> Option<bool> {
        has_ended_well(&mut self.process)
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        send(self.gateway, request).await
    }

    /// Asks the admin server.
    pub(crate) async fn admin(&self, path: &str) -> Answer {
        send(self.admin, Request::get(path).header("host", "admin").body(Full::default()).unwrap()).await
    }

    /// Waits until `/endpoints` says what `is_so` wants.
    pub(crate) async fn endpoints_become(&self, is_so: impl Fn(&Value) -> bool) {
        until("the endpoints become so", async || {
            is_so(&self.admin("/endpoints").await.json()).then_some(())
        })
        .await;
    }
}

/// A program under way, and its log. Dropped, it ends.
pub(crate) struct Running {
    process: Child,
    log: BufReader<ChildStderr>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Running {
    pub(crate) fn start(arguments: &[&str]) -> Running {
        let mut process = Command::new(PROGRAM)
            .args(arguments)
            .args(["--log-format", "json"])
            .args(FREE_PORTS)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let log = BufReader::new(process.stderr.take().expect("its log is ours"));
        Running { process, log }
    }

    /// The next line of the log that begins so.
    pub(crate) fn logged(&mut self, beginning: &str) -> Value {
        let lines = self.log.by_ref().lines().map_while(Result::ok);
        let mut lines = lines.map(|line| serde_json::from_str(&line).unwrap_or(Value::Null));
        let is_meant =
            |line: &Value| line["message"].as_str().is_some_and(|text| text.starts_with(beginning));
        lines.find(is_meant).unwrap_or_else(|| panic!("it ended without {beginning:?}"))
    }
    /// Asks it to stop, as an init system does.
    pub(crate) fn terminate(&self) {
        terminate(&self.process);
    }

    /// Whether it has ended, and well.
    pub(crate) fn has_ended_well(&mut self) -> Option<bool> {
        has_ended_well(&mut self.process)
    }
}

fn terminate(process: &Child) {
    let kill = format!("kill -TERM {}", process.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

fn has_ended_well(process: &mut Child) -> Option<bool> {
    process.try_wait().unwrap().map(|status| status.success())
}

/// The manifests of `examples/two-models`.
pub(crate) fn two_models() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/two-models/manifests");
    path.to_str().unwrap().to_owned()
}

/// Looks again and again until there is something.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: waited for in vain");
        tokio::task::yield_now().await;
    }
}

/// Runs a test on a runtime of its own.
pub(crate) fn on_a_runtime(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

/// Runs the built program to its end.
pub(crate) fn pointsman(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().expect("the program runs")
}

/// What a command that serves logs until it listens or ends; then it is ended.
pub(crate) fn logged_at_start(arguments: &[&str]) -> Vec<Value> {
    let mut process = Command::new(PROGRAM)
        .args(arguments)
        .args(["--log-format", "json"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let log = BufReader::new(process.stderr.take().expect("its log is ours"));
    let lines =
        log.lines().map_while(Result::ok).filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    let listens = |line: &Value| line["message"].as_str().is_some_and(|message| message.contains("listen"));
    let told = lines.take_while(|line| line["level"] != "INFO" || !listens(line)).collect();
    // It may have ended by itself; then there is nothing to end.
    let _ = process.kill();
    let _ = process.wait();
    told
}

/// A chat request.
pub(crate) fn chat(model: &str, max_tokens: u32, stream: bool) -> Request<Full<Bytes>> {
    let messages = json!([{"role": "user", "content": "What is the color of the sky?"}]);
    let body = json!({"model": model, "messages": messages, "max_tokens": max_tokens, "stream": stream});
    Request::post("/v1/chat/completions")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(Full::from(body.to_string()))
        .unwrap()
}

fn read_manifests(example: &Path) -> BTreeMap<String, String> {
    let files = fs::read_dir(example.join("manifests")).expect("the example's manifests");
    let read = |file: std::io::Result<fs::DirEntry>| {
        let path = file.unwrap().path();
        (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(path).unwrap())
    };
    files.map(read).collect()
}

/// What stands in the place of the endpoints that manifests declare.
#[derive(Clone, Copy)]
struct Endpoints<'a> {
    /// By pool, what its simulated model servers serve, as requests.json has it; a pool without them has none.
    serve: &'a Value,
    /// Who stands before each.
    recorder: Option<&'a Recorder>,
}

impl Endpoints<'_> {
    /// Starts one for each port of the EndpointSlices of each pool and of each Service that is no picker, and tells the manifests where it is.
    async fn start(
        self,
        folder: &Path,
        manifests: &mut BTreeMap<String, String>,
    ) -> BTreeMap<String, ModelServers> {
        let store = Folder::new([folder.join("manifests")]).load().store;
        let pools = store.inference_pools.values().map(|pool| (&pool.meta.name.name, pool.selector.clone()));
        let is_picker = |name: &Arc<str>| {
            let mut pickers = store.inference_pools.values().filter_map(|pool| pool.endpoint_picker.as_ref());
            pickers.any(|picker| picker.name == *name)
        };
        let services = store.services.keys().map(|service| &service.name).filter(|name| !is_picker(name));
        let services =
            services.map(|name| (name, BTreeMap::from([(SERVICE_NAME_LABEL.to_owned(), name.to_string())])));
        let mut servers = BTreeMap::new();
        for (name, selector) in pools.chain(services) {
            let name = name.to_string();
            let mut of_pool = ModelServers { addresses: Vec::new(), simulators: Vec::new() };
            let slices = store.endpoint_slices.values();
            for slice in slices.filter(|slice| resources::has_labels(&slice.meta.labels, &selector)) {
                let declared = slice.ports.first().and_then(|port| port.port).expect("a slice with a port");
                let (mut address, simulator) = start_server(&self.serve[&name]).await.unzip();
                if let Some(recorder) = self.recorder {
                    let place = of_pool.addresses.len();
                    address = Some(recorder.stand_before(address, &name, place).await);
                }
                let address = address.expect("an endpoint");
                let (before, after) = (format!("port: {declared}\n"), format!("port: {}\n", address.port()));
                manifests.values_mut().for_each(|text| *text = text.replace(&before, &after));
                of_pool.addresses.push(address);
                of_pool.simulators.extend(simulator);
            }
            servers.insert(name, of_pool);
        }
        servers
    }
}

/// A simulated model server, if it is told what it serves.
async fn start_server(serves: &Value) -> Option<(SocketAddr, Simulator)> {
    let names = serves["adapters"].as_array().into_iter().flatten();
    let config = Config {
        model: serves["model"].as_str()?.to_owned(),
        adapters: names.filter_map(|name| name.as_str().map(str::to_owned)).collect(),
        engine_model: "demo".parse().unwrap(),
        speed: 1000.0,
        ..Config::default()
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let simulator = Simulator::new(config);
    let serving = simulator.clone();
    spawn_local(async move { serving.serve(listener, std::future::pending()).await });
    Some((address, simulator))
}

/// Runs the built program on free ports, and reads from its log where it listens.
fn run(mut program: Command, folder: &Path) -> (Child, SocketAddr, SocketAddr, Arc<Mutex<Vec<Value>>>) {
    let mut process = program
        .args(["run", "--log-format", "json", "--free-ports", "--bind", "127.0.0.1"])
        .args(["--admin", "127.0.0.1:0", "--scrape-interval", "20ms", "--config"])
        .arg(folder)
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut log = BufReader::new(process.stderr.take().expect("its log is ours"));
    let (mut gateway, mut admin) = (None, None);
    let mut said = String::new();
    while gateway.is_none() || admin.is_none() {
        let mut line = String::new();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "the gateway ended: {said}");
        let told: Value = serde_json::from_str(&line).unwrap_or_default();
        let address = || told["address"].as_str().and_then(|address| address.parse().ok());
        match told["message"].as_str() {
            Some("listening") => gateway = address(),
            Some("admin server listening") => admin = address(),
            _ => (),
        }
        said.push_str(&line);
    }
    // The log goes on being read, or the gateway would block on it; the thread ends with the process.
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&lines);
    std::thread::spawn(move || {
        for line in log.lines().map_while(Result::ok) {
            kept.lock().unwrap().push(serde_json::from_str(&line).unwrap_or_default());
        }
    });
    (process, gateway.unwrap(), admin.unwrap(), lines)
}

/// Sends a request on a connection of its own; its answer's body is still to come.
pub(crate) async fn open<B>(to: SocketAddr, request: Request<B>) -> Response<Incoming>
where
    B: Body<Data = Bytes, Error = Infallible> + 'static,
{
    let stream = TcpStream::connect(to).await.expect("a connection");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
    // It ends with the answer: nothing else will be sent.
    spawn_local(connection);
    sender.send_request(request).await.expect("an answer")
}

/// Sends a request on a connection of its own and reads the whole answer.
pub(crate) async fn send(to: SocketAddr, request: Request<Full<Bytes>>) -> Answer {
    let exchange = async {
        let (head, body) = open(to, request).await.into_parts();
        let body = body.collect().await.expect("a whole answer").to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    };
    tokio::time::timeout(PATIENCE, exchange).await.expect("an answer in time")
}
