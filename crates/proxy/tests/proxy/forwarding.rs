//! What passes through, and what it looks like on the other side.

use crate::support::{
    Endpoint, GATEWAY, Gate, answer, chunk, get, ok, post, route, service, settings, to_service, until,
};
use proxy::Settings;
use std::time::Duration;

#[test]
fn a_request_and_its_response_pass_through() {
    let endpoint = Endpoint::answering(answer("201 Created", "x-mine: 1\r\n", "hello"));
    let gate = Gate::start(&to_service(&[endpoint.address]));
    let mut client = gate.client();
    for _ in 0..3 {
        client.send(post("/a/b?c=d", "content-type: text/plain\r\n", "body"));
        let response = client.response();
        assert_eq!((response.status, response.text().as_str()), (201, "hello"));
        assert_eq!(response.header("x-mine"), Some("1"));
    }
    let got = endpoint.got();
    assert_eq!(got.len(), 3);
    assert_eq!(got[0].head.start, "POST /a/b?c=d HTTP/1.1");
    assert_eq!(got[0].header("host"), Some("a.example"));
    assert_eq!(got[0].body, b"body");
}

#[test]
fn hop_by_hop_and_steering_headers_stay_behind_and_are_counted() {
    let endpoint = Endpoint::answering(answer(
        "200 OK",
        "keep-alive: timeout=5\r\nconnection: x-hop\r\nx-hop: 1\r\n",
        "ok",
    ));
    let gate = Gate::start(&to_service(&[endpoint.address]));
    let headers = "connection: x-mine\r\nx-mine: 1\r\nte: trailers\r\nx-gateway-model-name: evil\r\n\
                   x-gateway-inference-objective: vip\r\nx-slo-ttft-ms: 1\r\nx-forwarded-for: 6.6.6.6\r\n";
    let response = gate.ask(&get("/", headers));
    for name in ["keep-alive", "x-hop", "transfer-encoding"] {
        assert_eq!(response.header(name), None, "{name}");
    }
    let got = &endpoint.got()[0];
    for name in ["x-mine", "te", "x-gateway-model-name", "x-gateway-inference-objective", "x-slo-ttft-ms"] {
        assert_eq!(got.header(name), None, "{name}");
    }
    assert_eq!(got.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(got.header("x-forwarded-proto"), Some("http"));
    assert_eq!(gate.record(&response).headers_removed, 3);
}

#[test]
fn a_trusted_peer_may_steer_but_not_name_the_model() {
    let endpoint = Endpoint::answering(ok("ok"));
    let trusting = Settings { trusted_peers: vec!["127.0.0.0/8".parse().unwrap()], ..settings() };
    let gate = Gate::with(&to_service(&[endpoint.address]), trusting);
    gate.ask(&get("/", "x-gateway-inference-objective: vip\r\nx-gateway-model-name: evil\r\n"));
    let got = &endpoint.got()[0];
    assert_eq!(got.header("x-gateway-inference-objective"), Some("vip"));
    assert_eq!(got.header("x-gateway-model-name"), None);
}

#[test]
fn a_request_id_is_kept_or_made_and_told_to_both_sides() {
    let endpoint = Endpoint::answering(ok("ok"));
    let gate = Gate::start(&to_service(&[endpoint.address]));
    let kept = gate.ask(&get("/", "x-request-id: mine-1\r\n"));
    assert_eq!(kept.header("x-request-id"), Some("mine-1"));
    let made = gate.ask(&get("/", "x-request-id: not sane\r\n"));
    assert_eq!(made.header("x-request-id").unwrap().len(), 16);
    let got = endpoint.got();
    assert_eq!(got[0].header("x-request-id"), Some("mine-1"));
    assert_eq!(got[1].header("x-request-id"), made.header("x-request-id"));
}

#[test]
fn a_head_has_the_length_but_no_body() {
    let endpoint = Endpoint::start(|mut connection| {
        while connection.request().is_some() {
            connection.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
        }
    });
    let gate = Gate::start(&to_service(&[endpoint.address]));
    let mut client = gate.client();
    for _ in 0..2 {
        client.send("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n");
        let head = client.head();
        assert_eq!(head.header("content-length"), Some("5"), "{head:?}");
    }
}

#[test]
fn a_client_of_http_1_0_gets_a_body_without_chunks() {
    let chunked =
        ["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", &chunk("hel"), &chunk("lo"), "0\r\n\r\n"];
    let endpoint = Endpoint::answering(chunked.concat());
    let gate = Gate::start(&to_service(&[endpoint.address]));
    let response = gate.ask("GET / HTTP/1.0\r\n\r\n");
    assert_eq!((response.status, response.text().as_str()), (200, "hello"));
    assert_eq!(response.header("transfer-encoding"), None);
}

#[test]
fn an_absolute_target_goes_on_as_a_path_and_its_host_counts() {
    let endpoint = Endpoint::answering(ok("ok"));
    let gate = Gate::start(&to_service(&[endpoint.address]));
    gate.ask("GET http://b.example/p?q HTTP/1.1\r\nhost: a.example\r\n\r\n");
    let got = &endpoint.got()[0];
    assert_eq!(got.head.start, "GET /p?q HTTP/1.1");
    assert_eq!(got.header("host"), Some("b.example"));
}

#[test]
fn the_endpoints_of_a_service_take_turns() {
    let endpoints: Vec<_> = (0..3).map(|_| Endpoint::answering(ok("ok"))).collect();
    let addresses: Vec<_> = endpoints.iter().map(|endpoint| endpoint.address).collect();
    let gate = Gate::start(&to_service(&addresses));
    let mut client = gate.client();
    for _ in 0..9 {
        client.send(get("/", ""));
        client.response();
    }
    assert_eq!(endpoints.iter().map(|endpoint| endpoint.got().len()).collect::<Vec<_>>(), [3, 3, 3]);
}

#[test]
fn filters_change_headers_path_and_host() {
    let endpoint = Endpoint::answering(answer("200 OK", "x-secret: 1\r\n", "ok"));
    let rule = "{matches: [{path: {type: PathPrefix, value: /old}}],
      filters: [
        {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-new, value: '1'}], remove: [x-old]}},
        {type: ResponseHeaderModifier, responseHeaderModifier: {add: [{name: x-told, value: '2'}], remove: [x-secret]}},
        {type: URLRewrite, urlRewrite: {hostname: inner.example, path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}}],
      backendRefs: [{name: web, port: 80}]}";
    let gate = Gate::start(&[GATEWAY, &route(rule), &service("web", &[endpoint.address])].concat());
    let response = gate.ask(&get("/old/x?y=z", "x-old: 1\r\n"));
    assert_eq!((response.header("x-told"), response.header("x-secret")), (Some("2"), None));
    let got = &endpoint.got()[0];
    assert_eq!(got.head.start, "GET /new/x?y=z HTTP/1.1");
    assert_eq!(got.header("host"), Some("inner.example"));
    assert_eq!((got.header("x-new"), got.header("x-old")), (Some("1"), None));
}

