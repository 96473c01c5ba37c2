//! For tests: every journey and every example, played through this door.
//!
//! Here an Envoy-based gateway stands in front, as far as it asks: it asks the router, routes by the header that it was told
//! as soon as it was told, and asks the pool's picker. No model server stands behind it: what one would answer is not held
//! against the table. The route's filters are Envoy's own and are not played.

use crate::BodyMode;
use crate::bbr::{Bbr, BbrSettings, PassOn};
use crate::epp::{Epp, EppSession, EppSettings, PoolReference, SubsetHint};
use crate::replies::Replies;
use crate::replies::tests::read;
use crate::session::{Door as _, Next, Session};
use crate::wire::{
    BodySendMode, HeaderMutation, HeaderValue, HttpBody, HttpHeaders, ImmediateResponse, Mutation,
    ProcessingRequest, ProcessingResponse, ProtocolConfiguration, Request, Response,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, header};
use journey::headers::{DESTINATION_ENDPOINT, MODEL_NAME};
use journey::{BodyPace, Now};
use journeys::{Answer, Door, Given, Journey, SIDE_BY_SIDE, Sent};
use payload::Budget;
use resources::Folder;
use routing::{Model, RequestHead, Walk};
use signals::Engine;
use state::{Backend, Clock, Pool, Settings, World};
use std::ops::ControlFlow;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use telemetry::Telemetry;

/// How a gateway asks.
#[derive(Debug, Clone, Copy)]
struct Asking {
    body_mode: BodySendMode,
    pass_on: PassOn,
}

/// The usual way: the model's header leaves early.
const EARLY: Asking = Asking { body_mode: BodySendMode::FullDuplexStreamed, pass_on: PassOn::Early };
/// `--wait-for-body`.
const WHOLE: Asking = Asking { pass_on: PassOn::Whole, ..EARLY };
const BUFFERED: Asking = Asking { body_mode: BodySendMode::Buffered, ..EARLY };

#[test]
fn every_journey_does_at_this_door_what_its_table_says() {
    journeys::tables().iter().for_each(|folder| play(folder, EARLY, Door::Envoy));
}

#[test]
fn every_journey_does_so_where_the_router_waits_for_the_body() {
    journeys::tables().iter().for_each(|folder| play(folder, WHOLE, Door::WaitingEnvoy));
}

#[test]
fn every_journey_does_so_where_the_gateway_buffers_the_body() {
    journeys::tables().iter().for_each(|folder| play(folder, BUFFERED, Door::WaitingEnvoy));
}

#[test]
fn every_example_does_at_this_door_what_its_requests_say() {
    journeys::examples().iter().for_each(|folder| play(folder, EARLY, Door::Envoy));
}

fn play(folder: &Path, asking: Asking, door: Door) {
    let journey = Journey::read(folder);
    let gateway = Gateway::new(&journey, asking);
    let mut playing = journey.at(door);
    for step in playing.steps() {
        for (pool, given) in &step.given {
            gateway.report(pool, given);
        }
        let mut answers = Vec::new();
        while answers.len() < step.times {
            let count = SIDE_BY_SIDE.min(step.times - answers.len());
            // Side by side: what a picker reserved is given back when all have been sent.
            let (more, _flights): (Vec<_>, Vec<_>) = (0..count).map(|_| gateway.send(&step.request)).unzip();
            answers.extend(more);
        }
        playing.hold(step, &answers);
    }
}

/// An Envoy-based gateway, as far as it asks.
struct Gateway {
    asking: Asking,
    world: World,
    bbr: Rc<Bbr>,
    epp: Rc<Epp>,
}

impl Gateway {
    fn new(journey: &Journey, asking: Asking) -> Gateway {
        let load = Folder::new([journey.manifests()]).load();
        let world = World::new(Settings { seed: 1, ..Settings::default() }, Clock::start());
        world.apply(load);
        let reference =
            |pool: &Arc<Pool>| PoolReference { name: pool.name.clone(), version: Some(pool.version) };
        let body_pace = BodyPace { stall_timeout: Duration::from_secs(30), rate_min: 1024 };
        let settings = EppSettings {
            pools: world.load().pools.iter().map(reference).collect(),
            destination_key: DESTINATION_ENDPOINT.as_str().into(),
            destination_namespace: "envoy.lb".into(),
            subset_hint: SubsetHint::Obeyed,
            test_plugins: scheduling::config::TestPlugins::Refused,
            body_bytes_max: journey.body_bytes_max,
            body_pace,
        };
        let router = BbrSettings {
            pass_on: asking.pass_on,
            body_mode: BodyMode::Streamed,
            body_bytes_max: journey.body_bytes_max,
            body_pace,
        };
        let budget = Budget::new(64 << 20);
        let epp = Epp::new(&Arc::new(settings), &budget, &world, &Telemetry::new(1, 1), 0);
        let bbr = Bbr::new(router, Arc::default(), budget, Arc::default());
        Gateway { asking, world, bbr: Rc::new(bbr), epp: Rc::new(epp) }
    }

