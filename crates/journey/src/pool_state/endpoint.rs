//! What is known of one endpoint: the load that it carries, how fast it is, what it reported.

use super::health::{Health, Readiness, Trial};
use super::reservations::Reservation;
use super::{EndpointStatus, Restarted};
use crate::{EndpointKey, Fitness, Now, WhyPassedOver};
use scheduling::{AdapterFit, Load, PROMPT_SECONDS_PER_BYTE, Slot};
use signals::Signals;
use std::time::Duration;

/// Prompts are computed in pieces of about this many bytes; what is smaller fits into a step of the batch that runs
/// anyway, and is no backlog.
const PROMPT_PIECE_BYTES: u64 = 4096;

/// Failed requests that count for less than this are forgotten.
const FAILED_REQUESTS_MIN: f32 = 0.05;

/// Whether an endpoint may get requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Some pool may have it.
    Present,
    /// No pool has it; it stays until its last request ends.
    Departed,
    /// Its place belongs to nobody.
    Vacant,
}

#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) key: EndpointKey,
    pub(super) standing: Standing,
    pub(super) health: Health,
    /// Requests sent from here and not ended.
    pub(super) in_flight: u32,
    /// The most of these since the last good scrape: what the scrape counts of ours is not more.
    in_flight_peak: u32,
    /// Requests that others sent, by the last scrape.
    foreign: u32,
    failed: FailedRequests,
    backlog: Backlog,
    signals: Signals,
    scraped: Option<Now>,
    service_seconds: Ewma,
    first_token_seconds: Ewma,
}

impl Endpoint {
    pub(super) fn new(key: EndpointKey) -> Endpoint {
        Endpoint {
            key,
            standing: Standing::Present,
            health: Health::default(),
            in_flight: 0,
            in_flight_peak: 0,
            foreign: 0,
            failed: FailedRequests::default(),
            backlog: Backlog::default(),
            signals: Signals::default(),
            scraped: None,
            service_seconds: Ewma::default(),
            first_token_seconds: Ewma::default(),
        }
    }

    /// The endpoint as a request for `model` sees it, where reports count for `fresh_seconds`.
    pub(super) fn load(
        &self,
        slot: Slot,
        matched_bytes: u64,
        model: &str,
        fresh_seconds: f32,
        now: Now,
    ) -> Load {
        let mut load = Load {
            in_flight: self.in_flight,
            unseen: self.failed.at(now),
            backlog_seconds: self.backlog.seconds(now),
            matched_bytes,
            adapter: self.adapter_fit(model),
            ..Load::idle(slot)
        };
        if let Some(scraped) = self.scraped {
            load.report_age_seconds = seconds_between(scraped, now);
        }
        if load.report_age_seconds <= fresh_seconds {
            load.unseen += self.foreign as f32;
            load.waiting = self.signals.waiting;
            load.running = self.signals.running.unwrap_or(0);
            load.kv_used = self.signals.kv_used.unwrap_or(f32::NAN);
        }
        load
    }

    /// Requests that failed a moment ago, as far as they count.
    pub(super) fn failed_requests(&self, now: Now) -> f32 {
        self.failed.at(now)
    }

    /// How far it may be picked, if it is weighed.
    pub(super) fn fitness(&self, now: Now) -> Fitness {
        match self.health.readiness(now) {
            Readiness::Resting { .. } => Fitness::ThoughResting,
            Readiness::Ready if self.health.on_trial(now) => Fitness::Trial,
            Readiness::Ready => Fitness::Ready,
        }
    }

    /// Why it is passed over, if it rests.
    pub(super) fn why_resting(&self, now: Now) -> WhyPassedOver {
        match self.health.readiness(now) {
            Readiness::Resting { until } if until != Now(u64::MAX) => {
                WhyPassedOver::Resting(until.since(now))
            }
            _ if self.health.unscraped() => WhyPassedOver::Unscraped,
            _ => WhyPassedOver::OnTrial,
        }
    }

    /// Takes a request on.
    pub(super) fn reserve(&mut self, work: Duration, now: Now) -> Trial {
        self.in_flight += 1;
        self.in_flight_peak = self.in_flight_peak.max(self.in_flight);
        self.backlog.add(work, now);
        self.health.sent(now)
    }

