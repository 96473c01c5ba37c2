//! What is learnt of one request while it travels; written down exactly once, whatever becomes of it.
//!
//! Step 5 of 5, learn: dropping the account ends its flight (the reservation is given back) and hands its record over.

use crate::client_io::Watch;
use crate::core::Core;
use crate::headers::REQUEST_ID_BYTES_MAX;
use bytes::Bytes;
use extproc::client::Exchange;
use journey::{Now, Outcome, Refusal};
use payload::{InferenceRequest, ResponseObserver, Usage};
use state::Flight;
use std::net::SocketAddr;
use std::rc::Rc;
use telemetry::{Attempt, Record, Refused, RequestId, Running};

/// One request's account. Boxed once: it moves from the journey to the response's body.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) record: Record,
    /// The stream to the pool's own endpoint picker, if that picked; it ends with the request.
    pub(crate) exchange: Option<Box<Exchange>>,
    core: Rc<Core>,
    watch: Rc<Watch>,
    begun: Now,
    resumed: Now,
    flight: Option<Flight>,
    running: Option<Running>,
    observer: Option<ResponseObserver>,
    /// How the request ended at its endpoint; until it has, the client is the one who may leave.
    outcome: Outcome,
}

impl Account {
    /// A request's head was read.
    pub(crate) fn open(core: &Rc<Core>, watch: &Rc<Watch>) -> Box<Account> {
        core.telemetry.begin();
        let begun = core.clock.now();
        Box::new(Account {
            record: Record::blank(),
            exchange: None,
            core: Rc::clone(core),
            watch: Rc::clone(watch),
            begun,
            resumed: begun,
            flight: None,
            running: None,
            observer: None,
            outcome: Outcome::Cancelled,
        })
    }

    /// When the head was read.
    pub(crate) fn begun(&self) -> Now {
        self.begun
    }

    /// The client's id, or a new one: 16 hexadecimal digits.
    pub(crate) fn name(&mut self, kept: Option<&str>) {
        const { assert!(REQUEST_ID_BYTES_MAX <= 64) }
        self.record.id = match kept.and_then(|id| RequestId::from(id).ok()) {
            Some(id) => id,
            None => new_id(self.core.random.borrow_mut().u64(..)),
        };
    }

    /// The journey waits for somebody else from here on.
    pub(crate) fn pause(&mut self) {
        self.record.decided_in += self.core.clock.now().since(self.resumed);
    }

    /// And goes on.
    pub(crate) fn resume(&mut self) {
        self.resumed = self.core.clock.now();
    }

    /// The body was read.
    pub(crate) fn parsed(&mut self, request: &InferenceRequest) {
        self.record.dialect = request.dialect;
        self.record.model = request.model.as_ref().map(|model| model.name.clone());
        self.record.stream = request.stream;
        self.record.prompt_bytes = request.prompt.bytes;
    }

    /// The request has a place at an endpoint of a pool.
    pub(crate) fn took_off(&mut self, flight: Flight) {
        let record = &mut self.record;
        record.priority = flight.priority;
        record.target_model = flight.rewrite.clone();
        let known = &flight.pool.known_models;
        record.model_known =
            record.model.as_ref().is_some_and(|model| known.iter().any(|name| **name == *model.0));
        self.running = Some(self.core.telemetry.running(
            &flight.pool.view.name,
            record.model.as_ref(),
            record.model_known,
            record.target_model.as_ref(),
        ));
        self.flight = Some(flight);
    }

    pub(crate) fn flight(&self) -> Option<&Flight> {
        self.flight.as_ref()
    }

    pub(crate) fn flight_mut(&mut self) -> Option<&mut Flight> {
        self.flight.as_mut()
    }

    /// An endpoint was tried. The list of tries is as long as a decision; later ones replace its last.
    pub(crate) fn attempted(&mut self, endpoint: SocketAddr, outcome: Outcome) {
        self.outcome = outcome;
        let attempts = &mut self.record.attempts;
        if attempts.is_full() {
            attempts.pop();
        }
        attempts.push(Attempt { endpoint, outcome });
    }

    /// The request is sent again: how it ends there is open.
    pub(crate) fn goes_on(&mut self) {
        self.outcome = Outcome::Cancelled;
    }

    /// The head of the answer that the client gets has come; its body decides how the request ends.
    pub(crate) fn answered(&mut self, status: u16, observer: ResponseObserver) {
        self.record.status = status;
        self.observer = Some(observer);
        self.outcome = Outcome::Cancelled;
    }

    /// A piece of the response's body passes.
    pub(crate) fn passed(&mut self, chunk: &Bytes) {
        if self.record.first_token_in.is_none() {
            self.record.first_token_in = Some(self.core.clock.now().since(self.begun));
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

    /// The response came whole.
    pub(crate) fn served(&mut self) {
        self.ended(match self.record.status {
            status @ 500.. => Outcome::ServerError { status },
            _ => Outcome::Served,
        });
    }

    /// The request ended at its endpoint.
    pub(crate) fn ended(&mut self, outcome: Outcome) {
        self.outcome = outcome;
        if let Some(last) = self.record.attempts.last_mut() {
            last.outcome = outcome;
        }
    }

    /// What to send when an event stream is cut.
    pub(crate) fn cut(&self, message: &str) -> Option<Bytes> {
        self.observer.as_ref()?.cut(message)
    }

    /// The request was refused.
    pub(crate) fn refused(&mut self, refusal: &Refusal) {
        self.record.status = refusal.status().as_u16();
        self.record.refusal = Some(Refused {
            step: refusal.step(),
            reason: refusal.reason(),
            message: refusal.to_string().into_boxed_str(),
        });
    }

    pub(crate) fn core(&self) -> &Rc<Core> {
        &self.core
    }

    pub(crate) fn watch(&self) -> &Rc<Watch> {
        &self.watch
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let usage = self.observer.as_ref().map_or_else(Usage::default, ResponseObserver::usage);
        let record = &mut self.record;
        record.usage = usage;
        record.ended_in = self.core.clock.now().since(self.begun);
        record.cancelled = record.refusal.is_none() && self.outcome == Outcome::Cancelled;
        if let Some(flight) = &mut self.flight {
            record.decision = Some(flight.decision.clone());
            flight.finish(self.outcome, usage);
        }
        self.core.telemetry.finish(record);
        self.watch.request_ends();
    }
}

fn new_id(random: u64) -> RequestId {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut id = RequestId::new_const();
    for shift in (0..64).step_by(4).rev() {
        id.push(char::from(DIGITS[(random >> shift) as usize & 15]));
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_id_is_sixteen_hexadecimal_digits() {
        assert_eq!(new_id(0x0123_4567_89ab_cdef).as_str(), "0123456789abcdef");
        assert_eq!(new_id(0).len(), 16);
    }
}
