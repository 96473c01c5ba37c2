//! One request at the picker, as a state machine.
//!
//! The headers are answered when the endpoint is picked: for want of a body at once, else when the body has come whole.
//! A request whose body the gateway gave up, because it answered itself, is over with the first word of the response: no
//! more is said of it. Envoy waits for no more, and would take a body's answer that comes before its headers' for a breach
//! of the protocol, and make a 500 of its own answer.

use super::whose::{self, Named};
use super::{Epp, EppSettings, SubsetHint, hints};
use crate::grpc::{Code, Status};
use crate::immediate::immediate;
use crate::modes::{BodyMode, HEADERS_SKIPPED, Modes, body_head, pass};
use crate::replies::Replies;
use crate::session::{Next, Parting, Session};
use crate::unread::{Unread, hold};
use crate::wire::{
    BodyMutation, BodyResponse, CommonResponse, HeaderMutation, Headers, HeadersResponse, HttpBody, Mutation,
    Phase, ProcessingRequest, ProcessingResponse, Request, Response, Struct, TrailersResponse, Value, key,
};
use bytes::Bytes;
use http::HeaderName;
use journey::headers::{MODEL_NAME_REWRITE, OBJECTIVE, REQUEST_ID};
use journey::{BodyArriving, Now, Refusal};
use payload::{
    BodyHead, Dialect, Fed, Gathering, Held, InferenceRequest, Limits, Media, RequestParser,
    ResponseObserver, Rope, Spent,
};
use scheduling::config::TestPlugins;
use state::{Account, Dispatch, Flight, Pool, dispatch};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

/// What follows where bodies are not shown.
const PROMPT_WITHHELD: &str = "the bodies of requests are not shown here, so that they are picked for by load alone, without model and prompt";

/// By which conformance tests choose an endpoint.
const TEST_SELECTION: &str = "test-epp-endpoint-selection";

const CONTENT_LENGTH: HeaderName = http::header::CONTENT_LENGTH;
const CONTENT_ENCODING: HeaderName = http::header::CONTENT_ENCODING;

/// One stream.
#[derive(Debug)]
pub struct EppSession {
    epp: Rc<Epp>,
    port: usize,
    modes: Modes,
    state: State,
    response_begun: bool,
    /// Boxed: it lives as long as the stream, most of which is waiting.
    account: Option<Box<Account>>,
}

/// How far a request has come.
#[derive(Debug)]
enum State {
    /// Nothing of it was seen.
    New,
    /// Its body is being read.
    Reading(Box<Reading>),
    /// It was sent on; what is left of its body passes.
    Sent,
    /// The gateway answered itself before that.
    Over,
}

/// What the headers say of a request, and what is said of it beside them: copied, since a slice of their message would keep
/// all of it for as long as the body is awaited.
#[derive(Debug)]
struct Told {
    objective: Option<Bytes>,
    rewrite: Option<Bytes>,
    test_selection: Option<Bytes>,
    content_length: Option<u64>,
    /// The only endpoints that may be picked.
    subset: Option<Box<[SocketAddr]>>,
    /// By which the request is found here, if that is not what its sender called it.
    new_id: Option<String>,
}

/// A body that has come.
#[derive(Debug)]
struct Body {
    held: Held,
    /// No trailers follow.
    end_of_stream: bool,
}

/// A body that is being read.
#[derive(Debug)]
struct Reading {
    told: Told,
    parser: RequestParser,
    held: Gathering,
    /// The message that was read only partly.
    unread: Option<Unread>,
    arriving: BodyArriving,
}

impl EppSession {
    pub(super) fn new(epp: Rc<Epp>, port: usize) -> EppSession {
        EppSession {
            epp,
            port,
            modes: Modes::both(BodyMode::Streamed),
            state: State::New,
            response_begun: false,
            account: None,
        }
    }

