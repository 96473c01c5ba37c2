//! For tests: every example of the repository, played through this door.
//!
//! `examples/*/requests.json` is the table that door 1 plays too. Here a gateway stands in front: it asks the router, routes
//! by the header that it was told, and asks the pool's picker. What differs, because the gateway or the model server says
//! it, is not held against the table: the answer to a request that no route takes, and the answer of an endpoint.

use crate::BodyMode;
use crate::bbr::{Bbr, BbrSettings, PassOn};
use crate::epp::{Epp, EppSettings, PoolReference, SubsetHint};
use crate::replies::Replies;
use crate::replies::tests::read;
use crate::session::{Door, Session};
use crate::wire::{
    BodySendMode, HeaderMap, HeaderValue, HttpBody, HttpHeaders, ImmediateResponse, Mutation,
    ProcessingRequest, ProcessingResponse, ProtocolConfiguration, Request, Response,
};
use bytes::Bytes;
use http::Method;
use journey::Now;
use payload::Budget;
use resources::Folder;
use routing::{Model, RequestHead, Walk};
use serde_json::Value;
use signals::Signals;
use state::{Backend, Clock, Pool, Settings, World};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use telemetry::Telemetry;

#[test]
fn every_example_does_at_this_door_what_its_requests_say() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut played = 0;
    for folder in std::fs::read_dir(examples).unwrap().map(|entry| entry.unwrap().path()) {
        let Ok(text) = std::fs::read_to_string(folder.join("requests.json")) else { continue };
        let script: Value = serde_json::from_str(&text).unwrap();
        let gateway = Gateway::new(folder.join("manifests"));
        for step in script["requests"].as_array().expect("a list of requests") {
            gateway.play(step);
            played += 1;
        }
    }
    assert!(played > 10, "only {played} requests were found");
}

/// An Envoy-based gateway, as far as it asks.
struct Gateway {
    world: World,
    bbr: Rc<Bbr>,
    epp: Rc<Epp>,
}

/// What a client got.
enum Answer {
    /// The gateway found no route.
    NoRoute,
    /// An `ImmediateResponse`.
    Refused(ImmediateResponse),
    /// An endpoint of this pool was sent this.
    Sent { pool: String, body: Vec<u8> },
}

