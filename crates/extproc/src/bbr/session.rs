//! One request at the router, as a state machine.
//!
//! In `FULL_DUPLEX_STREAMED` the headers are answered when all that goes to headers has been read, and the body follows
//! piece by piece; in `BUFFERED` the gateway sends no body before its headers are answered, so that the headers are set by the
//! answer to the body.
//! A request whose body the gateway gave up, because it answered itself, is over with the first word of the response: if its
//! headers were not answered by then, no more is said of it (`epp/session.rs` says why).

use super::fields::{FieldHeaders, Found};
use super::{Bbr, PassOn, Timing};
use crate::grpc::{Code, Status};
use crate::immediate::immediate;
use crate::modes::{BodyMode, HEADERS_SKIPPED, Modes, body_head, pass};
use crate::replies::Replies;
use crate::session::{Next, Parting, Session};
use crate::unread::{Unread, hold};
use crate::wire::{
    BodyResponse, CommonResponse, HeaderMutation, Headers, HeadersResponse, HttpBody, Phase,
    ProcessingRequest, ProcessingResponse, Request, Response, TrailersResponse, key,
};
use bytes::Bytes;
use http::StatusCode;
use journey::headers::{BASE_MODEL_NAME, REQUEST_ID};
use journey::{BodyArriving, Now, Refusal};
use payload::{BodyHead, Budget, Dialect, Fed, Gathering, Limits, Media, RequestParser, Share, Spent};
use std::rc::Rc;
use std::sync::Arc;
use telemetry::{BbrPlugin, Routed};

/// What follows where bodies are not shown.
const MODEL_WITHHELD: &str = "the bodies of requests are not shown here, so that no X-Gateway-Model-Name is set, and no route that asks for it matches";

/// Of a request's id so many bytes are logged; Envoy's have 36.
const ID_BYTES_MAX: usize = 64;

/// One stream.
#[derive(Debug)]
pub struct BbrSession {
    bbr: Rc<Bbr>,
    modes: Modes,
    state: State,
    response_begun: bool,
    /// What the log calls the request, if it is told of single ones.
    id: Option<Box<str>>,
}

/// How far a request has come.
#[derive(Debug)]
enum State {
    /// Nothing of it was seen.
    New,
    /// Its body is being read.
    Reading(Box<Reading>),
    /// Its body passes unread, or has ended.
    Passing,
    /// The gateway answered itself before the headers were.
    Over,
}

/// A body that is being read.
#[derive(Debug)]
struct Reading {
    parser: RequestParser,
    dialect: Dialect,
    head: Unanswered,
    /// What came before the headers were answered; `None` once they are.
    held: Option<Gathering>,
    /// The charge for what the parser holds of a coded body, before and after; `None` while that is nothing.
    decoding: Option<Share>,
    /// The message that was read only partly.
    unread: Option<Unread>,
    arriving: BodyArriving,
    timing: Timing,
}

/// What the answer to the headers is made of: copied, since a slice of their message would keep all of it for as long as the
/// model is awaited.
#[derive(Debug)]
struct Unanswered {
    /// Headers that only this router may set, as the client sent them.
    copies: Vec<Bytes>,
    content_length: Option<u64>,
    timing: Timing,
}

impl BbrSession {
    pub(crate) fn new(bbr: Rc<Bbr>) -> BbrSession {
        let modes = Modes::both(bbr.settings.body_mode);
        BbrSession { bbr, modes, state: State::New, response_begun: false, id: None }
    }

