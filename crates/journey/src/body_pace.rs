//! Step 1 of 5, parse: how long a request body that is held is waited for.
//!
//! In: when a body began, and its bytes as they come. Out: the moment at which it is given up, and why.
//! Never: a body that holds its place for ever by coming in drops.

use crate::{Now, Refusal};
use std::time::Duration;

/// How fast a request body must come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyPace {
    /// Between two pieces; and how long a body may come more slowly than the rate.
    pub stall_timeout: Duration,
    /// Bytes per second; 0 sets no rate.
    pub rate_min: u64,
}

impl BodyPace {
    /// How long so many bytes may take; `None` without a rate.
    fn time_for(self, bytes: u64) -> Option<Duration> {
        let nanoseconds = (u128::from(bytes) * 1_000_000_000).checked_div(u128::from(self.rate_min))?;
        Some(Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX)))
    }
}

/// A body that comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyArriving {
    begun: Now,
    heard: Now,
    received: u64,
    /// Until when what came is enough at the least rate. Never later than it came: what came fast at first does not pay for
    /// drops.
    enough_until: Now,
}

impl BodyArriving {
    /// A body of which nothing came yet.
    pub fn begun(now: Now) -> BodyArriving {
        BodyArriving { begun: now, heard: now, received: 0, enough_until: now }
    }

    /// So many bytes came; none is no sign of life.
    pub fn came(&mut self, bytes: u64, pace: BodyPace, now: Now) {
        if bytes > 0 {
            self.heard = now;
            self.received += bytes;
            self.enough_until =
                pace.time_for(bytes).map_or(now, |time| self.enough_until.plus(time).min(now));
        }
    }

    /// Bytes that came.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// When the body is given up unless more of it comes.
    pub fn deadline(&self, pace: BodyPace) -> Now {
        self.slow(pace).min(self.stalled(pace))
    }

    /// Why it is given up then.
    pub fn refusal(&self, pace: BodyPace) -> Refusal {
        let received = self.received;
        let slow = self.slow(pace);
        if slow < self.stalled(pace) {
            return Refusal::BodySlow { received, after: slow.since(self.begun), rate_min: pace.rate_min };
        }
        Refusal::BodyStalled { received, stalled: pace.stall_timeout }
    }

    fn stalled(&self, pace: BodyPace) -> Now {
        self.heard.plus(pace.stall_timeout)
    }

    fn slow(&self, pace: BodyPace) -> Now {
        self.enough_until.plus(pace.stall_timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: BodyPace = BodyPace { stall_timeout: Duration::from_secs(30), rate_min: 1024 };

    fn at(seconds: u64) -> Now {
        Now(0).plus(Duration::from_secs(seconds))
    }

    #[test]
    fn a_body_that_comes_in_drops_is_given_up_and_one_that_comes_fast_enough_is_not() {
        let mut drops = BodyArriving::begun(at(0));
        let mut fast = BodyArriving::begun(at(0));
        for second in 1..=100 {
            fast.came(1025, PACE, at(second));
            assert!(fast.deadline(PACE) > at(second), "after {second} s");
            if drops.deadline(PACE) > at(second) {
                drops.came(1, PACE, at(second));
            }
        }
        assert_eq!(drops.received(), 30, "each byte gives it a millisecond");
        let slow =
            Refusal::BodySlow { received: 30, after: drops.deadline(PACE).since(at(0)), rate_min: 1024 };
        assert_eq!(drops.refusal(PACE), slow);
    }

    #[test]
    fn what_came_fast_at_first_does_not_pay_for_drops() {
        let mut burst = BodyArriving::begun(at(0));
        burst.came(32 << 20, PACE, at(1));
        burst.came(1, PACE, at(30));
        assert_eq!(burst.deadline(PACE).since(at(31)).as_secs(), 0, "at once after the stall timeout");
        assert!(matches!(burst.refusal(PACE), Refusal::BodySlow { .. }));
    }

    #[test]
    fn a_body_that_pauses_and_goes_on_is_given_all_the_time_anew() {
        let mut pauses = BodyArriving::begun(at(0));
        for round in 0..100 {
            pauses.came(64 << 10, PACE, at(round * 29));
            assert_eq!(pauses.deadline(PACE), at(round * 29 + 30));
        }
    }

    #[test]
    fn a_body_that_stops_is_given_up_after_the_stall_timeout_and_empty_pieces_do_not_help() {
        let mut stops = BodyArriving::begun(at(0));
        stops.came(1 << 20, PACE, at(10));
        stops.came(0, PACE, at(20));
        assert_eq!(stops.deadline(PACE), at(40));
        let stalled = Refusal::BodyStalled { received: 1 << 20, stalled: PACE.stall_timeout };
        assert_eq!(stops.refusal(PACE), stalled);
        let nothing = BodyArriving::begun(at(5));
        assert_eq!(nothing.refusal(PACE), Refusal::BodyStalled { received: 0, stalled: PACE.stall_timeout });
    }

    #[test]
    fn without_a_rate_a_body_may_come_in_drops() {
        let pace = BodyPace { rate_min: 0, ..PACE };
        let mut drops = BodyArriving::begun(at(0));
        (1..=100).for_each(|second| drops.came(1, pace, at(second * 20)));
        assert_eq!(drops.deadline(pace), at(2030));
        assert_eq!(BodyPace { rate_min: 1, ..PACE }.time_for(u64::MAX), Some(Duration::from_nanos(u64::MAX)));
    }
}