#[test]
fn a_redirect_is_answered_without_an_endpoint() {
    let rule = "{filters: [{type: RequestRedirect, requestRedirect: {scheme: https, hostname: b.example, statusCode: 301}}]}";
    let gate = Gate::start(&[GATEWAY, &route(rule)].concat());
    let response = gate.ask(&get("/p?q", ""));
    assert_eq!((response.status, response.header("location")), (301, Some("https://b.example/p?q")));
}

#[test]
fn a_service_without_endpoints_is_refused_by_name() {
    let gate = Gate::start(&to_service(&[]));
    let response = gate.ask(&get("/", ""));
    assert_eq!((response.status, response.code().as_str()), (503, "no_service_endpoint"));
    assert!(response.text().contains("default/web:80"), "{}", response.text());
    let record = gate.record(&response);
    assert_eq!((record.backend.as_deref(), record.attempts.len()), (Some("default/web"), 0));
}

#[test]
fn an_absolute_target_names_the_host_whatever_the_header_says_and_its_path_is_rewritten() {
    let endpoint = Endpoint::answering(ok("ok"));
    let rule = "{matches: [{path: {type: PathPrefix, value: /old}}],
        filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}}],
        backendRefs: [{name: web, port: 80}]}";
    let only = route(rule).replace("  rules:", "  hostnames: [b.example]\n  rules:");
    let gate = Gate::start(&[GATEWAY, &only, &service("web", &[endpoint.address])].concat());
    let response = gate.ask("GET http://B.example:8080/old/x?y=1 HTTP/1.1\r\nhost: a.example\r\n\r\n");
    assert_eq!(response.text(), "ok", "the route of the target's host is found");
    let got = &endpoint.got()[0];
    assert_eq!(got.head.start, "GET /new/x?y=1 HTTP/1.1");
    assert_eq!(got.header("host"), Some("B.example:8080"));
}