    fn request_headers(&mut self, headers: &Headers<'_>, now: Now, replies: &mut Replies) -> Next {
        if !matches!(self.state, State::New) {
            return Next::End(Status::new(Code::InvalidArgument, "request_headers came twice"));
        }
        let unanswered = Unanswered::of(headers, self.modes.request, &self.bbr.settings.fields);
        if !self.modes.show_body_of(headers) {
            return self.let_go(unanswered, replies);
        }
        let head = match body_head(headers) {
            Ok(head) => head,
            Err(error) => return self.refuse(&error.into(), Dialect::Other, replies),
        };
        if head.media == Media::Opaque {
            return self.let_go(unanswered, replies);
        }
        let dialect = head.dialect;
        // Nobody picks here: the prompt need not be hashed.
        let head = BodyHead { dialect: Dialect::Other, ..head };
        if self.bbr.settings.pass_on == PassOn::Whole
            && let Some(length) = unanswered.content_length
            && let Err(spent) = self.bbr.budget.could_hold(length)
        {
            return self.refuse(&spent.into(), dialect, replies);
        }
        let limits = Limits { body_bytes_max: self.bbr.settings.body_bytes_max, ..Limits::default() };
        let timing = self.bbr.times_next_body();
        let mut held = Gathering::new(&self.bbr.budget);
        if let Err(spent) = held.beside(unanswered.bytes()) {
            return self.refuse(&spent.into(), dialect, replies);
        }
        let mut reading = Reading {
            parser: RequestParser::looking(head, limits),
            dialect,
            head: Unanswered { timing, ..unanswered },
            held: Some(held),
            decoding: None,
            unread: None,
            arriving: BodyArriving::begun(now),
            timing,
        };
        reading.parser.ask_for(self.bbr.settings.fields.asked());
        if self.modes.request != BodyMode::Streamed {
            // What the client may not say is gone before anybody routes by it.
            reading.head.answer(&self.bbr, Found::default(), None, replies);
            reading.held = None;
        }
        self.state = State::Reading(Box::new(reading));
        Next::Continue
    }

    /// Prepares what the log is told of the request.
    fn tell_of(&mut self, headers: &Headers<'_>, now: Now) {
        if self.modes.withhold_body_of(headers) {
            self.bbr.misset.withheld(MODEL_WITHHELD, now);
        }
        if tracing::enabled!(tracing::Level::DEBUG) {
            let id = headers.get(REQUEST_ID.as_str()).map(|id| &id[..id.len().min(ID_BYTES_MAX)]);
            self.id = id.map(|id| String::from_utf8_lossy(id).into());
        }
    }

    /// Answers the headers of a request whose body is not read.
    fn let_go(&mut self, mut head: Unanswered, replies: &mut Replies) -> Next {
        tracing::debug!(id = self.id.as_deref(), "passed on unread");
        head.answer(&self.bbr, Found::default(), None, replies);
        self.state = State::Passing;
        Next::Continue
    }

    fn request_body(&mut self, body: HttpBody, now: Now, replies: &mut Replies) -> Next {
        let reading = match &mut self.state {
            State::New => return self.bbr.misset.end(HEADERS_SKIPPED, now),
            State::Passing => return pass(self.modes.request, Phase::Request, body, replies),
            State::Over => return Next::Continue,
            State::Reading(reading) => reading,
        };
        reading.arriving.came(body.body.bytes() as u64, self.bbr.settings.body_pace, now);
        self.read(Unread::new(body), replies)
    }

    /// Shows the parser a message or the rest of it; then it is held or passed.
    fn read(&mut self, mut message: Unread, replies: &mut Replies) -> Next {
        let State::Reading(reading) = &mut self.state else { return Next::Continue };
        let dialect = reading.dialect;
        match reading.look(&mut message, &self.bbr) {
            Err(refusal) => return self.refuse(&refusal, dialect, replies),
            Ok(Fed::Partly) => {
                reading.unread = Some(message);
                return Next::Again;
            }
            Ok(Fed::Whole) => {}
        }
        let mut body = message.body;
        if body.end_of_stream || self.modes.request != BodyMode::Streamed {
            return self.request_ends(Some(body), replies);
        }
        let decoded = reading.decoded_bytes();
        if let Some(held) = &mut reading.held {
            if let Err(spent) = hold(&mut body, held) {
                let spent = spent.beside(decoded);
                return self.refuse(&spent.into(), dialect, replies);
            }
            if self.bbr.settings.pass_on == PassOn::Early
                && let Some(found) = Found::early(&reading.parser)
            {
                tracing::debug!(id = self.id.as_deref(), model = found.model(), "routed");
                reading.head.answer(&self.bbr, found, None, replies);
                if let Some(held) = reading.held.take() {
                    pass_held(held, replies);
                }
            }
        } else {
            replies.pass_all(Phase::Request, body.body, false);
        }
        Next::Continue
    }

