//! For tests: every journey and every example, played through this door.
//!
//! Here an Envoy-based gateway stands in front, as far as it asks: it asks the router, routes by the header that it was told
//! as soon as it was told, and asks the pool's picker, to which it shows what the endpoint answers; after a 503 it goes on to
//! the next endpoint of the picker's list. No simulated model server stands behind it: what one would answer is not held
//! against the table. The route's filters and times are Envoy's own and are not played.

use crate::BodyMode;
use crate::bbr::{Bbr, BbrSettings, PassOn};
use crate::epp::{Epp, EppSession, EppSettings, PoolReference, SubsetHint};
use crate::replies::Replies;
use crate::replies::tests::read;
use crate::session::{Door as _, Next, Session};
use crate::wire::{
    BodySendMode, HeaderMutation, HttpBody, HttpHeaders, HttpTrailers, ImmediateResponse, Metadata, Mutation,
    Phase, ProcessingRequest, ProcessingResponse, ProtocolConfiguration, Request, Response, Struct, Value,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, header};
use journey::headers::{
    DESTINATION_ENDPOINT, DESTINATION_ENDPOINT_SERVED, DESTINATION_ENDPOINT_SUBSET, MODEL_NAME, REQUEST_ID,
};
use journey::{BodyPace, Now};
use journeys::{Answer, Door, Ends, Journey, PerEndpoint, Report, SIDE_BY_SIDE, Sent, Step};
use payload::Budget;
use prost::Message;
use resources::Folder;
use routing::{Model, RequestHead, Walk};
use signals::Engine;
use state::{Backend, Clock, Pool, Settings, World};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use telemetry::{Explanation, Telemetry};

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
            // Side by side: all have been sent before the first is answered.
            let sent: Vec<_> = (0..count).map(|_| gateway.send(&step.request)).collect();
            answers.extend(sent.into_iter().map(|sent| match sent {
                ControlFlow::Continue(under_way) => gateway.answer(&journey, step, under_way),
                ControlFlow::Break(answer) => answer,
            }));
        }
        playing.hold(step, &answers);
    }
    gateway.hold_that_nothing_is_reserved();
}

/// An Envoy-based gateway, as far as it asks.
struct Gateway {
    asking: Asking,
    world: World,
    telemetry: Arc<Telemetry>,
    bbr: Rc<Bbr>,
    epp: Rc<Epp>,
}

