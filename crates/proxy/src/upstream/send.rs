//! Sending a request: endpoint after endpoint until one answers, by the rules of when that is harmless.
//!
//! A request is sent again only if the endpoint cannot have begun it: connecting failed; it was handed back unsent; it
//! answered 503 before a body byte; or a *reused* connection broke before a response byte, once (the endpoint was closing
//! it): to the same endpoint, and nowhere else after that, since it may have begun the request all the same. An HTTPRoute's
//! `retry` replaces the rule on 503 by its own codes and attempts.
//! Never: after a byte was written on a fresh connection, or of a body that streams through and has begun to.

use super::connect::{connect, is_ours};
use super::heard::Word;
use super::pool::Lease;
use crate::account::Account;
use crate::body::{BodyFault, UpstreamBody};
use crate::core::Core;
use crate::deadlines::{Deadline, before};
use http::{Request, Response, StatusCode, request};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use journey::{Now, Outcome, Refusal};
use payload::Held;
use routing::Retry;
use state::{Alone, Clock, Service};
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// An endpoint is blamed for an answer that did not come in a request's time only if it had at least one part in so many of
/// it: the rest is the client's, who may take as long as it likes over its body, and the picker's.
const FAIR_SHARE: u32 = 2;

/// How often a request is sent, whatever a route asks for.
const ATTEMPTS_MAX: u32 = 16;

/// Where a request goes.
#[derive(Debug)]
pub(crate) enum Destination {
    /// Where the account's flight is; the next endpoint is the one that the pick ordered next.
    Pool,
    /// The endpoint of a Service whose turn it is; the next one is the one after it.
    Service {
        /// The Service.
        service: Arc<Service>,
        /// Place of the endpoint.
        at: usize,
        /// How many have been tried.
        tried: usize,
    },
}

impl Destination {
    fn endpoint(&self, account: &Account) -> Option<SocketAddr> {
        match self {
            Destination::Pool => account.flight().map(|flight| flight.at().address),
            Destination::Service { service, at, .. } => service.endpoints.get(*at).copied(),
        }
    }

    /// Moves on after a failure. `None`: there is no other endpoint, and that ends it.
    fn next(&mut self, account: &mut Account, outcome: Outcome, alone: Alone) -> Option<()> {
        match self {
            Destination::Pool => account.flight_mut()?.retry(outcome, alone).map(|_| ()),
            Destination::Service { service, at, tried } => {
                *tried += 1;
                *at = (*at + 1) % service.endpoints.len().max(1);
                (*tried < service.endpoints.len() || alone == Alone::Stays).then_some(())
            }
        }
    }
}

/// A request as it leaves.
#[derive(Debug)]
pub(crate) struct Outbound {
    /// Its head.
    pub(crate) head: request::Parts,
    /// Its body.
    pub(crate) body: Payload,
}

/// A request's body as it leaves.
#[derive(Debug)]
pub(crate) enum Payload {
    /// There is none.
    Empty,
    /// Held whole: may be sent again.
    Held(Rc<Held>),
    /// Streams through; gone once it has begun.
    Streamed(Option<UpstreamBody>),
}

impl Payload {
    fn body(&mut self) -> Option<UpstreamBody> {
        match self {
            Payload::Empty => Some(UpstreamBody::Empty),
            Payload::Held(held) => Some(UpstreamBody::held(Rc::clone(held))),
            Payload::Streamed(body) => body.take(),
        }
    }

    /// Takes a body back that nobody has begun to send.
    fn put_back(&mut self, unsent: UpstreamBody) {
        if let Payload::Streamed(body) = self {
            *body = Some(unsent);
        }
    }

    fn can_be_sent_again(&self) -> bool {
        !matches!(self, Payload::Streamed(None))
    }
}

/// Time limits of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The end of the whole exchange, and how long it was given.
    pub(crate) request: Option<(Now, Duration)>,
    /// One attempt, response body included.
    pub(crate) attempt: Option<Duration>,
    /// The head of the response.
    pub(crate) head: Option<Duration>,
}

