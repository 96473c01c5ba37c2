use super::server::CONNECTIONS_MAX;
use super::{Admin, Readiness, World, prefix_entries, router, statuses};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use journey::{Now, Outcome};
use serde_json::{Value, json};
use state::{Domain, Listener, Pool, Snapshot};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use telemetry::{Attempt, Record, Telemetry};
use tower::ServiceExt;

struct TestWorld {
    readiness: Mutex<Readiness>,
    open: Option<Vec<u16>>,
    listeners: Vec<Arc<Listener>>,
}

impl World for TestWorld {
    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::new(Snapshot { generation: 7, listeners: self.listeners.clone(), ..Snapshot::default() })
    }

    fn now(&self) -> Now {
        Now(0)
    }

    fn readiness(&self) -> Readiness {
        *self.readiness.lock().unwrap()
    }

    fn open_ports(&self) -> Option<Vec<u16>> {
        self.open.clone()
    }

    fn held_body_bytes(&self) -> u64 {
        4096
    }

    fn settings(&self) -> Value {
        json!({ "admin": "127.0.0.1:9901" })
    }
}

fn world() -> Arc<TestWorld> {
    Arc::new(TestWorld { readiness: Mutex::new(Readiness::Ready), open: None, listeners: Vec::new() })
}

async fn ask(telemetry: &Arc<Telemetry>, world: &Arc<TestWorld>, path: &str) -> (StatusCode, String) {
    let pages = router(Arc::clone(telemetry), Arc::clone(world) as Arc<dyn World>);
    let response = pages.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn record(id: &str) -> Record {
    let endpoint = SocketAddr::from(([127, 0, 0, 1], 8001));
    Record {
        id: telemetry::RequestId::from(id).unwrap(),
        at: SystemTime::UNIX_EPOCH,
        dialect: payload::Dialect::Completions,
        rule: Some("default/route rule 0 match 0".into()),
        backend: Some("default/gemma3".into()),
        model: Some(payload::ModelName("chatbot".into())),
        target_model: None,
        rewritten_by: None,
        model_known: true,
        target_chosen: telemetry::TargetChosen::ByConfiguration,
        priority: Some(0),
        stream: false,
        prompt_bytes: 10,
        request_bytes: 100,
        response_bytes: 200,
        picker: None,
        decision: None,
        attempts: [Attempt { endpoint, outcome: Outcome::Served }].into_iter().collect(),
        status: 200,
        refusal: None,
        headers_removed: 0,
        cancelled: false,
        decided_in: Duration::from_micros(2),
        first_token_in: None,
        ended_in: Duration::from_millis(20),
        usage: payload::Usage::default(),
    }
}

#[tokio::test]
async fn it_is_ready_only_between_start_and_stop() {
    let (telemetry, world) = (Telemetry::new(1, 1), world());
    for (readiness, status, text) in [
        (Readiness::Starting, StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        (Readiness::Ready, StatusCode::OK, "ready\n"),
        (Readiness::Draining, StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    ] {
        *world.readiness.lock().unwrap() = readiness;
        assert_eq!(ask(&telemetry, &world, "/readyz").await, (status, text.to_owned()));
        assert_eq!(ask(&telemetry, &world, "/healthz").await, (StatusCode::OK, "ok\n".to_owned()));
    }
}

#[tokio::test]
async fn it_is_ready_while_one_of_its_listeners_is_listened_on() {
    let listener = |port| {
        Arc::new(Listener {
            gateway: resources::ObjectName::new("default", "gateway"),
            name: "http".into(),
            port,
            hostname: None,
            routes: routing::RouteTable::default(),
        })
    };
    for (wanted, open, status, text) in [
        (vec![8080, 8081], vec![8080, 8081], StatusCode::OK, "ready\n"),
        (
            vec![8080, 8081],
            vec![8080],
            StatusCode::OK,
            "ready, but not on 8081, which cannot be had: the log says why\n",
        ),
        (
            vec![8081],
            vec![],
            StatusCode::SERVICE_UNAVAILABLE,
            "listening on no port: 8081 cannot be had, the log says why\n",
        ),
        (
            vec![],
            vec![],
            StatusCode::SERVICE_UNAVAILABLE,
            "listening on no port: no Gateway of ours has an HTTP listener in the manifests\n",
        ),
    ] {
        let world = Arc::new(TestWorld {
            readiness: Mutex::new(Readiness::Ready),
            open: Some(open),
            listeners: wanted.into_iter().map(listener).collect(),
        });
        let told = ask(&Telemetry::new(1, 1), &world, "/readyz").await;
        assert_eq!(told, (status, text.to_owned()));
    }
}

#[tokio::test]
async fn metrics_have_what_the_cores_counted_and_what_the_world_knows() {
    let telemetry = Telemetry::new(1, 1);
    telemetry.core(0).finish(&mut record("a"));
    let (status, page) = ask(&telemetry, &world(), "/metrics").await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("\npointsman_responses_total{code=\"200\"} 1\n"), "{page}");
    assert!(page.contains("\npointsman_held_body_bytes 4096\n"), "{page}");
    assert!(page.contains("\npointsman_snapshot_generation 7\n"), "{page}");
}

fn pool(domain: &Arc<Domain>, slots: Vec<scheduling::Slot>) -> Arc<Pool> {
    let name = resources::ObjectName { namespace: "default".into(), name: "gemma3".into() };
    let view = journey::PoolView {
        name: "default/gemma3".into(),
        slots,
        policy: Arc::default(),
        admission: journey::AdmissionSettings::default(),
    };
    Arc::new(Pool {
        version: resources::PoolVersion::V1,
        name,
        view,
        endpoints: Vec::new(),
        pods: Arc::default(),
        policies: Default::default(),
        known_models: Vec::new(),
        domain: Arc::clone(domain),
        blocks: None,
        picker: None,
    })
}

#[test]
fn the_endpoints_of_a_large_pool_are_each_told_once_and_those_of_others_not() {
    let domain = Arc::<Domain>::default();
    let keys: Vec<_> = (1..100)
        .map(|port| journey::EndpointKey { pod_uid: None, address: ([127, 0, 0, 1], port).into() })
        .collect();
    let slots = domain.lock().reconcile(&keys, Now(0)).slots;
    domain.lock().reconcile(&keys[1..], Now(0));
    let told = statuses(&pool(&domain, slots[..70].to_vec()), Now(0));
    let told: Vec<_> = told.into_iter().map(|status| status.key).collect();
    assert_eq!(told, keys[1..70]);
}

#[test]
fn a_prefix_index_that_pools_share_is_counted_once() {
    let pool = |domain| pool(domain, Vec::new());
    let (one, two) = (Arc::<Domain>::default(), Arc::<Domain>::default());
    let prompt = |blocks: u64| payload::Prompt {
        bytes: 100_000,
        blocks: (1..=blocks).collect(),
        ..payload::Prompt::default()
    };
    for slot in [0, 1] {
        one.prefixes.insert(scheduling::Slot(slot), "m", &prompt(3));
    }
    two.prefixes.insert(scheduling::Slot(0), "m", &prompt(5));
    assert_eq!(prefix_entries(&[pool(&one), pool(&two), pool(&one)]), 11);
}

#[tokio::test]
async fn a_past_request_is_explained_as_json_and_as_text() {
    let telemetry = Telemetry::new(1, 4);
    telemetry.core(0).finish(&mut record("abc"));
    let (status, body) = ask(&telemetry, &world(), "/explain/abc").await;
    let explanation: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &explanation["rule"]), (StatusCode::OK, &json!("default/route rule 0 match 0")));
    let (status, text) = ask(&telemetry, &world(), "/explain/abc?format=text").await;
    assert_eq!(
        (status, text.lines().next().unwrap()),
        (StatusCode::OK, "request   abc at 1970-01-01T00:00:00.000Z")
    );
}