    fn request_headers(
        &mut self,
        headers: &Headers<'_>,
        metadata: &[Bytes],
        now: Now,
        replies: &mut Replies,
    ) -> Next {
        if !matches!(self.state, State::New) {
            return Next::End(Status::new(Code::InvalidArgument, "request_headers came twice"));
        }
        if self.modes.may_end_early() {
            self.epp.warn_of_early_ends(self.port);
        }
        let account = self.account.insert(Box::new(Account::open(&self.epp.telemetry, self.epp.clock)));
        let id = headers.get(REQUEST_ID.as_str());
        account.name(id, &mut self.epp.random.borrow_mut());
        let new_id = (id != Some(account.record.id.as_bytes())).then(|| account.record.id.to_string());
        let bodyless = !self.modes.show_body_of(headers);
        let head = match body_head(headers) {
            Ok(head) => head,
            Err(_) if bodyless => BodyHead::unread(headers.path()),
            Err(error) => return self.refuse(&error.into(), replies),
        };
        account.record.dialect = head.dialect;
        // Nobody waits for the body of a request that can go nowhere.
        let pool = match self.pool() {
            Ok(pool) => pool,
            Err(refusal) => return self.refuse(&refusal, replies),
        };
        let subset = match self.epp.settings.subset_hint {
            SubsetHint::Obeyed => hints::subset(metadata, &pool),
            SubsetHint::PassedOver => Ok(None),
        };
        let subset = match subset {
            Ok(subset) => subset,
            Err(error) => return Next::unreadable(error),
        };
        let told = Told { new_id, subset, ..Told::of(headers, &self.epp.settings) };
        let opaque = head.media == Media::Opaque;
        let limits = Limits { body_bytes_max: self.epp.settings.body_bytes_max, ..Limits::default() };
        let parser = RequestParser::new(head, limits);
        if bodyless || opaque {
            // What nobody reads tells nothing about where to go: it passes without being held.
            return self.send_on(told, parser, None, replies);
        }
        if let Err(spent) = self.epp.budget.could_hold(told.content_length.unwrap_or(0)) {
            return self.refuse(&spent.into(), replies);
        }
        if self.modes.request == BodyMode::Answered {
            replies.say(Response::RequestHeaders(HeadersResponse::default()));
        }
        let mut held = self.epp.gather();
        if let Err(spent) = held.beside(told.bytes()) {
            return self.refuse(&spent.into(), replies);
        }
        let arriving = BodyArriving::begun(now);
        let reading = Reading { told, parser, held, unread: None, arriving };
        self.state = State::Reading(Box::new(reading));
        Next::Continue
    }

    fn request_body(&mut self, body: HttpBody, now: Now, replies: &mut Replies) -> Next {
        if let Some(account) = &mut self.account {
            account.record.request_bytes += body.body.bytes() as u64;
        }
        let reading = match &mut self.state {
            State::New => return self.epp.misset.end(HEADERS_SKIPPED, now),
            State::Sent => return pass(self.modes.request, Phase::Request, body, replies),
            State::Over => return Next::Continue,
            State::Reading(reading) => reading,
        };
        reading.arriving.came(body.body.bytes() as u64, self.epp.settings.body_pace, now);
        self.read(Unread::new(body), replies)
    }

    /// Shows the parser a message or the rest of it, and holds it.
    fn read(&mut self, mut message: Unread, replies: &mut Replies) -> Next {
        let State::Reading(reading) = &mut self.state else { return Next::Continue };
        match reading.take(&mut message) {
            Err(refusal) => return self.refuse(&refusal, replies),
            Ok(Fed::Partly) => {
                reading.unread = Some(message);
                return Next::Again;
            }
            Ok(Fed::Whole) => {}
        }
        if message.body.end_of_stream || self.modes.request == BodyMode::Answered {
            return self.request_ends(true, replies);
        }
        Next::Continue
    }

    /// The body has come whole; `end_of_stream` is false if trailers follow.
    fn request_ends(&mut self, end_of_stream: bool, replies: &mut Replies) -> Next {
        let State::Reading(reading) = std::mem::replace(&mut self.state, State::Sent) else {
            return Next::Continue;
        };
        let Reading { told, parser, held, .. } = *reading;
        self.send_on(told, parser, Some((held, end_of_stream)), replies)
    }

    fn request_trailers(&mut self, replies: &mut Replies) -> Next {
        if matches!(self.state, State::Over) {
            return Next::Continue;
        }
        let was_picked_for = matches!(self.state, State::New | State::Sent);
        let next = self.request_ends(false, replies);
        if next == Next::Continue && (was_picked_for || self.modes.request == BodyMode::Streamed) {
            replies.say(Response::RequestTrailers(TrailersResponse::default()));
        }
        next
    }

