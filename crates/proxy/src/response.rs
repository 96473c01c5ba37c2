//! The head of a response, as the client gets it.

use crate::account::Account;
use crate::body::{Relay, ResponseBody};
use crate::client_io::Watch;
use crate::headers;
use crate::upstream::Answer;
use bytes::Bytes;
use extproc::client;
use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER,
};
use http::{Response, StatusCode, Version};
use journey::{Outcome, Refusal, Step};
use payload::ResponseObserver;
use telemetry::Refused;

/// What a journey comes to when it is not refused.
#[derive(Debug)]
pub(crate) enum Passage {
    /// An endpoint answers, with this status of its own: the pool's own endpoint picker may have given the response another.
    Answer(Answer, StatusCode),
    /// An endpoint has answered, thus, and the pool's own endpoint picker gives the body.
    Replaced(Response<Bytes>, Outcome),
    /// The pool's own endpoint picker answers; if an endpoint had answered before, that is how it did.
    OfPicker(client::Answer, Outcome),
    /// The models that can be asked for are listed.
    Models(String),
    /// The client is sent elsewhere.
    Redirect {
        /// The status.
        status: StatusCode,
        /// The `Location`.
        location: HeaderValue,
    },
}

/// The response of a journey that was not refused.
pub(crate) fn pass(mut account: Box<Account>, passage: Passage) -> Response<ResponseBody> {
    match passage {
        Passage::Answer(answer, own_status) => relay(account, answer, own_status),
        Passage::Replaced(response, outcome) => replaced(account, response, outcome),
        Passage::OfPicker(answer, outcome) => of_picker(account, answer, outcome),
        Passage::Models(list) => {
            account.record.status = StatusCode::OK.as_u16();
            account.record.response_bytes = list.len() as u64;
            account.ended(Outcome::Served);
            let mut response = Response::new(ResponseBody::Whole(list.into()));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            sign(response.headers_mut(), &account);
            response
        }
        Passage::Redirect { status, location } => {
            account.record.status = status.as_u16();
            account.ended(Outcome::Served);
            let mut response = Response::new(ResponseBody::Empty);
            *response.status_mut() = status;
            response.headers_mut().insert(LOCATION, location);
            sign(response.headers_mut(), &account);
            response
        }
    }
}

/// Passes an endpoint's answer on, its body as it comes.
fn relay(mut account: Box<Account>, answer: Answer, own_status: StatusCode) -> Response<ResponseBody> {
    let (mut head, body) = answer.response.into_parts();
    let value = |name| head.headers.get(name).map(HeaderValue::as_bytes);
    let observer =
        ResponseObserver::new(account.record.dialect, value(CONTENT_TYPE), value(CONTENT_ENCODING));
    account.answered(own_status.as_u16(), observer);
    account.record.status = head.status.as_u16();
    head.version = Version::HTTP_11;
    sign(&mut head.headers, &account);
    let body = Relay::new(body, answer.lease, account, answer.deadline);
    Response::from_parts(head, ResponseBody::Relay(body))
}

/// Passes an endpoint's head on with a body of its pool's endpoint picker.
fn replaced(
    mut account: Box<Account>,
    response: Response<Bytes>,
    outcome: Outcome,
) -> Response<ResponseBody> {
    account.record.status = response.status().as_u16();
    account.record.response_bytes = response.body().len() as u64;
    account.ended(outcome);
    let mut response = response.map(ResponseBody::Whole);
    *response.version_mut() = Version::HTTP_11;
    sign(response.headers_mut(), &account);
    response
}

/// Passes an endpoint picker's own answer on, as it is.
fn of_picker(mut account: Box<Account>, answer: client::Answer, outcome: Outcome) -> Response<ResponseBody> {
    let status = answer.status;
    account.record.status = status.as_u16();
    account.record.response_bytes = answer.body.len() as u64;
    account.ended(outcome);
    if status.is_client_error() || status.is_server_error() {
        let picker = account.record.picker.as_ref().map_or("", |asked| &*asked.picker);
        let details = if answer.details.is_empty() { String::new() } else { format!(": {}", answer.details) };
        let message =
            format!("{picker}, the pool's endpoint picker, answered {} itself{details}", status.as_u16());
        let reason = "endpoint_picker_answered";
        account.record.refusal = Some(Refused { step: Step::Pick, reason, message: message.into() });
    }
    let mut response = Response::new(ResponseBody::Whole(answer.body));
    *response.status_mut() = status;
    client::apply(&answer.headers, response.headers_mut());
    headers::clean_response(response.headers_mut());
    sign(response.headers_mut(), &account);
    response
}

/// Tells the client why its request is not served, in the shape of the API it speaks.
pub(crate) fn refuse(mut account: Box<Account>, refusal: &Refusal) -> Response<ResponseBody> {
    let body = refusal.body(account.record.dialect);
    // Nobody is refused who has left: the record tells that instead.
    if !account.watch().request_is_broken_off() {
        account.refused(refusal);
        account.record.response_bytes = body.len() as u64;
    }
    let mut response = Response::new(ResponseBody::Whole(body.into()));
    *response.status_mut() = refusal.status();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(after) = refusal.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs_f64().ceil() as u64));
    }
    sign(headers, &account);
    response
}

/// Puts the request's id on the response, and the word that the connection ends with it if it does.
fn sign(headers: &mut HeaderMap, account: &Account) {
    headers::tell_request_id(headers, &account.record.id);
    let watch: &Watch = account.watch();
    if watch.retiring.get() {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
}
