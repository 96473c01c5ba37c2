//! Endpoints that fail rest, and come back when they answer.

use crate::support::{Endpoint, GATEWAY, Gate, answer, get, ok, pool, post, route, service, to_pool, until};
use journey::{EndpointStatus, Outcome};
use std::net::SocketAddr;

const CHAT: &str = r#"{"model":"m","messages":[]}"#;

fn broken() -> Endpoint {
    Endpoint::answering(answer("500 Internal Server Error", "", "broken"))
}

fn ask(gate: &Gate) -> u16 {
    gate.ask(&post("/v1/completions", "", CHAT)).status
}

fn status(gate: &Gate, of: SocketAddr) -> EndpointStatus {
    let snapshot = gate.world.load();
    let endpoints = snapshot.pools[0].domain.lock().endpoints(gate.world.clock().now());
    endpoints.into_iter().find(|endpoint| endpoint.key.address == of).expect("it is of the pool")
}

#[test]
fn one_endpoint_of_four_that_answers_500_at_once_gets_under_2_percent_of_1000_requests() {
    let broken = broken();
    let live = [(); 3].map(|()| Endpoint::answering(ok("live")));
    let gate = Gate::start(&to_pool(&[broken.address, live[0].address, live[1].address, live[2].address]));
    let mut client = gate.client();
    let failed = (0..1_000)
        .filter(|_| {
            client.send(post("/v1/completions", "", CHAT));
            client.response().status == 500
        })
        .count();
    assert_eq!(failed, broken.got().len());
    assert!((1..20).contains(&failed), "{failed}");
}

#[test]
fn each_retry_at_the_same_endpoint_counts_as_its_failure() {
    let broken = broken();
    let rule = "{backendRefs: [{name: llm, kind: InferencePool, group: inference.networking.k8s.io}],
                 retry: {codes: [500], attempts: 2}}";
    let gate = Gate::start(&[GATEWAY, &route(rule), &pool("llm", &[broken.address])].concat());
    assert_eq!((ask(&gate), broken.got().len()), (500, 3));
    until("the last failure is learnt", || (gate.in_flight() == 0).then_some(()));
    assert_eq!(status(&gate, broken.address).ejections, 1);
}

#[test]
fn a_trial_that_is_answered_500_brings_no_endpoint_back() {
    let (broken, live) = (broken(), Endpoint::answering(ok("live")));
    let gate = Gate::start(&to_pool(&[broken.address, live.address]));
    until("it rests", || {
        ask(&gate);
        status(&gate, broken.address).resting
    });
    until("its rest is over", || status(&gate, broken.address).resting.is_none().then_some(()));
    let failures = broken.got().len();
    until("its trial was sent", || {
        ask(&gate);
        (broken.got().len() > failures).then_some(())
    });
    let after = status(&gate, broken.address);
    assert_eq!((after.ejections, after.resting.is_some()), (2, true), "{after:?}");
}

#[test]
fn a_client_that_sends_its_body_slowly_brings_no_endpoint_to_rest() {
    let live = Endpoint::answering(ok("live"));
    let hanging = Endpoint::start(|mut connection| connection.wait_for_close());
    let pool_ref = "{name: llm, kind: InferencePool, group: inference.networking.k8s.io}";
    let rules = format!(
        "{{matches: [{{path: {{value: /hang}}}}], backendRefs: [{{name: web, port: 80}}], timeouts: {{request: 200ms}}}},
         {{matches: [{{path: {{value: /head}}}}], backendRefs: [{pool_ref}], timeouts: {{request: 200ms}}}},
         {{matches: [{{headers: [{{name: X-Gateway-Model-Name, value: m}}]}}], backendRefs: [{pool_ref}],
          timeouts: {{request: 200ms}}}}"
    );
    let pools = [pool("llm", &[live.address]), service("web", &[hanging.address])].concat();
    let gate = Gate::start(&[GATEWAY, &route(&rules), &pools].concat());
    for _ in 0..3 {
        for path in ["/head", "/v1/completions"] {
            let request = post(path, "", CHAT);
            let (first, last) = request.split_at(request.len() - 3);
            let mut client = gate.client();
            client.send(first);
            if path != "/head" {
                // Only the body finds this rule, whose time is over once another request's is that began later.
                assert_eq!(gate.ask(&get("/hang", "")).status, 504);
                client.send(last);
            }
            let response = client.response();
            assert_eq!((response.status, response.code().as_str()), (408, "body_late"), "{path}");
        }
    }
    let after = status(&gate, live.address);
    assert_eq!((after.ejections, after.in_flight, live.got().len()), (0, 0, 0));
}

#[test]
fn a_response_that_is_cut_because_its_client_took_the_time_is_told_as_that() {
    let started = Endpoint::start(|mut connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbegun");
        connection.wait_for_close();
    });
    let hanging = Endpoint::start(|mut connection| connection.wait_for_close());
    let pool_ref = "{name: llm, kind: InferencePool, group: inference.networking.k8s.io}";
    let rules = format!(
        "{{matches: [{{path: {{value: /hang}}}}], backendRefs: [{{name: web, port: 80}}], timeouts: {{request: 600ms}}}},
         {{backendRefs: [{pool_ref}], timeouts: {{request: 1s}}}}"
    );
    let pools = [pool("llm", &[started.address]), service("web", &[hanging.address])].concat();
    let gate = Gate::start(&[GATEWAY, &route(&rules), &pools].concat());
    let request = post("/v1/completions", "", CHAT);
    let (first, last) = request.split_at(request.len() - 3);
    let mut client = gate.client();
    client.send(first);
    assert_eq!(gate.ask(&get("/hang", "")).status, 504);
    client.send(last);
    let response = client.response();
    assert_eq!((response.status, response.text().as_str(), response.whole), (200, "begun", false));
    let record = gate.record(&response);
    assert_eq!((record.attempts[0].outcome, record.cancelled), (Outcome::Late, false));
    assert_eq!(record.cut_short(), Some("the route's time for the request was over"));
    let after = status(&gate, started.address);
    assert_eq!((after.ejections, after.in_flight), (0, 0));
}