    /// Steps 3 and 4, admit and pick; then the answer.
    fn send_on(
        &mut self,
        told: Told,
        parser: RequestParser,
        body: Option<(Gathering, bool)>,
        replies: &mut Replies,
    ) -> Next {
        self.state = State::Sent;
        if let Some(account) = &mut self.account {
            account.resume();
            account.asks_for(parser.model());
        }
        let request = match parser.finish() {
            Ok(request) => request,
            Err(error) => return self.refuse(&error.into(), replies),
        };
        let body =
            match body.map(|(held, end_of_stream)| Body::whole(held, end_of_stream, &request)).transpose() {
                Ok(body) => body,
                Err(spent) => return self.refuse(&spent.into(), replies),
            };
        let Some(account) = &mut self.account else { return Next::Continue };
        account.parsed(&request);
        let flight = match self.pick(&told, &request, body.as_ref()) {
            Ok(flight) => flight,
            Err(refusal) => return self.refuse(&refusal, replies),
        };
        let Some(account) = &mut self.account else { return Next::Continue };
        account.pause();
        let endpoint = flight.at().address;
        account.took_off(flight);
        account.attempts(endpoint);
        self.answer(&told, &request, body, replies);
        Next::Continue
    }

    /// The pool of this port, which is told to the account with the model that was read of the body so far.
    fn pool(&mut self) -> Result<Arc<Pool>, Refusal> {
        if let (State::Reading(reading), Some(account)) = (&self.state, &mut self.account) {
            account.asks_for(reading.parser.model());
        }
        if let Some(pool) = self.epp.pool(self.port) {
            if let Some(account) = &mut self.account {
                account.bound_for(&pool);
            }
            return Ok(pool);
        }
        let name: Arc<str> = self.epp.settings.pools[self.port].name.to_string().into();
        if let Some(account) = &mut self.account {
            account.record.backend = Some(Arc::clone(&name));
        }
        Err(Refusal::PoolNotDeclared { pool: name })
    }

    fn pick(
        &mut self,
        told: &Told,
        request: &InferenceRequest,
        body: Option<&Body>,
    ) -> Result<Flight, Refusal> {
        let pool = self.pool()?;
        let epp = &self.epp;
        let asked = Dispatch {
            request,
            objective: text(told.objective.as_deref()),
            rewrite: text(told.rewrite.as_deref()),
            subset: told.subset.as_deref(),
            body: body.map(|body| body.held.rope()),
            test_selection: text(told.test_selection.as_deref()),
        };
        dispatch(&pool, &asked, &mut epp.random.borrow_mut(), epp.clock)
    }

    /// Tells the gateway where the request goes, and passes its body on.
    fn answer(&mut self, told: &Told, request: &InferenceRequest, body: Option<Body>, replies: &mut Replies) {
        let Some(account) = &self.account else { return };
        let Some(flight) = account.flight() else { return };
        let endpoints = destination(flight);
        let record = &account.record;
        let (pool, model) = (record.backend.as_deref(), record.model.as_ref().map(|model| &*model.0));
        tracing::debug!(id = %record.id, pool, model, endpoints, "picked");
        let mut mutation = HeaderMutation::default();
        mutation.set(self.epp.settings.destination_key.as_bytes().to_vec(), endpoints.clone());
        if let Some(id) = &told.new_id {
            mutation.set(key(&REQUEST_ID), id.clone());
        }
        let target = flight.rewrite.as_ref().zip(body.as_ref());
        let rewritten = target.and_then(|(target, body)| request.asking_for(&target.0, body.held.rope()));
        if rewritten.is_some() && request.decoded.is_some() {
            mutation.remove(&CONTENT_ENCODING);
        }
        if let Some(length) = told.length(body.as_ref(), rewritten.as_ref()) {
            mutation.set(key(&CONTENT_LENGTH), length.to_string());
        }
        let common = CommonResponse {
            header_mutation: Some(mutation),
            clear_route_cache: true,
            ..CommonResponse::default()
        };
        let streamed = self.modes.request == BodyMode::Streamed;
        let response = match &body {
            // The headers have gone on and the body never came: the metadata of this answer has the endpoints.
            Some(body) if !streamed && !body.end_of_stream => {
                Response::RequestTrailers(TrailersResponse::default())
            }
            Some(_) if !streamed => {
                let whole = |rope: &Rope| Mutation::Body(rope.chunks().concat().into());
                let body_mutation =
                    rewritten.as_ref().map(|rope| BodyMutation { mutation: Some(whole(rope)) });
                Response::RequestBody(BodyResponse {
                    response: Some(CommonResponse { body_mutation, ..common }),
                })
            }
            _ => Response::RequestHeaders(HeadersResponse { response: Some(common) }),
        };
        replies.send(&ProcessingResponse {
            response: Some(response),
            dynamic_metadata: Some(self.metadata(endpoints)),
            ..ProcessingResponse::default()
        });
        if let Some(body) = body.filter(|_| streamed) {
            let rope = rewritten.as_ref().unwrap_or(body.held.rope());
            replies.pass_all(Phase::Request, rope.chunks().iter().cloned(), body.end_of_stream);
            replies.keep(body.held.into_share());
        }
    }

