use super::*;
use crate::wire::{Duration, HttpStatus, ProcessingMode, StreamedBodyResponse, Value};
use payload::Budget;
use std::sync::Arc;

const DESTINATION: &str = "x-gateway-destination-endpoint";
const ENDPOINT: &str = "10.0.0.1:8000";

fn rope(chunks: &[&'static str]) -> Rope {
    chunks.iter().map(|chunk| Bytes::from_static(chunk.as_bytes())).collect()
}

fn text(rope: &Rope) -> String {
    String::from_utf8(rope.chunks().concat()).unwrap()
}

fn answer(response: Response) -> ProcessingResponse {
    ProcessingResponse { response: Some(response), ..ProcessingResponse::default() }
}

/// The headers' answer with this destination in the header.
fn headers(destination: &'static str) -> ProcessingResponse {
    let mut mutation = HeaderMutation::default();
    mutation.set(DESTINATION, destination);
    let response = Some(CommonResponse { header_mutation: Some(mutation), ..CommonResponse::default() });
    answer(Response::RequestHeaders(HeadersResponse { response }))
}

fn body(mutation: Option<Mutation>) -> ProcessingResponse {
    let body_mutation = Some(BodyMutation { mutation });
    let response = Some(CommonResponse { body_mutation, ..CommonResponse::default() });
    answer(Response::RequestBody(BodyResponse { response }))
}

fn streamed(piece: &'static str, end_of_stream: bool) -> ProcessingResponse {
    let body_ = Bytes::from_static(piece.as_bytes());
    body(Some(Mutation::StreamedResponse(StreamedBodyResponse { body: body_, end_of_stream })))
}

fn immediate(code: i32, body: &'static str) -> ProcessingResponse {
    let status = Some(HttpStatus { code });
    let body = Bytes::from_static(body.as_bytes());
    answer(Response::ImmediateResponse(ImmediateResponse { status, body, ..ImmediateResponse::default() }))
}

/// An answer that asks for more time, and says nothing.
fn more_time() -> ProcessingResponse {
    let hour = Duration { seconds: 3600, nanos: 0 };
    ProcessingResponse { override_message_timeout: Some(hour), ..ProcessingResponse::default() }
}

/// What may be held of a body that comes back as another one: 100 bytes.
fn allowance(budget: &Arc<Budget>) -> Allowance {
    Allowance::new(Share::new(budget), 100)
}

/// What a request with this body comes to.
fn played(sent: &Rope, answers: Vec<ProcessingResponse>) -> Result<Option<Verdict>, Wrong> {
    let parts = sent.chunks().iter().map(Bytes::len).collect();
    let mut turn = Turn::new(sent, parts, allowance(&Budget::new(1 << 20)));
    let mut verdict = None;
    for answer in answers {
        assert!(verdict.is_none(), "an answer after the verdict");
        verdict = turn.take(answer)?;
    }
    Ok(verdict)
}

/// The endpoints, and the body if it changed; in a word.
fn told_of(played: Result<Option<Verdict>, Wrong>) -> String {
    match played {
        Ok(None) => "waits".to_owned(),
        Ok(Some(Verdict::Picked(chosen))) => {
            let Chosen { endpoints, body, .. } = *chosen;
            let endpoints: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
            let body = body.map_or_else(|| "as sent".to_owned(), |body| format!("{:?}", text(body.rope())));
            format!("{} {body}", endpoints.join(" "))
        }
        Ok(Some(Verdict::Answered(answer))) => {
            format!("answered {} {:?}", answer.status.as_u16(), answer.body)
        }
        Err(Wrong::Garbage(what)) => format!("garbage: {what}"),
        Err(Wrong::TooLarge(why)) => format!("too large: {why}"),
    }
}

#[test]
fn a_request_goes_on_once_its_headers_and_its_body_are_answered() {
    let sent = rope(&["hello ", "world"]);
    let h = || headers(ENDPOINT);
    let table: Vec<(Vec<ProcessingResponse>, &str)> = vec![
        (vec![h()], "waits"),
        (vec![streamed("hello world", true)], "waits"),
        (vec![h(), streamed("hello world", false)], "waits"),
        (vec![h(), streamed("hello world", true)], "10.0.0.1:8000 as sent"),
        (
            vec![h(), streamed("hel", false), streamed("lo world", false), streamed("", true)],
            "10.0.0.1:8000 as sent",
        ),
        (vec![streamed("hello world", true), h()], "10.0.0.1:8000 as sent"),
        (vec![h(), streamed("hello you", true)], "10.0.0.1:8000 \"hello you\""),
        (vec![h(), streamed("hello ", false), streamed("you", true)], "10.0.0.1:8000 \"hello you\""),
        (vec![h(), streamed("hello world!", true)], "10.0.0.1:8000 \"hello world!\""),
        (vec![h(), streamed("hello", true)], "10.0.0.1:8000 \"hello\""),
        (vec![h(), streamed("", true)], "10.0.0.1:8000 \"\""),
        // Answers without a mutation, as some pickers send them: one for each part, perhaps before the headers'.
        (vec![body(None), h(), body(None)], "10.0.0.1:8000 as sent"),
        (vec![h(), body(None), body(Some(Mutation::Body("you".into())))], "10.0.0.1:8000 \"hello you\""),
        (vec![h(), body(Some(Mutation::ClearBody(true))), body(None)], "10.0.0.1:8000 \"world\""),
        (vec![h(), immediate(429, "later")], "answered 429 b\"later\""),
        (vec![immediate(503, "none")], "answered 503 b\"none\""),
        (vec![immediate(99, "")], "garbage: an answer of status 99"),
        (vec![h(), h()], "garbage: the request's headers are answered twice"),
        (vec![body(None), body(None), body(None)], "garbage: the body is answered oftener than it was sent"),
        (vec![ProcessingResponse::default()], "garbage: an answer to nothing"),
        // It asks for more time, as often as it likes.
        (
            vec![more_time(), more_time(), h(), more_time(), streamed("hello world", true)],
            "10.0.0.1:8000 as sent",
        ),
    ];
    for (answers, expected) in table {
        let shown = format!("{answers:?}");
        assert_eq!(told_of(played(&sent, answers)), expected, "{shown}");
    }
}

#[test]
fn a_body_that_comes_back_as_it_went_is_held_once_and_a_longer_one_within_the_limit() {
    let long: &'static str = "x".repeat(1000).leak();
    let sent = rope(&[long]);
    assert_eq!(
        told_of(played(&sent, vec![headers(ENDPOINT), streamed(long, true)])),
        "10.0.0.1:8000 as sent"
    );
    let other: &'static str = "y".repeat(101).leak();
    let answers = vec![headers(ENDPOINT), streamed(other, true)];
    assert_eq!(told_of(played(&sent, answers)), "too large: more than 100 bytes");
}

#[test]
fn what_was_the_same_before_a_change_is_shared() {
    let sent = rope(&["hello ", "world"]);
    let answers = vec![headers(ENDPOINT), streamed("hello ", false), streamed("you", true)];
    let Ok(Some(Verdict::Picked(chosen))) = played(&sent, answers) else { panic!("picked") };
    assert_eq!(chosen.body.unwrap().rope().chunks()[0].as_ptr(), sent.chunks()[0].as_ptr());
}

#[test]
fn a_request_without_a_body_goes_on_with_its_headers_answer() {
    assert_eq!(told_of(played(&Rope::default(), vec![headers(ENDPOINT)])), "10.0.0.1:8000 as sent");
}

#[test]
fn a_body_may_be_replaced_together_with_the_headers() {
    let mut answer = headers(ENDPOINT);
    let Some(Response::RequestHeaders(HeadersResponse { response: Some(common) })) = &mut answer.response
    else {
        panic!("headers")
    };
    common.status = ResponseStatus::ContinueAndReplace.into();
    common.body_mutation = Some(BodyMutation { mutation: Some(Mutation::Body("new".into())) });
    assert_eq!(told_of(played(&rope(&["old"]), vec![answer])), "10.0.0.1:8000 \"new\"");
}

#[test]
fn the_destination_stands_in_the_header_or_in_the_metadata_and_is_a_list_in_order() {
    let metadata = |destination: &str| {
        let lb = Value::object(Struct::of(DESTINATION, Value::string(destination)));
        ProcessingResponse {
            dynamic_metadata: Some(Struct::of(LB_NAMESPACE, lb)),
            ..answer(Response::RequestHeaders(HeadersResponse::default()))
        }
    };
    let both = |header, in_metadata| ProcessingResponse {
        dynamic_metadata: metadata(in_metadata).dynamic_metadata,
        ..headers(header)
    };
    let table = [
        (headers("10.0.0.2:1,10.0.0.1:2"), "10.0.0.2:1 10.0.0.1:2 as sent"),
        (headers("10.0.0.2:1, [::1]:2 "), "10.0.0.2:1 [::1]:2 as sent"),
        (metadata("10.0.0.3:1"), "10.0.0.3:1 as sent"),
        (both("10.0.0.4:1", "10.0.0.3:1"), "10.0.0.4:1 as sent"),
        (headers("10.0.0.1"), "garbage: the destination \"10.0.0.1\" is no list of ip:port"),
        (headers(""), "garbage: the destination \"\" is no list of ip:port"),
        (headers("model-server:80"), "garbage: the destination \"model-server:80\" is no list of ip:port"),
        (
            answer(Response::RequestHeaders(HeadersResponse::default())),
            "garbage: its answer names no x-gateway-destination-endpoint",
        ),
    ];
    for (answer, expected) in table {
        assert_eq!(told_of(played(&Rope::default(), vec![answer])), expected);
    }
}

#[test]
fn the_head_of_the_response_is_shown_unless_the_picker_wants_none() {
    let mut turn = Turn::new(&Rope::default(), Vec::new(), allowance(&Budget::new(0)));
    turn.take(headers(ENDPOINT)).unwrap();
    assert_eq!(turn.response_headers, ResponseHeaders::Shown);
    let mode =
        ProcessingMode { response_header_mode: HeaderSendMode::Skip.into(), ..ProcessingMode::default() };
    let mut turn = Turn::new(&Rope::default(), Vec::new(), allowance(&Budget::new(0)));
    let answer = ProcessingResponse { mode_override: Some(mode), ..headers(ENDPOINT) };
    turn.take(answer).unwrap();
    assert_eq!(turn.response_headers, ResponseHeaders::Skipped);
}

#[test]
fn what_is_held_of_another_body_is_charged_until_it_is_dropped() {
    let budget = Budget::new(10);
    let sent = rope(&["hello ", "world"]);
    let turn = || Turn::new(&sent, vec![11], allowance(&budget));
    let mut failed = turn();
    assert!(matches!(failed.take(streamed("hello you", false)), Ok(None)));
    assert_eq!(budget.held(), 9, "a piece that is not as it went is held whole");
    assert!(matches!(failed.take(streamed("!!", false)), Err(Wrong::TooLarge(_))));
    drop(failed);
    assert_eq!(budget.held(), 0);
    let mut picked = turn();
    picked.take(headers(ENDPOINT)).unwrap();
    picked.take(streamed("hello ", false)).unwrap();
    let Ok(Some(Verdict::Picked(chosen))) = picked.take(streamed("you", true)) else { panic!("picked") };
    drop(picked);
    assert_eq!((text(chosen.body.as_ref().unwrap().rope()), budget.held()), ("hello you".to_owned(), 3));
    drop(chosen);
    assert_eq!(budget.held(), 0);
}

#[test]
fn another_body_that_comes_byte_by_byte_is_held_in_few_pieces() {
    let budget = Budget::new(1 << 20);
    let mut turn = Turn::new(&rope(&["sent"]), vec![4], Allowance::new(Share::new(&budget), 1 << 20));
    turn.take(headers(ENDPOINT)).unwrap();
    for _ in 0..10_000 {
        turn.take(streamed("x", false)).unwrap();
    }
    let Ok(Some(Verdict::Picked(chosen))) = turn.take(streamed("", true)) else { panic!("picked") };
    let body = chosen.body.unwrap();
    assert_eq!((body.rope().bytes(), budget.held()), (10_000, 10_000));
    assert!(body.rope().chunks().len() < 20, "{} chunks", body.rope().chunks().len());
}

#[test]
fn a_list_of_endpoints_is_read_as_far_as_anybody_would_mean_it() {
    let many: &'static str = vec![ENDPOINT; LISTED_MAX].join(",").leak();
    for destination in [many, format!("{many},nonsense").leak()] {
        let played = played(&Rope::default(), vec![headers(destination)]);
        let Ok(Some(Verdict::Picked(chosen))) = played else { panic!("picked") };
        assert_eq!(chosen.endpoints.len(), LISTED_MAX);
    }
}

#[test]
fn a_picker_that_asks_for_more_time_at_the_head_of_a_response_has_said_nothing() {
    assert!(matches!(shown(more_time()), Ok(None)));
    assert!(matches!(shown(ProcessingResponse::default()), Err(Wrong::Garbage(_))));
}