/// What a processor made of a request.
#[derive(Default)]
struct Processed {
    refused: Option<ImmediateResponse>,
    set: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Gateway {
    fn new(manifests: PathBuf) -> Gateway {
        let load = Folder::new(&[manifests]).load();
        let world = World::new(Settings { seed: 1, ..Settings::default() }, Clock::start());
        world.apply(load);
        let reference = |pool: &Arc<Pool>| PoolReference { name: pool.name.clone(), version: None };
        let settings = EppSettings {
            pools: world.load().pools.iter().map(reference).collect(),
            destination_key: "x-gateway-destination-endpoint".into(),
            destination_namespace: "envoy.lb".into(),
            subset_hint: SubsetHint::Obeyed,
            test_plugins: scheduling::config::TestPlugins::Refused,
            body_bytes_max: 1 << 20,
            body_stall_timeout: Duration::from_secs(30),
        };
        let router = BbrSettings {
            pass_on: PassOn::Early,
            body_mode: BodyMode::Streamed,
            body_bytes_max: 1 << 20,
            body_stall_timeout: Duration::from_secs(30),
        };
        let budget = Budget::new(1 << 20);
        let epp = Epp::new(&Arc::new(settings), &budget, &world, &Telemetry::new(1, 1), 0);
        let bbr = Bbr::new(router, Arc::default(), budget, Arc::default());
        Gateway { world, bbr: Rc::new(bbr), epp: Rc::new(epp) }
    }

    /// Sends one step's request, as often as it says, and holds the answers against what it expects.
    fn play(&self, step: &Value) {
        let name = step["name"].as_str().expect("a name");
        for (pool, reports) in step["given"].as_object().into_iter().flatten() {
            self.report(pool, reports);
        }
        let times = step["times"].as_u64().unwrap_or(1);
        let answers: Vec<Answer> = (0..times).map(|_| self.send(&step["request"])).collect();
        let expect = &step["expect"];
        answers.iter().for_each(|answer| hold(name, expect, answer));
        let pools = answers.iter().filter_map(|answer| match answer {
            Answer::Sent { pool, .. } => Some(pool.clone()),
            _ => None,
        });
        shares(name, &expect["pools"], pools);
        shares(name, &expect["models_sent"], answers.iter().filter_map(model_sent));
    }

    /// The endpoints of a pool report something.
    fn report(&self, pool: &str, reports: &Value) {
        let snapshot = self.world.load();
        let pool = snapshot.pools.iter().find(|known| *known.name.name == *pool).expect("a pool");
        for (slot, _) in &pool.endpoints {
            let signals = Signals {
                waiting: reports["waiting"].as_u64().map(|waiting| waiting as u32),
                kv_used: reports["kv_used"].as_f64().map(|used| used as f32),
                ..Signals::default()
            };
            pool.domain.signal(*slot, Some(signals), self.world.clock().now());
        }
    }

    fn send(&self, described: &Value) -> Answer {
        let text = |key: &str| described[key].as_str().unwrap_or_default();
        let body = match &described["body"] {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            object => object.to_string(),
        };
        let mut headers: BTreeMap<String, String> = described["headers"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.as_str().unwrap().to_owned()))
            .collect();
        headers.insert(":path".to_owned(), text("path").to_owned());
        headers.insert(":method".to_owned(), text("method").to_owned());
        let routed = process(&mut self.bbr.open(0), &headers, body.as_bytes());
        if let Some(refused) = routed.refused {
            return Answer::Refused(refused);
        }
        headers.extend(routed.set);
        let Some(pool) = self.route(text("method"), text("path"), &headers) else { return Answer::NoRoute };
        let place = self.world.load().pools.iter().position(|known| Arc::ptr_eq(known, &pool));
        let mut picker = self.epp.open(place.expect("a pool of the snapshot"));
        let picked = process(&mut picker, &headers, &routed.body);
        if let Some(refused) = picked.refused {
            return Answer::Refused(refused);
        }
        let endpoint =
            picked.set["x-gateway-destination-endpoint"].split(',').next().expect("an endpoint").to_owned();
        assert!(pool.endpoints.iter().any(|(_, key)| key.address.to_string() == endpoint), "{endpoint}");
        Answer::Sent { pool: pool.name.name.to_string(), body: picked.body }
    }

    fn route(&self, method: &str, target: &str, headers: &BTreeMap<String, String>) -> Option<Arc<Pool>> {
        let snapshot = self.world.load();
        let listener = snapshot.listener(8080, "localhost").expect("every example listens there");
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let map = headers.iter().filter(|(name, _)| !name.starts_with(':')).map(|(name, value)| {
            (name.parse::<http::HeaderName>().unwrap(), value.parse::<http::HeaderValue>().unwrap())
        });
        let (method, map): (Method, http::HeaderMap) = (method.parse().unwrap(), map.collect());
        let asked = RequestHead { method: &method, host: "localhost", path, query, headers: &map };
        let model = headers.get("x-gateway-model-name");
        let known = model.map_or(Model::Absent, |model| Model::Named(model));
        let Walk::Rule(rule) = listener.routes.walk(&asked, known) else { return None };
        match &rule.draw(&mut fastrand::Rng::new())?.backend {
            Backend::Pool(pool) => Some(Arc::clone(pool)),
            _ => None,
        }
    }
}

/// Takes a request through a processor, its body in pieces of a few bytes.
fn process<S: Session<Message = ProcessingRequest>>(
    session: &mut S,
    headers: &BTreeMap<String, String>,
    body: &[u8],
) -> Processed {
    let copy = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let map = headers.iter().map(|(name, value)| HeaderValue::raw(copy(name), copy(value))).collect();
    let head = HttpHeaders { headers: Some(HeaderMap { headers: map }), end_of_stream: body.is_empty() };
    let full_duplex = BodySendMode::FullDuplexStreamed as i32;
    let mut messages = vec![ProcessingRequest {
        request: Some(Request::RequestHeaders(head)),
        protocol_config: Some(ProtocolConfiguration {
            request_body_mode: full_duplex,
            response_body_mode: full_duplex,
            ..ProtocolConfiguration::default()
        }),
        ..ProcessingRequest::default()
    }];
    let pieces: Vec<&[u8]> = body.chunks(7).collect();
    messages.extend(pieces.iter().enumerate().map(|(place, piece)| {
        let body =
            HttpBody { body: Bytes::copy_from_slice(piece).into(), end_of_stream: place + 1 == pieces.len() };
        ProcessingRequest { request: Some(Request::RequestBody(body)), ..ProcessingRequest::default() }
    }));
    let mut processed = Processed::default();
    let mut replies = Replies::default();
    for message in messages {
        session.on(message, Now(0), &mut replies);
        for reply in read(&mut replies) {
            processed.take(reply);
        }
        if processed.refused.is_some() {
            break;
        }
    }
    processed
}

