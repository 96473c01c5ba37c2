//! Step 4 by somebody else: the pool's own endpoint picker, a Service, is asked over ext_proc where a request goes.
//!
//! In: the request as it is to leave, its body held whole. Out: a flight over the endpoints that the picker ordered, with
//! the head and the body as it wants them; or its own answer to the client. A picker that fails is the pool's `failureMode`'s
//! to judge: `FailOpen` lets the built-in picker pick, `FailClose` refuses.
//! Never: an endpoint outside the pool; a wait for the picker longer than its limit; a response lost because the picker
//! failed at its head.

use crate::account::Account;
use crate::core::Core;
use crate::read::Read;
use crate::upstream::Limits;
use bytes::Bytes;
use extproc::client::{self, Answer, Asked, Chosen, Exchange, Failure, LimitOf, Shown, Verdict};
use http::header::CONTENT_LENGTH;
use http::{Response, StatusCode, request};
use http_body::Body;
use hyper::body::Incoming;
use journey::{Now, Outcome, Refusal};
use state::{Dispatch, EndpointPicker, FailureMode, Flight, Pool, assign};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use telemetry::{AskedPicker, PickerOutcome};

/// What a pool's own picker made of a request.
#[derive(Debug)]
pub(crate) enum Turned {
    /// It picked: the flight is the account's.
    Picked,
    /// It answered the client.
    Answered(Answer),
    /// The built-in picker is to pick: it failed, and the pool fails open.
    BuiltIn,
}

/// A picker whose pool fails open gets one part in so many of the time that a request has left: the rest is for the endpoint
/// that the built-in picker picks in its place.
const FAIL_OPEN_SHARE: u32 = 2;

/// How long a picker may take of a request's time, and who made that what it is.
fn time(limits: Limits, mode: FailureMode, now: Now) -> (Duration, LimitOf) {
    let left = limits.request.map_or(Duration::MAX, |(end, _)| end.since(now));
    let limit = match mode {
        FailureMode::FailOpen => left / FAIL_OPEN_SHARE,
        FailureMode::FailClose => left,
    };
    (limit, if limits.blame(now) == Outcome::TimedOut { LimitOf::Route } else { LimitOf::Client })
}

/// Asks the pool's own picker, within the time that is left of the request's.
pub(crate) async fn pick(
    core: &Rc<Core>,
    account: &mut Account,
    head: &mut request::Parts,
    (pool, picker, limits): (&Arc<Pool>, &Arc<EndpointPicker>, Limits),
    read: &mut Read,
) -> Result<Turned, Refusal> {
    let begun = core.clock.now();
    account.pause();
    let asked = ask(core, head, (pool, picker, limits), read).await;
    account.resume();
    let note = |outcome, why: Option<&Failure>| note(core, picker, begun, outcome, why);
    let failure = match asked {
        Ok((exchange, Verdict::Picked(chosen))) => {
            match flight(core, &core.newest(pool), &chosen, (head, read)) {
                Ok(flight) => {
                    account.record.picker = note(PickerOutcome::Picked, None);
                    account.took_off(flight);
                    account.exchange = Some(Box::new(exchange));
                    put_on(*chosen, head, read);
                    return Ok(Turned::Picked);
                }
                Err(failure) => failure,
            }
        }
        Ok((exchange, Verdict::Answered(answer))) => {
            account.exchange = Some(Box::new(exchange));
            account.record.picker = note(PickerOutcome::Answered, None);
            return Ok(Turned::Answered(answer));
        }
        Err(failure) => failure,
    };
    account.record.picker = note(PickerOutcome::Failed, Some(&failure));
    match picker.failure_mode {
        FailureMode::FailOpen => Ok(Turned::BuiltIn),
        FailureMode::FailClose => Err(Refusal::EndpointPickerFailed {
            pool: Arc::clone(&pool.view.name),
            picker: Arc::clone(&picker.name),
            why: failure.to_string(),
        }),
    }
}

async fn ask(
    core: &Core,
    head: &request::Parts,
    (pool, picker, limits): (&Arc<Pool>, &Arc<EndpointPicker>, Limits),
    read: &Read,
) -> Result<(Exchange, Verdict), Failure> {
    let body = read.held.rope().clone();
    let (limit, limit_of) = time(limits, picker.failure_mode, core.clock.now());
    let (scheme, turn) = (crate::request::SCHEME, core.thread());
    let budget = &core.budget;
    let asked = Asked { pool, head, scheme, body: &body, budget, turn, limit, limit_of };
    core.pickers.pick(picker, asked).await
}

