//! A request under way: what it reserved, and what is learnt from it.

use crate::{Clock, Pool};
use arrayvec::ArrayVec;
use http::HeaderMap;
use journey::headers::{MODEL_NAME_REWRITE, OBJECTIVE};
use journey::{Admission, Arrival, Decision, Now, Outcome, Refusal, Target, TargetModel};
use payload::{InferenceRequest, ModelName, Prompt, Rope, Usage};
use scheduling::plugins::PluginKind;
use scheduling::{BlockIndex, ENDPOINTS_MAX, PluginRun, PluginRuns, Watch};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use telemetry::TargetChosen;

/// Tokens are handed over to the domain in batches of this many: one short lock for each.
const TOKENS_BATCH: u32 = 32;

/// Of so many picks of a domain the plugins of one are timed: reading the clock for each of them would cost more than they do.
pub const PICKS_PER_SAMPLE: u64 = 1_024;

/// When a request that would have to wait is asked to come back: there is no queue to wait in.
const RETRY_WITHOUT_QUEUE: Duration = Duration::from_secs(1);

/// A request at a pool's door.
#[derive(Debug, Clone, Copy)]
pub struct Dispatch<'a> {
    /// What was parsed.
    pub request: &'a InferenceRequest,
    /// `x-gateway-inference-objective`, from a trusted source only.
    pub objective: Option<&'a str>,
    /// `x-gateway-model-name-rewrite`, from a trusted source only.
    pub rewrite: Option<&'a str>,
    /// Only these addresses may be picked (the Endpoint Picker Protocol's subset hint); sorted.
    pub subset: Option<&'a [SocketAddr]>,
    /// The body as it was sent, where it is held: a configured `prefix-cache-scorer` reads the prompt there.
    pub body: Option<&'a Rope>,
    /// `test-epp-endpoint-selection`, only where the process allows `header-based-testing-filter`.
    pub test_selection: Option<&'a str>,
}

impl<'a> Dispatch<'a> {
    /// `request` with what its headers say of it; what its sender may not say has been taken away from them.
    pub fn told(request: &'a InferenceRequest, headers: &'a HeaderMap) -> Dispatch<'a> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        Dispatch {
            request,
            objective: text(OBJECTIVE),
            rewrite: text(MODEL_NAME_REWRITE),
            subset: None,
            body: None,
            test_selection: None,
        }
    }
}

/// Admits a request to a pool and picks its endpoint: weighs it, looks its prompt up, and asks the domain in one short
/// lock. The endpoint is reserved when this returns.
pub fn dispatch(
    pool: &Arc<Pool>,
    dispatch: &Dispatch<'_>,
    random: &mut fastrand::Rng,
    clock: Clock,
) -> Result<Flight, Refusal> {
    let request = dispatch.request;
    let asked = request.model.as_ref().map(|field| &field.name);
    let admissible = pool.policies.weigh(asked, dispatch.objective, dispatch.rewrite, random);
    let (priority, rewrite, rewritten_by) =
        (admissible.priority, admissible.rewrite, admissible.rewritten_by);
    let sent = rewrite.as_ref().map(|target| &target.0).or(asked.map(|asked| &asked.0));
    let model = sent.map_or("", |model| &**model);
    let domain = &pool.domain;
    let mut matches = domain.prefixes.lookup(model, &request.prompt);
    let blocks = in_blocks(pool, dispatch);
    if let Some((index, prompt)) = &blocks {
        matches.blocks = index.lookup(model, prompt);
    }
    let arrival = Arrival {
        pool: &pool.view,
        priority,
        model,
        prompt: &request.prompt,
        max_tokens: request.max_tokens,
        matches: &matches,
        subset: dispatch.subset,
        test_selection: dispatch.test_selection,
    };
    let mut plugin_runs = None;
    let admission = {
        let mut state = domain.lock();
        if state.arrivals().is_multiple_of(PICKS_PER_SAMPLE) {
            let now = clock.now();
            let mut stopwatch = Stopwatch { clock, last: now, runs: PluginRuns::new() };
            let admission = state.arrive_watched(arrival, now, &mut stopwatch);
            plugin_runs = Some(Box::new(stopwatch.runs));
            admission
        } else {
            state.arrive(arrival, clock.now())
        }
    };
    match admission {
        Admission::Send(decision) => {
            let model = sent.cloned();
            let flight = Flight {
                pool: Arc::clone(pool),
                priority: Some(priority),
                rewrite,
                rewritten_by,
                decision,
                plugin_runs,
                model,
                prompt: request.prompt.clone(),
                blocks: blocks.map(|(_, prompt)| Box::new(prompt)),
                clock,
                at: 0,
                tokens: 0,
                ended: false,
            };
            flight.note_prompt();
            Ok(flight)
        }
        Admission::Refuse(refusal) => Err(refusal),
        Admission::Wait(..) => Err(Refusal::Saturated {
            pool: Arc::clone(&pool.view.name),
            priority,
            ready: u32::try_from(pool.endpoints.len()).unwrap_or(u32::MAX),
            detector: pool.view.admission.detector,
            retry_after: RETRY_WITHOUT_QUEUE,
        }),
    }
}