impl Limits {
    /// Nothing is begun for a request whose time is over.
    pub(crate) fn leave_time(&self, clock: Clock) -> Result<(), Refusal> {
        match self.request {
            Some((end, limit)) if end <= clock.now() => Err(Refusal::RequestTimeout { limit }),
            _ => Ok(()),
        }
    }

    /// What it says of an endpoint, or of a picker, that is asked at `now` if the request's time is over before it has answered.
    pub(crate) fn blame(&self, now: Now) -> Outcome {
        match self.request {
            Some((end, limit)) if end.since(now) < limit / FAIR_SHARE => Outcome::Late,
            _ => Outcome::TimedOut,
        }
    }
}

/// An endpoint's answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The response, its body unread.
    pub(crate) response: Response<Incoming>,
    /// Its connection.
    pub(crate) lease: Lease,
    /// Passes when the response has taken too long, and what that says of the endpoint.
    pub(crate) deadline: Option<(Deadline, Outcome)>,
}

/// Why an attempt gave no answer.
#[derive(Debug)]
enum Failure {
    /// No connection.
    Connect(io::Error),
    /// The connection broke before it answered.
    Reset(String),
    /// It was a reused one, and there is no other to send the request on again.
    Lost(io::Error),
    /// A limit of time passed, and what that says of the endpoint.
    Slow(Duration, Outcome),
    /// The client's own body failed.
    Body(BodyFault),
}

impl Failure {
    fn outcome(&self) -> Outcome {
        match self {
            Failure::Connect(error) | Failure::Lost(error) if is_ours(error) => Outcome::Cancelled,
            Failure::Connect(_) | Failure::Reset(_) | Failure::Lost(_) => Outcome::Broken,
            Failure::Slow(_, outcome) => *outcome,
            Failure::Body(_) => Outcome::Cancelled,
        }
    }

    fn refusal(self, endpoint: SocketAddr, tried: u32) -> Refusal {
        match self {
            Failure::Connect(error) => {
                Refusal::EveryEndpointFailed { tried, last: endpoint, why: error.to_string() }
            }
            Failure::Reset(why) => Refusal::UpstreamReset { endpoint, why },
            Failure::Lost(error) => Refusal::UpstreamReset { endpoint, why: error.to_string() },
            Failure::Slow(limit, _) => Refusal::UpstreamTimeout { endpoint, limit },
            Failure::Body(fault) => fault.refusal(),
        }
    }
}

/// Sends `outbound` until an endpoint answers it. Every attempt stands in the account from its beginning.
pub(crate) async fn send(
    core: &Core,
    account: &mut Account,
    mut outbound: Outbound,
    mut destination: Destination,
    (limits, retry): (Limits, Option<&Retry>),
) -> Result<Answer, Refusal> {
    let mut tried = 0;
    loop {
        let Some(endpoint) = destination.endpoint(account) else {
            return Err(no_endpoint(&destination));
        };
        if tried == 0 {
            limits.leave_time(core.clock)?;
        }
        tried += 1;
        account.attempts(endpoint);
        let (outcome, failed) = match attempt(core, endpoint, &mut outbound, limits).await {
            Ok((answer, sent)) => {
                let status = answer.response.status();
                let outcome = outcome_of(status);
                if !tries_status_again(status, sent, tried, retry) || !outbound.body.can_be_sent_again() {
                    return Ok(answer);
                }
                (outcome, Ok(answer))
            }
            Err(failure) => {
                let outcome = failure.outcome();
                account.ended(outcome);
                let again = tries_failure_again(&failure, tried, retry) && outbound.body.can_be_sent_again();
                if !again {
                    return Err(failure.refusal(endpoint, tried));
                }
                (outcome, Err(failure))
            }
        };
        let attempts = retry.and_then(|retry| retry.attempts);
        let alone =
            if attempts.is_some_and(|attempts| tried <= attempts) { Alone::Stays } else { Alone::Ends };
        let backoff = retry.and_then(|retry| retry.backoff).unwrap_or_default();
        let resumes = core.clock.now().plus(backoff);
        if limits.request.is_some_and(|(end, _)| end <= resumes)
            || destination.next(account, outcome, alone).is_none()
        {
            return failed.map_err(|failure| failure.refusal(endpoint, tried));
        }
        account.ended(outcome);
        account.goes_on();
        if !backoff.is_zero() {
            tokio::time::sleep(backoff).await;
        }
    }
}

