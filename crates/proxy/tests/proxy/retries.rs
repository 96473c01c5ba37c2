//! When a request is sent again, and when it must not be.

use crate::support::{
    Connection, Endpoint, GATEWAY, Gate, Response, answer, get, ok, pool, post, route, service, settings,
    to_pool, to_service, until,
};
use journey::Outcome;
use proxy::Settings;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

const CHAT: &str = r#"{"model":"m","messages":[]}"#;

#[test]
fn a_failed_connection_is_tried_at_the_next_endpoint() {
    let live = Endpoint::answering(ok("live"));
    let gate = Gate::start(&to_pool(&[Endpoint::absent(), live.address]));
    for _ in 0..8 {
        let response = gate.ask(&post("/v1/completions", "", CHAT));
        assert_eq!(response.text(), "live");
    }
    assert_eq!(live.got().len(), 8);
    until("every reservation is given back", || (gate.in_flight() == 0).then_some(()));
    let services = Gate::start(&to_service(&[Endpoint::absent(), live.address]));
    for _ in 0..4 {
        assert_eq!(services.ask(&get("/", "")).text(), "live");
    }
}

#[test]
fn a_503_before_its_body_is_tried_at_the_next_endpoint_and_passed_on_if_there_is_none() {
    let busy = Endpoint::answering(answer("503 Service Unavailable", "", "busy"));
    let live = Endpoint::answering(ok("live"));
    let gate = Gate::start(&to_pool(&[busy.address, live.address]));
    for _ in 0..4 {
        assert_eq!(gate.ask(&post("/v1/completions", "", CHAT)).text(), "live");
    }
    let alone = Gate::start(&to_pool(&[busy.address]));
    let response = alone.ask(&post("/v1/completions", "", CHAT));
    assert_eq!((response.status, response.text().as_str()), (503, "busy"));
    assert_eq!(alone.record(&response).attempts[0].outcome, Outcome::ServerError { status: 503 });
    until("every reservation is given back", || (alone.in_flight() == 0).then_some(()));
}

#[test]
fn a_500_is_passed_on_and_not_tried_again() {
    let broken = Endpoint::answering(answer("500 Internal Server Error", "", "broken"));
    let gate = Gate::start(&to_service(&[broken.address, broken.address]));
    assert_eq!(gate.ask(&get("/", "")).status, 500);
    assert_eq!(broken.got().len(), 1);
}

#[test]
fn when_every_endpoint_fails_the_last_failure_is_told() {
    let gate = Gate::start(&to_pool(&[Endpoint::absent(), Endpoint::absent()]));
    let response = gate.ask(&post("/v1/completions", "", CHAT));
    assert_eq!((response.status, response.code().as_str()), (503, "every_endpoint_failed"));
    assert_eq!(gate.record(&response).attempts.len(), 2);
    until("every reservation is given back", || (gate.in_flight() == 0).then_some(()));
}

#[test]
fn a_fresh_connection_that_breaks_is_not_tried_again() {
    let rude = Endpoint::start(|mut connection| {
        connection.request();
    });
    let gate = Gate::start(&to_service(&[rude.address, rude.address]));
    let response = gate.ask(&get("/", ""));
    assert_eq!((response.status, response.code().as_str()), (502, "upstream_reset"));
    assert_eq!(rude.got().len(), 1);
}

#[test]
fn a_reused_connection_that_breaks_before_it_answers_is_tried_once_on_a_fresh_one() {
    let tired = Endpoint::start(|mut connection| {
        connection.request();
        connection.send(ok("first"));
        connection.request();
    });
    let gate = Gate::start(&to_service(&[tired.address]));
    let mut client = gate.client();
    client.send(get("/", ""));
    assert_eq!(client.response().text(), "first");
    client.send(post("/again", "content-type: text/plain\r\n", ""));
    assert_eq!(client.response().text(), "first", "the second connection answers");
    assert_eq!(tired.got().len(), 3);
}