/// Times the plugins of a pick.
struct Stopwatch {
    clock: Clock,
    /// When the last one ended.
    last: Now,
    runs: PluginRuns,
}

impl Watch for Stopwatch {
    fn begins(&mut self) {
        self.last = self.clock.now();
    }

    fn ran(&mut self, kind: PluginKind, name: &'static str) {
        let now = self.clock.now();
        // As long as a policy: there is room.
        let _ = self.runs.try_push(PluginRun { kind, name, took: now.since(self.last) });
        self.last = now;
    }
}

/// The prompt as the pool's configured `prefix-cache-scorer` cuts it.
fn in_blocks<'p>(pool: &'p Pool, dispatch: &Dispatch<'_>) -> Option<(&'p BlockIndex, Prompt)> {
    let (index, body) = (pool.blocks.as_deref()?, dispatch.body?);
    let (block_bytes, blocks_max) = index.cut();
    Some((index, dispatch.request.prompt_in_blocks(body, block_bytes, blocks_max)))
}

/// Takes a request to the endpoints that the pool's own endpoint picker chose, in its order; that picker has admitted it,
/// and has rewritten its body if it is to be rewritten. The first endpoint is reserved when this returns, so that the
/// built-in picker knows of it. Addresses that are not of the pool are left out; `None` if none is left.
pub fn assign(
    pool: &Arc<Pool>,
    dispatch: &Dispatch<'_>,
    chosen: &[SocketAddr],
    clock: Clock,
) -> Option<Flight> {
    let target = |address: &SocketAddr| {
        let place = pool.endpoints.binary_search_by_key(address, |(_, key)| key.address).ok()?;
        Some(Target { slot: pool.endpoints[place].0, address: *address })
    };
    let targets: ArrayVec<Target, ENDPOINTS_MAX> =
        chosen.iter().filter_map(target).take(ENDPOINTS_MAX).collect();
    let request = dispatch.request;
    let decision = {
        let mut state = pool.domain.lock();
        state.assigned(&targets, request.prompt.bytes, clock.now())
    }?;
    let flight = Flight {
        pool: Arc::clone(pool),
        priority: None,
        rewrite: None,
        rewritten_by: None,
        decision,
        plugin_runs: None,
        model: request.model.as_ref().map(|model| Arc::clone(&model.name.0)),
        prompt: request.prompt.clone(),
        blocks: in_blocks(pool, dispatch).map(|(_, prompt)| Box::new(prompt)),
        clock,
        at: 0,
        tokens: 0,
        ended: false,
    };
    flight.note_prompt();
    Some(flight)
}

/// What becomes of a request whose endpoint failed and was the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alone {
    /// It is sent there again: the failure counts all the same.
    Stays,
    /// It ends.
    Ends,
}

/// A request under way. Dropped without [`Flight::finish`] it counts as [`Outcome::Cancelled`].
#[derive(Debug)]
pub struct Flight {
    /// The pool that serves it.
    pub pool: Arc<Pool>,
    /// Its priority; `None` where somebody else admitted it.
    pub priority: Option<i32>,
    /// The model to write into the body; `None` leaves it.
    pub rewrite: Option<TargetModel>,
    /// The `InferenceModelRewrite` that chose the model, be it the one asked for.
    pub rewritten_by: Option<Arc<str>>,
    /// Where it goes, and why.
    pub decision: Decision,
    /// How long the plugins took, of one pick in [`PICKS_PER_SAMPLE`].
    pub plugin_runs: Option<Box<PluginRuns>>,
    /// The model that is sent.
    model: Option<Arc<str>>,
    prompt: Prompt,
    /// The prompt as the pool's configured `prefix-cache-scorer` cuts it.
    blocks: Option<Box<Prompt>>,
    clock: Clock,
    /// Place in `decision.endpoints`.
    at: usize,
    /// Streamed and not yet handed over.
    tokens: u32,
    ended: bool,
}