impl Processed {
    fn take(&mut self, reply: ProcessingResponse) {
        let common = match reply.response {
            Some(Response::ImmediateResponse(refused)) => {
                self.refused = Some(refused);
                return;
            }
            Some(Response::RequestHeaders(headers)) => headers.response,
            Some(Response::RequestBody(body)) => body.response,
            _ => None,
        };
        let common = common.unwrap_or_default();
        for header in
            common.header_mutation.unwrap_or_default().set_headers.into_iter().filter_map(|set| set.header)
        {
            let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
            self.set.insert(text(&header.key), text(&header.raw_value));
        }
        if let Some(Mutation::StreamedResponse(piece)) = common.body_mutation.and_then(|body| body.mutation) {
            self.body.extend_from_slice(&piece.body);
        }
    }
}

/// Holds one answer against what is expected of it.
fn hold(name: &str, expect: &Value, answer: &Answer) {
    let pool = match answer {
        Answer::Sent { pool, .. } => Some(&**pool),
        _ => None,
    };
    if let Some(expected) = expect.get("pool") {
        assert_eq!(pool, expected.as_str(), "{name}");
    }
    if let Some(model) = expect["model_sent"].as_str() {
        assert_eq!(model_sent(answer).as_deref(), Some(model), "{name}");
    }
    let Answer::Refused(refused) = answer else {
        assert_eq!(expect["status"].as_u64().is_none_or(|status| status == 200), pool.is_some(), "{name}");
        return;
    };
    let status = refused.status.map(|status| status.code as u64);
    assert_eq!(status, expect["status"].as_u64(), "{name}");
    let set =
        refused.headers.iter().flat_map(|headers| &headers.set_headers).filter_map(|set| set.header.as_ref());
    for (header, value) in expect["headers"].as_object().into_iter().flatten() {
        let there = set.clone().find(|there| there.key == *header).expect(name);
        assert!(there.raw_value.starts_with(value.as_str().unwrap().as_bytes()), "{name}: {header}");
    }
    let body: Value = serde_json::from_slice(&refused.body).unwrap();
    for (pointer, value) in expect["fields"].as_object().into_iter().flatten() {
        let there = body.pointer(pointer).expect(name);
        let matches = match (there, value) {
            (_, Value::String(any)) if any == "*" => !there.is_null(),
            (Value::String(there), Value::String(part)) => there.contains(part.as_str()),
            _ => there == value,
        };
        assert!(matches, "{name}: {pointer} is {there}");
    }
}

/// The model that the endpoint was asked for.
fn model_sent(answer: &Answer) -> Option<String> {
    let Answer::Sent { body, .. } = answer else { return None };
    serde_json::from_slice::<Value>(body).ok()?["model"].as_str().map(str::to_owned)
}

/// Holds the shares of the answers against the least and the most expected.
fn shares(name: &str, expected: &Value, answers: impl Iterator<Item = String>) {
    let Some(expected) = expected.as_object() else { return };
    let mut counts: BTreeMap<String, f64> = BTreeMap::new();
    answers.for_each(|answer| *counts.entry(answer).or_default() += 1.0);
    let all: f64 = counts.values().sum();
    for (key, bounds) in expected {
        let share = counts.get(key).unwrap_or(&0.0) / all;
        let (least, most) = (bounds[0].as_f64().unwrap(), bounds[1].as_f64().unwrap());
        assert!((least..=most).contains(&share), "{name}: {key} has {share} of {all}: {counts:?}");
    }
}
