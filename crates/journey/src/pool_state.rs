//! The state of one picking domain: a pool, or pools that share endpoints.
//!
//! In: arrivals, what became of them, scrapes, the list of endpoints. Out: decisions, each reserved in the call that makes it.
//! Never: I/O, a clock of its own, a lock, an allocation in the steady state.

mod endpoint;
mod health;
mod reservations;
mod roster;

use crate::decision::{
    Admission, Arrival, Candidate, Decision, Fitness, PassedOver, ReservationId, Target, Ticket,
    WhyPassedOver,
};
use crate::refusal::Cause;
use crate::{EndpointKey, Now, Outcome, Refusal};
use arrayvec::ArrayVec;
use endpoint::{Endpoint, Ewma, prompt_work};
use health::Readiness;
use payload::Usage;
use reservations::{Reservation, Reservations};
use roster::Roster;
use scheduling::filters::HeaderBasedTestingFilter;
use scheduling::{Ask, ENDPOINTS_MAX, Load, PASSED_OVER_MAX, Slot, Unwatched, Watch, Weighing};
use signals::Signals;
use std::net::SocketAddr;
use std::time::Duration;

/// What a request is expected to take before one was served.
const SERVICE_SECONDS_DEFAULT: f32 = 1.0;

/// Bounds of the time after which a shed request is told to come back.
const RETRY_AFTER_SECONDS: (f32, f32) = (1.0, 60.0);

/// Requests by which a resting endpoint must be idler than others to be picked, where resting is not allowed because half
/// of its pool rests already.
const FORCED_REQUESTS: f32 = 16.0;

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
    /// Rests after failures, for this much longer; zero: until its trial request or a scrape is answered.
    pub resting: Option<Duration>,
    /// Has rested, and not yet answered since: its next request is its trial, or one is under way.
    pub on_trial: bool,
    /// Rests begun so far: after failures in a row, a failed trial request, or missed scrapes.
    pub ejections: u64,
    /// No longer in any pool of the snapshot; stays until its last request ends.
    pub departed: bool,
}

/// What [`PoolState::reconcile`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// The place of each key, in the order of the keys.
    pub slots: Vec<Slot>,
    /// Places that belong to nobody any more, or to somebody new: `PrefixIndex::forget` them.
    pub vacated: Vec<Slot>,
}

/// Whether a model server was seen to have restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restarted {
    /// Its counters went on.
    No,
    /// Its counters ran backwards: its cache is empty.
    Yes,
}

/// See the crate's documentation.
#[derive(Debug)]
pub struct PoolState {
    roster: Roster,
    reservations: Reservations,
    /// How long a request takes, over the whole domain.
    service_seconds: Ewma,
    /// Requests that came.
    arrivals: u64,
    /// Decisions made.
    sequence: u64,
    random: fastrand::Rng,
    scratch: Scratch,
}

/// What a pick is worked out on; kept so that a pick allocates nothing.
#[derive(Debug, Default)]
struct Scratch {
    weighing: Weighing,
    matched: Matched,
    /// Endpoints that rest, with the moment they come back.
    resting: Vec<(Now, Slot)>,
    /// The first of those that may not be picked: whoever rests before whoever is outside the subset.
    passed: ArrayVec<PassedOver, PASSED_OVER_MAX>,
}

/// What prefix indexes found of one prompt, by slot.
#[derive(Debug, Default)]
struct Matched {
    bytes: Vec<u64>,
    /// Empty where no `prefix-cache-scorer` is configured.
    blocks: Vec<u16>,
    seen: Seen,
}

/// How much of a load is looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Seen {
    /// What the default policy weighs.
    #[default]
    Usual,
    /// What configured plugins weigh besides.
    All,
}

impl Matched {
    fn note(&mut self, arrival: &Arrival<'_>, slots: usize) {
        let matches = arrival.matches;
        self.bytes.clear();
        self.bytes.resize(slots, 0);
        for &(slot, head) in &matches.heads {
            if let Some(bytes) = self.bytes.get_mut(slot.0 as usize) {
                *bytes = head;
            }
        }
        self.blocks.clear();
        let configured = !matches.blocks.heads.is_empty() || arrival.test_selection.is_some();
        self.seen = if configured { Seen::All } else { Seen::Usual };
        if self.seen == Seen::Usual {
            return;
        }
        self.blocks.resize(slots, 0);
        for &(slot, head) in &matches.blocks.heads {
            if let Some(blocks) = self.blocks.get_mut(slot.0 as usize) {
                *blocks = head;
            }
        }
    }

    /// Adds to a load what only configured plugins weigh.
    #[cold]
    fn complete(&self, load: &mut Load, endpoint: &Endpoint, arrival: &Arrival<'_>) {
        load.matched_blocks = self.blocks[load.slot.0 as usize];
        load.test_selected = arrival
            .test_selection
            .is_some_and(|named| HeaderBasedTestingFilter::names(named, endpoint.key.address));
    }
}

