//! A request under way: what it reserved, and what is learnt from it.

use crate::{Clock, Pool};
use journey::{Decision, Outcome, Refusal, Target, TargetModel};
use payload::{InferenceRequest, Usage};
use std::net::SocketAddr;
use std::sync::Arc;

/// A request at a pool's door.
#[derive(Debug, Clone, Copy)]
pub struct Dispatch<'a> {
    /// What was parsed.
    pub request: &'a InferenceRequest,
    /// `x-gateway-inference-objective`, from a trusted source only.
    pub objective: Option<&'a str>,
    /// `x-gateway-model-name-rewrite`, from a trusted source only.
    pub rewrite: Option<&'a str>,
    /// Only these addresses may be picked (the Endpoint Picker Protocol's subset hint).
    pub subset: Option<&'a [SocketAddr]>,
}

/// Admits a request to a pool and picks its endpoint: weighs it, looks its prompt up, and asks the domain in one short
/// lock. The endpoint is reserved when this returns.
pub fn dispatch(
    pool: &Arc<Pool>,
    dispatch: &Dispatch<'_>,
    random: &mut fastrand::Rng,
    clock: Clock,
) -> Result<Flight, Refusal> {
    let _ = (pool, dispatch, random, clock);
    Err(Refusal::Stopping)
}

/// A request under way. Dropped without [`Flight::finish`] it counts as [`Outcome::Cancelled`].
#[derive(Debug)]
pub struct Flight {
    /// The pool that serves it.
    pub pool: Arc<Pool>,
    /// Its priority.
    pub priority: i32,
    /// The model to write into the body; `None` leaves it.
    pub rewrite: Option<TargetModel>,
    /// Where it goes, and why.
    pub decision: Decision,
}

impl Flight {
    /// The endpoint that the request is at.
    pub fn at(&self) -> Target {
        self.decision.endpoints[0]
    }

    /// The endpoint failed with `outcome` and the request may be sent again: moves it to the next endpoint of the
    /// decision. `None` if there is no other.
    pub fn retry(&mut self, outcome: Outcome) -> Option<Target> {
        let _ = outcome;
        None
    }

    /// The first byte of the response's body came.
    pub fn first_token(&mut self) {}

    /// Tokens streamed; handed over to the domain in batches.
    pub fn tokens(&mut self, count: u32) {
        let _ = count;
    }

    /// The request ended.
    pub fn finish(self, outcome: Outcome, usage: Usage) {
        let _ = (outcome, usage);
    }
}
