use super::*;
use bytes::Bytes;
use payload::{BodyHead, Limits, RequestParser};
use std::collections::HashSet;

#[test]
fn the_table_is_this() {
    let table: Vec<String> = Refusal::table()
        .iter()
        .map(|refusal| {
            let (status, reason) = (refusal.status().as_u16(), refusal.reason());
            let retry = if refusal.may_retry() { "retry" } else { "no retry" };
            format!("{status} {reason}: {:?}, {:?}, {retry}", refusal.step(), refusal.fault())
        })
        .collect();
    let expected = [
        "400 not_json: Parse, Downstream, no retry",
        "400 not_an_object: Parse, Downstream, no retry",
        "400 model_not_a_string: Parse, Downstream, no retry",
        "400 model_twice: Parse, Downstream, no retry",
        "400 field_twice: Parse, Downstream, no retry",
        "400 model_too_long: Parse, Downstream, no retry",
        "400 too_deep: Parse, Downstream, no retry",
        "413 body_too_large: Parse, Downstream, no retry",
        "415 unsupported_coding: Parse, Downstream, no retry",
        "400 broken_coding: Parse, Downstream, no retry",
        "400 broken_multipart: Parse, Downstream, no retry",
        "400 malformed_request: Parse, Downstream, no retry",
        "414 target_too_long: Parse, Downstream, no retry",
        "431 head_too_large: Parse, Downstream, no retry",
        "408 body_slow: Parse, Downstream, retry",
        "408 body_stalled: Parse, Downstream, retry",
        "408 body_late: Parse, Downstream, retry",
        "503 body_budget_spent: Parse, Ours, retry",
        "413 body_over_budget: Parse, Downstream, no retry",
        "503 stopping: Route, Ours, retry",
        "404 no_listener: Route, Downstream, no retry",
        "404 no_route: Route, Downstream, no retry",
        "400 model_missing: Route, Downstream, no retry",
        "404 model_not_found: Route, Downstream, no retry",
        "500 backend_unresolved: Route, Ours, no retry",
        "503 pool_not_declared: Pick, Ours, retry",
        "429 saturated: Admit, Upstream, retry",
        "503 no_ready_endpoint: Pick, Upstream, retry",
        "429 every_endpoint_filtered: Pick, Upstream, retry",
        "503 endpoint_picker_failed: Pick, Ours, retry",
        "504 request_timeout: Pick, Ours, retry",
        "503 no_service_endpoint: Upstream, Upstream, retry",
        "503 every_endpoint_failed: Upstream, Upstream, retry",
        "502 upstream_reset: Upstream, Upstream, retry",
        "504 upstream_timeout: Upstream, Upstream, retry",
    ];
    assert_eq!(table, expected);
}

#[test]
fn a_body_that_can_never_be_held_is_not_asked_to_come_again() {
    let reason = |own| Refusal::from(Spent { held: 1_500, limit: 2_000, own }).reason();
    assert_eq!((reason(2_000), reason(2_001)), ("body_budget_spent", "body_over_budget"));
}

#[test]
fn every_refusal_has_its_own_reason_and_a_message() {
    let reasons: HashSet<&str> = Refusal::table().iter().map(Refusal::reason).collect();
    assert_eq!(reasons.len(), Refusal::table().len());
    assert!(Refusal::table().iter().all(|refusal| !refusal.to_string().is_empty()));
}

#[test]
fn an_unknown_model_is_told_as_each_api_tells_it() {
    let refusal = Refusal::ModelUnknown { model: "a\"b\n".to_owned(), models: vec!["c".to_owned()] };
    assert_eq!(
        refusal.body(Dialect::ChatCompletions),
        r#"{"error":{"message":"the model \"a\\\"b\\n\" does not exist here; models here: c","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#
    );
    assert_eq!(
        refusal.body(Dialect::Messages),
        r#"{"type":"error","error":{"type":"not_found_error","message":"the model \"a\\\"b\\n\" does not exist here; models here: c"}}"#
    );
}