/// How many endpoints of a pool may not be picked.
#[derive(Debug, Clone, Copy, Default)]
struct Passed {
    resting: u32,
    outside_subset: u32,
}

impl Default for PoolState {
    fn default() -> PoolState {
        PoolState::new(0)
    }
}

impl PoolState {
    /// An empty domain, drawing from `seed`.
    pub fn new(seed: u64) -> PoolState {
        PoolState {
            roster: Roster::default(),
            reservations: Reservations::default(),
            service_seconds: Ewma::default(),
            arrivals: 0,
            sequence: 0,
            random: fastrand::Rng::with_seed(seed),
            scratch: Scratch::default(),
        }
    }

    /// Makes `keys` the domain's endpoints. Known endpoints keep their place and state; those not listed depart: they are
    /// picked no more, and forgotten when their last reservation ends.
    pub fn reconcile(&mut self, keys: &[EndpointKey], now: Now) -> Reconciled {
        self.roster.reconcile(keys, now)
    }

    /// Decides where a request goes, and reserves there in the same call.
    pub fn arrive(&mut self, arrival: Arrival<'_>, now: Now) -> Admission {
        self.arrive_watched(arrival, now, &mut Unwatched)
    }

    /// The same, while somebody looks on: the decision is no other.
    pub fn arrive_watched(&mut self, arrival: Arrival<'_>, now: Now, watch: &mut impl Watch) -> Admission {
        self.arrivals += 1;
        let passed = self.gather(&arrival, now);
        let ready = self.scratch.weighing.candidates.len() as u32;
        if ready == 0 {
            return Admission::Refuse(no_ready_endpoint(&arrival, passed));
        }
        if arrival.priority < 0 && self.saturated(&arrival) {
            return Admission::Refuse(self.saturation(&arrival, ready));
        }
        let policy = &arrival.pool.policy;
        let ask = Ask { prompt_bytes: arrival.prompt.bytes, prompt_blocks: arrival.matches.blocks.of };
        let ranked = policy.rank_watched(&mut self.scratch.weighing, &ask, &mut self.random, watch);
        if ranked.is_empty() {
            let (pool, priority) = (arrival.pool.name.clone(), arrival.priority);
            return Admission::Refuse(Refusal::EveryEndpointFiltered { pool, priority, ready });
        }
        let candidates: ArrayVec<Candidate, _> =
            ranked.iter().map(|&place| self.candidate(place, now)).collect();
        let endpoints_max = policy.endpoints_max.clamp(1, ENDPOINTS_MAX);
        let endpoints = candidates.iter().map(|candidate| candidate.target).take(endpoints_max).collect();
        let first = candidates[0];
        let work = prompt_work(arrival.prompt.bytes.saturating_sub(first.matched_bytes));
        let weighed = self.scratch.weighing.candidates.len() as u32;
        self.sequence += 1;
        Admission::Send(Decision {
            // Last, so that a reservation always has a decision that will give it back.
            reservation: self.reserve(first.target.slot, arrival.prompt.bytes, work, now),
            endpoints,
            candidates,
            weighed,
            passed_over: passed.resting + passed.outside_subset + (ready - weighed),
            passed: self.passed_over(),
            sequence: self.sequence,
        })
    }

    /// How many requests have asked for a pick.
    pub fn arrivals(&self) -> u64 {
        self.arrivals
    }

    /// Takes on a pick that somebody else made: reserves at the first of `targets`, as [`PoolState::arrive`] does for its
    /// own. Those that are no endpoint of the domain any more are left out; `None` if none is left.
    pub fn assigned(&mut self, targets: &[Target], prompt_bytes: u64, now: Now) -> Option<Decision> {
        let present = |target: &&Target| {
            self.roster.present(target.slot).is_some_and(|endpoint| endpoint.key.address == target.address)
        };
        let endpoints: ArrayVec<Target, ENDPOINTS_MAX> =
            targets.iter().filter(present).copied().take(ENDPOINTS_MAX).collect();
        let first = endpoints.first()?;
        self.sequence += 1;
        Some(Decision {
            reservation: self.reserve(first.slot, prompt_bytes, prompt_work(prompt_bytes), now),
            endpoints,
            candidates: ArrayVec::new(),
            weighed: 0,
            passed_over: 0,
            passed: ArrayVec::new(),
            sequence: self.sequence,
        })
    }

