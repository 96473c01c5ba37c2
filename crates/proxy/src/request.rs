//! One request, from its head to the head of its response: the five steps in order.
//!
//! In: a head, and a body that nobody has read yet. Out: a response whose body is still to come.
//! Never: a byte sent before everything about it is decided; a body read that no rule asks for.

use crate::account::Account;
use crate::body::{ResponseBody, UpstreamBody};
use crate::client_io::Watch;
use crate::core::Core;
use crate::headers;
use crate::mirror;
use crate::picker::{self, Judged, Turned};
use crate::read::{Arriving, Read};
use crate::response;
use crate::target;
use crate::upstream::{self, Destination, Limits, Outbound, Payload, outcome_of};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderValue};
use http::{Request, Response, request};
use hyper::body::Incoming;
use journey::headers::{MODEL_NAME, REQUEST_ID};
use journey::{Now, Outcome, Refusal, model_list};
use payload::BodyHead;
use routing::{Arrived, RequestHead, Rule, Weighted};
use state::{Backend, Dispatch, Goal, Headed, Listener, Routed, Snapshot, dispatch, draw, leads_nowhere};
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// The scheme that clients speak at this door.
pub(crate) const SCHEME: &str = "http";

/// Serves one request.
pub(crate) async fn journey(
    core: Rc<Core>,
    watch: Rc<Watch>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let mut account = Account::open(&core, &watch);
    let (head, body) = request.into_parts();
    let mut arriving = Arriving::new(body, &head, &watch);
    let outcome = travel(&core, &mut account, head, &mut arriving).await;
    match &outcome {
        Ok(response::Passage::Answer(..)) => {}
        // What follows a request that two readers may read differently is not read as another one.
        Err(Refusal::MalformedRequest { .. }) => watch.close_lingering(),
        _ => arriving.discard(&core, &watch).await,
    }
    Ok(match outcome {
        Ok(passage) => response::pass(account, passage),
        Err(refusal) => response::refuse(account, &refusal),
    })
}

/// The journey proper: what it answers is either on its way back from an endpoint, or a refusal.
async fn travel(
    core: &Rc<Core>,
    account: &mut Account,
    mut head: request::Parts,
    arriving: &mut Arriving,
) -> Result<response::Passage, Refusal> {
    open(account, &mut head)?;
    let host = target::host(&head)?;
    // Steps 1 and 2, parse and route. The body is read only if a rule that names a model may win, or the winner leads to an
    // InferencePool. The world may change while it comes: then the request goes by the newest.
    let at_head = core.snapshot();
    let newest;
    let rule = match listener(&at_head, account, &host)?.route_head(&asked(&head, &host))? {
        Headed::Rule(rule) => rule,
        Headed::Body(by_head) => {
            let end = by_head.and_then(|rule| request_end(account, rule));
            let request = arriving.read(core, account, &head, end).await?;
            newest = core.snapshot();
            match listener(&newest, account, &host)?.route_parsed(&asked(&head, &host), request)? {
                Routed::Rule(rule) => rule,
                Routed::Models(models) => return Ok(response::Passage::Models(model_list(&models))),
            }
        }
    };
    account.record.rule = Some(Arc::clone(&rule.label));
    let path = target::path(&head);
    let port = account.watch().port;
    let arrived = Arrived { scheme: SCHEME, host: &host, port, path, query: head.uri.query() };
    if let Some((status, location)) = rule.redirect(&arrived) {
        return Ok(response::Passage::Redirect { status, location });
    }
    let (backend, goal) = draw(rule, &mut core.random.borrow_mut())?;
    match goal {
        Goal::Pool(pool) => account.bound_for(pool),
        Goal::Service(_) => account.record.backend = Some(goal.name()),
    }
    let host = host.into_owned();
    address(account, &mut head, rule, backend)?;
    let limits = limits(core, account, rule);
    if arriving.is_unread() && mirror::wants_body(rule) {
        arriving.hold(core, account, limits.request).await?;
    }
    let mut read = arriving.take_read();
    if read.is_some() {
        came_in_time(core, account, limits.request)?;
    }
    let destination = match ask_picker(core, account, &mut head, (goal, limits), read.as_mut()).await? {
        Turned::Picked => Destination::Pool,
        Turned::Answered(answer) => return Ok(response::Passage::OfPicker(answer, Outcome::Served)),
        Turned::BuiltIn => {
            limits.leave_time(core.clock)?;
            pick(core, account, &head, (rule, goal), read.as_ref())?
        }
    };
    let body = load(core, account, &mut head, read, arriving);
    let outbound = Outbound { head, body };
    mirror::send(core, account.watch(), rule, backend, &outbound);
    account.pause();
    let mut answer =
        upstream::send(core, account, outbound, destination, (limits, rule.retry.as_ref())).await?;
    tracing::trace!(%host, status = answer.response.status().as_u16(), "answered");
    let own_status = answer.response.status();
    let judged = match account.exchange.is_some() {
        true => Box::pin(picker::show_response(core, account, &mut answer.response)).await,
        false => Judged::Passed,
    };
    headers::clean_response(answer.response.headers_mut());
    rule.change_response_headers(backend, answer.response.headers_mut());
    Ok(match judged {
        Judged::Passed => response::Passage::Answer(answer, own_status),
        Judged::Replaced(body) => {
            response::Passage::Replaced(answer.response.map(|_| body), outcome_of(own_status))
        }
        Judged::Answered(of_picker) => response::Passage::OfPicker(of_picker, outcome_of(own_status)),
    })
}