#[test]
fn types_follow_the_status() {
    let types = |reason: &str| {
        let refusal = Refusal::table().into_iter().find(|refusal| refusal.reason() == reason);
        let refusal = refusal.expect("the reason is in the table");
        (refusal.openai_type(), refusal.anthropic_type())
    };
    let table = [
        ("not_json", "invalid_request_error", "invalid_request_error"),
        ("body_too_large", "invalid_request_error", "request_too_large"),
        ("no_route", "invalid_request_error", "not_found_error"),
        ("saturated", "rate_limit_error", "rate_limit_error"),
        ("no_ready_endpoint", "server_error", "overloaded_error"),
        ("upstream_reset", "server_error", "api_error"),
        ("upstream_timeout", "server_error", "timeout_error"),
    ];
    for (reason, openai, anthropic) in table {
        assert_eq!(types(reason), (openai, anthropic), "{reason}");
    }
}

#[test]
fn a_refusal_for_want_of_room_says_when_to_come_back() {
    for refusal in Refusal::table() {
        let expected = match refusal.reason() {
            "saturated" => Some(2),
            "body_budget_spent"
            | "pool_not_declared"
            | "no_ready_endpoint"
            | "every_endpoint_filtered"
            | "no_service_endpoint"
            | "every_endpoint_failed"
            | "endpoint_picker_failed"
            | "stopping" => Some(1),
            _ => None,
        };
        assert_eq!(refusal.retry_after().map(|after| after.as_secs()), expected, "{refusal}");
        assert!(refusal.may_retry() || expected.is_none(), "{refusal}");
        let unavailable = matches!(refusal.status().as_u16(), 429 | 503);
        assert_eq!(unavailable, expected.is_some(), "a status that asks to come back says when: {refusal}");
    }
}

#[test]
fn a_message_lists_only_so_many_models() {
    let models: Vec<String> = (0..25).map(|index| format!("m{index}")).collect();
    let message = Refusal::ModelMissing { models, why: Unnamed::Missing }.to_string();
    assert!(message.ends_with("m19 and 5 more"), "{message}");
}

#[test]
fn a_request_without_a_model_is_told_what_it_lacks() {
    let told = |body: &'static str, content_type: Option<&str>| {
        let content_type = content_type.map(str::as_bytes);
        let head = BodyHead::new("/v1/chat/completions", content_type, None).unwrap();
        let mut parser = RequestParser::new(head, Limits::default());
        parser.feed(&Bytes::from_static(body.as_bytes())).unwrap();
        let request = parser.finish().unwrap();
        Refusal::model_missing(vec!["m".to_owned()], &request, content_type).to_string()
    };
    assert_eq!(told("{}", None), "`model` is missing; models here: m");
    assert_eq!(told(r#"{"model":""}"#, None), "`model` is empty; models here: m");
    let form = "application/x-www-form-urlencoded";
    let expected = "`model` is missing: the body's Content-Type is \"application/x-www-form-urlencoded\"; \
                    send application/json; models here: m";
    assert_eq!(told("a=b", Some(form)), expected);
    for content_type in [None, Some("application/json"), Some(form)] {
        let expected = "the request has no body that could name a model; models here: m";
        assert_eq!(told("", content_type), expected);
    }
}

#[test]
fn a_content_type_is_repeated_only_so_far() {
    assert_eq!(content_type_told(&[b'a'; 100]).len(), CONTENT_TYPE_TOLD_MAX);
}

#[test]
fn a_time_that_was_measured_is_told_in_tenths_of_a_second() {
    let told = |after| Refusal::BodySlow { received: 52, after, rate_min: 1024 }.to_string();
    assert!(told(Duration::from_micros(2_008_796)).contains("52 bytes in 2s, of late"));
    assert!(told(Duration::from_millis(31_550)).contains("52 bytes in 31.6s, of late"));
}