/// A request that was sent to an endpoint, and not answered yet.
struct UnderWay {
    sent: Sent,
    /// The endpoints of its backend.
    endpoints: Vec<SocketAddr>,
    /// Where it may go, best first: places among them.
    list: Vec<usize>,
    /// What the picker reserved is given back when this is dropped. A Service has none.
    picker: Option<EppSession>,
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
            fields: Arc::default(),
            body_mode: BodyMode::Streamed,
            body_bytes_max: journey.body_bytes_max,
            body_pace,
        };
        let budget = Budget::new(64 << 20);
        let telemetry = Telemetry::new(1, SIDE_BY_SIDE);
        let epp = Epp::new(&Arc::new(settings), &budget, &world, &telemetry, 0);
        let bbr = Bbr::new(router, Arc::default(), budget, Arc::default());
        Gateway { asking, world, telemetry, bbr: Rc::new(bbr), epp: Rc::new(epp) }
    }

    /// The endpoints of a pool report something.
    fn report(&self, pool: &str, given: &PerEndpoint<Report>) {
        let snapshot = self.world.load();
        let pool = snapshot.pools.iter().find(|known| *known.name.name == *pool).expect("a pool");
        for (place, (slot, _)) in pool.endpoints.iter().enumerate() {
            let signals = Engine::Vllm.read(given.of(place).page().as_bytes());
            pool.domain.signal(*slot, Some(signals), self.world.clock().now());
        }
    }

    /// Sends a request to an endpoint, unless somebody answers it before.
    fn send(&self, request: &journeys::Request) -> ControlFlow<Answer, UnderWay> {
        let body = request.body();
        let mut headers = request.headers();
        if !body.is_empty() && request.trailers().is_none() {
            headers.insert(header::CONTENT_LENGTH, body.len().into());
        }
        let mut backend = None;
        let route = |headers: &HeaderMap| match self.route(request, headers) {
            Ok(found) => {
                backend = Some(found);
                ControlFlow::Continue(())
            }
            Err(status) => ControlFlow::Break(by_envoy(status)),
        };
        let body_mode = self.asking.body_mode;
        let mut asked = Asked { request, headers: &mut headers, body_mode, subset: None };
        let body = asked.process(&mut self.bbr.open(0), &body, route)?;
        match backend.expect("a request is routed when the router has answered") {
            Backend::Pool(pool) => self.ask_picker(request, &pool, headers, &body),
            Backend::Service(service) => ControlFlow::Continue(UnderWay {
                sent: sent(&service.name, request, headers, body),
                endpoints: service.endpoints.clone(),
                list: vec![0],
                picker: None,
            }),
            Backend::Broken(_) => ControlFlow::Break(by_envoy(500)),
        }
    }

    /// Asks a pool's picker where a request goes.
    fn ask_picker(
        &self,
        request: &journeys::Request,
        pool: &Arc<Pool>,
        mut headers: HeaderMap,
        body: &Bytes,
    ) -> ControlFlow<Answer, UnderWay> {
        let endpoints: Vec<SocketAddr> = pool.endpoints.iter().map(|(_, key)| key.address).collect();
        let hint = |place: &usize| Value::string(endpoints[*place].to_string());
        let subset = request.subset.as_ref().map(|places| Value::list(places.iter().map(hint).collect()));
        let place = self.world.load().pools.iter().position(|known| Arc::ptr_eq(known, pool));
        let mut picker = self.epp.open(place.expect("a pool of the snapshot"));
        let mut asked = Asked { request, headers: &mut headers, body_mode: self.asking.body_mode, subset };
        let body = asked.process(&mut picker, body, |_| ControlFlow::Continue(()))?;
        let destination = headers.remove(DESTINATION_ENDPOINT).expect("an endpoint");
        let place = |picked: &str| endpoints.iter().position(|endpoint| endpoint.to_string() == picked);
        let list = destination.to_str().unwrap().split(',');
        let list = list.map(|picked| place(picked).expect("an endpoint of the pool")).collect();
        let sent = sent(&pool.name, request, headers, body);
        ControlFlow::Continue(UnderWay { sent, endpoints, list, picker: Some(picker) })
    }

    /// The endpoint answers, or after its 503 the next of the list.
    fn answer(&self, journey: &Journey, step: &Step, under_way: UnderWay) -> Answer {
        let UnderWay { mut sent, endpoints, list, mut picker } = under_way;
        let serves = list.iter().find(|place| step.reply(**place).status != 503);
        sent.endpoint = *serves.or(list.last()).expect("an endpoint");
        let reply = step.reply(sent.endpoint);
        let response = match &mut picker {
            _ if !journey.model_servers[&sent.pool].is_null() => None,
            _ if reply.ends == Ends::Silent => by_envoy(504).response,
            Some(picker) => Some(self.show(picker, &reply, endpoints[sent.endpoint])),
            None => {
                let (status, headers, body) = (reply.status, reply.headers(), reply.body());
                Some(journeys::Response { status, headers, body })
            }
        };
        drop(picker);
        let id = sent.headers.get(REQUEST_ID).filter(|_| step.asks_why());
        let record = id.and_then(|id| self.telemetry.record(id.to_str().unwrap()));
        let explained = record.map(|record| serde_json::to_value(Explanation::new(&record, &[])).unwrap());
        Answer { response, sent: Some(sent), explained }
    }

    /// Shows a picker what the endpoint `served` answers; gives what the client gets.
    fn show(
        &self,
        picker: &mut EppSession,
        reply: &journeys::Reply,
        served: SocketAddr,
    ) -> journeys::Response {
        let mut headers = reply.headers();
        let (body, trailers) = (reply.body(), reply.trailers());
        let is_whole = reply.ends == Ends::Whole && trailers.is_none();
        let head = head(&[(":status", &reply.status.to_string())], &headers, is_whole && body.is_empty());
        let is_streamed = self.asking.body_mode == BodySendMode::FullDuplexStreamed;
        let mut passed = if is_streamed { Vec::new() } else { body.to_vec() };
        let served = Value::string(served.to_string());
        let first = ProcessingRequest {
            request: Some(Request::ResponseHeaders(head)),
            metadata_context: vec![said("envoy.lb", &DESTINATION_ENDPOINT_SERVED, served)],
            ..ProcessingRequest::default()
        };
        let pieces = pieces(&body, Phase::Response, is_streamed, is_whole);
        let last = trailers.map(|_| message(Request::ResponseTrailers(HttpTrailers::default())));
        for message in [first].into_iter().chain(pieces).chain(last) {
            for reply in say(picker, message) {
                let taken = take(reply, &mut headers, &mut passed);
                assert!(taken.is_continue(), "a response that has begun is not refused");
            }
        }
        journeys::Response { status: reply.status, headers, body: passed.into() }
    }

    /// The backend of a request, or the status that the gateway answers for want of one.
    fn route(&self, request: &journeys::Request, headers: &HeaderMap) -> Result<Backend, u16> {
        let snapshot = self.world.load();
        let listener = snapshot.listener(8080, &request.host).ok_or(404_u16)?;
        let (path, query) =
            request.path.split_once('?').map_or((&*request.path, None), |(path, query)| (path, Some(query)));
        let method: Method = request.method.parse().unwrap();
        let asked = RequestHead { method: &method, host: &request.host, path, query, headers };
        let model = headers.get(MODEL_NAME).and_then(|model| std::str::from_utf8(model.as_bytes()).ok());
        let Walk::Rule(rule) = listener.routes.walk(&asked, Model::found(model)) else {
            return Err(404);
        };
        Ok(rule.draw(&mut fastrand::Rng::new()).ok_or(500_u16)?.backend.clone())
    }

    /// Everything that was reserved was given back.
    fn hold_that_nothing_is_reserved(&self) {
        for pool in &self.world.load().pools {
            let endpoints = pool.domain.lock().endpoints(self.world.clock().now());
            assert!(endpoints.iter().all(|endpoint| endpoint.in_flight == 0), "{endpoints:?}");
        }
    }
}

