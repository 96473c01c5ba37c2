//! What is learnt of one request while it travels; written down exactly once, whatever becomes of it.
//!
//! Step 5 of 5, learn, at either door. In: what the door sees of the request, as it sees it. Out: dropped, the account ends
//! its flight (the reservation is given back) and hands its record over.

use crate::{Clock, Flight, Pool};
use bytes::Bytes;
use journey::{Now, Outcome, Refusal};
use payload::{InferenceRequest, ModelField, ResponseObserver, Usage};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;
use telemetry::{Attempt, Core, Record, Running, request_id};

/// One request's account.
#[derive(Debug)]
pub struct Account {
    /// What is kept of the request.
    pub record: Record,
    telemetry: Rc<Core>,
    clock: Clock,
    begun: Now,
    resumed: Now,
    flight: Option<Flight>,
    running: Option<Running>,
    observer: Option<ResponseObserver>,
    /// How the request ended at its endpoint; until it has, the client is the one who may leave.
    outcome: Outcome,
    /// How it ends if the answer that has begun comes whole.
    if_whole: Outcome,
}

impl Account {
    /// A request's head was read.
    pub fn open(telemetry: &Rc<Core>, clock: Clock) -> Account {
        telemetry.begin();
        let begun = clock.now();
        Account {
            record: Record { at: SystemTime::now(), ..Record::blank() },
            telemetry: Rc::clone(telemetry),
            clock,
            begun,
            resumed: begun,
            flight: None,
            running: None,
            observer: None,
            outcome: Outcome::Cancelled,
            if_whole: Outcome::Served,
        }
    }

    /// When the head was read.
    pub fn begun(&self) -> Now {
        self.begun
    }

    /// Names the request: as its sender did, or anew.
    pub fn name(&mut self, sent: Option<&[u8]>, random: &mut fastrand::Rng) {
        self.record.id = request_id(sent, || random.u64(..));
    }

    /// The journey waits for somebody else from here on.
    pub fn pause(&mut self) {
        self.record.decided_in += self.clock.now().since(self.resumed);
    }

    /// And goes on.
    pub fn resume(&mut self) {
        self.resumed = self.clock.now();
    }

    /// The model that the body asks for, as far as it was read.
    pub fn asks_for(&mut self, model: Option<&ModelField>) {
        self.record.model = model.map(|model| model.name.clone());
    }

    /// The pool that the request is for; what it asks for was told before, or is told anew.
    pub fn bound_for(&mut self, pool: &Pool) {
        let record = &mut self.record;
        record.backend = Some(Arc::clone(&pool.view.name));
        record.model_known = record.model.as_ref().is_some_and(|model| pool.knows_model(&model.0));
    }

    /// The body was read.
    pub fn parsed(&mut self, request: &InferenceRequest) {
        self.record.dialect = request.dialect;
        self.asks_for(request.model.as_ref());
        self.record.stream = request.stream;
        self.record.prompt_bytes = request.prompt.bytes;
    }

    /// The request has a place at an endpoint of the pool that it is for.
    pub fn took_off(&mut self, flight: Flight) {
        let record = &mut self.record;
        record.priority = flight.priority;
        record.target_model = flight.rewrite.clone();
        record.target_chosen = flight.target_chosen(record.model.as_ref());
        record.rewritten_by = flight.rewritten_by.clone();
        self.running = Some(self.telemetry.running(&flight.pool.view.name, record));
        if let Some(runs) = &flight.plugin_runs {
            self.telemetry.plugins_ran(runs);
        }
        self.flight = Some(flight);
    }

    /// Where the request is, if a pool has a place for it.
    pub fn flight(&self) -> Option<&Flight> {
        self.flight.as_ref()
    }

    /// The same, to be moved.
    pub fn flight_mut(&mut self) -> Option<&mut Flight> {
        self.flight.as_mut()
    }

    /// An endpoint is asked: until [`Account::ended`] says how that went, the client is the one who may leave. The list of
    /// tries is as long as a decision; later ones replace its last.
    pub fn attempts(&mut self, endpoint: SocketAddr) {
        self.outcome = Outcome::Cancelled;
        let attempts = &mut self.record.attempts;
        if attempts.is_full() {
            attempts.pop();
        }
        attempts.push(Attempt { endpoint, outcome: self.outcome });
    }

    /// The request is sent again: how it ends there is open.
    pub fn goes_on(&mut self) {
        self.outcome = Outcome::Cancelled;
    }

    /// The gateway in front says that `address` served the request: see [`Flight::served_at`].
    pub fn served_at(&mut self, address: SocketAddr) {
        let Some(flight) = &mut self.flight else { return };
        if let Some(outcome) = flight.served_at(address) {
            let moved_to = flight.at().address;
            self.ended(outcome);
            self.attempts(moved_to);
        }
    }

    /// The head of the answer that the client gets has come; its body decides how the request ends. The status is the
    /// endpoint's own, and the client's if the record is told no other.
    pub fn answered(&mut self, status: u16, observer: ResponseObserver) {
        self.record.status = status;
        self.if_whole = Outcome::of_status(status);
        self.observer = Some(observer);
        self.outcome = Outcome::Cancelled;
    }

    /// That answer says something else of the endpoint, if it comes whole, than its status does.
    pub fn ends_as(&mut self, outcome: Outcome) {
        self.if_whole = outcome;
    }

    /// A piece of the response's body passes.
    pub fn passed(&mut self, chunk: &Bytes) {
        if self.record.first_token_in.is_none() && !chunk.is_empty() {
            self.record.first_token_in = Some(self.clock.now().since(self.begun));
            // The first byte of an error page is no token, and no sign of health.
            if let Some(flight) = self.flight.as_mut().filter(|_| self.if_whole == Outcome::Served) {
                flight.first_token();
            }
        }
        self.record.response_bytes += chunk.len() as u64;
        let Some(observer) = &mut self.observer else { return };
        let tokens = observer.feed(chunk).tokens;
        if tokens > 0
            && let Some(flight) = &mut self.flight
        {
            flight.tokens(tokens);
        }
    }

    /// The response came whole.
    pub fn served(&mut self) {
        self.ended(self.if_whole);
    }

    /// The request ended at its endpoint.
    pub fn ended(&mut self, outcome: Outcome) {
        self.outcome = outcome;
        if let Some(last) = self.record.attempts.last_mut() {
            last.outcome = outcome;
        }
    }

    /// How the request ended at its endpoint; cancelled as long as it has not.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The gateway stops: if the request has not ended, that is how it does.
    pub fn stopped(&mut self) {
        if self.outcome == Outcome::Cancelled {
            self.ended(Outcome::Stopped);
        }
    }

    /// What to send when an event stream is cut.
    pub fn cut(&self, message: &str) -> Option<Bytes> {
        self.observer.as_ref()?.cut(message)
    }

    /// The request was refused.
    pub fn refused(&mut self, refusal: &Refusal) {
        self.record.refuse(refusal);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let usage = self.observer.as_ref().map_or_else(Usage::default, ResponseObserver::usage);
        let record = &mut self.record;
        record.usage = usage;
        record.ended_in = self.clock.now().since(self.begun);
        record.cancelled = record.refusal.is_none() && self.outcome == Outcome::Cancelled;
        if let Some(flight) = &mut self.flight {
            record.decision = Some(flight.decision.clone());
            flight.finish(self.outcome, usage);
        }
        self.running = None;
        self.telemetry.finish(record);
    }
}
