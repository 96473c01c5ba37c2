//! Request bodies: read only if a rule asks for it, held within limits, sent on byte for byte.

use crate::support::{
    Endpoint, GATEWAY, Gate, get, ok, pool, post, route, service, settings, to_pool, to_service, until,
};
use proxy::Settings;
use std::io::Write;
use std::time::Duration;

const CHAT: &str = r#"{"model": "chatbot",  "messages": [{"role":"user","content":"hi \u00e4"}], "n": 1.0}"#;

fn by_model(models: &[(&str, &Endpoint)]) -> String {
    let rules: Vec<String> = models
        .iter()
        .map(|(model, _)| {
            format!(
                "{{matches: [{{headers: [{{name: X-Gateway-Model-Name, value: {model}}}]}}],
                  backendRefs: [{{name: {model}, kind: InferencePool, group: inference.networking.k8s.io}}]}}"
            )
        })
        .collect();
    let pools: String = models.iter().map(|(model, endpoint)| pool(model, &[endpoint.address])).collect();
    [GATEWAY, &route(&rules.join(", ")), &pools].concat()
}

#[test]
fn the_bodys_model_chooses_the_pool_and_the_body_arrives_byte_for_byte() {
    let (chatbot, other) = (Endpoint::answering(ok("chatbot")), Endpoint::answering(ok("other")));
    let gate = Gate::start(&by_model(&[("chatbot", &chatbot), ("other", &other)]));
    let mut client = gate.client();
    client.send(post("/v1/chat/completions", "x-gateway-model-name: other\r\n", CHAT));
    let response = client.response();
    assert_eq!(response.text(), "chatbot");
    client.send(post("/v1/chat/completions", "", r#"{"model":"other"}"#));
    assert_eq!(client.response().text(), "other");
    let got = &chatbot.got()[0];
    assert_eq!(String::from_utf8_lossy(&got.body), CHAT);
    assert_eq!(got.header("x-gateway-model-name"), Some("chatbot"));
    let record = gate.record(&response);
    assert_eq!(record.model.unwrap().0.as_ref(), "chatbot");
    assert_eq!(record.attempts[0].endpoint, chatbot.address);
    assert!(record.decision.is_some() && record.decided_in > Duration::ZERO);
}

#[test]
fn a_body_in_chunks_is_read_too_and_leaves_with_a_length() {
    let chatbot = Endpoint::answering(ok("chatbot"));
    let gate = Gate::start(&by_model(&[("chatbot", &chatbot)]));
    let mut client = gate.client();
    client.send("POST /v1/completions HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    for byte in CHAT.as_bytes() {
        client.send(format!("1\r\n{}\r\n", *byte as char));
    }
    client.send("0\r\nx-trailer: 1\r\n\r\n");
    assert_eq!(client.response().text(), "chatbot");
    let got = &chatbot.got()[0];
    assert_eq!(String::from_utf8_lossy(&got.body), CHAT);
    assert_eq!(got.header("content-length"), Some(CHAT.len().to_string().as_str()));
    assert_eq!(got.header("transfer-encoding"), None);
}

#[test]
fn two_readings_of_how_a_body_is_written_are_refused() {
    let chatbot = Endpoint::answering(ok("chatbot"));
    let gate = Gate::start(&by_model(&[("chatbot", &chatbot)]));
    for headers in [
        "content-type: text/plain\r\ncontent-type: application/json\r\n",
        "content-encoding: identity\r\ncontent-encoding: gzip\r\n",
    ] {
        let head = format!("POST /v1/completions HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n", CHAT.len());
        let response = gate.ask(&format!("{head}{headers}\r\n{CHAT}"));
        assert_eq!((response.status, response.code().as_str()), (400, "malformed_request"), "{headers}");
    }
    assert!(chatbot.got().is_empty());
}

#[test]
fn a_trailer_brings_no_header_past_the_rules() {
    let web = Endpoint::answering(ok("ok"));
    let gate = Gate::start(&to_service(&[web.address]));
    let response = gate.ask(
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntrailer: x-gateway-model-name\r\n\r\n\
         2\r\nhi\r\n0\r\nx-gateway-model-name: chatbot\r\n\r\n",
    );
    assert_eq!(response.text(), "ok");
    let got = &web.got()[0];
    assert_eq!((got.body.as_slice(), got.whole), (&b"hi"[..], true));
    assert_eq!(got.header("trailer"), None);
}

#[test]
fn bad_bodies_are_refused_with_their_reason_and_nothing_is_forwarded() {
    let chatbot = Endpoint::answering(ok("chatbot"));
    let gate = Gate::start(&by_model(&[("chatbot", &chatbot)]));
    for (body, status, code) in [
        (r#"{"model":"#, 400, "not_json"),
        ("[1]", 400, "not_an_object"),
        (r#"{"messages":[]}"#, 400, "model_missing"),
        (r#"{"model":1}"#, 400, "model_not_a_string"),
        (r#"{"model":"nobody"}"#, 404, "model_not_found"),
        (r#"{"model":"chatbot","model":"chatbot"}"#, 400, "model_twice"),
    ] {
        let response = gate.ask(&post("/v1/chat/completions", "", body));
        assert_eq!((response.status, response.code().as_str()), (status, code), "{body}");
        assert_eq!(gate.record(&response).refusal.unwrap().reason, code);
    }
    assert!(chatbot.got().is_empty());
}

#[test]
fn a_request_without_a_body_is_told_that_it_has_none_to_name_a_model() {
    let chatbot = Endpoint::answering(ok("chatbot"));
    let gate = Gate::start(&by_model(&[("chatbot", &chatbot)]));
    let response = gate.ask(&post("/v1/chat/completions", "", ""));
    assert_eq!((response.status, response.code().as_str()), (400, "model_missing"));
    let expected = "the request has no body that could name a model; models here: chatbot";
    assert!(response.text().contains(expected), "{}", response.text());
    for path in ["/", "/v1/models/chatbot", "/v1/chat/completions"] {
        let response = gate.ask(&get(path, ""));
        assert_eq!((response.status, response.code().as_str()), (404, "no_route"), "{path}");
    }
    assert!(chatbot.got().is_empty());
}

#[test]
fn the_models_of_the_rules_are_listed_where_no_rule_takes_the_question() {
    let (chatbot, recommender) = (Endpoint::answering(ok("c")), Endpoint::answering(ok("r")));
    let by_model = by_model(&[("recommender", &recommender), ("chatbot", &chatbot)]);
    let gate = Gate::start(&by_model);
    let response = gate.ask(&get("/v1/models", ""));
    assert_eq!((response.status, response.header("content-type")), (200, Some("application/json")));
    let ids = response.text();
    let ids: Vec<&str> = ids.split(r#""id":""#).skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(ids, ["chatbot", "recommender"]);
    let record = gate.record(&response);
    assert_eq!((record.status, record.cancelled, &record.refusal), (200, false, &None));
    assert_eq!((record.place(), record.response_bytes), ("the gateway itself", response.body.len() as u64));
    let mut client = gate.client();
    client.send("HEAD /v1/models HTTP/1.1\r\nhost: a.example\r\n\r\n");
    let head = client.head();
    assert_eq!(
        (head.start.as_str(), head.header("content-length")),
        ("HTTP/1.1 200 OK", response.header("content-length"))
    );
    // The next response follows at once: there was no body.
    client.send(get("/v1/models", ""));
    assert_eq!(client.response().body, response.body);

    let web = Endpoint::answering(ok("of the web"));
    let taken = route("{matches: [{path: {value: /v1/models}}], backendRefs: [{name: web, port: 80}]}")
        .replace("{name: route}", "{name: web}");
    gate.reload(&[by_model, taken, service("web", &[web.address])].concat());
    assert_eq!(gate.ask(&get("/v1/models", "")).text(), "of the web");
    assert!(chatbot.got().is_empty() && recommender.got().is_empty());
}

#[test]
fn a_body_unread_for_its_content_type_is_refused_with_what_to_send() {
    let chatbot = Endpoint::answering(ok("chatbot"));
    let gate = Gate::start(&by_model(&[("chatbot", &chatbot)]));
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    let response = gate.ask(&post("/v1/chat/completions", form, CHAT));
    assert_eq!((response.status, response.code().as_str()), (400, "model_missing"));
    let hint = "application/x-www-form-urlencoded\\\"; send application/json";
    assert!(response.text().contains(hint), "{}", response.text());
    assert!(chatbot.got().is_empty());
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let chatbot = Endpoint::answering(ok("chatbot"));
    let small = Settings { body_bytes_max: 1000, ..settings() };
    let gate = Gate::with(&by_model(&[("chatbot", &chatbot)]), small);
    let mut client = gate.client();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 999999999\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.code().as_str()), (413, "body_too_large"));
    assert_eq!(response.header("connection"), Some("close"));
    let mut client = gate.client();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    client.send(format!("1f4\r\n{}\r\n", " ".repeat(500)).repeat(3));
    assert_eq!(client.response().code(), "body_too_large");
    assert!(chatbot.got().is_empty());
}

#[test]
fn a_body_that_announces_more_than_may_ever_be_held_is_refused_before_it_is_read() {
    let chatbot = Endpoint::answering(ok("chatbot"));
    let gate =
        Gate::with(&by_model(&[("chatbot", &chatbot)]), Settings { held_bytes_max: 1000, ..settings() });
    let mut client = gate.client();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1001\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.code().as_str()), (413, "body_over_budget"));
    assert!(response.header("retry-after").is_none());
}

#[test]
fn a_body_that_nobody_asks_for_streams_through_without_a_limit() {
    let endpoint = Endpoint::answering(ok("ok"));
    let small = Settings { body_bytes_max: 10, held_bytes_max: 10, ..settings() };
    let gate = Gate::with(&to_service(&[endpoint.address]), small);
    let body = "x".repeat(1_000_000);
    assert_eq!(gate.ask(&post("/upload", "", &body)).text(), "ok");
    assert_eq!(endpoint.got()[0].body.len(), body.len());
    let mut client = gate.client();
    client.send("PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    assert_eq!(client.response().text(), "ok");
    assert_eq!(endpoint.got()[1].body, b"hello");
}

#[test]
fn what_a_coded_body_decodes_to_is_charged_before_the_body_is_whole() {
    let chatbot = Endpoint::answering(ok("chatbot"));
    let small = Settings { held_bytes_max: 100_000, ..settings() };
    let gate = Gate::with(&by_model(&[("chatbot", &chatbot)]), small);
    let mut client = gate.client();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-encoding: zstd\r\ncontent-length: 1000\r\n\r\n");
    // A frame with a window of 128 KiB and a block of as many spaces; the rest does not come.
    client.send(b"\x28\xb5\x2f\xfd\x00\x38\x02\x00\x10 ");
    assert_eq!(client.response().code(), "body_over_budget");
    until("everything is given back", || (gate.handle().budget().held() == 0).then_some(()));
}

#[test]
fn a_body_that_stalls_is_refused_and_others_go_on_meanwhile() {
    let chatbot = Endpoint::answering(ok("chatbot"));
    let hasty = Settings { body_stall_timeout: Duration::from_millis(100), ..settings() };
    let gate = Gate::with(&by_model(&[("chatbot", &chatbot)]), hasty);
    let mut slow = gate.client();
    slow.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{");
    assert_eq!(gate.ask(&post("/", "", CHAT)).text(), "chatbot");
    let response = slow.response();
    assert_eq!((response.status, response.code().as_str()), (408, "body_stalled"));
    assert!(slow.is_closed());
}

#[test]
fn a_body_that_began_fast_and_comes_in_drops_is_refused_though_it_never_stalls() {
    let chatbot = Endpoint::answering(ok("chatbot"));
    let hasty =
        Settings { body_stall_timeout: Duration::from_secs(1), body_rate_min: 64 << 10, ..settings() };
    let gate = Gate::with(&by_model(&[("chatbot", &chatbot)]), hasty);
    let body = format!(r#"{{"model":"chatbot","prompt":"{}"}}"#, "a".repeat(4 << 20));
    let request = post("/v1/completions", "x-request-id: drops\r\n", &body);
    let (burst, mut drops) = request.as_bytes().split_at(request.len() - (1 << 20));
    let mut client = gate.client();
    client.send(burst);
    let mut other = gate.client();
    let refusal = until("it is refused", || {
        // A drop, and what others do meanwhile.
        client.send(drops.split_off(..1).expect("a drop is left"));
        other.send(get("/v1/models", ""));
        assert_eq!(other.response().status, 200);
        gate.telemetry.record("drops")?.refusal
    });
    assert_eq!(refusal.reason, "body_slow", "{}", refusal.message);
    until("its bytes are given back", || (gate.handle().budget().held() == 0).then_some(()));
}

#[test]
fn a_spent_budget_refuses_the_body_that_asks_for_more_and_is_whole_again_afterwards() {
    let chatbot = Endpoint::answering(ok("chatbot"));
    let poor = Settings { held_bytes_max: 1000, ..settings() };
    let gate = Gate::with(&by_model(&[("chatbot", &chatbot)]), poor);
    let mut first = gate.client();
    first.send(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 700\r\n\r\n{}", " ".repeat(600)));
    until("the first body is held", || (gate.handle().budget().held() == 600).then_some(()));
    let second = gate.ask(&post("/", "", &format!("{}{CHAT}", " ".repeat(500))));
    assert_eq!((second.status, second.code().as_str()), (503, "body_budget_spent"));
    assert!(second.header("retry-after").is_some());
    drop(first);
    until("everything is given back", || (gate.handle().budget().held() == 0).then_some(()));
    assert_eq!(gate.ask(&post("/", "", CHAT)).text(), "chatbot");
    until("everything is given back", || (gate.handle().budget().held() == 0).then_some(()));
}

#[test]
fn a_client_that_expects_a_word_gets_it_only_if_its_body_is_wanted() {
    let chatbot = Endpoint::answering(ok("chatbot"));
    let gate = Gate::start(&by_model(&[("chatbot", &chatbot)]));
    let mut client = gate.client();
    let head = format!(
        "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        CHAT.len()
    );
    client.send(head);
    assert_eq!(client.response().status, 100);
    client.send(CHAT);
    assert_eq!(client.response().text(), "chatbot");
    assert_eq!(chatbot.got()[0].header("expect"), None);
    let mut refused = gate.client();
    refused.send("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 99999999999\r\n\r\n");
    assert_eq!(refused.response().status, 413);
}

#[test]
fn the_connection_goes_on_after_a_small_refused_body() {
    let chatbot = Endpoint::answering(ok("chatbot"));
    let gate = Gate::start(&by_model(&[("chatbot", &chatbot)]));
    let mut client = gate.client();
    client.send(post("/", "", "nonsense"));
    assert_eq!(client.response().status, 400);
    client.send(post("/", "", CHAT));
    assert_eq!(client.response().text(), "chatbot");
}

/// `chatbot` is sent as `chatbot-v2`.
const REWRITE: &str = "
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceModel
metadata: {name: chatbot}
spec:
  modelName: chatbot
  criticality: Critical
  poolRef: {name: llm}
  targetModels: [{name: chatbot-v2, weight: 1}]
---
";

#[test]
fn a_rewritten_model_changes_its_bytes_and_the_length_alone() {
    let endpoint = Endpoint::answering(ok("ok"));
    let gate = Gate::start(&[&to_pool(&[endpoint.address]), REWRITE].concat());
    let response = gate.ask(&post("/v1/chat/completions", "", CHAT));
    assert_eq!(response.status, 200, "{}", response.text());
    let got = &endpoint.got()[0];
    assert_eq!(String::from_utf8_lossy(&got.body), CHAT.replace("\"chatbot\"", "\"chatbot-v2\""));
    assert_eq!(got.header("x-gateway-model-name"), Some("chatbot"));
    assert_eq!(gate.record(&response).target_model.unwrap().0.as_ref(), "chatbot-v2");
}

#[test]
fn a_compressed_body_is_sent_as_it_came_and_decoded_only_to_be_rewritten() {
    let endpoint = Endpoint::answering(ok("ok"));
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(CHAT.as_bytes()).unwrap();
    let gzip = encoder.finish().unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        gzip.len()
    );
    for (rewrite, body, coding) in [
        ("", gzip.clone(), Some("gzip")),
        (REWRITE, CHAT.replace("\"chatbot\"", "\"chatbot-v2\"").into_bytes(), None),
    ] {
        let gate = Gate::start(&[&to_pool(&[endpoint.address]), rewrite].concat());
        let mut client = gate.client();
        client.send([head.as_bytes(), &gzip].concat());
        assert_eq!(client.response().status, 200);
        let got = endpoint.got().pop().unwrap();
        assert_eq!((got.body.as_slice(), got.header("content-encoding")), (body.as_slice(), coding));
        assert_eq!(got.header("content-length"), Some(body.len().to_string().as_str()));
    }
}

#[test]
fn a_request_without_a_body_is_picked_for_by_load() {
    let endpoint = Endpoint::answering(ok("models"));
    let gate = Gate::start(&to_pool(&[endpoint.address]));
    assert_eq!(gate.ask("GET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n").text(), "models");
}

#[test]
fn a_request_whose_endpoints_are_all_replaced_while_its_body_comes_goes_to_the_new_ones() {
    let (before, after) = (Endpoint::answering(ok("before")), Endpoint::answering(ok("after")));
    let gate = Gate::start(&to_pool(&[before.address]));
    let mut client = gate.client();
    let request = post("/v1/completions", "", CHAT);
    let (begun, rest) = request.split_at(request.len() - 1);
    client.send(begun);
    until("the body is being read", || (gate.handle().budget().held() > 0).then_some(()));
    gate.reload(&to_pool(&[after.address]));
    client.send(rest);
    assert_eq!(client.response().text(), "after");
    assert!(before.got().is_empty());
}