    /// Moves a reservation to another endpoint of the decision after the one it was at failed with `outcome`.
    pub fn moved(&mut self, reservation: ReservationId, to: Slot, outcome: Outcome, now: Now) {
        let Some(held) = self.reservations.get(reservation).copied() else { return };
        self.release(held, outcome, now);
        let work = prompt_work(held.prompt_bytes);
        let trial = self.roster.get_mut(to).map(|endpoint| endpoint.reserve(work, now));
        if let Some(held) = self.reservations.get_mut(reservation) {
            *held = Reservation {
                slot: trial.is_some().then_some(to),
                sent: now,
                work,
                trial: trial.unwrap_or_default(),
                ..*held
            };
        }
    }

    /// The first byte of the response's body came (for a stream: the first token).
    pub fn first_token(&mut self, reservation: ReservationId, now: Now) {
        let Some(held) = self.reservations.get_mut(reservation) else { return };
        let work = std::mem::take(&mut held.work);
        let trial = std::mem::take(&mut held.trial);
        if let Some(endpoint) = held.slot.and_then(|slot| self.roster.get_mut(slot)) {
            endpoint.first_token(work, trial, held.sent, now);
        }
    }

    /// Tokens streamed since the last call; handed over in batches.
    pub fn progress(&mut self, reservation: ReservationId, tokens: u32, now: Now) {
        let _ = now;
        if let Some(held) = self.reservations.get_mut(reservation) {
            held.tokens = held.tokens.saturating_add(tokens);
        }
    }

    /// Gives a reservation back. Does nothing if that was done before. Released tickets are returned.
    pub fn done(
        &mut self,
        reservation: ReservationId,
        outcome: Outcome,
        usage: Usage,
        now: Now,
    ) -> Vec<Ticket> {
        let _ = usage;
        if let Some(held) = self.reservations.take(reservation) {
            self.release(held, outcome, now);
        }
        Vec::new()
    }

    /// A scrape of the endpoint at `slot` came back, or failed. Tells whether the server has restarted: then its prefix
    /// index is to be emptied.
    pub fn signal(&mut self, slot: Slot, scrape: Option<Signals>, now: Now) -> Restarted {
        self.roster.get_mut(slot).map_or(Restarted::No, |endpoint| endpoint.signal(scrape, now))
    }

    /// Counts what every endpoint carries anew from the live reservations: a panic may have left the two apart.
    pub fn recount(&mut self) {
        self.reservations.recount();
        for (slot, endpoint) in self.roster.iter_mut() {
            endpoint.recount(self.reservations.at(slot));
        }
    }

    /// Every endpoint, those that have departed too.
    pub fn endpoints(&self, now: Now) -> Vec<EndpointStatus> {
        self.roster.iter().map(|(slot, endpoint)| endpoint.status(slot, now)).collect()
    }