    /// The body has come whole, with this last piece; or with trailers, where there is none.
    fn request_ends(&mut self, last: Option<HttpBody>, replies: &mut Replies) -> Next {
        let State::Reading(reading) = std::mem::replace(&mut self.state, State::Passing) else {
            return Next::Continue;
        };
        let Reading { parser, dialect, mut head, held, arriving, mut timing, .. } = *reading;
        let finished = timing.of(self.bbr.clock, || parser.finish());
        timing.tell(BbrPlugin::BodyFieldToHeader, &self.bbr.counts);
        let request = match finished {
            Ok(request) => request,
            Err(error) => return self.refuse(&error.into(), dialect, replies),
        };
        self.bbr.counts.add(Routed::Success);
        let found = Found::of(&request);
        self.bbr.count_missed(found);
        if held.is_some() || self.modes.request != BodyMode::Streamed {
            tracing::debug!(id = self.id.as_deref(), model = found.model(), "routed");
        }
        if self.modes.request != BodyMode::Streamed {
            // A body that never came has no answer; nor has it a model.
            if last.is_some() {
                let mutation = head.mutation(&self.bbr, found);
                let clear_route_cache = !mutation.set_headers.is_empty();
                let response = common(mutation, clear_route_cache);
                replies.say(Response::RequestBody(BodyResponse { response }));
            }
            return Next::Continue;
        }
        if let Some(held) = held {
            head.answer(&self.bbr, found, last.is_some().then_some(arriving.received()), replies);
            pass_held(held, replies);
        }
        if let Some(last) = last {
            replies.pass_all(Phase::Request, last.body, true);
        }
        Next::Continue
    }

    fn refuse(&mut self, refusal: &Refusal, dialect: Dialect, replies: &mut Replies) -> Next {
        let (reason, status) = (refusal.reason(), refusal.status().as_u16());
        tracing::debug!(id = self.id.as_deref(), reason, status, "refused: {refusal}");
        self.bbr.counts.refused(refusal);
        if refusal.status() == StatusCode::BAD_REQUEST {
            self.bbr.counts.add(Routed::NotParsed);
        }
        replies.send(&immediate(refusal, dialect));
        Next::End(Status::OK)
    }
}

impl Session for BbrSession {
    type Message = ProcessingRequest;

    fn on(&mut self, message: ProcessingRequest, now: Now, replies: &mut Replies) -> Next {
        if message.observability_mode {
            return Next::Continue;
        }
        if let Err(message) = self.modes.take(message.protocol_config) {
            return self.bbr.misset.end(message, now);
        }
        if let Some(step) = &message.request
            && step.is_of_response()
        {
            self.response_begun = true;
            if let State::Reading(reading) = &self.state {
                self.state = if reading.held.is_some() { State::Over } else { State::Passing };
            }
        }
        match message.request {
            Some(Request::RequestHeaders(headers)) => match headers.read() {
                Ok(headers) => {
                    self.tell_of(&headers, now);
                    return self.request_headers(&headers, now, replies);
                }
                Err(error) => return Next::unreadable(error),
            },
            Some(Request::RequestBody(body)) => return self.request_body(body, now, replies),
            Some(Request::RequestTrailers(_)) if matches!(self.state, State::Over) => {}
            Some(Request::RequestTrailers(_)) => {
                let next = self.request_ends(None, replies);
                if next != Next::Continue {
                    return next;
                }
                replies.say(Response::RequestTrailers(TrailersResponse::default()));
            }
            Some(Request::ResponseHeaders(_)) => {
                replies.say(Response::ResponseHeaders(HeadersResponse::default()));
            }
            Some(Request::ResponseBody(body)) => {
                return pass(self.modes.response, Phase::Response, body, replies);
            }
            Some(Request::ResponseTrailers(_)) => {
                replies.say(Response::ResponseTrailers(TrailersResponse::default()));
            }
            // A step that is not known here is answered as nothing was asked.
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
            State::Reading(reading) => reading.held_bytes() + reading.decoded_bytes(),
            State::New | State::Passing | State::Over => 0,
        }
    }

    fn deadline(&self) -> Option<Now> {
        match &self.state {
            // What passes on in the clear may wait for the endpoint to take it, which is the gateway's to bound.
            State::Reading(reading) if reading.held.is_some() || reading.decoding.is_some() => {
                Some(reading.arriving.deadline(self.bbr.settings.body_pace))
            }
            _ => None,
        }
    }

    fn late(&mut self, _now: Now, replies: &mut Replies) -> Next {
        let State::Reading(reading) = &self.state else { return Next::Continue };
        let (refusal, dialect) = (reading.arriving.refusal(self.bbr.settings.body_pace), reading.dialect);
        self.refuse(&refusal, dialect, replies)
    }

    fn give_up(&mut self, refusal: &Refusal, replies: &mut Replies) -> Parting {
        if self.response_begun {
            return Parting::Silent;
        }
        let dialect = match &self.state {
            State::Reading(reading) => reading.dialect,
            State::New | State::Passing | State::Over => Dialect::Other,
        };
        self.refuse(refusal, dialect, replies);
        Parting::Answered
    }
}