#[tokio::test]
async fn a_request_that_is_not_kept_is_not_found() {
    let (status, body) = ask(&Telemetry::new(1, 1), &world(), "/explain/a%2Fb").await;
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(told["error"], "no record of request \"a/b\": only the newest requests are kept");
}

#[tokio::test]
async fn the_configuration_is_told_with_its_settings() {
    let (status, body) = ask(&Telemetry::new(1, 1), &world(), "/config").await;
    let config: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &config["generation"]), (StatusCode::OK, &json!(7)));
    assert_eq!(config["settings"]["admin"], "127.0.0.1:9901");
    assert_eq!(ask(&Telemetry::new(1, 1), &world(), "/endpoints").await, (StatusCode::OK, "[]".to_owned()));
}

#[tokio::test]
async fn a_path_that_is_no_page_is_told_in_a_sentence() {
    for (path, told) in [
        ("/explain", "which request? /explain/ID, where ID is the x-request-id of its answer\n"),
        ("/explain/", "which request? /explain/ID, where ID is the x-request-id of its answer\n"),
        ("/other?a=b", "no page \"/other\" here; / lists them\n"),
    ] {
        let answer = ask(&Telemetry::new(1, 1), &world(), path).await;
        assert_eq!(answer, (StatusCode::NOT_FOUND, told.to_owned()), "{path}");
    }
}

#[tokio::test]
async fn nothing_can_be_changed() {
    let pages = router(Telemetry::new(1, 1), world());
    let response = pages.oneshot(Request::post("/config").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[test]
fn it_serves_on_its_own_thread_and_stops_when_dropped() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let admin = Admin::start(listener, router(Telemetry::new(1, 1), world())).unwrap();
    let mut kept = TcpStream::connect(address).unwrap();
    kept.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    kept.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    drop(admin);
    kept.read_to_end(&mut Vec::new()).unwrap();
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn it_stops_though_every_place_is_held_by_somebody_who_does_not_read() {
    static PAGE: [u8; 16 << 20] = [0; 16 << 20];
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let page = axum::routing::get(|| async { bytes::Bytes::from_static(&PAGE) });
    let admin = Admin::start(listener, axum::Router::new().route("/", page)).unwrap();
    let stuck: Vec<_> = (0..CONNECTIONS_MAX)
        .map(|_| {
            let mut client = TcpStream::connect(address).unwrap();
            client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
            client.read_exact(&mut [0; 12]).unwrap();
            client
        })
        .collect();
    let (stopped, wait) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        drop(admin);
        stopped.send(()).unwrap();
    });
    wait.recv_timeout(Duration::from_secs(10)).expect("it stops");
    drop(stuck);
}