    /// Lets a request go; `work` is what is left of its part of the backlog.
    pub(super) fn release(&mut self, work: Duration, now: Now) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.backlog.take(work, now);
    }

    /// Counts anew what it carries: `held` is all that is reserved here.
    pub(super) fn recount<'h>(&mut self, held: impl Iterator<Item = &'h Reservation>) {
        self.in_flight = 0;
        self.backlog.pending = Duration::ZERO;
        let mut trial = Trial::No;
        for held in held {
            self.in_flight += 1;
            self.backlog.pending += held.work;
            if held.trial == Trial::Yes {
                trial = Trial::Yes;
            }
        }
        self.health.recount(trial);
    }

    pub(super) fn first_token(&mut self, work: Duration, trial: Trial, sent: Now, now: Now) {
        self.backlog.take(work, now);
        if trial == Trial::Yes {
            self.health.answered(trial);
        }
        self.first_token_seconds.learn(now.since(sent).as_secs_f32());
    }

    pub(super) fn served(&mut self, trial: Trial, seconds: f32) {
        self.health.answered(trial);
        self.service_seconds.learn(seconds);
    }

    /// A request failed. It goes on counting as load for the time that it should have taken, or an endpoint that fails
    /// fast would look idle; `expected_seconds` if none was served here.
    pub(super) fn failed(&mut self, trial: Trial, expected_seconds: f32, now: Now) {
        self.health.failed(trial, now);
        self.failed.add(self.service_seconds.value().unwrap_or(expected_seconds), now);
    }

    /// A scrape came back, or failed. What a page does not have stands as it was.
    pub(super) fn signal(&mut self, scrape: Option<Signals>, now: Now) -> Restarted {
        let Some(new) = scrape else {
            self.health.scrape_missed();
            self.foreign /= 2;
            return Restarted::No;
        };
        self.health.scraped();
        self.scraped = Some(now);
        if new.waiting.is_some() || new.running.is_some() {
            let counted = new.waiting.unwrap_or(0).saturating_add(new.running.unwrap_or(0));
            self.foreign = counted.saturating_sub(self.in_flight_peak);
        }
        self.in_flight_peak = self.in_flight;
        let old = std::mem::take(&mut self.signals);
        let restarted = matches!((old.served, new.served), (Some(before), Some(after)) if after < before);
        self.signals = Signals {
            waiting: new.waiting.or(old.waiting),
            running: new.running.or(old.running),
            kv_used: new.kv_used.or(old.kv_used),
            block_tokens: new.block_tokens.or(old.block_tokens),
            blocks: new.blocks.or(old.blocks),
            adapters: new.adapters.or(old.adapters),
            served: new.served.or(old.served),
        };
        if restarted { Restarted::Yes } else { Restarted::No }
    }

    pub(super) fn status(&self, slot: Slot, now: Now) -> EndpointStatus {
        let resting = match self.health.readiness(now) {
            Readiness::Ready => None,
            Readiness::Resting { until: Now(u64::MAX) } => Some(Duration::ZERO),
            Readiness::Resting { until } => Some(until.since(now)),
        };
        EndpointStatus {
            key: self.key.clone(),
            slot,
            in_flight: self.in_flight,
            signals: self.signals.clone(),
            scraped: self.scraped.map(|scraped| now.since(scraped)),
            resting,
            on_trial: self.health.on_trial(now),
            ejections: self.health.ejections(),
            departed: self.standing == Standing::Departed,
        }
    }

    /// Adapters as reported: activity, not residency.
    fn adapter_fit(&self, model: &str) -> AdapterFit {
        let Some(adapters) = &self.signals.adapters else { return AdapterFit::UNTOLD };
        let among = |names: &[Box<str>]| names.iter().any(|name| **name == *model);
        let facts = [
            (among(&adapters.running), AdapterFit::ACTIVE),
            (among(&adapters.waiting), AdapterFit::WAITING),
            (adapters.running.len() + adapters.waiting.len() < adapters.max as usize, AdapterFit::ROOM),
        ];
        facts.into_iter().filter(|(told, _)| *told).fold(AdapterFit::FULL, |fit, (_, fact)| fit.and(fact))
    }
}

/// Seconds from one moment to a later one. Without a `Duration`, whose division would be done for every candidate, and as
/// a signed number, which converts in one instruction.
fn seconds_between(earlier: Now, later: Now) -> f32 {
    later.0.saturating_sub(earlier.0).cast_signed() as f32 * 1e-9
}

/// How long an endpoint would compute on so much of a prompt; nothing for less than a piece.
pub(super) fn prompt_work(uncached_bytes: u64) -> Duration {
    let pieces = uncached_bytes / PROMPT_PIECE_BYTES;
    Duration::from_secs_f32(PROMPT_SECONDS_PER_BYTE * PROMPT_PIECE_BYTES as f32).saturating_mul(pieces as u32)
}

/// Prompt work sent and not computed yet, as a clock that runs ahead: work passes as time does, and each first token sets
/// the clock right.
#[derive(Debug, Default)]
struct Backlog {
    /// When all of it will be computed.
    through_at: Now,
    /// Work of the requests without a first token.
    pending: Duration,
}

impl Backlog {
    fn seconds(&self, now: Now) -> f32 {
        seconds_between(now, self.through_at)
    }

    fn add(&mut self, work: Duration, now: Now) {
        self.pending += work;
        self.through_at = self.through_at.max(now).plus(work);
    }

    fn take(&mut self, work: Duration, now: Now) {
        self.pending = self.pending.saturating_sub(work);
        self.through_at = self.through_at.min(now.plus(self.pending));
    }
}

/// Requests that failed a moment ago: each counts 1 at first and fades with the time that it should have taken.
#[derive(Debug, Default)]
struct FailedRequests {
    count: f32,
    at: Now,
    fade_seconds: f32,
}

impl FailedRequests {
    fn at(&self, now: Now) -> f32 {
        if self.count == 0.0 {
            return 0.0;
        }
        let left = self.count * (-now.since(self.at).as_secs_f32() / self.fade_seconds).exp();
        if left < FAILED_REQUESTS_MIN { 0.0 } else { left }
    }

    fn add(&mut self, expected_seconds: f32, now: Now) {
        *self = FailedRequests {
            count: self.at(now) + 1.0,
            at: now,
            fade_seconds: expected_seconds.max(f32::MIN_POSITIVE),
        };
    }
}

/// A mean that forgets: the last ten or so count.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ewma(Option<f32>);

impl Ewma {
    const NEWEST_SHARE: f32 = 0.1;

    pub(super) fn learn(&mut self, value: f32) {
        self.0 = Some(self.0.map_or(value, |mean| mean + Ewma::NEWEST_SHARE * (value - mean)));
    }

    pub(super) fn value(self) -> Option<f32> {
        self.0
    }
}