/// Reserves where the picker wants the request to go.
fn flight(
    core: &Core,
    pool: &Arc<Pool>,
    chosen: &Chosen,
    (head, read): (&request::Parts, &Read),
) -> Result<Flight, Failure> {
    let asked = read.request.as_ref().map(|request| Dispatch::told(request, &head.headers));
    let asked = asked.map(|asked| Dispatch { body: Some(read.held.rope()), ..asked });
    let flight = asked.and_then(|asked| assign(pool, &asked, &chosen.endpoints, core.clock));
    flight.ok_or_else(|| {
        let picked: Vec<String> = chosen.endpoints.iter().take(TOLD_MAX).map(ToString::to_string).collect();
        Failure::OutsidePool { picked: picked.join(", ") }
    })
}

/// Endpoints outside the pool that a message repeats.
const TOLD_MAX: usize = 4;

/// Changes the request as the picker wants it.
fn put_on(chosen: Chosen, head: &mut request::Parts, read: &mut Read) {
    client::apply(&chosen.headers, &mut head.headers);
    if let Some(body) = chosen.body {
        read.held.replace(body);
        // hyper writes the length that the body has.
        head.headers.remove(CONTENT_LENGTH);
    }
}

/// What becomes of a response that the picker was shown.
#[derive(Debug)]
pub(crate) enum Judged {
    /// It goes on.
    Passed,
    /// Its head goes on, with this body.
    Replaced(Bytes),
    /// The client is answered thus in its place.
    Answered(Answer),
}

/// Shows the picker the head of the response, and changes it as the picker wants. One that fails here changes nothing.
pub(crate) async fn show_response(
    core: &Core,
    account: &mut Account,
    response: &mut Response<Incoming>,
) -> Judged {
    let Some(served) = account.flight().map(|flight| flight.at().address) else { return Judged::Passed };
    let Some(mut exchange) = account.exchange.take() else { return Judged::Passed };
    let limit = core.settings.endpoint_picker_response_timeout;
    let bodiless = response.body().is_end_stream();
    let head = (response.status(), response.headers());
    match exchange.answered(head, served, bodiless, limit).await {
        Ok(Shown::Unchanged) => account.exchange = Some(exchange),
        Ok(Shown::Changed { headers, body }) => {
            account.exchange = Some(exchange);
            client::apply(&headers, response.headers_mut());
            let status = client::status(&headers).unwrap_or(response.status());
            *response.status_mut() = status;
            let ends_here = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
            if let Some(body) = body.or(ends_here.then(Bytes::new)) {
                // hyper writes the length that the body has.
                response.headers_mut().remove(CONTENT_LENGTH);
                return Judged::Replaced(body);
            }
        }
        Ok(Shown::Answered(answer)) => {
            account.exchange = Some(exchange);
            if let Some(picker) = &mut account.record.picker {
                picker.outcome = PickerOutcome::Answered;
            }
            return Judged::Answered(answer);
        }
        Err(failure) => {
            if let Some(picker) = &mut account.record.picker {
                picker.why = Some(format!("at the head of the response: {failure}").into());
            }
        }
    }
    Judged::Passed
}

fn note(
    core: &Core,
    picker: &EndpointPicker,
    begun: Now,
    outcome: PickerOutcome,
    why: Option<&Failure>,
) -> Option<Box<AskedPicker>> {
    Some(Box::new(AskedPicker {
        picker: Arc::clone(&picker.name),
        outcome,
        took: core.clock.now().since(begun),
        why: why.map(|failure| failure.to_string().into()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picker_whose_pool_fails_open_leaves_time_for_the_endpoint() {
        let (second, start) = (Duration::from_secs, Now::default());
        let request = Some((start.plus(second(10)), second(10)));
        let limits = |request| Limits { request, attempt: None, head: None };
        for (asked_at, mode, expected) in [
            (0, FailureMode::FailOpen, (second(5), LimitOf::Route)),
            (0, FailureMode::FailClose, (second(10), LimitOf::Route)),
            (8, FailureMode::FailOpen, (second(1), LimitOf::Client)),
            (8, FailureMode::FailClose, (second(2), LimitOf::Client)),
        ] {
            let told = time(limits(request), mode, start.plus(second(asked_at)));
            assert_eq!(told, expected, "{asked_at}, {mode:?}");
        }
        assert!(time(limits(None), FailureMode::FailOpen, start).0 > second(1 << 30));
    }
}