/// What the endpoints of a backend are sent; which of them is not known yet.
fn sent(
    backend: &resources::ObjectName,
    request: &journeys::Request,
    headers: HeaderMap,
    body: Bytes,
) -> Sent {
    Sent { pool: backend.name.to_string(), endpoint: 0, path: request.path.clone(), headers, body }
}

/// What Envoy answers in its own words.
fn by_envoy(status: u16) -> Answer {
    let headers = [(header::SERVER, http::HeaderValue::from_static("envoy"))].into_iter().collect();
    by_itself(status, headers, Bytes::new())
}

/// What was answered before an endpoint was sent anything.
fn by_itself(status: u16, headers: HeaderMap, body: Bytes) -> Answer {
    Answer { response: Some(journeys::Response { status, headers, body }), sent: None, explained: None }
}

/// A request on its way through the processors.
struct Asked<'r> {
    request: &'r journeys::Request,
    headers: &'r mut HeaderMap,
    body_mode: BodySendMode,
    /// The endpoints that the gateway would take.
    subset: Option<Value>,
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
        let has_trailers = self.request.trailers().is_some();
        let first = self.first(body.is_empty() && !has_trailers);
        let pieces = pieces(body, Phase::Request, is_streamed, !has_trailers);
        let last = has_trailers.then(|| message(Request::RequestTrailers(HttpTrailers::default())));
        for message in [first].into_iter().chain(pieces).chain(last) {
            for reply in say(session, message) {
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
        let Asked { request, headers, body_mode, subset } = self;
        let pseudo = [(":method", &*request.method), (":path", &request.path), (":authority", &request.host)];
        let head = head(&pseudo, headers, end_of_stream);
        let subset = subset.clone();
        ProcessingRequest {
            request: Some(Request::RequestHeaders(head)),
            metadata_context: subset
                .map(|subset| said("envoy.lb.subset_hint", &DESTINATION_ENDPOINT_SUBSET, subset))
                .into_iter()
                .collect(),
            protocol_config: Some(ProtocolConfiguration {
                request_body_mode: *body_mode as i32,
                response_body_mode: *body_mode as i32,
                ..ProtocolConfiguration::default()
            }),
            ..ProcessingRequest::default()
        }
    }
}

/// The head of a request or a response; the host stands in `:authority`.
fn head(pseudo: &[(&str, &str)], headers: &HeaderMap, end_of_stream: bool) -> HttpHeaders {
    let pseudo = pseudo.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let real = headers.iter().filter(|(name, _)| **name != header::HOST);
    let real = real.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    HttpHeaders::of(pseudo.chain(real), end_of_stream)
}

fn message(request: Request) -> ProcessingRequest {
    ProcessingRequest { request: Some(request), ..ProcessingRequest::default() }
}

/// What the gateway says in metadata.
fn said(namespace: &str, key: &HeaderName, value: Value) -> Bytes {
    let object = Struct::of(key.as_str(), value);
    Metadata { filter_metadata: [(namespace.to_owned(), object)].into() }.encode_to_vec().into()
}

/// Says a message; gives the replies.
fn say<S>(session: &mut S, message: ProcessingRequest) -> Vec<ProcessingResponse>
where
    S: Session<Message = ProcessingRequest>,
{
    let mut replies = Replies::default();
    let mut next = session.on(message, Now(0), &mut replies);
    while next == Next::Again {
        next = session.again(&mut replies);
    }
    read(&mut replies)
}

/// The messages of a body; `ends` with the last of them.
fn pieces(
    body: &Bytes,
    phase: Phase,
    is_streamed: bool,
    ends: bool,
) -> impl Iterator<Item = ProcessingRequest> {
    let bytes = if is_streamed { body.len().div_ceil(PIECES_MAX).max(PIECE_BYTES_MIN) } else { usize::MAX };
    let pieces = body.chunks(bytes);
    let count = pieces.len();
    pieces.enumerate().map(move |(place, piece)| {
        let end_of_stream = ends && place + 1 == count;
        let body = HttpBody { body: Bytes::copy_from_slice(piece).into(), end_of_stream };
        message(match phase {
            Phase::Request => Request::RequestBody(body),
            Phase::Response => Request::ResponseBody(body),
        })
    })
}

/// Does what a reply says.
fn take(reply: ProcessingResponse, headers: &mut HeaderMap, passed: &mut Vec<u8>) -> ControlFlow<Answer> {
    let common = match reply.response {
        Some(Response::ImmediateResponse(refused)) => return ControlFlow::Break(refusal(&refused)),
        Some(Response::RequestHeaders(headers) | Response::ResponseHeaders(headers)) => headers.response,
        Some(Response::RequestBody(body) | Response::ResponseBody(body)) => body.response,
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
    by_itself(status, headers, refused.body.clone())
}
