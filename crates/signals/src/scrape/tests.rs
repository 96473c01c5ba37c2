use super::{Scrape, ScrapeError, ScrapeSettings, Scraper};
use crate::page::PAGE_BYTES_MAX;
use crate::{Engine, MetricNames, Signals};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::rustls::ClientConfig;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a model server answers to a path.
type Answers = dyn Fn(&str) -> (StatusCode, Bytes) + Send + Sync;

/// A model server in this process.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(answers: impl Fn(&str) -> (StatusCode, Bytes) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let answers: Arc<Answers> = Arc::new(answers);
        let (counted, noted) = (Arc::clone(&connections), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, SeqCst);
                let (answers, noted) = (Arc::clone(&answers), Arc::clone(&noted));
                let service = service_fn(move |request: Request<Incoming>| {
                    noted.lock().unwrap().push(request.uri().path().to_owned());
                    let (status, page) = answers(request.uri().path());
                    let response = Response::builder().status(status).body(Full::new(page)).unwrap();
                    async { Ok::<_, std::convert::Infallible>(response) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Server { address, connections, asked, task }
    }
}

fn settings() -> ScrapeSettings {
    ScrapeSettings { interval: Duration::from_millis(2), ..ScrapeSettings::default() }
}

/// A scraper of `endpoints`, and what it tells.
fn scraper(
    settings: ScrapeSettings,
    endpoints: impl IntoIterator<Item = (u32, SocketAddr)>,
) -> (Scraper<u32>, UnboundedReceiver<(u32, Scrape)>) {
    let (sender, receiver) = unbounded_channel();
    let sink = move |id: &u32, scrape: Scrape| {
        let _ = sender.send((*id, scrape));
    };
    let mut scraper = Scraper::new(settings, Arc::new(sink));
    scraper.set(endpoints);
    (scraper, receiver)
}

async fn next(scrapes: &mut UnboundedReceiver<(u32, Scrape)>) -> (u32, Scrape) {
    timeout(PATIENCE, scrapes.recv()).await.expect("a scrape in time").expect("the scraper runs")
}

fn page(text: &'static str) -> (StatusCode, Bytes) {
    (StatusCode::OK, Bytes::from_static(text.as_bytes()))
}

#[tokio::test]
async fn an_endpoint_is_scraped_again_and_again_over_one_connection() {
    let server = Server::start(|_| page("trtllm_num_requests_waiting 3\n")).await;
    let (_scraper, mut scrapes) = scraper(settings(), [(7, server.address)]);
    for _ in 0..5 {
        let (id, scrape) = next(&mut scrapes).await;
        let Scrape::Read(signals) = scrape else { panic!("{scrape:?}") };
        assert_eq!((id, signals.waiting), (7, Some(3)));
    }
    assert_eq!(server.connections.load(SeqCst), 1);
}

#[tokio::test]
async fn trtllm_serve_is_found_at_its_own_path_and_json_is_asked_for_once() {
    let server = Server::start(|path| match path {
        "/prometheus/metrics" => page("trtllm_num_requests_waiting 2\n"),
        _ => page("[{\"iter\":1}]"),
    })
    .await;
    let (_scraper, mut scrapes) = scraper(settings(), [(0, server.address)]);
    for _ in 0..3 {
        let (_, scrape) = next(&mut scrapes).await;
        assert!(matches!(&scrape, Scrape::Read(signals) if signals.waiting == Some(2)), "{scrape:?}");
    }
    assert_eq!(server.asked.lock().unwrap().iter().filter(|path| *path == "/metrics").count(), 1);
}

#[tokio::test]
async fn a_server_without_metrics_is_no_miss_and_is_asked_rarely() {
    let server = Server::start(|_| (StatusCode::NOT_FOUND, Bytes::from_static(b"none"))).await;
    let unknown = Server::start(|_| page("tgi_queue_size 3\n")).await;
    let endpoints = [(0, server.address), (1, unknown.address)];
    let (_scraper, mut scrapes) = scraper(settings(), endpoints);
    for _ in 0..2 {
        let (_, scrape) = next(&mut scrapes).await;
        assert!(matches!(scrape, Scrape::NoMetrics), "{scrape:?}");
    }
    assert!(timeout(Duration::from_millis(50), scrapes.recv()).await.is_err(), "asked again at once");
}

/// Or llama.cpp would never see that a client has hung up.
#[tokio::test]
async fn llama_cpp_is_asked_more_slowly_once_a_page_was_its_own() {
    let server = Server::start(|_| page("llamacpp:requests_deferred 3\n")).await;
    let (_scraper, mut scrapes) = scraper(settings(), [(0, server.address)]);
    let (_, scrape) = next(&mut scrapes).await;
    assert!(matches!(&scrape, Scrape::Read(_)), "{scrape:?}");
    assert!(timeout(Duration::from_millis(50), scrapes.recv()).await.is_err(), "asked again at once");
}

#[test]
fn the_next_attempt_waits_as_long_as_the_server_needs() {
    let seconds = Duration::from_secs;
    let missed = || Scrape::Missed(ScrapeError::TimedOut(seconds(1)));
    let (usual, llama_cpp, without) = (seconds(1), seconds(2), seconds(10));
    let settings = ScrapeSettings {
        interval: usual,
        interval_llama_cpp_min: llama_cpp,
        interval_without_metrics: without,
        ..ScrapeSettings::default()
    };
    for (scrape, engine, wanted) in [
        (missed(), None, usual),
        (Scrape::Read(Signals::default()), Some(Engine::Vllm), usual),
        (Scrape::Read(Signals::default()), Some(Engine::LlamaCpp), llama_cpp),
        (missed(), Some(Engine::LlamaCpp), llama_cpp),
        (Scrape::NoMetrics, None, without),
        (Scrape::NoMetrics, Some(Engine::Vllm), without),
    ] {
        assert_eq!(settings.interval_after(&scrape, engine), wanted, "{scrape:?} {engine:?}");
    }
    let rarely = ScrapeSettings { interval: seconds(5), ..settings };
    let read = Scrape::Read(Signals::default());
    assert_eq!(rarely.interval_after(&read, Some(Engine::LlamaCpp)), seconds(5), "never faster than is set");
}

#[tokio::test]
async fn what_cannot_be_read_is_a_miss_with_its_reason() {
    let failing = Server::start(|_| (StatusCode::SERVICE_UNAVAILABLE, Bytes::new())).await;
    let large = Bytes::from(vec![b'x'; PAGE_BYTES_MAX + 1]);
    let endless = Server::start(move |_| (StatusCode::OK, large.clone())).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let limit = Duration::from_millis(200);
    for (address, wanted) in [
        (failing.address, "the endpoint answered 503 Service Unavailable"),
        (endless.address, "the page is larger than 4194304 bytes"),
        (closed, "cannot connect"),
        (silent.local_addr().unwrap(), "timed out after 0.2s"),
    ] {
        let limit = if wanted.starts_with("timed out") { limit } else { PATIENCE };
        let (_scraper, mut scrapes) =
            scraper(ScrapeSettings { timeout: limit, ..settings() }, [(0, address)]);
        let (_, scrape) = next(&mut scrapes).await;
        let Scrape::Missed(error) = scrape else { panic!("{wanted}: {scrape:?}") };
        assert!(error.to_string().starts_with(wanted), "{error}");
    }
}

/// Answers one request on each connection, then closes it as soon as it is asked again.
async fn forgetful(listener: TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).await.unwrap();
        let page = b"HTTP/1.1 200 OK\r\ncontent-length: 30\r\n\r\ntrtllm_num_requests_waiting 3\n";
        stream.write_all(page).await.unwrap();
        let _ = stream.read(&mut request).await;
    }
}

