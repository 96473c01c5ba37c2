//! What a pool is asked, and what it answers.

use crate::{AdmissionSettings, Now, Refusal};
use arrayvec::ArrayVec;
use payload::Prompt;
use scheduling::{CANDIDATES_MAX, ENDPOINTS_MAX, PASSED_OVER_MAX, Policy, PrefixMatches, SCORERS_MAX, Slot};
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
    /// Only these addresses may be picked (the subset hint of the Endpoint Picker Protocol); sorted.
    pub subset: Option<&'a [SocketAddr]>,
    /// `test-epp-endpoint-selection`, read by `header-based-testing-filter` alone.
    pub test_selection: Option<&'a str>,
}

/// What becomes of an arrival.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "a box would be an allocation for every request")]
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
    /// How far it may be picked.
    pub fitness: Fitness,
    /// Own requests in flight when it was weighed.
    pub in_flight: u32,
    /// Requests of others there, by the last scrape.
    pub of_others: u32,
    /// Requests that count as under way there because of failures: those that failed a moment ago, and more if it should rest.
    pub after_failures: f32,
    /// Requests waiting in the server, by the last scrape; `u32::MAX` if it never reported.
    pub waiting: u32,
    /// KV cache in use, by the last scrape; NaN if it never reported.
    pub kv_used: f32,
    /// Bytes of the prompt that it holds by the prefix index.
    pub matched_bytes: u64,
}

/// How far a candidate may be picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fitness {
    /// Like any other.
    Ready,
    /// It has rested: the request is its trial if it goes there.
    Trial,
    /// It should rest, but half of its pool rests already.
    ThoughResting,
}

/// An endpoint that could not be picked, for `explain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassedOver {
    /// The endpoint.
    pub endpoint: SocketAddr,
    /// Why.
    pub why: WhyPassedOver,
}

/// Why an endpoint could not be picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyPassedOver {
    /// It rests after failures, for so much longer.
    Resting(Duration),
    /// It has rested, and another request is its trial.
    OnTrial,
    /// It used to answer scrapes, and does not any more.
    Unscraped,
    /// The subset hint does not name it.
    OutsideSubset,
    /// A filter of this type took it away.
    Filtered(&'static str),
}

/// Where a request goes: complete before a byte is sent, and already reserved at the first endpoint.
#[derive(Debug, Clone)]
pub struct Decision {
    /// To be given back.
    pub reservation: ReservationId,
    /// Best first; never empty. The first is reserved, the rest are where a retry goes.
    pub endpoints: ArrayVec<Target, ENDPOINTS_MAX>,
    /// The best candidates, in full; none if somebody else picked.
    pub candidates: ArrayVec<Candidate, CANDIDATES_MAX>,
    /// Endpoints that were weighed.
    pub weighed: u32,
    /// Endpoints that were not.
    pub passed_over: u32,
    /// The first of these.
    pub passed: ArrayVec<PassedOver, PASSED_OVER_MAX>,
    /// Place in the domain's event log.
    pub sequence: u64,
}
