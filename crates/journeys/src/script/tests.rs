use super::*;
use crate::{Response, Sent};
use bytes::Bytes;
use http::HeaderMap;
use serde_json::json;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A request for `chatbot` that was answered 200 by endpoint 1 of `gemma3`.
fn served(body: &str) -> Answer {
    let headers: HeaderMap =
        [(http::header::CONTENT_TYPE, "application/json".parse().unwrap())].into_iter().collect();
    let sent = Sent {
        pool: "gemma3".to_owned(),
        endpoint: 1,
        path: "/v1/completions".to_owned(),
        headers: HeaderMap::new(),
        body: Bytes::copy_from_slice(body.as_bytes()),
    };
    let response = Response { status: 200, headers, body: Bytes::from_static(b"{\"n\":1}") };
    let explained = Some(json!({"answer": {"output_tokens": 3}}));
    Answer { response: Some(response), sent: Some(sent), explained }
}

const BODY: &str = r#"{"model":"chatbot"}"#;

/// What is wrong with an answer to a step that expects `expect`, at a door.
fn wrong(expect: Value, marks: Value, door: Door, answer: impl Fn() -> Answer) -> Option<String> {
    let request = json!({"method": "POST", "path": "/v1/completions", "body": BODY});
    let mut step = json!({"name": "it", "request": request, "expect": expect});
    step.as_object_mut().unwrap().extend(marks.as_object().cloned().into_iter().flatten());
    let played = catch_unwind(AssertUnwindSafe(|| {
        let journey = Journey::of(Path::new("."), &json!({"requests": [step]}).to_string());
        let mut playing = journey.at(door);
        playing.steps().for_each(|step| playing.hold(step, &[answer()]));
    }));
    played.err().map(|panic| panic.downcast_ref::<String>().unwrap().clone())
}

#[test]
fn what_is_not_as_expected_is_told() {
    for (expect, told) in [
        (json!({"status": 404}), "status is 200, not 404"),
        (json!({"pool": null}), "pool is"),
        (json!({"pool": "other"}), "pool is"),
        (json!({"endpoint": 0}), "endpoint is"),
        (json!({"model_sent": "other"}), "model sent is"),
        (json!({"body_sent": "other"}), "body sent is"),
        (json!({"path_sent": "/other"}), "path sent is"),
        (json!({"headers_sent": {"content-type": ""}}), "header sent content-type is None"),
        (json!({"headers": {"content-type": "text"}}), "header content-type is"),
        (json!({"headers": {"content-type": null}}), "header content-type is"),
        (json!({"fields": {"/n": 2}}), "/n is 1, not 2"),
        (json!({"fields": {"/m": "*"}}), "/m is null, not \"*\""),
        (json!({"explained": {"/answer/output_tokens": 4}}), "/answer/output_tokens is 3, not 4"),
        (json!({"stream": true}), "no stream"),
        (json!({"pools": {"gemma3": [0.0, 0.5]}}), "gemma3 has 1 of 1"),
        (json!({"endpoints": {"0": [0.5, 1.0]}}), "0 has 0 of 1"),
    ] {
        let wrong = wrong(expect.clone(), json!({}), Door::Gateway, || served(BODY));
        assert!(wrong.as_ref().is_some_and(|wrong| wrong.contains(told)), "{expect}: {wrong:?}");
    }
}

#[test]
fn a_body_that_did_not_arrive_byte_for_byte_is_told() {
    let other = || served(r#"{"model": "chatbot"}"#);
    let wrong = wrong(json!({"status": 200}), json!({}), Door::Gateway, other);
    assert!(wrong.is_some_and(|wrong| wrong.contains("body sent is")));
}

#[test]
fn an_answer_that_did_not_arrive_byte_for_byte_is_told() {
    let wrong = |replies: Value| {
        let marks = json!({"replies": replies});
        wrong(json!({"status": 200}), marks, Door::Gateway, || served(BODY))
    };
    assert!(wrong(json!({"body": "{\"n\":2}"})).is_some_and(|wrong| wrong.contains("body of the answer is")));
    assert!(wrong(json!({"body": "{\"n\""})).is_some_and(|wrong| wrong.contains("more came")));
    for right in [json!({"body": "{\"n\":1}"}), json!({"body": "{\"n\"", "ends": "broken"})] {
        assert_eq!(wrong(right), None);
    }
}

#[test]
fn what_is_as_expected_is_not_told() {
    let expect = json!({"status": 200, "pool": "gemma3", "endpoint": 1, "model_sent": "chatbot", "fields": {"/n": "*"}});
    assert_eq!(wrong(expect, json!({}), Door::Gateway, || served(BODY)), None);
}

#[test]
fn a_difference_between_the_doors_that_is_none_is_told() {
    let (expect, why) = (json!({"status": 200}), "because");
    let played = |door, marked| wrong(expect.clone(), marked, door, || served(BODY));
    let real = json!({"behind_envoy": {"status": 404}, "why": why});
    assert_eq!(played(Door::Gateway, real.clone()), None);
    assert!(played(Door::Envoy, real).is_some_and(|wrong| wrong.contains("status is 200, not 404")));
    for door in [Door::Gateway, Door::Envoy] {
        let same = json!({"behind_envoy": {"pool": "gemma3"}, "why": why});
        assert!(played(door, same).is_some_and(|wrong| wrong.contains("holds too")), "{door:?}");
    }
    let early = json!({"at_gateway": {}, "behind_envoy": {"status": 404}, "early": true, "why": why});
    assert_eq!(played(Door::WaitingEnvoy, early.clone()), None);
    assert!(played(Door::Envoy, early).is_some());
    assert!(played(Door::Gateway, json!({"only": "envoy", "why": why})).is_none());
    assert!(played(Door::Gateway, json!({"only": "gateway"})).is_some_and(|wrong| wrong.contains("`why`")));
}