impl Flight {
    /// Who chose the model that is sent instead of `asked`.
    pub fn target_chosen(&self, asked: Option<&ModelName>) -> TargetChosen {
        let (Some(target), None) = (&self.rewrite, &self.rewritten_by) else {
            return TargetChosen::ByConfiguration;
        };
        let declared = asked.and_then(|asked| self.pool.policies.models.get(&asked.0));
        if declared.is_some_and(|(_, targets)| targets.iter().any(|declared| declared.model == *target)) {
            TargetChosen::ByConfiguration
        } else if self.pool.knows_model(&target.0) {
            TargetChosen::ByClient
        } else {
            TargetChosen::FromNowhere
        }
    }

    /// The endpoint that the request is at.
    pub fn at(&self) -> Target {
        self.decision.endpoints[self.at]
    }

    /// The endpoint failed with `outcome` and the request may be sent again: moves it to the next endpoint of the
    /// decision, or to the same one anew if there is no other and `alone` says so. `None`: it stays where it failed.
    pub fn retry(&mut self, outcome: Outcome, alone: Alone) -> Option<Target> {
        let next = match (self.decision.endpoints.get(self.at + 1), alone) {
            (Some(next), _) => {
                self.at += 1;
                *next
            }
            (None, Alone::Stays) => self.at(),
            (None, Alone::Ends) => return None,
        };
        self.tokens = 0;
        self.pool.domain.lock().moved(self.decision.reservation, next.slot, outcome, self.clock.now());
        self.note_prompt();
        Some(next)
    }

    /// Tells the prefix indexes that the endpoint will hold the prompt.
    fn note_prompt(&self) {
        let model = self.model.as_deref().unwrap_or_default();
        let slot = self.at().slot;
        self.pool.domain.prefixes.insert(slot, model, &self.prompt);
        if let Some((index, prompt)) = self.pool.blocks.as_deref().zip(self.blocks.as_deref()) {
            index.insert(slot, model, prompt);
        }
    }

    /// The gateway in front says that `address` served the request: moves it there. The endpoints that stand before that one
    /// in the decision failed: whether they were tried or cannot be reached from there, nothing is to be sent to them. An
    /// endpoint of the pool that the decision does not name was chosen past it, which says nothing of those that it names;
    /// an address outside the pool changes nothing. Answers how the request ended where it was thought to be, if it moved.
    pub fn served_at(&mut self, address: SocketAddr) -> Option<Outcome> {
        if self.at().address == address {
            return None;
        }
        let listed = self.decision.endpoints.iter().position(|target| target.address == address);
        let outcome = if listed.is_some() { Outcome::Broken } else { Outcome::Cancelled };
        let place = match listed {
            Some(place) => place,
            None => self.add(address)?,
        };
        {
            let mut state = self.pool.domain.lock();
            let next = if listed.is_some() { (self.at + 1).min(place) } else { place };
            for target in &self.decision.endpoints[next..=place] {
                state.moved(self.decision.reservation, target.slot, outcome, self.clock.now());
            }
        }
        self.at = place;
        self.tokens = 0;
        self.note_prompt();
        Some(outcome)
    }

    /// Adds an endpoint of the pool to the decision, in the place of its last if there is no room.
    fn add(&mut self, address: SocketAddr) -> Option<usize> {
        let (slot, _) = self.pool.endpoints.iter().find(|(_, key)| key.address == address)?;
        if self.decision.endpoints.is_full() {
            self.decision.endpoints.pop();
        }
        self.decision.endpoints.push(Target { slot: *slot, address });
        Some(self.decision.endpoints.len() - 1)
    }

    /// The first byte of the response's body came.
    pub fn first_token(&mut self) {
        let mut state = self.pool.domain.lock();
        state.first_token(self.decision.reservation, self.clock.now());
    }

    /// Tokens streamed; handed over to the domain in batches.
    pub fn tokens(&mut self, count: u32) {
        self.tokens = self.tokens.saturating_add(count);
        if self.tokens >= TOKENS_BATCH {
            let mut state = self.pool.domain.lock();
            state.progress(self.decision.reservation, self.tokens, self.clock.now());
            self.tokens = 0;
        }
    }

    /// The request ended: gives the reservation back, once.
    pub fn finish(&mut self, outcome: Outcome, usage: Usage) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let reservation = self.decision.reservation;
        let mut state = self.pool.domain.lock();
        let now = self.clock.now();
        if self.tokens > 0 {
            state.progress(reservation, self.tokens, now);
        }
        // Nothing waits yet: no ticket is released.
        state.done(reservation, outcome, usage, now);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.finish(Outcome::Cancelled, Usage::default());
    }
}