impl Reading {
    fn look(&mut self, message: &mut Unread, bbr: &Bbr) -> Result<Fed, Refusal> {
        let Reading { timing, parser, .. } = self;
        let fed = timing.of(bbr.clock, || message.show(parser))?;
        self.charge(&bbr.budget)?;
        Ok(fed)
    }

    /// Charges for what the parser holds.
    fn charge(&mut self, budget: &Arc<Budget>) -> Result<(), Spent> {
        let held = self.held_bytes();
        match self.parser.held_bytes() {
            0 => Ok(()),
            bytes => {
                let decoding = self.decoding.get_or_insert_with(|| Share::new(budget));
                decoding.hold(bytes).map_err(|spent| spent.beside(held))
            }
        }
    }

    /// Bytes charged for what came before the headers were answered.
    fn held_bytes(&self) -> u64 {
        self.held.as_ref().map_or(0, Gathering::charged)
    }

    /// Bytes charged for what the parser holds.
    fn decoded_bytes(&self) -> u64 {
        self.decoding.as_ref().map_or(0, Share::bytes)
    }
}

impl Unanswered {
    fn of(headers: &Headers<'_>, mode: BodyMode, fields: &FieldHeaders) -> Unanswered {
        // Gateways take the length away from a body that comes in pieces and may change: this one does not.
        let streamed = mode == BodyMode::Streamed && !headers.end_of_stream;
        let content_length = headers.content_length().filter(|_| streamed);
        Unanswered { copies: copies(headers, fields), content_length, timing: Timing::default() }
    }

    /// Bytes of memory beside its own: what is charged for it.
    fn bytes(&self) -> u64 {
        self.copies.iter().map(|name| size_of::<Bytes>() + name.len()).sum::<usize>() as u64
    }

    /// Answers the headers; `length` is the body's, if it is known.
    fn answer(&mut self, bbr: &Bbr, found: Found<'_>, length: Option<u64>, replies: &mut Replies) {
        let mut mutation = self.mutation(bbr, found);
        let clear_route_cache = !mutation.is_empty();
        if let Some(length) = length.or(self.content_length.take()) {
            mutation.set("content-length", length.to_string());
        }
        let response = common(mutation, clear_route_cache);
        replies.say(Response::RequestHeaders(HeadersResponse { response }));
    }

    /// Sets what was found and its base model, and removes what the client said of either.
    fn mutation(&mut self, bbr: &Bbr, found: Found<'_>) -> HeaderMutation {
        let mut mutation = HeaderMutation::default();
        for target in bbr.settings.fields.targets() {
            if let Some(text) = found.last_of(&target.fields) {
                mutation.set(key(&target.header), Bytes::copy_from_slice(text));
            }
        }
        if let Some(model) = found.model() {
            let base = self.timing.of(bbr.clock, || bbr.base_models.load().get(model).cloned());
            std::mem::take(&mut self.timing).tell(BbrPlugin::BaseModelToHeader, &bbr.counts);
            if let Some(base) = base {
                mutation.set(key(&BASE_MODEL_NAME), base);
            }
        }
        mutation.remove_headers = std::mem::take(&mut self.copies);
        mutation.remove_headers.retain(|name| {
            let mut set = mutation.set_headers.iter().filter_map(|set| set.header.as_ref());
            set.all(|header| header.key != *name)
        });
        mutation
    }
}

/// Passes what was held on; charged until it has left.
fn pass_held(held: Gathering, replies: &mut Replies) {
    let held = held.finish();
    replies.pass_all(Phase::Request, held.rope().chunks().iter().cloned(), false);
    replies.keep(held.into_share());
}

/// The names by which this request has headers that only the router may set, each once.
fn copies(headers: &Headers<'_>, fields: &FieldHeaders) -> Vec<Bytes> {
    let all = headers.iter().map(|(name, _)| name);
    let mut names: Vec<&[u8]> = all.filter(|name| fields.is_ours(name)).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(Bytes::copy_from_slice).collect()
}

fn common(mutation: HeaderMutation, clear_route_cache: bool) -> Option<CommonResponse> {
    (!mutation.is_empty()).then(|| CommonResponse {
        header_mutation: Some(mutation),
        clear_route_cache,
        ..CommonResponse::default()
    })
}

#[cfg(test)]
mod tests;