fn no_endpoint(destination: &Destination) -> Refusal {
    match destination {
        Destination::Pool => Refusal::Stopping,
        Destination::Service { service, .. } => {
            Refusal::EmptyService { service: format!("{}:{}", service.name, service.port).into() }
        }
    }
}

/// Sends a copy whose answer nobody waits for: once, within the stall timeout. The answer is taken to its end, or an endpoint
/// would see each copy hang up at once.
pub(crate) async fn try_once(core: &Core, endpoint: SocketAddr, mut copy: Outbound) {
    let deadline = core.deadlines.after(core.settings.response_stall_timeout);
    let whole = async {
        let Ok((mut response, _lease, _)) = exchange(core, endpoint, &mut copy).await else { return };
        while let Some(Ok(_)) = response.body_mut().frame().await {}
    };
    // Cut or whole: nobody asks.
    let _ = before(&deadline, whole).await;
}

/// What a status says about its endpoint.
pub(crate) fn outcome_of(status: StatusCode) -> Outcome {
    Outcome::of_status(status.as_u16())
}

fn tries_status_again(status: StatusCode, sent: Sent, tried: u32, retry: Option<&Retry>) -> bool {
    match retry {
        None => status == StatusCode::SERVICE_UNAVAILABLE && sent == Sent::Once && tried < ATTEMPTS_MAX,
        Some(retry) => {
            let attempts = retry.attempts.unwrap_or(1).min(ATTEMPTS_MAX);
            let listed = match retry.codes.is_empty() {
                true => status == StatusCode::SERVICE_UNAVAILABLE,
                false => retry.codes.contains(&status),
            };
            listed && tried <= attempts
        }
    }
}

fn tries_failure_again(failure: &Failure, tried: u32, retry: Option<&Retry>) -> bool {
    match failure {
        Failure::Connect(_) => tried < ATTEMPTS_MAX,
        // Only a route may say that a request is harmless to send twice.
        Failure::Slow(..) => {
            retry.is_some_and(|retry| tried <= retry.attempts.unwrap_or(1).min(ATTEMPTS_MAX))
        }
        Failure::Reset(_) | Failure::Lost(_) | Failure::Body(_) => false,
    }
}

/// One attempt at one endpoint, its time limits about it.
async fn attempt(
    core: &Core,
    endpoint: SocketAddr,
    outbound: &mut Outbound,
    limits: Limits,
) -> Result<(Answer, Sent), Failure> {
    let begun = core.deadlines.coarse();
    let of_attempt = |limit: Duration| (begun.plus(limit), limit, Outcome::TimedOut);
    let of_request = limits.request.map(|(end, limit)| (end, limit, limits.blame(core.clock.now())));
    let whole = [of_request, limits.attempt.map(of_attempt)];
    let whole = whole.into_iter().flatten().min_by_key(|(end, ..)| *end);
    let first = whole.into_iter().chain(limits.head.map(of_attempt)).min_by_key(|(end, ..)| *end);
    let Some((end, limit, blame)) = first else {
        let (response, lease, sent) = exchange(core, endpoint, outbound).await?;
        return Ok((Answer { response, lease, deadline: None }, sent));
    };
    let deadline = core.deadlines.unset();
    deadline.set_at(end);
    let Some(exchanged) = before(&deadline, exchange(core, endpoint, outbound)).await else {
        return Err(Failure::Slow(limit, blame));
    };
    let (response, lease, sent) = exchanged?;
    let deadline = whole.map(|(end, _, blame)| {
        deadline.set_at(end);
        (deadline, blame)
    });
    Ok((Answer { response, lease, deadline }, sent))
}