    /// The endpoints of a pool report something.
    fn report(&self, pool: &str, given: &Given) {
        let snapshot = self.world.load();
        let pool = snapshot.pools.iter().find(|known| *known.name.name == *pool).expect("a pool");
        for (place, (slot, _)) in pool.endpoints.iter().enumerate() {
            let signals = Engine::Vllm.read(given.of(place).page().as_bytes());
            pool.domain.signal(*slot, Some(signals), self.world.clock().now());
        }
    }

    /// Sends a request; what its picker reserved is given back when the session is dropped.
    fn send(&self, request: &journeys::Request) -> (Answer, Option<EppSession>) {
        let body = request.body();
        let mut headers = request.headers();
        if !body.is_empty() {
            headers.insert(header::CONTENT_LENGTH, body.len().into());
        }
        let mut pool = None;
        let route = |headers: &HeaderMap| match self.route(request, headers) {
            Ok(found) => {
                pool = Some(found);
                ControlFlow::Continue(())
            }
            Err(status) => ControlFlow::Break(by_envoy(status)),
        };
        let body_mode = self.asking.body_mode;
        let mut asked = Asked { request, headers: &mut headers, body_mode };
        let body = match asked.process(&mut self.bbr.open(0), &body, route) {
            ControlFlow::Continue(body) => body,
            ControlFlow::Break(answer) => return (answer, None),
        };
        let pool = pool.expect("a request is routed when the router has answered");
        let place = self.world.load().pools.iter().position(|known| Arc::ptr_eq(known, &pool));
        let mut picker = self.epp.open(place.expect("a pool of the snapshot"));
        let body = match asked.process(&mut picker, &body, |_| ControlFlow::Continue(())) {
            ControlFlow::Continue(body) => body,
            ControlFlow::Break(answer) => return (answer, None),
        };
        let destination = headers.remove(DESTINATION_ENDPOINT).expect("an endpoint");
        let best = destination.to_str().unwrap().split(',').next().unwrap_or_default();
        let sent = Sent {
            pool: pool.name.name.to_string(),
            endpoint: pool
                .endpoints
                .iter()
                .position(|(_, key)| key.address.to_string() == best)
                .expect("an endpoint of the pool"),
            path: request.path.clone(),
            headers,
            body,
        };
        (Answer { response: None, sent: Some(sent) }, Some(picker))
    }

    /// The pool of a request, or the status that the gateway answers for want of one.
    fn route(&self, request: &journeys::Request, headers: &HeaderMap) -> Result<Arc<Pool>, u16> {
        let snapshot = self.world.load();
        let listener = snapshot.listener(8080, &request.host).ok_or(404_u16)?;
        let (path, query) =
            request.path.split_once('?').map_or((&*request.path, None), |(path, query)| (path, Some(query)));
        let method: Method = request.method.parse().unwrap();
        let asked = RequestHead { method: &method, host: &request.host, path, query, headers };
        let model = headers.get(MODEL_NAME).and_then(|model| std::str::from_utf8(model.as_bytes()).ok());
        let Walk::Rule(rule) = listener.routes.walk(&asked, model.map_or(Model::Absent, Model::Named)) else {
            return Err(404);
        };
        match &rule.draw(&mut fastrand::Rng::new()).ok_or(500_u16)?.backend {
            Backend::Pool(pool) => Ok(Arc::clone(pool)),
            _ => Err(500),
        }
    }
}

/// What Envoy answers in its own words.
fn by_envoy(status: u16) -> Answer {
    let headers = [(header::SERVER, http::HeaderValue::from_static("envoy"))].into_iter().collect();
    Answer { response: Some(journeys::Response { status, headers, body: Bytes::new() }), sent: None }
}

/// A request on its way through the processors.
struct Asked<'r> {
    request: &'r journeys::Request,
    headers: &'r mut HeaderMap,
    body_mode: BodySendMode,
}

/// The least bytes of a piece of a body: cut anywhere.
const PIECE_BYTES_MIN: usize = 7;

/// Pieces of a body, at most.
const PIECES_MAX: usize = 1_000;