/// Opens the record, and takes away what the client may not say.
fn open(account: &mut Account, head: &mut request::Parts) -> Result<(), Refusal> {
    account.name(head.headers.get(REQUEST_ID).map(HeaderValue::as_bytes));
    headers::only_chunked(&head.headers)?;
    account.record.headers_removed = headers::clean_request(&mut head.headers, account.watch().trust);
    if let Ok(body) = BodyHead::new(target::path(head), None, None) {
        account.record.dialect = body.dialect;
    }
    Ok(())
}

fn asked<'h>(head: &'h request::Parts, host: &'h str) -> RequestHead<'h> {
    RequestHead {
        method: &head.method,
        host,
        path: target::path(head),
        query: head.uri.query(),
        headers: &head.headers,
    }
}

fn listener<'s>(snapshot: &'s Snapshot, account: &Account, host: &str) -> Result<&'s Listener, Refusal> {
    let listener = snapshot.listener(account.watch().port, host);
    listener.map(Arc::as_ref).ok_or_else(|| Refusal::NoListener { host: host.to_owned() })
}

/// Writes the head as the backend is to see it: what we tell it first, so that the route's filters have the last word.
fn address(
    account: &Account,
    head: &mut request::Parts,
    rule: &Rule<Backend>,
    backend: &Weighted<Backend>,
) -> Result<(), Refusal> {
    let watch = account.watch();
    headers::forward(&mut head.headers, &watch.forwarded_for, SCHEME);
    headers::tell_request_id(&mut head.headers, &account.record.id);
    if let Some(model) = &account.record.model
        && let Ok(value) = HeaderValue::from_bytes(model.0.as_bytes())
    {
        head.headers.insert(MODEL_NAME, value);
    }
    target::to_origin_form(head, rule, backend)
        .ok_or_else(|| leads_nowhere(rule, "the rewritten path is not a path"))?;
    rule.change_request_headers(backend, &mut head.headers);
    Ok(())
}

