//! A rule, once it is matched: where it sends, with what share, and what it does on the way.

use crate::filters::Filters;
use http::StatusCode;
use resources::ObjectName;
use std::sync::Arc;
use std::time::Duration;

/// What a backendRef can be resolved to.
pub trait Destination: Clone {
    /// Whether its endpoint is picked by what the body says.
    fn kind(&self) -> DestinationKind;
    /// Nothing that can be sent to: what stands in for a backend whose filters are not supported (500, by the standard).
    fn broken(why: Arc<str>) -> Self;
}

/// What routing needs to know of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DestinationKind {
    /// An InferencePool: the body is read before its endpoint is picked.
    Pool,
    /// Anything else: the body streams through.
    Plain,
}

/// One rule of one HTTPRoute, with one of its matches, ready to be walked. `B` is what a backendRef was resolved to.
#[derive(Debug)]
pub struct Rule<B> {
    /// `namespace/name rule 0 match 0`, for logs and `explain`.
    pub label: Arc<str>,
    /// The HTTPRoute.
    pub route: ObjectName,
    /// Place of the rule in the route, from 0.
    pub rule_index: usize,
    /// Place of the match in the rule, from 0.
    pub match_index: usize,
    /// The rule's own name, if it has one.
    pub rule_name: Option<Arc<str>>,
    /// What it sends to, with weights; none means 500 by the standard.
    pub backends: Vec<Weighted<B>>,
    /// What it does to requests and responses.
    pub filters: Arc<Filters<B>>,
    /// Time limits.
    pub timeouts: Timeouts,
    /// The route's own word on retries; replaces the built-in one for answers that carry a status.
    pub retry: Option<Retry>,
    /// The prefix that matched, without its trailing slash, if a prefix matched: what `ReplacePrefixMatch` replaces.
    pub(crate) prefix: Option<Arc<str>>,
    pub(crate) has_pool_backend: bool,
}

/// A backend and its share.
#[derive(Debug, Clone)]
pub struct Weighted<B> {
    /// Its share; 0 gets nothing.
    pub weight: u32,
    /// What the backendRef was resolved to.
    pub backend: B,
    /// Filters of this backendRef alone; they run after the rule's.
    pub filters: Option<Arc<Filters<B>>>,
}

/// `timeouts` of a rule; `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// From the request's arrival to the end of the response.
    pub request: Option<Duration>,
    /// For one attempt at one endpoint.
    pub backend_request: Option<Duration>,
}

/// `retry` of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Statuses that are tried again; empty leaves that to the gateway.
    pub codes: Vec<StatusCode>,
    /// How often; `None` leaves that to the gateway.
    pub attempts: Option<u32>,
    /// The least time between attempts.
    pub backoff: Option<Duration>,
}

impl<B> Rule<B> {
    /// Draws a backend by weight. `None`: nothing has a share (500, by the standard).
    pub fn draw(&self, random: &mut fastrand::Rng) -> Option<&Weighted<B>> {
        if let [only] = &self.backends[..] {
            return (only.weight > 0).then_some(only);
        }
        let total: u64 = self.backends.iter().map(|backend| u64::from(backend.weight)).sum();
        let mut point = if total == 0 { return None } else { random.u64(..total) };
        self.backends.iter().find(|backend| match point.checked_sub(u64::from(backend.weight)) {
            Some(rest) => {
                point = rest;
                false
            }
            None => true,
        })
    }

    /// Whether a request of this rule may go to an InferencePool: its body is read before the backend is drawn.
    pub fn has_pool_backend(&self) -> bool {
        self.has_pool_backend
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(weights: &[u32]) -> Rule<usize> {
        let backends = weights
            .iter()
            .enumerate()
            .map(|(backend, &weight)| Weighted { weight, backend, filters: None })
            .collect();
        Rule {
            label: Arc::from("default/r rule 0 match 0"),
            route: ObjectName { namespace: Arc::from("default"), name: Arc::from("r") },
            rule_index: 0,
            match_index: 0,
            rule_name: None,
            backends,
            filters: Arc::default(),
            timeouts: Timeouts::default(),
            retry: None,
            prefix: None,
            has_pool_backend: false,
        }
    }

    #[test]
    fn backends_are_drawn_by_their_weights() {
        let rule = rule(&[90, 0, 10]);
        let mut random = fastrand::Rng::with_seed(1);
        let mut drawn = [0_u32; 3];
        for _ in 0..10_000 {
            drawn[rule.draw(&mut random).unwrap().backend] += 1;
        }
        assert_eq!(drawn[1], 0);
        assert!((8_800..9_200).contains(&drawn[0]), "{drawn:?}");
    }

    #[test]
    fn a_rule_without_a_share_sends_nowhere() {
        let mut random = fastrand::Rng::with_seed(1);
        for weights in [&[][..], &[0], &[0, 0]] {
            assert!(rule(weights).draw(&mut random).is_none());
        }
        assert!(rule(&[u32::MAX, u32::MAX]).draw(&mut random).is_some());
    }
}
