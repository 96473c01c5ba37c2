//! What a client may take, and how long.

use crate::support::{Endpoint, Gate, get, ok, settings, to_service, until};
use proxy::Settings;
use std::time::Duration;

#[test]
fn too_many_or_too_large_headers_are_answered_431() {
    let endpoint = Endpoint::answering(ok("ok"));
    let small = Settings { header_bytes_max: 8 << 10, ..settings() };
    let gate = Gate::with(&to_service(&[endpoint.address]), small);
    let many: String = (0..101).map(|number| format!("x-{number}: 1\r\n")).collect();
    assert_eq!(gate.ask(&get("/", &many)).status, 431);
    assert_eq!(gate.ask(&get("/", &format!("x-long: {}\r\n", "a".repeat(9 << 10)))).status, 431);
    assert!(endpoint.got().is_empty());
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
