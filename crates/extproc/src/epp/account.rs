//! What is learnt of one request while it travels; written down exactly once, whatever becomes of it.
//!
//! Step 5 of 5, learn: dropping the account ends its flight (the reservation is given back) and hands its record over.

use super::Epp;
use bytes::Bytes;
use journey::{Now, Outcome, Refusal};
use payload::{InferenceRequest, ResponseObserver, Usage};
use state::Flight;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::SystemTime;
use telemetry::{Attempt, Record, Refused, RequestId, Running};

/// One request's account.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) record: Record,
    epp: Rc<Epp>,
    begun: Now,
    flight: Option<Flight>,
    running: Option<Running>,
    observer: Option<ResponseObserver>,
    outcome: Outcome,
}

impl Account {
    /// A request's headers were read.
    pub(super) fn open(epp: &Rc<Epp>, id: Option<&[u8]>, now: Now) -> Account {
        epp.telemetry.begin();
        let kept = id.and_then(|id| std::str::from_utf8(id).ok()).filter(|id| is_sane(id));
        let mut record = Record::blank();
        record.at = SystemTime::now();
        record.id = match kept.and_then(|id| RequestId::from(id).ok()) {
            Some(id) => id,
            None => new_id(epp.random.borrow_mut().u64(..)),
        };
        Account {
            record,
            epp: Rc::clone(epp),
            begun: now,
            flight: None,
            running: None,
            observer: None,
            outcome: Outcome::Cancelled,
        }
    }

    /// The body was read.
    pub(super) fn parsed(&mut self, request: &InferenceRequest) {
        self.record.model = request.model.as_ref().map(|model| model.name.clone());
        self.record.stream = request.stream;
        self.record.prompt_bytes = request.prompt.bytes;
    }

    /// The request has a place at an endpoint.
    pub(super) fn took_off(&mut self, flight: Flight) {
        let record = &mut self.record;
        record.priority = flight.priority;
        record.target_model = flight.rewrite.clone();
        let known = &flight.pool.known_models;
        record.model_known =
            record.model.as_ref().is_some_and(|model| known.iter().any(|name| **name == *model.0));
        self.running = Some(self.epp.telemetry.running(
            &flight.pool.view.name,
            record.model.as_ref(),
            record.model_known,
            record.target_model.as_ref(),
        ));
        record.attempts.push(Attempt { endpoint: flight.at().address, outcome: Outcome::Cancelled });
        self.flight = Some(flight);
    }

    pub(super) fn flight(&self) -> Option<&Flight> {
        self.flight.as_ref()
    }

    /// The head of the response came, from `served` if the gateway says where it went.
    pub(super) fn answered(&mut self, status: u16, served: Option<SocketAddr>, observer: ResponseObserver) {
        if let (Some(flight), Some(served)) = (&mut self.flight, served) {
            let before = flight.at().address;
            flight.served_at(served);
            let after = flight.at().address;
            if after != before {
                self.ended(Outcome::Broken);
                let attempt = Attempt { endpoint: after, outcome: Outcome::Cancelled };
                // As long as a decision: there is room.
                let _ = self.record.attempts.try_push(attempt);
            }
        }
        self.outcome = Outcome::Cancelled;
        self.record.status = status;
        self.observer = Some(observer);
    }

    /// A piece of the response's body passes.
    pub(super) fn passed(&mut self, chunk: &Bytes, now: Now) {
        if self.record.first_token_in.is_none() && !chunk.is_empty() {
            self.record.first_token_in = Some(now.since(self.begun));
            // The first byte of an error page is no token, and no sign of health.
            if let Some(flight) = self.flight.as_mut().filter(|_| self.record.status < 500) {
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

    /// The response came whole, as far as it is told of.
    pub(super) fn served(&mut self) {
        self.ended(match self.record.status {
            status @ 500.. => Outcome::ServerError { status },
            _ => Outcome::Served,
        });
    }

    fn ended(&mut self, outcome: Outcome) {
        self.outcome = outcome;
        if let Some(last) = self.record.attempts.last_mut() {
            last.outcome = outcome;
        }
    }

    /// The request was refused.
    pub(super) fn refused(&mut self, refusal: &Refusal) {
        self.record.status = refusal.status().as_u16();
        self.record.refusal = Some(Refused {
            step: refusal.step(),
            reason: refusal.reason(),
            message: refusal.to_string().into_boxed_str(),
        });
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.epp.telemetry.panicked();
        }
        let usage = self.observer.as_ref().map_or_else(Usage::default, ResponseObserver::usage);
        let record = &mut self.record;
        record.usage = usage;
        record.ended_in = self.epp.clock.now().since(self.begun);
        record.cancelled = record.refusal.is_none() && self.outcome == Outcome::Cancelled;
        if let Some(flight) = &mut self.flight {
            record.decision = Some(flight.decision.clone());
            flight.finish(self.outcome, usage);
        }
        self.running = None;
        self.epp.telemetry.finish(&mut self.record);
    }
}

/// At most 64 bytes of visible ASCII.
fn is_sane(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}

/// 16 hexadecimal digits.
fn new_id(random: u64) -> RequestId {
    RequestId::from(&format!("{random:016x}")).unwrap_or_default()
}