    fn metadata(&self, endpoints: String) -> Struct {
        let settings = &self.epp.settings;
        let destination = Struct::of(&settings.destination_key, Value::string(endpoints));
        match &*settings.destination_namespace {
            "" => destination,
            namespace => Struct::of(namespace, Value::object(destination)),
        }
    }

    fn response_headers(&mut self, headers: &Headers<'_>, metadata: &[Bytes], attributes: &[Bytes]) {
        let Some(account) = &mut self.account else { return };
        let status = headers.text(":status").and_then(|status| status.parse().ok());
        let observer = ResponseObserver::new(
            account.record.dialect,
            headers.get("content-type"),
            headers.get("content-encoding"),
        );
        let served = hints::served(metadata);
        if let Some(served) = served {
            account.served_at(served);
        }
        let status = status.unwrap_or(0);
        account.answered(status, observer);
        let named = if served.is_some() { Named::Yes } else { Named::No };
        account.ends_as(whose::outcome(status, headers, attributes, named));
        if headers.end_of_stream || self.modes.response == BodyMode::Absent {
            account.served();
        }
        if headers.end_of_stream {
            self.account = None;
        }
    }

    fn response_body(&mut self, body: HttpBody, replies: &mut Replies) -> Next {
        // On its way before anybody looks.
        let (pieces, end_of_stream) = (body.body.clone(), body.end_of_stream);
        let next = pass(self.modes.response, Phase::Response, body, replies);
        if let Some(account) = &mut self.account {
            pieces.iter().for_each(|piece| account.passed(piece));
        }
        if end_of_stream {
            self.response_ends();
        }
        next
    }

    fn response_ends(&mut self) {
        if let Some(mut account) = self.account.take() {
            account.served();
        }
    }

    fn refuse(&mut self, refusal: &Refusal, replies: &mut Replies) -> Next {
        let mut dialect = Dialect::Other;
        // Which pool it is, the port says, whatever else was seen of the request.
        let _ = self.pool();
        if let Some(mut account) = self.account.take() {
            dialect = account.record.dialect;
            let (id, pool) = (&account.record.id, account.record.backend.as_deref());
            let (reason, status) = (refusal.reason(), refusal.status().as_u16());
            tracing::debug!(%id, pool, reason, status, "refused: {refusal}");
            account.refused(refusal);
        }
        replies.send(&immediate(refusal, dialect));
        Next::End(Status::OK)
    }
}

impl Drop for EppSession {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.epp.telemetry.panicked();
        } else if matches!(self.state, State::Reading(_)) {
            let _ = self.pool();
        }
        if self.account.is_some() && matches!(self.state, State::Sent) && !self.response_begun {
            self.epp.misset.ended_unshown(self.epp.clock.now());
        }
    }
}

impl Session for EppSession {
    type Message = ProcessingRequest;

    fn on(&mut self, message: ProcessingRequest, now: Now, replies: &mut Replies) -> Next {
        if message.observability_mode {
            return Next::Continue;
        }
        if let Err(message) = self.modes.take(message.protocol_config) {
            return self.epp.misset.end(message, now);
        }
        if let Some(step) = &message.request
            && step.is_of_response()
        {
            match step {
                Request::ResponseHeaders(_) => self.epp.misset.shown(),
                _ if !self.response_begun => self.epp.misset.headless(now),
                _ => {}
            }
            self.response_begun = true;
            if matches!(self.state, State::Reading(_)) {
                let _ = self.pool();
                // In BUFFERED mode its headers were answered.
                self.state = if self.modes.request == BodyMode::Streamed { State::Over } else { State::Sent };
            }
        }
        match message.request {
            Some(Request::RequestHeaders(headers)) => match headers.read() {
                Ok(headers) => {
                    if self.modes.withhold_body_of(&headers) {
                        self.epp.misset.withheld(PROMPT_WITHHELD, now);
                    }
                    return self.request_headers(&headers, &message.metadata_context, now, replies);
                }
                Err(error) => return Next::unreadable(error),
            },
            Some(Request::RequestBody(body)) => return self.request_body(body, now, replies),
            Some(Request::RequestTrailers(_)) => return self.request_trailers(replies),
            Some(Request::ResponseHeaders(headers)) => {
                replies.say(Response::ResponseHeaders(HeadersResponse::default()));
                match headers.read() {
                    Ok(headers) => {
                        self.response_headers(&headers, &message.metadata_context, &message.attributes)
                    }
                    Err(error) => return Next::unreadable(error),
                }
            }
            Some(Request::ResponseBody(body)) => return self.response_body(body, replies),
            Some(Request::ResponseTrailers(_)) => {
                replies.say(Response::ResponseTrailers(TrailersResponse::default()));
                self.response_ends();
            }
            None => replies.send(&ProcessingResponse::default()),
        }
        Next::Continue
    }