/// Two endpoints of a Service, of which one serves one request of a connection and does `then` to the next; the answer
/// that is not 200, and how often the other one was asked.
fn lost_between(live: &Endpoint, then: impl Fn(&mut Connection) + Send + Sync + 'static) -> Response {
    let shaky = Endpoint::start(move |mut connection| {
        if connection.number == 0 {
            connection.request();
            connection.send(ok("first"));
        }
        connection.request();
        then(&mut connection);
    });
    let gate = Gate::start(&to_service(&[shaky.address, live.address]));
    let mut client = gate.client();
    let lost = (0..4).find_map(|_| {
        client.send(get("/", ""));
        let answer = client.response();
        (answer.status != 200).then_some(answer)
    });
    lost.expect("one in two goes to the endpoint that fails its second")
}

#[test]
fn a_reused_connection_that_breaks_within_a_head_is_not_tried_again() {
    let live = Endpoint::answering(ok("live"));
    let lost = lost_between(&live, |connection| {
        connection.send(if connection.number == 0 {
            "HTTP/1.1 2"
        } else {
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
        });
    });
    assert_eq!((lost.status, lost.code().as_str()), (502, "upstream_reset"));
    assert!(live.got().len() <= 2, "{}", live.got().len());
}

#[test]
fn a_503_to_a_request_that_was_sent_again_is_passed_on() {
    let live = Endpoint::answering(ok("live"));
    let lost = lost_between(&live, |connection| {
        if connection.number > 0 {
            connection.send(answer("503 Service Unavailable", "", "busy"));
        }
    });
    assert_eq!((lost.status, lost.text().as_str()), (503, "busy"));
    assert!(live.got().len() <= 2, "{}", live.got().len());
}

#[test]
fn a_request_that_its_endpoint_dies_of_is_sent_nowhere_else() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let dying = listener.local_addr().unwrap();
    let death = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        assert!(connection.read(&mut request).unwrap() > 0);
        connection.write_all(ok("first").as_bytes()).unwrap();
        assert!(connection.read(&mut request).unwrap() > 0, "the next request, on the same connection");
        drop(listener);
    });
    let live = Endpoint::answering(ok("live"));
    let gate = Gate::start(&to_service(&[dying, live.address]));
    let mut client = gate.client();
    let lost = (0..4).find_map(|_| {
        client.send(get("/", ""));
        let answer = client.response();
        (answer.status != 200).then_some(answer)
    });
    death.join().unwrap();
    let lost = lost.expect("one in two goes to the endpoint that dies of its second");
    assert_eq!((lost.status, lost.code().as_str()), (502, "upstream_reset"));
    assert!(live.got().len() <= 2, "{}", live.got().len());
}

#[test]
fn a_client_that_leaves_while_its_request_is_sent_again_says_nothing_about_the_endpoint() {
    let slow = Endpoint::start(|mut connection| {
        if connection.request().is_some() {
            connection.hear("got it");
        }
        connection.wait_for_close();
    });
    let gate = Gate::start(&to_pool(&[Endpoint::absent(), slow.address]));
    let sent_again = (0..32).find_map(|turn| {
        let mut client = gate.client();
        client.send(post("/v1/completions", &format!("x-request-id: turn-{turn}\r\n"), CHAT));
        until("the endpoint has the request", || (slow.heard().len() == turn + 1).then_some(()));
        drop(client);
        let record = until("it has ended", || gate.telemetry.record(&format!("turn-{turn}")));
        (record.attempts.len() == 2).then_some(record)
    });
    let record = sent_again.expect("one of them was meant for the absent endpoint first");
    let outcomes = record.attempts.iter().map(|attempt| attempt.outcome);
    assert_eq!((record.cancelled, outcomes.collect()), (true, vec![Outcome::Broken, Outcome::Cancelled]));
    let snapshot = gate.world.load();
    let endpoints = snapshot.pools[0].domain.lock().endpoints(gate.world.clock().now());
    let blamed = endpoints.iter().find(|endpoint| endpoint.key.address == slow.address).unwrap();
    assert_eq!((blamed.ejections, blamed.resting), (0, None));
}