/// How often a request was sent to the endpoint that answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// Once.
    Once,
    /// Once more, on a fresh connection: a reused one broke, and whether the endpoint had begun the request is not known.
    Again,
}

/// Sends the request over an idle connection, or a fresh one, and waits for the head of the response.
async fn exchange(
    core: &Core,
    endpoint: SocketAddr,
    outbound: &mut Outbound,
) -> Result<(Response<Incoming>, Lease, Sent), Failure> {
    let gone = || Failure::Reset("the request's body had begun to stream".to_owned());
    let mut sent = Sent::Once;
    loop {
        let idle = if sent == Sent::Once { core.endpoints.take(endpoint) } else { None };
        let reused = idle.is_some();
        let mut lease = match idle {
            Some(connection) => Lease { endpoint, connection },
            None => connect(core, endpoint).await.map_err(|error| match sent {
                Sent::Once => Failure::Connect(error),
                // The endpoint may have begun the request, and died of it.
                Sent::Again => Failure::Lost(error),
            })?,
        };
        let body = outbound.body.body().ok_or_else(gone)?;
        let request = Request::from_parts(outbound.head.clone(), body);
        let begun = core.deadlines.coarse();
        lease.connection.heard.begin();
        match lease.connection.sender.try_send_request(request).await {
            Ok(response) => return Ok((response, lease, sent)),
            Err(mut error) => match error.take_message() {
                Some(request) if reused || sent == Sent::Once => {
                    outbound.body.put_back(request.into_body());
                    if !reused {
                        return Err(Failure::Connect(io::ErrorKind::ConnectionReset.into()));
                    }
                }
                None if reused
                    && was_closing(core, begun, &lease, error.error())
                    && outbound.body.can_be_sent_again() =>
                {
                    sent = Sent::Again;
                }
                _ => return Err(failure(&error.into_error())),
            },
        }
    }
}

/// The longest after a request was sent that a break may be the endpoint's closing of an idle connection, not its failure at
/// the request.
const CLOSING_MAX: Duration = Duration::from_secs(1);

/// Whether the endpoint was closing a connection that was sent on at `begun`: it broke at once, without a byte of an answer,
/// rather than our own body being at fault.
fn was_closing(core: &Core, begun: Now, lease: &Lease, error: &hyper::Error) -> bool {
    lease.connection.heard.word() == Word::Nothing
        && !error.is_user()
        && core.clock.now().since(begun) <= CLOSING_MAX
}

