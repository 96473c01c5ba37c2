//! The state of one picking domain: a pool, or pools that share endpoints.

use crate::{AdmissionSettings, EndpointKey, Now, Outcome, Refusal};
use arrayvec::ArrayVec;
use payload::{Prompt, Usage};
use scheduling::{CANDIDATES_MAX, ENDPOINTS_MAX, Policy, PrefixMatches, SCORERS_MAX, Slot};
use signals::Signals;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A pool's view of its domain; part of the snapshot.
#[derive(Debug, Clone)]
pub struct PoolView {
    /// The pool, as `namespace/name`.
    pub name: Arc<str>,
    /// Its endpoints' places in the domain.
    pub slots: Vec<Slot>,
    /// How it picks.
    pub policy: Arc<Policy>,
    /// When it is saturated.
    pub admission: AdmissionSettings,
}

/// A request at the pool's door.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The pool asked.
    pub pool: &'a PoolView,
    /// Higher is more important; only below 0 is shed.
    pub priority: i32,
    /// The model that will be sent (base model or adapter); empty if the request has none.
    pub model: &'a str,
    /// The prompt.
    pub prompt: &'a Prompt,
    /// The client's limit of generated tokens.
    pub max_tokens: Option<u32>,
    /// What the prefix index found.
    pub matches: &'a PrefixMatches,
    /// Only these addresses may be picked (the subset hint of the Endpoint Picker Protocol).
    pub subset: Option<&'a [SocketAddr]>,
}

/// What becomes of an arrival.
#[derive(Debug)]
pub enum Admission {
    /// Send it.
    Send(Decision),
    /// Hold it until the ticket is released or the deadline passes. The queue itself comes with flow control.
    Wait(Ticket, Now),
    /// Refuse it.
    Refuse(Refusal),
}

/// A place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

/// What a request has reserved at an endpoint; given back exactly once by `PoolState::done`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReservationId {
    /// Place in the table of reservations.
    pub index: u32,
    /// Told apart from earlier users of the place.
    pub generation: u32,
}

/// An endpoint of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Its place in the domain.
    pub slot: Slot,
    /// Where to connect.
    pub address: SocketAddr,
}

/// A candidate with its reasons, for `explain`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The endpoint.
    pub target: Target,
    /// The sum that ordered it; higher is better.
    pub total: f32,
    /// Each scorer's weighted part, in the order of `Policy::scorer_names`.
    pub parts: [f32; SCORERS_MAX],
    /// Own requests in flight when it was weighed.
    pub in_flight: u32,
    /// Requests waiting in the server, by the last scrape; `u32::MAX` if it never reported.
    pub waiting: u32,
    /// KV cache in use, by the last scrape; NaN if it never reported.
    pub kv_used: f32,
    /// Bytes of the prompt that it holds by the prefix index.
    pub matched_bytes: u64,
}

/// Where a request goes: complete before a byte is sent, and already reserved at the first endpoint.
#[derive(Debug, Clone)]
pub struct Decision {
    /// To be given back.
    pub reservation: ReservationId,
    /// Best first; never empty. The first is reserved, the rest are where a retry goes.
    pub endpoints: ArrayVec<Target, ENDPOINTS_MAX>,
    /// The best candidates, in full.
    pub candidates: ArrayVec<Candidate, CANDIDATES_MAX>,
    /// Endpoints that were weighed.
    pub weighed: u32,
    /// Endpoints that were not: resting after failures, or outside the subset.
    pub passed_over: u32,
    /// Place in the domain's event log.
    pub sequence: u64,
}

/// An endpoint as operators see it.
#[derive(Debug, Clone)]
pub struct EndpointStatus {
    /// Who it is.
    pub key: EndpointKey,
    /// Its place.
    pub slot: Slot,
    /// Own requests in flight.
    pub in_flight: u32,
    /// The last known signals.
    pub signals: Signals,
    /// Age of the last good scrape; `None` if there was none.
    pub scraped: Option<Duration>,
    /// Rests after failures, for this much longer.
    pub resting: Option<Duration>,
    /// No longer in any pool of the snapshot; stays until its last request ends.
    pub departed: bool,
}

/// What [`PoolState::reconcile`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// The place of each key, in the order of the keys.
    pub slots: Vec<Slot>,
    /// Places that belong to nobody any more: `PrefixIndex::forget` them.
    pub vacated: Vec<Slot>,
}

/// See the crate's documentation.
#[derive(Debug, Default)]
pub struct PoolState {}

impl PoolState {
    /// An empty domain, drawing from `seed`.
    pub fn new(seed: u64) -> PoolState {
        let _ = seed;
        PoolState {}
    }

    /// Makes `keys` the domain's endpoints. Known endpoints keep their place and state; those not listed depart: they are
    /// picked no more, and forgotten when their last reservation ends.
    pub fn reconcile(&mut self, keys: &[EndpointKey], now: Now) -> Reconciled {
        let _ = (keys, now);
        Reconciled::default()
    }

    /// Decides where a request goes, and reserves there in the same call.
    pub fn arrive(&mut self, arrival: Arrival<'_>, now: Now) -> Admission {
        let _ = (arrival, now);
        Admission::Wait(Ticket(0), now)
    }

    /// Moves a reservation to another endpoint of the decision after the one it was at failed with `outcome`.
    pub fn moved(&mut self, reservation: ReservationId, to: Slot, outcome: Outcome, now: Now) {
        let _ = (reservation, to, outcome, now);
    }

    /// The first byte of the response's body came (for a stream: the first token).
    pub fn first_token(&mut self, reservation: ReservationId, now: Now) {
        let _ = (reservation, now);
    }

    /// Tokens streamed since the last call; handed over in batches.
    pub fn progress(&mut self, reservation: ReservationId, tokens: u32, now: Now) {
        let _ = (reservation, tokens, now);
    }

    /// Gives a reservation back. Does nothing if that was done before. Released tickets are returned.
    pub fn done(
        &mut self,
        reservation: ReservationId,
        outcome: Outcome,
        usage: Usage,
        now: Now,
    ) -> Vec<Ticket> {
        let _ = (reservation, outcome, usage, now);
        Vec::new()
    }

    /// A scrape of the endpoint at `slot` came back. `true` if the server has restarted: its prefix index is to be emptied.
    pub fn signal(&mut self, slot: Slot, scrape: Option<Signals>, now: Now) -> Restarted {
        let _ = (slot, scrape, now);
        Restarted::No
    }

    /// Every endpoint, for operators.
    pub fn endpoints(&self, now: Now) -> Vec<EndpointStatus> {
        let _ = now;
        Vec::new()
    }
}

/// Whether a model server was seen to have restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restarted {
    /// Its counters went on.
    No,
    /// Its counters ran backwards: its cache is empty.
    Yes,
}