#[test]
fn a_route_may_have_its_own_codes_and_attempts_obeyed() {
    let shaky = Endpoint::start(|mut connection| {
        // An answer that nobody reads ends its connection.
        let status = ["500 A", "500 B", "200 OK"][connection.number];
        connection.request();
        connection.send(answer(status, "", status));
        connection.wait_for_close();
    });
    let rule = "{backendRefs: [{name: web, port: 80}], retry: {codes: [500], attempts: 2}}";
    let gate = Gate::start(&[GATEWAY, &route(rule), &service("web", &[shaky.address])].concat());
    assert_eq!(gate.ask(&get("/", "")).text(), "200 OK");
    assert_eq!(shaky.got().len(), 3);
}

#[test]
fn a_backoff_beyond_the_requests_time_limit_ends_it_and_no_other_endpoint_is_blamed() {
    let broken = [(); 2].map(|()| Endpoint::answering(answer("500 Broken", "", "broken")));
    let rule = "{backendRefs: [{name: llm, kind: InferencePool, group: inference.networking.k8s.io}],
        timeouts: {request: 5s}, retry: {codes: [500], attempts: 2, backoff: 10s}}";
    let addresses = broken.each_ref().map(|endpoint| endpoint.address);
    let gate = Gate::start(&[GATEWAY, &route(rule), &pool("llm", &addresses)].concat());
    for _ in 0..3 {
        let response = gate.ask(&post("/v1/completions", "", CHAT));
        assert_eq!((response.status, response.text().as_str()), (500, "broken"));
        assert_eq!(gate.record(&response).attempts.len(), 1);
    }
    assert_eq!(broken.iter().map(|endpoint| endpoint.got().len()).sum::<usize>(), 3);
    let snapshot = gate.world.load();
    let endpoints = snapshot.pools[0].domain.lock().endpoints(gate.world.clock().now());
    let ejections: Vec<_> = endpoints.iter().map(|endpoint| endpoint.ejections).collect();
    assert_eq!(ejections, [0, 0], "three failures at two endpoints are three in a row at neither");
}

#[test]
fn a_routes_time_limit_answers_504_and_leaves_the_endpoint() {
    let hanging = Endpoint::start(|mut connection| {
        connection.request();
        connection.wait_for_close();
        connection.hear("closed");
    });
    for timeouts in ["{request: 100ms}", "{backendRequest: 100ms}"] {
        let rule = format!("{{backendRefs: [{{name: web, port: 80}}], timeouts: {timeouts}}}");
        let gate = Gate::start(&[GATEWAY, &route(&rule), &service("web", &[hanging.address])].concat());
        let response = gate.ask(&get("/", ""));
        assert_eq!((response.status, response.code().as_str()), (504, "upstream_timeout"), "{timeouts}");
    }
    until("both connections are closed", || (hanging.heard().len() == 2).then_some(()));
}

#[test]
fn an_idle_connection_is_used_again_until_it_is_too_old() {
    let endpoint = Endpoint::start(|mut connection| {
        while connection.request().is_some() && connection.send(ok(&connection.number.to_string())) {}
        connection.hear("closed");
    });
    let brief = Settings { upstream_idle_timeout: Duration::from_millis(100), ..settings() };
    let gate = Gate::with(&to_service(&[endpoint.address]), brief);
    assert_eq!(gate.ask(&get("/", "")).text(), "0");
    assert_eq!(gate.ask(&get("/", "")).text(), "0");
    until("the idle connection is closed", || (endpoint.heard().len() == 1).then_some(()));
    assert_eq!(gate.ask(&get("/", "")).text(), "1");
}
