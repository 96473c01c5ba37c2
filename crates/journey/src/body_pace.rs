//! Step 1 of 5, parse: how long a request body that is held is waited for.
//!
//! In: when a body began, and its bytes as they come. Out: the moment at which it is given up, and why.
//! Never: a body that holds its place for ever by coming in drops.

use crate::{Now, Refusal};
use std::time::Duration;

/// How fast a request body must come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyPace {
    /// Between two pieces, and the grace before the rate counts.
    pub stall_timeout: Duration,
    /// Since its start, bytes per second; 0 sets no rate.
    pub rate_min: u64,
}

impl BodyPace {
    /// How long after its start a body of which so many bytes have come falls below the rate; `None` if there is none.
    pub fn slow_after(self, received: u64) -> Option<Duration> {
        let nanoseconds = (u128::from(received) * 1_000_000_000).checked_div(u128::from(self.rate_min))?;
        let due = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        Some(due.max(self.stall_timeout))
    }
}

/// A body that comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyArriving {
    begun: Now,
    heard: Now,
    received: u64,
}

impl BodyArriving {
    /// A body of which nothing came yet.
    pub fn begun(now: Now) -> BodyArriving {
        BodyArriving { begun: now, heard: now, received: 0 }
    }

    /// So many bytes came; none is no sign of life.
    pub fn came(&mut self, bytes: u64, now: Now) {
        if bytes > 0 {
            self.heard = now;
            self.received += bytes;
        }
    }

    /// Bytes that came.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// When the body is given up unless more of it comes.
    pub fn deadline(&self, pace: BodyPace) -> Now {
        let slow = self.slow(pace);
        slow.map_or(self.stalled(pace), |slow| slow.min(self.stalled(pace)))
    }

    /// Why it is given up then.
    pub fn refusal(&self, pace: BodyPace) -> Refusal {
        let received = self.received;
        match self.slow(pace) {
            Some(slow) if slow < self.stalled(pace) => {
                Refusal::BodySlow { received, after: slow.since(self.begun), rate_min: pace.rate_min }
            }
            _ => Refusal::BodyStalled { received, stalled: pace.stall_timeout },
        }
    }

    fn stalled(&self, pace: BodyPace) -> Now {
        self.heard.plus(pace.stall_timeout)
    }

    fn slow(&self, pace: BodyPace) -> Option<Now> {
        pace.slow_after(self.received).map(|after| self.begun.plus(after))
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
            fast.came(1025, at(second));
            assert!(fast.deadline(PACE) > at(second), "after {second} s");
            if drops.deadline(PACE) > at(second) {
                drops.came(1, at(second));
            }
        }
        assert_eq!((drops.received(), drops.deadline(PACE)), (29, at(30)));
        let slow = Refusal::BodySlow { received: 29, after: Duration::from_secs(30), rate_min: 1024 };
        assert_eq!(drops.refusal(PACE), slow);
    }

    #[test]
    fn a_body_that_stops_is_given_up_after_the_stall_timeout_and_empty_pieces_do_not_help() {
        let mut stops = BodyArriving::begun(at(0));
        stops.came(1 << 20, at(10));
        stops.came(0, at(20));
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
        (1..=100).for_each(|second| drops.came(1, at(second * 20)));
        assert_eq!(drops.deadline(pace), at(2030));
        assert_eq!(
            BodyPace { rate_min: 1, ..PACE }.slow_after(u64::MAX),
            Some(Duration::from_nanos(u64::MAX))
        );
    }
}
