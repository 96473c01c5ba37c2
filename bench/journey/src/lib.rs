//! The five steps of a chat request as the proxy door makes them, without a socket: what is measured here is all that
//! Pointsman adds to passing the bytes on.
//!
//! In: how many endpoints, and how long the bodies are. Out: requests, one by one, up to 32 of them in flight.

mod bodies;

use bytes::Bytes;
use http::{HeaderMap, Method};
use journey::Outcome;
use payload::{BodyHead, Limits, RequestParser, ResponseObserver};
use routing::{Model, RequestHead, Walk};
use serde_json::{Value, json};
use signals::Signals;
use state::{Backend, Clock, Dispatch, Flight, Reader, World, dispatch};
use std::collections::VecDeque;

/// Requests under way at the same time.
const IN_FLIGHT: usize = 32;

/// A body longer than this arrives in several chunks.
const CHUNK_BYTES: usize = 64 << 10;

const PORT: u16 = 8080;
const HOST: &str = "inference.example.com";
const PATH: &str = "/v1/chat/completions";
const JSON: &[u8] = b"application/json";

/// What an endpoint answers.
const ANSWER: &[u8] = br#"{"id":"chatcmpl-5f2b0c9d","object":"chat.completion","created":1767225600,"model":"chatbot","choices":[{"index":0,"message":{"role":"assistant","content":"The sky looks \"blue\" by day because air scatters the short wavelengths of sunlight far more than the long ones."},"finish_reason":"stop"}],"usage":{"prompt_tokens":214,"total_tokens":281,"completion_tokens":67}}"#;

/// Why the bench cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// The folder of manifests.
    #[error("the folder of manifests: {0}")]
    Folder(#[from] std::io::Error),
    /// The manifests, by the first error.
    #[error("the manifests: {0}")]
    Manifests(String),
}

/// A gateway without sockets, and the requests that it gets.
#[derive(Debug)]
pub struct Journey {
    world: World,
    reader: Reader,
    random: fastrand::Rng,
    headers: HeaderMap,
    bodies: VecDeque<Vec<Bytes>>,
    answer: Bytes,
    under_way: VecDeque<Flight>,
}

impl Journey {
    /// One pool of `endpoints`, each of which has told its metrics, and `requests` different bodies of `body_bytes`.
    pub fn new(endpoints: u32, body_bytes: usize, requests: usize) -> Result<Journey, SetUpError> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("manifests.json"), manifests(endpoints).to_string())?;
        let load = resources::Folder::new([folder.path()]).load();
        if let Some(finding) = load.broken().next() {
            return Err(SetUpError::Manifests(finding.message.clone()));
        }
        let world = World::new(state::Settings::default(), Clock::start());
        world.apply(load);
        tell_metrics(&world);
        let bodies = (0..requests).map(|number| chunks(bodies::chat(body_bytes, number))).collect();
        let mut headers = HeaderMap::new();
        headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        Ok(Journey {
            reader: world.reader(),
            world,
            random: fastrand::Rng::with_seed(1),
            headers,
            bodies,
            answer: Bytes::from_static(ANSWER),
            under_way: VecDeque::with_capacity(IN_FLIGHT + 1),
        })
    }

    /// Takes one request through all five steps; the request that is longest under way ends.
    ///
    /// # Panics
    ///
    /// If a step refuses, or all requests have been taken: nothing would be measured then.
    pub fn request(&mut self) {
        let chunks = self.bodies.pop_front().expect("a body for each request");
        let snapshot = self.reader.snapshot();
        let listener = snapshot.listener(PORT, HOST).expect("the manifests' listener");
        let head = RequestHead {
            method: &Method::POST,
            host: HOST,
            path: PATH,
            query: None,
            headers: &self.headers,
        };
        let Walk::ReadBody = listener.routes.walk(&head, Model::Unread) else {
            unreachable!("the route asks for a model")
        };
        let content_type = head.headers.get(http::header::CONTENT_TYPE).map(http::HeaderValue::as_bytes);
        let body = BodyHead::new(PATH, content_type, None).expect("plain JSON");
        let dialect = body.dialect;
        let mut parser = RequestParser::new(body, Limits::default());
        for chunk in &chunks {
            parser.feed(chunk).expect("a sound body");
        }
        let request = parser.finish().expect("a whole body");
        let model = &request.model.as_ref().expect("a body with a model").name.0;
        let Walk::Rule(rule) = listener.routes.walk(&head, Model::Named(model)) else {
            unreachable!("the route asks for this model")
        };
        let Some(Backend::Pool(pool)) = rule.draw(&mut self.random).map(|drawn| &drawn.backend) else {
            unreachable!("the route leads to the pool")
        };
        let arriving = Dispatch {
            request: &request,
            objective: None,
            rewrite: None,
            subset: None,
            body: None,
            test_selection: None,
        };
        let flight = dispatch(pool, &arriving, &mut self.random, self.world.clock())
            .expect("a pool with ready endpoints");
        self.under_way.push_back(flight);
        if self.under_way.len() > IN_FLIGHT {
            let mut observer = ResponseObserver::new(dialect, Some(JSON), None);
            let mut flight = self.under_way.pop_front().expect("more than IN_FLIGHT of them");
            flight.first_token();
            observer.feed(&self.answer);
            flight.finish(Outcome::Served, observer.usage());
        }
    }
}