/// Steps 3 and 4 by the pool's own endpoint picker. The built-in one picks where there is none.
async fn ask_picker(
    core: &Rc<Core>,
    account: &mut Account,
    head: &mut request::Parts,
    (goal, limits): (Goal<'_>, Limits),
    read: Option<&mut Read>,
) -> Result<Turned, Refusal> {
    let Goal::Pool(pool) = goal else { return Ok(Turned::BuiltIn) };
    let (Some(picker), Some(read)) = (&pool.picker, read) else { return Ok(Turned::BuiltIn) };
    // Boxed, so that requests of other pools do not carry its room.
    Box::pin(picker::pick(core, account, head, (pool, picker, limits), read)).await
}

/// Steps 3 and 4, admit and pick.
fn pick(
    core: &Core,
    account: &mut Account,
    head: &request::Parts,
    (rule, goal): (&Rule<Backend>, Goal<'_>),
    read: Option<&Read>,
) -> Result<Destination, Refusal> {
    let pool = match goal {
        Goal::Pool(pool) => pool,
        Goal::Service(service) => {
            let at = core.turn(service);
            return Ok(Destination::Service { service: Arc::clone(service), at, tried: 0 });
        }
    };
    let parsed = read.and_then(|read| Some((read.request.as_ref()?, read.held.rope())));
    let (request, body) = parsed.ok_or_else(|| leads_nowhere(rule, "its body was not read"))?;
    let asked = Dispatch { body: Some(body), ..Dispatch::told(request, &head.headers) };
    // One with a picker of its own has asked that, in vain.
    let newest = pool.picker.as_ref().map(|_| core.newest(pool));
    let pool = newest.as_ref().unwrap_or(pool);
    let flight = dispatch(pool, &asked, &mut core.random.borrow_mut(), core.clock)?;
    account.took_off(flight);
    Ok(Destination::Pool)
}

/// The body as it leaves: unread, as it came, or with another model in the place of the one asked for.
fn load(
    core: &Core,
    account: &Account,
    head: &mut request::Parts,
    read: Option<Read>,
    arriving: &mut Arriving,
) -> Payload {
    let Some(Read { held, request }) = read else {
        let Some(body) = arriving.take_unread() else { return Payload::Empty };
        account.watch().linger_on_close();
        headers::frame_streamed(&mut head.headers, &body);
        let body = UpstreamBody::streamed(body, core, account.watch());
        return Payload::Streamed(Some(body));
    };
    let target = account.flight().and_then(|flight| flight.rewrite.as_ref());
    let rewrite =
        target.zip(request.as_ref()).and_then(|(target, request)| request.asking_for(&target.0, held.rope()));
    let Some(rope) = rewrite else {
        return if held.rope().is_empty() { Payload::Empty } else { Payload::Held(Rc::new(held)) };
    };
    if request.is_some_and(|request| request.decoded.is_some()) {
        head.headers.remove(CONTENT_ENCODING);
    }
    // hyper writes the length that the rewritten body has.
    head.headers.remove(CONTENT_LENGTH);
    Payload::Held(Rc::new(held.replaced_by(rope)))
}

/// A body that the rule was found by may have come for longer than the rule allows the whole request.
fn came_in_time(core: &Core, account: &Account, end: Option<(Now, Duration)>) -> Result<(), Refusal> {
    match end {
        Some((end, limit)) if end <= core.clock.now() => {
            Err(Refusal::BodyLate { received: account.record.request_bytes, limit })
        }
        _ => Ok(()),
    }
}

/// When a rule's time for the request is over, and how long that is; `None` is never, as is 0.
fn request_end(account: &Account, rule: &Rule<Backend>) -> Option<(Now, Duration)> {
    let limit = rule.timeouts.request.filter(|limit| !limit.is_zero())?;
    Some((account.begun().plus(limit), limit))
}

fn limits(core: &Core, account: &Account, rule: &Rule<Backend>) -> Limits {
    Limits {
        request: request_end(account, rule),
        attempt: rule.timeouts.backend_request.filter(|limit| !limit.is_zero()),
        head: core.settings.response_head_timeout,
    }
}