impl Asked<'_> {
    /// Takes it through a processor, its body whole or in pieces of a few bytes; gives the body as it is passed on. `answered`
    /// is shown the headers as soon as the gateway may go by them.
    fn process<S: Session<Message = ProcessingRequest>>(
        &mut self,
        session: &mut S,
        body: &Bytes,
        mut answered: impl FnMut(&HeaderMap) -> ControlFlow<Answer>,
    ) -> ControlFlow<Answer, Bytes> {
        let is_streamed = self.body_mode == BodySendMode::FullDuplexStreamed;
        let mut passed = if is_streamed { Vec::new() } else { body.to_vec() };
        let mut replies = Replies::default();
        for message in [self.first(body.is_empty())].into_iter().chain(pieces(body, is_streamed)) {
            let mut next = session.on(message, Now(0), &mut replies);
            while next == Next::Again {
                next = session.again(&mut replies);
            }
            for reply in read(&mut replies) {
                let is_of_headers = matches!(reply.response, Some(Response::RequestHeaders(_)));
                take(reply, self.headers, &mut passed)?;
                if is_streamed && is_of_headers {
                    answered(self.headers)?;
                }
            }
        }
        if !is_streamed {
            answered(self.headers)?;
        }
        ControlFlow::Continue(passed.into())
    }

    /// The message that opens a stream.
    fn first(&self, end_of_stream: bool) -> ProcessingRequest {
        let Asked { request, headers, body_mode } = self;
        let copy = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        let pseudo = [(":method", &request.method), (":path", &request.path), (":authority", &request.host)];
        let mut map: Vec<HeaderValue> =
            pseudo.into_iter().map(|(name, value)| HeaderValue::raw(copy(name), copy(value))).collect();
        let real = headers.iter().filter(|(name, _)| **name != header::HOST);
        map.extend(real.map(|(name, value)| {
            HeaderValue::raw(copy(name.as_str()), Bytes::copy_from_slice(value.as_bytes()))
        }));
        let head = HttpHeaders { headers: Some(crate::wire::HeaderMap { headers: map }), end_of_stream };
        ProcessingRequest {
            request: Some(Request::RequestHeaders(head)),
            protocol_config: Some(ProtocolConfiguration {
                request_body_mode: *body_mode as i32,
                response_body_mode: *body_mode as i32,
                ..ProtocolConfiguration::default()
            }),
            ..ProcessingRequest::default()
        }
    }
}

/// The messages of a body.
fn pieces(body: &Bytes, is_streamed: bool) -> impl Iterator<Item = ProcessingRequest> {
    let bytes = if is_streamed { body.len().div_ceil(PIECES_MAX).max(PIECE_BYTES_MIN) } else { usize::MAX };
    let pieces = body.chunks(bytes);
    let count = pieces.len();
    pieces.enumerate().map(move |(place, piece)| {
        let body = HttpBody { body: Bytes::copy_from_slice(piece).into(), end_of_stream: place + 1 == count };
        ProcessingRequest { request: Some(Request::RequestBody(body)), ..ProcessingRequest::default() }
    })
}

/// Does what a reply says.
fn take(reply: ProcessingResponse, headers: &mut HeaderMap, passed: &mut Vec<u8>) -> ControlFlow<Answer> {
    let common = match reply.response {
        Some(Response::ImmediateResponse(refused)) => return ControlFlow::Break(refusal(&refused)),
        Some(Response::RequestHeaders(headers)) => headers.response,
        Some(Response::RequestBody(body)) => body.response,
        _ => None,
    };
    let common = common.unwrap_or_default();
    change(headers, &common.header_mutation.unwrap_or_default());
    match common.body_mutation.and_then(|body| body.mutation) {
        Some(Mutation::StreamedResponse(piece)) => passed.extend_from_slice(&piece.body),
        Some(Mutation::Body(whole)) => *passed = whole.to_vec(),
        Some(Mutation::ClearBody(_)) => passed.clear(),
        None => {}
    }
    ControlFlow::Continue(())
}

fn change(headers: &mut HeaderMap, mutation: &HeaderMutation) {
    let name = |bytes: &Bytes| HeaderName::from_bytes(bytes).unwrap();
    for gone in &mutation.remove_headers {
        headers.remove(name(gone));
    }
    for set in mutation.set_headers.iter().filter_map(|set| set.header.as_ref()) {
        headers.insert(name(&set.key), http::HeaderValue::from_bytes(set.bytes()).unwrap());
    }
}

fn refusal(refused: &ImmediateResponse) -> Answer {
    let mut headers = HeaderMap::new();
    change(&mut headers, &refused.headers.clone().unwrap_or_default());
    let status = refused.status.as_ref().expect("a status").code as u16;
    Answer { response: Some(journeys::Response { status, headers, body: refused.body.clone() }), sent: None }
}