#[tokio::test]
async fn a_connection_that_the_endpoint_closed_while_idle_is_no_miss() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(forgetful(listener));
    let (_scraper, mut scrapes) = scraper(settings(), [(0, address)]);
    for _ in 0..5 {
        let (_, scrape) = next(&mut scrapes).await;
        assert!(matches!(scrape, Scrape::Read(_)), "{scrape:?}");
    }
    server.abort();
}

#[tokio::test]
async fn endpoints_that_stay_keep_their_task_and_those_that_go_are_left_alone() {
    let (one, two) = (
        Server::start(|_| page("trtllm_num_requests_waiting 1\n")).await,
        Server::start(|_| page("trtllm_num_requests_waiting 2\n")).await,
    );
    let (mut scraper, mut scrapes) = scraper(settings(), [(1, one.address)]);
    next(&mut scrapes).await;
    scraper.set([(1, one.address), (2, two.address)]);
    while next(&mut scrapes).await.0 != 2 {}
    assert_eq!(one.connections.load(SeqCst), 1);
    scraper.set([(2, two.address)]);
    while next(&mut scrapes).await.0 != 2 {}
    for _ in 0..5 {
        assert_eq!(next(&mut scrapes).await.0, 2);
    }
    drop(scraper);
    assert!(
        timeout(PATIENCE, async { while scrapes.recv().await.is_some() {} }).await.is_ok(),
        "dropping stops it"
    );
}

