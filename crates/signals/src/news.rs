//! What is told of an endpoint whose metrics cannot be read: once, and once more when they can.
//!
//! In: what came of each attempt. Out: what is news for an operator. Never: a line for each attempt.

use crate::{Scrape, ScrapeError};
use std::net::SocketAddr;

/// Attempts in a row without a page before it is news: a server that starts has none yet.
const MISSES_TOLD: u32 = 10;

/// What one endpoint's log says.
#[derive(Debug, Default)]
pub(crate) struct News {
    misses: u32,
    last: Told,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Told {
    #[default]
    Nothing,
    Unreadable,
    NoMetrics,
}

/// What is new after an attempt.
#[derive(Debug)]
enum New<'a> {
    Unreadable(&'a ScrapeError),
    NoMetrics,
    Readable,
}

impl News {
    /// Tells what is new after this attempt at `endpoint`.
    pub(crate) fn tell(&mut self, endpoint: SocketAddr, scrape: &Scrape) {
        match self.after(scrape) {
            Some(New::Unreadable(why)) => {
                tracing::warn!(%endpoint, %why, "an endpoint's metrics cannot be read: its load is known by this process's own requests alone");
            }
            Some(New::NoMetrics) => {
                tracing::info!(%endpoint, "an endpoint has no metrics that are known: its load is known by this process's own requests alone");
            }
            Some(New::Readable) => tracing::info!(%endpoint, "an endpoint's metrics can be read again"),
            None => {}
        }
    }

    fn after<'a>(&mut self, scrape: &'a Scrape) -> Option<New<'a>> {
        let misses = self.misses + 1;
        self.misses = 0;
        let (said, new) = match scrape {
            Scrape::Missed(_) if misses < MISSES_TOLD => {
                self.misses = misses;
                return None;
            }
            Scrape::Missed(why) => {
                self.misses = MISSES_TOLD - 1;
                (Told::Unreadable, New::Unreadable(why))
            }
            Scrape::NoMetrics => (Told::NoMetrics, New::NoMetrics),
            Scrape::Read(_) => (Told::Nothing, New::Readable),
        };
        (std::mem::replace(&mut self.last, said) != said).then_some(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Signals;
    use std::time::Duration;

    #[test]
    fn what_lasts_is_told_once_and_what_passes_is_not() {
        let mut news = News::default();
        let missed = Scrape::Missed(ScrapeError::TimedOut(Duration::from_secs(1)));
        let read = Scrape::Read(Signals::default());
        for scrape in [&read, &missed, &missed, &read] {
            assert!(news.after(scrape).is_none());
        }
        for _ in 1..MISSES_TOLD {
            assert!(news.after(&missed).is_none());
        }
        assert!(matches!(news.after(&missed), Some(New::Unreadable(_))));
        for _ in 0..3 * MISSES_TOLD {
            assert!(news.after(&missed).is_none());
        }
        assert!(matches!(news.after(&read), Some(New::Readable)));
        assert!(news.after(&missed).is_none());
        assert!(matches!(news.after(&Scrape::NoMetrics), Some(New::NoMetrics)));
        assert!(news.after(&Scrape::NoMetrics).is_none());
        assert!(matches!(news.after(&read), Some(New::Readable)));
        assert!(news.after(&read).is_none());
    }
}