    /// The endpoints at `slots` that have not departed, for operators: so few at a time that nobody waits for the lock.
    pub fn endpoints_at<'s>(
        &'s self,
        slots: &'s [Slot],
        now: Now,
    ) -> impl Iterator<Item = EndpointStatus> + 's {
        slots.iter().filter_map(move |&slot| Some(self.roster.present(slot)?.status(slot, now)))
    }

    /// Writes down who may be picked.
    fn gather(&mut self, arrival: &Arrival<'_>, now: Now) -> Passed {
        let Scratch { weighing, matched, resting, passed: told } = &mut self.scratch;
        weighing.candidates.clear();
        resting.clear();
        told.clear();
        let mut outside = ArrayVec::<SocketAddr, PASSED_OVER_MAX>::new();
        debug_assert!(arrival.subset.is_none_or(<[SocketAddr]>::is_sorted));
        matched.note(arrival, self.roster.len());
        let fresh_seconds = arrival.pool.admission.reports_fresh_seconds;
        let seen = |endpoint: &Endpoint, slot: Slot, matched: &[u64]| {
            endpoint.load(slot, matched[slot.0 as usize], arrival.model, fresh_seconds, now)
        };
        let mut passed = Passed::default();
        for &slot in &arrival.pool.slots {
            let Some(endpoint) = self.roster.present(slot) else { continue };
            if arrival.subset.is_some_and(|subset| subset.binary_search(&endpoint.key.address).is_err()) {
                passed.outside_subset += 1;
                // The first few are told.
                let _ = outside.try_push(endpoint.key.address);
                continue;
            }
            match endpoint.health.readiness(now) {
                Readiness::Ready => {
                    let mut load = seen(endpoint, slot, &matched.bytes);
                    if matched.seen == Seen::All {
                        matched.complete(&mut load, endpoint, arrival);
                    }
                    weighing.candidates.push(load);
                }
                Readiness::Resting { until } => resting.push((until, slot)),
            }
        }
        // At most half rests, rounded down: those that come back first go on.
        let eligible = weighing.candidates.len() + resting.len();
        let forced = resting.len().saturating_sub(eligible / 2);
        if forced > 0 {
            resting.sort_unstable();
            for &(_, slot) in &resting[..forced] {
                if let Some(endpoint) = self.roster.present(slot) {
                    let mut load = seen(endpoint, slot, &matched.bytes);
                    if matched.seen == Seen::All {
                        matched.complete(&mut load, endpoint, arrival);
                    }
                    load.unseen += FORCED_REQUESTS;
                    weighing.candidates.push(load);
                }
            }
        }
        passed.resting = (resting.len() - forced) as u32;
        let rests = resting[forced..].iter().filter_map(|&(_, slot)| {
            let endpoint = self.roster.present(slot)?;
            Some(PassedOver { endpoint: endpoint.key.address, why: endpoint.why_resting(now) })
        });
        let outside =
            outside.iter().map(|&endpoint| PassedOver { endpoint, why: WhyPassedOver::OutsideSubset });
        told.extend(rests.chain(outside).take(PASSED_OVER_MAX));
        passed
    }

    /// The first of those that could not be picked, once the filters have run.
    fn passed_over(&self) -> ArrayVec<PassedOver, PASSED_OVER_MAX> {
        let filtered = self.scratch.weighing.filtered().iter().map(|&(slot, filter)| PassedOver {
            endpoint: self.roster[slot].key.address,
            why: WhyPassedOver::Filtered(filter),
        });
        self.scratch.passed.iter().copied().chain(filtered).take(PASSED_OVER_MAX).collect()
    }

    /// The endpoints are full by the pool's settings.
    fn saturated(&self, arrival: &Arrival<'_>) -> bool {
        arrival.pool.admission.detector.saturation(&self.scratch.weighing.candidates) >= 1.0
    }

    fn saturation(&self, arrival: &Arrival<'_>, ready: u32) -> Refusal {
        let (least, most) = RETRY_AFTER_SECONDS;
        let seconds = self.expected_service_seconds().clamp(least, most).ceil();
        Refusal::Saturated {
            pool: arrival.pool.name.clone(),
            priority: arrival.priority,
            ready,
            detector: arrival.pool.admission.detector,
            retry_after: Duration::from_secs_f32(seconds),
        }
    }

    fn candidate(&self, place: usize, now: Now) -> Candidate {
        let weighing = &self.scratch.weighing;
        let load = &weighing.candidates[place];
        let endpoint = &self.roster[load.slot];
        let fitness = endpoint.fitness(now);
        let forced = if fitness == Fitness::ThoughResting { FORCED_REQUESTS } else { 0.0 };
        let after_failures = endpoint.failed_requests(now) + forced;
        Candidate {
            target: Target { slot: load.slot, address: endpoint.key.address },
            fitness,
            total: weighing.total(place),
            parts: weighing.parts(place),
            in_flight: load.in_flight,
            of_others: (load.unseen - after_failures).round() as u32,
            after_failures,
            waiting: load.waiting.unwrap_or(u32::MAX),
            kv_used: load.kv_used,
            matched_bytes: load.matched_bytes,
        }
    }

    fn reserve(&mut self, slot: Slot, prompt_bytes: u64, work: Duration, now: Now) -> ReservationId {
        let trial = self.roster[slot].reserve(work, now);
        self.reservations.add(Reservation {
            slot: Some(slot),
            sent: now,
            prompt_bytes,
            work,
            trial,
            tokens: 0,
        })
    }

    /// Takes a request off its endpoint and learns from how it ended there.
    fn release(&mut self, held: Reservation, outcome: Outcome, now: Now) {
        let expected = self.expected_service_seconds();
        let Some(slot) = held.slot else { return };
        let Some(endpoint) = self.roster.get_mut(slot) else { return };
        endpoint.release(held.work, now);
        match outcome {
            Outcome::Served => {
                let seconds = now.since(held.sent).as_secs_f32();
                endpoint.served(held.trial, seconds);
                self.service_seconds.learn(seconds);
            }
            Outcome::ServerError { .. } | Outcome::Broken | Outcome::TimedOut => {
                endpoint.failed(held.trial, expected, now);
            }
            Outcome::Late | Outcome::LocalReply | Outcome::Cancelled | Outcome::Stopped => {
                endpoint.health.cancelled(held.trial);
            }
        }
        self.roster.vacate_if_empty(slot, now);
    }

    fn expected_service_seconds(&self) -> f32 {
        self.service_seconds.value().unwrap_or(SERVICE_SECONDS_DEFAULT)
    }
}

fn no_ready_endpoint(arrival: &Arrival<'_>, passed: Passed) -> Refusal {
    let endpoints = passed.resting + passed.outside_subset;
    let cause = if endpoints == 0 { Cause::Empty } else { Cause::Subset };
    Refusal::NoReadyEndpoint {
        pool: arrival.pool.name.clone(),
        priority: arrival.priority,
        endpoints,
        resting: passed.resting,
        outside_subset: passed.outside_subset,
        cause,
    }
}

#[cfg(test)]
mod tests;
