//! What a client may take, and how long.

use crate::support::{Client, Endpoint, Gate, answer, get, ok, settings, to_service, until};
use proxy::Settings;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

#[test]
fn a_head_that_cannot_be_read_is_refused_in_the_apis_shape_and_told() {
    let endpoint = Endpoint::answering(ok("ok"));
    let roomy = Settings { header_bytes_max: 128 << 10, ..settings() };
    let gate = Gate::with(&to_service(&[endpoint.address]), roomy);
    let many: String = (0..101).map(|number| format!("x-{number}: 1\r\n")).collect();
    let after_another = format!("{}nonsense\r\n\r\n", get("/", ""));
    for (request, status, code) in [
        ("nonsense\r\n\r\n".to_owned(), 400, "malformed_request"),
        ("\x16\x03\x01\x02\0\x01\0\x01\u{7f}\x03\x03\r\n\r\n".to_owned(), 400, "malformed_request"),
        ("GET / HTTP/7.0\r\n\r\n".to_owned(), 400, "malformed_request"),
        (get("/", "a b: 1\r\n"), 400, "malformed_request"),
        (get("/", "content-length: x\r\n"), 400, "malformed_request"),
        (get(&format!("/{}", "a".repeat(66_000)), ""), 414, "target_too_long"),
        (get("/", &many), 431, "head_too_large"),
        (get("/", &format!("x-long: {}\r\n", "a".repeat(129 << 10))), 431, "head_too_large"),
        (after_another, 400, "malformed_request"),
    ] {
        let told = &request[..request.len().min(40)];
        let mut client = gate.client();
        client.send(&request);
        if request.ends_with("nonsense\r\n\r\n") && request.starts_with("GET") {
            assert_eq!(client.response().text(), "ok");
        }
        let response = client.response();
        assert_eq!((response.status, response.code().as_str()), (status, code), "{told:?}");
        assert_eq!(response.header("content-type"), Some("application/json"), "{told:?}");
        assert!(client.is_closed());
        assert_eq!(gate.record(&response).refusal.unwrap().reason, code);
    }
    assert_eq!(endpoint.got().len(), 1);
}

#[test]
fn an_endpoints_own_empty_400_is_passed_on_as_it_is() {
    let endpoint = Endpoint::answering(answer("400 Bad Request", "", ""));
    let gate = Gate::start(&to_service(&[endpoint.address]));
    let mut client = gate.client();
    for _ in 0..2 {
        client.send(get("/", ""));
        let response = client.response();
        assert_eq!((response.status, response.text().as_str()), (400, ""));
        assert!(gate.record(&response).refusal.is_none());
    }
}

#[test]
fn a_head_that_does_not_come_ends_the_connection() {
    let endpoint = Endpoint::answering(ok("ok"));
    let hasty = Settings { header_read_timeout: Duration::from_millis(100), ..settings() };
    let gate = Gate::with(&to_service(&[endpoint.address]), hasty);
    let mut silent = gate.client();
    let mut slow = gate.client();
    slow.send("GET / HTTP/1.1\r\nhost:");
    let mut second = gate.client();
    second.send(get("/", ""));
    assert_eq!(second.response().text(), "ok");
    second.send("GET / HT");
    assert!(silent.is_closed() && slow.is_closed() && second.is_closed());
}

#[test]
fn a_connection_that_lies_idle_is_closed() {
    let endpoint = Endpoint::answering(ok("ok"));
    let hasty = Settings { keep_alive_timeout: Duration::from_millis(100), ..settings() };
    let gate = Gate::with(&to_service(&[endpoint.address]), hasty);
    let mut client = gate.client();
    client.send(get("/", ""));
    assert_eq!(client.response().text(), "ok");
    assert!(client.is_closed());
    until("the connection is counted out", || (gate.handle().connections() == 0).then_some(()));
}

#[test]
fn an_old_connection_is_closed_with_its_next_response() {
    let endpoint = Endpoint::answering(ok("ok"));
    let young = Settings { connection_age_max: Some(Duration::ZERO), ..settings() };
    let gate = Gate::with(&to_service(&[endpoint.address]), young);
    let mut client = gate.client();
    client.send(get("/", ""));
    let response = client.response();
    assert_eq!((response.text().as_str(), response.header("connection")), ("ok", Some("close")));
    assert!(client.is_closed());
}

#[test]
fn connections_beyond_the_limit_wait_for_one_to_end() {
    let endpoint = Endpoint::answering(ok("ok"));
    let few = Settings { connections_max: 1, ..settings() };
    let gate = Gate::with(&to_service(&[endpoint.address]), few);
    let mut first = gate.client();
    first.send(get("/", ""));
    assert_eq!(first.response().text(), "ok");
    let mut second = gate.client();
    second.send(get("/", ""));
    drop(first);
    assert_eq!(second.response().text(), "ok");
}

#[test]
fn a_port_that_is_closed_at_a_reload_lets_nobody_in_beyond_the_limit() {
    let endpoint = Endpoint::answering(ok("ok"));
    let few = Settings { connections_max: 1, ..settings() };
    let manifests = to_service(&[endpoint.address]);
    let gate = Gate::with(&manifests, few);
    let mut first = gate.client();
    first.send(get("/", ""));
    assert_eq!(first.response().text(), "ok");
    let mut waiting = [gate.client(), gate.client()];
    waiting.iter_mut().for_each(|client| client.send(get("/", "")));
    gate.reload(&manifests.replace("port: 8080", "port: 8081"));
    assert!(waiting.iter_mut().all(|client| client.try_response().is_none()), "nobody serves them");
    assert_eq!(gate.handle().connections(), 1);
}

#[test]
fn a_port_that_is_taken_at_a_reload_is_served_once_it_is_free() {
    let endpoint = Endpoint::answering(ok("ok"));
    let manifests = to_service(&[endpoint.address]);
    let at = |port: u16| manifests.replace("port: 8080", &format!("port: {port}"));
    let fixed = Settings { free_ports: false, ..settings() };
    let gate = Gate::with(&at(Endpoint::absent().port()), fixed);
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    gate.reload(&at(port));
    until("the first port is closed", || gate.handle().addresses().is_empty().then_some(()));
    drop(taken);
    let mut client = Client::connect(gate.address_of(port));
    client.send(get("/", ""));
    assert_eq!(client.response().text(), "ok");
}
