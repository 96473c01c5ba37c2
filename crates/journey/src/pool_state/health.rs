//! Whether an endpoint may be picked: it rests after failures, and returns by one trial request.

use crate::Now;
use std::time::Duration;

/// Failures in a row after which an endpoint rests.
const FAILURES_MAX: u32 = 3;
/// The first rest; each trial that fails doubles it.
const REST_FIRST: Duration = Duration::from_secs(1);
/// The longest rest.
const REST_MAX: Duration = Duration::from_secs(60);
/// Scrapes missed in a row after which an endpoint that used to answer them rests: a stopped process still accepts
/// connections.
const SCRAPES_MISSED_MAX: u32 = 3;

/// Whether a request is the one by which a resting endpoint may return.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Trial {
    #[default]
    No,
    Yes,
}

/// Whether an endpoint may be picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readiness {
    Ready,
    /// Not before `until`; never by itself if that is the end of time.
    Resting {
        until: Now,
    },
}

#[derive(Debug, Clone, Copy, Default)]
enum Rest {
    #[default]
    None,
    /// Until then nothing is sent; from then on one trial.
    Until(Now),
    /// The trial is under way.
    Trial,
}

#[derive(Debug, Default)]
pub(super) struct Health {
    /// Failures in a row.
    failures: u32,
    rest: Rest,
    /// How long the last rest was.
    rested: Duration,
    /// Scrapes missed in a row.
    missed: u32,
    scraped_before: bool,
    /// Rests begun.
    ejections: u64,
}

impl Health {
    pub(super) fn readiness(&self, now: Now) -> Readiness {
        if self.unscraped() {
            return Readiness::Resting { until: Now(u64::MAX) };
        }
        match self.rest {
            Rest::Until(until) if now < until => Readiness::Resting { until },
            Rest::Trial => Readiness::Resting { until: Now(u64::MAX) },
            Rest::None | Rest::Until(_) => Readiness::Ready,
        }
    }

    /// Whether it has rested and not yet answered since: its next request is its trial, or one is under way.
    pub(super) fn on_trial(&self, now: Now) -> bool {
        match self.rest {
            Rest::None => false,
            Rest::Until(until) => until <= now,
            Rest::Trial => true,
        }
    }

    /// A request is sent: if it is the first after a rest, it is the trial.
    pub(super) fn sent(&mut self, now: Now) -> Trial {
        match self.rest {
            Rest::Until(until) if until <= now => {
                self.rest = Rest::Trial;
                Trial::Yes
            }
            _ => Trial::No,
        }
    }

    /// A request was answered. While resting, only the trial's answer counts.
    pub(super) fn answered(&mut self, trial: Trial) {
        match (self.rest, trial) {
            (_, Trial::Yes) => {
                self.rest = Rest::None;
                self.rested = Duration::ZERO;
                self.failures = 0;
            }
            (Rest::None, Trial::No) => self.failures = 0,
            _ => {}
        }
    }

    /// A request failed. While resting, only the trial's failure counts.
    pub(super) fn failed(&mut self, trial: Trial, now: Now) {
        self.failures = self.failures.saturating_add(1);
        let rests = match self.rest {
            Rest::None => self.failures >= FAILURES_MAX,
            Rest::Trial => trial == Trial::Yes,
            Rest::Until(_) => false,
        };
        if rests {
            self.rested = (self.rested * 2).clamp(REST_FIRST, REST_MAX);
            self.rest = Rest::Until(now.plus(self.rested));
            self.ejections += 1;
        }
    }

    /// A request ended without saying anything about the endpoint. A trial is had again.
    pub(super) fn cancelled(&mut self, trial: Trial) {
        if trial == Trial::Yes {
            self.rest = Rest::Until(Now::default());
        }
    }

    /// `trial`: whether the trial is under way. One that was lost is had again.
    pub(super) fn recount(&mut self, trial: Trial) {
        if matches!(self.rest, Rest::Trial) && trial == Trial::No {
            self.cancelled(Trial::Yes);
        }
    }

    pub(super) fn scraped(&mut self) {
        self.scraped_before = true;
        self.missed = 0;
    }

    pub(super) fn scrape_missed(&mut self) {
        self.missed = self.missed.saturating_add(1);
        if self.scraped_before && self.missed == SCRAPES_MISSED_MAX {
            self.ejections += 1;
        }
    }

    pub(super) fn ejections(&self) -> u64 {
        self.ejections
    }

    /// True once an endpoint that used to answer scrapes does not any more.
    pub(super) fn unscraped(&self) -> bool {
        self.scraped_before && self.missed >= SCRAPES_MISSED_MAX
    }
}