fn failure(error: &hyper::Error) -> Failure {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(fault) = cause.downcast_ref::<BodyFault>() {
            return Failure::Body(*fault);
        }
        if let Some(cause) = cause.downcast_ref::<io::Error>() {
            return Failure::Reset(cause.to_string());
        }
        source = cause.source();
    }
    Failure::Reset(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Shared;
    use crate::upstream::heard::Heard;
    use crate::upstream::pool::Connection;
    use hyper::client::conn::http1;
    use hyper_util::rt::TokioIo;
    use std::net::{Ipv4Addr, TcpListener};
    use std::pin::Pin;
    use std::task::{Context, Waker};

    #[test]
    fn a_status_is_tried_again_by_the_routes_word_or_else_only_503() {
        let retry = |codes: &[u16], attempts| Retry {
            codes: codes.iter().map(|code| StatusCode::from_u16(*code).unwrap()).collect(),
            attempts,
            backoff: None,
        };
        let table = [
            (503, Sent::Once, 1, None, true),
            (503, Sent::Again, 1, None, false),
            (503, Sent::Once, ATTEMPTS_MAX, None, false),
            (500, Sent::Once, 1, None, false),
            (429, Sent::Once, 1, None, false),
            (500, Sent::Once, 1, Some(retry(&[500, 502], Some(2))), true),
            (500, Sent::Again, 2, Some(retry(&[500, 502], Some(2))), true),
            (500, Sent::Once, 3, Some(retry(&[500, 502], Some(2))), false),
            (503, Sent::Once, 1, Some(retry(&[500], Some(2))), false),
            (503, Sent::Once, 1, Some(retry(&[], None)), true),
            (503, Sent::Once, 2, Some(retry(&[], None)), false),
        ];
        for (status, sent, tried, retry, expected) in table {
            let status = StatusCode::from_u16(status).unwrap();
            let again = tries_status_again(status, sent, tried, retry.as_ref());
            assert_eq!(again, expected, "{status}, sent {sent:?}, after {tried} with {retry:?}");
        }
    }

    #[test]
    fn being_out_of_descriptors_says_nothing_about_the_endpoint() {
        for failure in [Failure::Connect, Failure::Lost] {
            let outcome = |code| failure(io::Error::from_raw_os_error(code)).outcome();
            for ours in [24, 23, 105, 99] {
                assert_eq!(outcome(ours), Outcome::Cancelled, "{ours}");
            }
            assert_eq!(outcome(111), Outcome::Broken);
        }
        assert_eq!(Failure::Slow(Duration::ZERO, Outcome::TimedOut).outcome(), Outcome::TimedOut);
    }

    #[test]
    fn an_endpoint_is_blamed_for_the_end_of_a_requests_time_only_if_it_had_a_fair_share_of_that() {
        let second = |count| Now::default().plus(Duration::from_secs(count));
        let limits = |request| Limits { request, attempt: None, head: None };
        let ten = limits(Some((second(110), Duration::from_secs(10))));
        for (asked_at, blame) in
            [(100, Outcome::TimedOut), (105, Outcome::TimedOut), (106, Outcome::Late), (111, Outcome::Late)]
        {
            assert_eq!(ten.blame(second(asked_at)), blame, "{asked_at}");
        }
        assert_eq!(limits(None).blame(second(111)), Outcome::TimedOut);
    }

    #[test]
    fn only_what_cannot_have_begun_is_sent_again() {
        let refused = Failure::Connect(io::ErrorKind::ConnectionRefused.into());
        let slow = Failure::Slow(Duration::ZERO, Outcome::TimedOut);
        assert!(tries_failure_again(&refused, 1, None));
        assert!(!tries_failure_again(&Failure::Reset(String::new()), 1, None));
        assert!(!tries_failure_again(&Failure::Lost(io::ErrorKind::ConnectionRefused.into()), 1, None));
        assert!(!tries_failure_again(&slow, 1, None));
        let retry = Retry { codes: Vec::new(), attempts: Some(1), backoff: None };
        assert!(tries_failure_again(&slow, 1, Some(&retry)));
        assert!(!tries_failure_again(&slow, 2, Some(&retry)));
    }

    #[tokio::test]
    async fn a_streamed_body_that_was_not_begun_is_there_for_the_next_endpoint() {
        let core = Core::new(&Shared::of_nothing(), 0);
        let absent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let (io, _far) = tokio::io::duplex(1);
        let (sender, mut idle) = http1::handshake(TokioIo::new(io)).await.unwrap();
        assert!(Pin::new(&mut idle).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let connection = Connection { sender, heard: Heard::new() };
        Lease { endpoint: absent, connection }.release(&core.endpoints);
        let head = Request::new(()).into_parts().0;
        let mut outbound = Outbound { head, body: Payload::Streamed(Some(UpstreamBody::Empty)) };
        let closes = async move { drop(idle) };
        let (failed, ()) = tokio::join!(exchange(&core, absent, &mut outbound), closes);
        assert!(matches!(failed, Err(Failure::Connect(_))), "{failed:?}");
        assert!(outbound.body.can_be_sent_again());
    }
}