#[test]
fn a_mirrors_answer_is_taken_to_its_end_and_no_longer_than_a_response_may_stall() {
    const ANSWER_BYTES: usize = 16 << 20;
    let endpoint = Endpoint::answering(ok("ok"));
    let mirror = Endpoint::start(|mut connection| {
        let Some(got) = connection.request() else { return };
        if got.head.start.contains("/endless") {
            connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
            while connection.send(chunk("more")) {}
            connection.hear("cut");
        } else {
            let whole = connection.send(answer("200 OK", "", &"x".repeat(ANSWER_BYTES)));
            connection.wait_for_close();
            connection.hear(if whole { "taken" } else { "hung up on" });
        }
    });
    let rule = "{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: copy, port: 80}}}],
        backendRefs: [{name: web, port: 80}]}";
    let services = [service("web", &[endpoint.address]), service("copy", &[mirror.address])].concat();
    let hasty = Settings { response_stall_timeout: Duration::from_secs(1), ..settings() };
    let gate = Gate::with(&[GATEWAY, &route(rule), &services].concat(), hasty);
    let mut client = gate.client();
    client.send(get("/endless", ""));
    assert_eq!(client.response().text(), "ok");
    until("the endless one is cut", || (mirror.heard() == ["cut"]).then_some(()));
    client.send(get("/whole", ""));
    assert_eq!(client.response().text(), "ok");
    until("the other is taken", || (mirror.heard().len() == 2).then_some(()));
    assert_eq!(mirror.heard(), ["cut", "taken"]);
}

#[test]
fn a_mirror_gets_a_copy_and_the_client_the_answer_of_the_backend() {
    let endpoint = Endpoint::answering(ok("real"));
    let mirror = Endpoint::answering(ok("copy"));
    let rule = "{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: copy, port: 80}}}],
      backendRefs: [{name: web, port: 80}]}";
    let services = [service("web", &[endpoint.address]), service("copy", &[mirror.address])].concat();
    let gate = Gate::start(&[GATEWAY, &route(rule), &services].concat());
    let mut client = gate.client();
    client.send(post("/", "content-type: text/plain\r\n", "body"));
    assert_eq!(client.response().text(), "real");
    let copy = until("the mirror gets its copy", || mirror.got().first().cloned());
    assert_eq!(copy.body, b"body");
}

#[test]
fn a_request_that_no_rule_takes_is_answered_404() {
    let gate = Gate::start(&[GATEWAY, &route("{matches: [{path: {value: /only}}]}")].concat());
    let response = gate.ask(&get("/other", ""));
    assert_eq!((response.status, response.code().as_str()), (404, "no_route"));
    let nowhere = gate.ask(&get("/only", ""));
    assert_eq!((nowhere.status, nowhere.code().as_str()), (500, "backend_unresolved"));
}

#[test]
fn a_reload_opens_and_closes_ports_and_moves_requests() {
    let old = Endpoint::answering(ok("old"));
    let new = Endpoint::answering(ok("new"));
    let gate = Gate::start(&to_service(&[old.address]));
    let mut client = gate.client();
    client.send(get("/", ""));
    assert_eq!(client.response().text(), "old");
    gate.reload(&to_service(&[new.address]).replace("port: 8080", "port: 8081"));
    let mut other = crate::support::Client::connect(gate.address_of(8081));
    other.send(get("/", ""));
    assert_eq!(other.response().text(), "new");
    until("the old port is closed", || (gate.handle().addresses().len() == 1).then_some(()));
    client.send(get("/", ""));
    assert_eq!(client.response().code(), "no_listener");
}