    fn again(&mut self, replies: &mut Replies) -> Next {
        let State::Reading(reading) = &mut self.state else { return Next::Continue };
        reading.unread.take().map_or(Next::Continue, |message| self.read(message, replies))
    }

    fn held_bytes(&self) -> u64 {
        match &self.state {
            State::Reading(reading) => reading.held.charged(),
            State::New | State::Sent | State::Over => 0,
        }
    }

    fn deadline(&self) -> Option<Now> {
        match &self.state {
            // In BUFFERED mode it is the gateway that holds the body, and waits.
            State::Reading(reading) if self.modes.request == BodyMode::Streamed => {
                Some(reading.arriving.deadline(self.epp.settings.body_pace))
            }
            _ => None,
        }
    }

    fn late(&mut self, _now: Now, replies: &mut Replies) -> Next {
        let State::Reading(reading) = &self.state else { return Next::Continue };
        let refusal = reading.arriving.refusal(self.epp.settings.body_pace);
        self.refuse(&refusal, replies)
    }

    fn give_up(&mut self, refusal: &Refusal, replies: &mut Replies) -> Parting {
        if self.response_begun {
            return Parting::Silent;
        }
        self.refuse(refusal, replies);
        Parting::Answered
    }
}

impl Reading {
    fn take(&mut self, message: &mut Unread) -> Result<Fed, Refusal> {
        let fed = message.show(&mut self.parser)?;
        self.held.beside(self.told.bytes() + self.parser.held_bytes())?;
        if fed == Fed::Whole {
            hold(&mut message.body, &mut self.held)?;
        }
        Ok(fed)
    }
}

impl Told {
    fn of(headers: &Headers<'_>, settings: &EppSettings) -> Told {
        let value = |name: &str| headers.get(name).map(Bytes::copy_from_slice);
        Told {
            objective: value(OBJECTIVE.as_str()),
            rewrite: value(MODEL_NAME_REWRITE.as_str()),
            test_selection: match settings.test_plugins {
                TestPlugins::Allowed => value(TEST_SELECTION),
                TestPlugins::Refused => None,
            },
            content_length: headers.content_length().filter(|_| !headers.end_of_stream),
            subset: None,
            new_id: None,
        }
    }

    /// Bytes of memory beside its own: what is charged for it.
    fn bytes(&self) -> u64 {
        let texts = [&self.objective, &self.rewrite, &self.test_selection];
        let texts: usize = texts.into_iter().flatten().map(Bytes::len).sum();
        (texts + self.subset.as_deref().map_or(0, size_of_val)) as u64
    }

    /// The length to tell, if the request told one: gateways take it away from a body that comes in pieces and may change.
    fn length(&self, body: Option<&Body>, rewritten: Option<&Rope>) -> Option<u64> {
        let told = self.content_length?;
        Some(match (body, rewritten) {
            (Some(_), Some(rope)) => rope.bytes(),
            (Some(body), None) if body.end_of_stream => body.held.rope().bytes(),
            _ => told,
        })
    }
}

impl Body {
    /// The body has come; what it was decoded to is held too.
    fn whole(mut held: Gathering, end_of_stream: bool, request: &InferenceRequest) -> Result<Body, Spent> {
        held.beside(request.decoded.as_ref().map_or(0, Rope::bytes))?;
        Ok(Body { held: held.finish(), end_of_stream })
    }
}

fn text(value: Option<&[u8]>) -> Option<&str> {
    std::str::from_utf8(value?).ok()
}

/// The endpoints of a decision, best first, joined by commas.
fn destination(flight: &Flight) -> String {
    let mut endpoints = String::with_capacity(64);
    for target in &flight.decision.endpoints {
        use std::fmt::Write;
        if !endpoints.is_empty() {
            endpoints.push(',');
        }
        let _ = write!(endpoints, "{}", target.address);
    }
    endpoints
}

#[cfg(test)]
mod tests;