#[test]
fn an_error_says_what_happened() {
    assert_eq!(ScrapeError::TimedOut(Duration::from_secs(1)).to_string(), "timed out after 1s");
}

#[tokio::test]
async fn metrics_on_another_port_and_path_are_found_there() {
    let server = Server::start(|path| match path {
        "/stats?of=m" | "/stats" => page("tgi_queue_size 3\n"),
        _ => (StatusCode::NOT_FOUND, Bytes::new()),
    })
    .await;
    let settings = ScrapeSettings {
        port: Some(server.address.port()),
        path: Some(http::uri::PathAndQuery::from_static("/stats?of=m")),
        names: MetricNames { waiting: Some("tgi_queue_size".parse().unwrap()), ..MetricNames::default() },
        ..settings()
    };
    let endpoint = SocketAddr::new(server.address.ip(), 1);
    let (_scraper, mut scrapes) = scraper(settings, [(0, endpoint)]);
    let (_, scrape) = next(&mut scrapes).await;
    assert!(matches!(&scrape, Scrape::Read(signals) if signals.waiting == Some(3)), "{scrape:?}");
}

/// A certificate for 127.0.0.1, what serves with it, and what trusts it alone.
fn tls() -> (tokio_rustls::TlsAcceptor, Arc<ClientConfig>) {
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;
    use tokio_rustls::rustls::{RootCertStore, ServerConfig};
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into());
    let server = ServerConfig::builder().with_no_client_auth();
    let server = server.with_single_cert(vec![own.cert.der().clone()], key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(own.cert.der().clone()).unwrap();
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    (Arc::new(server).into(), Arc::new(client))
}

#[tokio::test]
async fn metrics_are_asked_for_over_tls_where_that_is_set_and_a_stranger_is_a_miss() {
    let ((acceptor, trusting), (_, of_others)) = (tls(), tls());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let page = b"HTTP/1.1 200 OK\r\ncontent-length: 30\r\n\r\ntrtllm_num_requests_waiting 3\n";
                let _ = stream.write_all(page).await;
            });
        }
    });
    for (tls, expected) in [(trusting, true), (of_others, false)] {
        let settings = ScrapeSettings { tls: Some(tls), ..settings() };
        let (_scraper, mut scrapes) = scraper(settings, [(0, address)]);
        let (_, scrape) = next(&mut scrapes).await;
        let read = matches!(&scrape, Scrape::Read(signals) if signals.waiting == Some(3));
        assert_eq!(read, expected, "{scrape:?}");
    }
    server.abort();
}