fn chunks(body: Vec<u8>) -> Vec<Bytes> {
    body.chunks(CHUNK_BYTES).map(Bytes::copy_from_slice).collect()
}

fn tell_metrics(world: &World) {
    let snapshot = world.load();
    for pool in &snapshot.pools {
        for (index, (slot, _)) in (0_u16..).zip(&pool.endpoints) {
            let signals = Signals {
                waiting: Some(u32::from(index % 3)),
                running: Some(u32::from(index % 16)),
                kv_used: Some(f32::from(index % 50) / 100.0),
                block_tokens: Some(16),
                blocks: Some(20_000),
                adapters: None,
                served: Some(1_000.0),
            };
            pool.domain.signal(*slot, Some(signals), world.clock().now());
        }
    }
}

fn manifests(endpoints: u32) -> Value {
    let model = json!({ "type": "Exact", "name": "X-Gateway-Model-Name", "value": "chatbot" });
    let rule = json!({
        "matches": [{ "path": { "type": "PathPrefix", "value": "/" }, "headers": [model] }],
        "backendRefs": [{ "group": "inference.networking.k8s.io", "kind": "InferencePool", "name": "gemma3" }],
    });
    let addresses: Vec<Value> = (0..endpoints)
        .map(|index| json!({ "addresses": [format!("127.0.{}.{}", index / 250, index % 250 + 1)] }))
        .collect();
    json!({ "apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "Gateway",
            "metadata": { "name": "inference-gateway" },
            "spec": {
                "gatewayClassName": "pointsman",
                "listeners": [{ "name": "http", "protocol": "HTTP", "port": PORT }],
            },
        },
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": { "name": "routes-to-llms" },
            "spec": { "parentRefs": [{ "name": "inference-gateway" }], "rules": [rule] },
        },
        {
            "apiVersion": "inference.networking.k8s.io/v1",
            "kind": "InferencePool",
            "metadata": { "name": "gemma3" },
            "spec": {
                "selector": { "matchLabels": { "app": "gemma3" } },
                "targetPorts": [{ "number": 8000 }],
                "endpointPickerRef": { "name": "gemma3-epp", "port": { "number": 9002 } },
            },
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": { "name": "gemma3", "labels": { "app": "gemma3" } },
            "addressType": "IPv4",
            "endpoints": addresses,
            "ports": [{ "port": 8000 }],
        },
    ]})
}
