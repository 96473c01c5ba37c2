//! Pickers that are somebody else's, at the head of the response.

use crate::epp::{PLAIN, Picker, Stream, Wire, brief, gate, gate_with};
use crate::pickers::{ask, in_flight, told};
use crate::support::{Endpoint, answer, ok, until};
use bytes::Bytes;
use extproc::grpc::Status;
use extproc::wire::{
    BodyMutation, CommonResponse, HeaderMutation, HeadersResponse, HttpStatus, ImmediateResponse, Mutation,
    ProcessingResponse, Request, Response as Processed, ResponseStatus,
};
use journey::Outcome;
use proxy::Settings;
use std::net::SocketAddr;
use std::time::Duration;
use telemetry::PickerOutcome;

#[test]
fn a_picker_that_is_silent_at_the_head_of_the_response_does_not_lose_it() {
    let live = Endpoint::answering(ok("live"));
    let endpoint = live.address;
    let picker = Picker::start(PLAIN, move |mut stream: Stream| async move {
        let body = stream.request().await;
        stream.pick(&[endpoint], &body);
        while stream.next().await.is_some() {}
    });
    let brief = Settings { endpoint_picker_response_timeout: Duration::from_millis(50), ..brief() };
    let gate = gate_with(picker.address, (Wire::Plain, "FailClose"), &[live.address], brief);
    let response = ask(&gate);
    assert_eq!(response.text(), "live");
    let (outcome, why) = told(&gate, &response);
    assert_eq!(outcome, PickerOutcome::Picked);
    assert_eq!(why, "at the head of the response: no answer within 0.05s");
    // Nor does one that has ended the stream.
    let ends = Picker::start(PLAIN, move |mut stream: Stream| async move {
        let body = stream.request().await;
        stream.pick(&[endpoint], &body);
        stream.end(&Status::OK);
    });
    let gate = crate::epp::gate(ends.address, Wire::Plain, "FailClose", &[&live]);
    let response = ask(&gate);
    assert_eq!((response.text().as_str(), told(&gate, &response).1.as_str()), ("live", ""));
}

/// A picker that picks `endpoint`, and says `answer` to the head of the response.
pub(crate) fn says_of_the_response(endpoint: SocketAddr, answer: Processed) -> Picker {
    Picker::start(PLAIN, move |mut stream: Stream| {
        let answer = answer.clone();
        async move {
            let body = stream.request().await;
            stream.pick(&[endpoint], &body);
            while let Some(message) = stream.next().await {
                if let Some(Request::ResponseHeaders(_)) = message.request {
                    let response = Some(answer.clone());
                    stream.send(&ProcessingResponse { response, ..ProcessingResponse::default() });
                }
            }
        }
    })
}

/// A picker that answers every request itself, and listens on.
pub(crate) fn answers(immediate: Processed) -> Picker {
    Picker::start(PLAIN, move |mut stream: Stream| {
        let response = Some(immediate.clone());
        async move {
            stream.request().await;
            stream.send(&ProcessingResponse { response, ..ProcessingResponse::default() });
            while stream.next().await.is_some() {}
        }
    })
}

#[test]
fn a_pickers_own_answer_at_the_head_of_the_response_stands_in_its_place() {
    let failing = Endpoint::answering(answer("500 Internal Server Error", "", "broken"));
    let immediate = ImmediateResponse {
        status: Some(HttpStatus { code: 403 }),
        body: Bytes::from_static(b"not for you"),
        ..ImmediateResponse::default()
    };
    let picker = says_of_the_response(failing.address, Processed::ImmediateResponse(immediate));
    let gate = gate(picker.address, Wire::Plain, "FailClose", &[&failing]);
    let response = ask(&gate);
    assert_eq!((response.status, response.text().as_str()), (403, "not for you"));
    assert_eq!(told(&gate, &response).0, PickerOutcome::Answered);
    let record = gate.record(&response);
    assert_eq!(record.refusal.expect("it was not served").reason, "endpoint_picker_answered");
    assert_eq!(
        record.attempts[0].outcome,
        Outcome::ServerError { status: 500 },
        "the endpoint's own is learnt"
    );
    until("the reservation is given back", || (in_flight(&gate, failing.address) == 0).then_some(()));
}

#[test]
fn a_picker_may_replace_the_body_of_the_response() {
    let live = Endpoint::answering(ok("live, and longer"));
    let mut mutation = HeaderMutation::default();
    mutation.set("x-of-the-picker", "seen");
    let common = CommonResponse {
        status: ResponseStatus::ContinueAndReplace.into(),
        header_mutation: Some(mutation),
        body_mutation: Some(BodyMutation { mutation: Some(Mutation::Body("replaced".into())) }),
        ..CommonResponse::default()
    };
    let replaces = HeadersResponse { response: Some(common) };
    let picker = says_of_the_response(live.address, Processed::ResponseHeaders(replaces));
    let gate = gate(picker.address, Wire::Plain, "FailClose", &[&live]);
    let response = ask(&gate);
    assert_eq!((response.status, response.text().as_str()), (200, "replaced"));
    assert_eq!(
        (response.header("content-length"), response.header("x-of-the-picker")),
        (Some("8"), Some("seen"))
    );
    let record = gate.record(&response);
    assert_eq!((record.attempts[0].outcome, record.response_bytes), (Outcome::Served, 8));
}

#[test]
fn a_picker_may_give_the_response_another_status_and_the_endpoints_own_is_learnt() {
    let own = |status, body| Endpoint::answering(answer(status, "content-type: text/plain\r\n", body));
    let (fine, broken) = (own("200 OK", "fine"), own("500 Internal Server Error", "broken"));
    let server_error = Outcome::ServerError { status: 500 };
    for (endpoint, status, expected, outcome) in [
        (&fine, "503", (503, "fine"), Outcome::Served),
        (&broken, "200", (200, "broken"), server_error),
        (&broken, "204", (204, ""), server_error),
        (&fine, "100", (200, "fine"), Outcome::Served),
    ] {
        let mut mutation = HeaderMutation::default();
        mutation.set(":status", status);
        let common = CommonResponse { header_mutation: Some(mutation), ..CommonResponse::default() };
        let changes = Processed::ResponseHeaders(HeadersResponse { response: Some(common) });
        let picker = says_of_the_response(endpoint.address, changes);
        let gate = gate(picker.address, Wire::Plain, "FailClose", &[endpoint]);
        let response = ask(&gate);
        assert_eq!((response.status, response.text().as_str()), expected, "{status}");
        let record = gate.record(&response);
        assert_eq!((record.status, record.attempts[0].outcome), (expected.0, outcome), "{status}");
        assert_eq!(record.response_bytes, expected.1.len() as u64, "{status}");
    }
}
