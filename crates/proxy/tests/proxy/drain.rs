//! Stopping: what runs ends whole, what waits is closed, what takes too long is cut.

use crate::support::{Endpoint, Gate, PATIENCE, chunk, get, ok, settings, to_service, until};
use journey::Outcome;
use proxy::{Drained, Settings};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

#[test]
fn running_streams_end_whole_and_idle_connections_are_closed() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let endpoint = Endpoint::start(move |mut connection| {
        connection.request();
        connection.send(STREAM);
        connection.send(chunk("data: 1\n\n"));
        wait.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        connection.send(chunk("data: 2\n\n"));
        connection.send("0\r\n\r\n");
    });
    let quick = Endpoint::answering(ok("ok"));
    let gate = Gate::start(&to_service(&[endpoint.address]));
    let mut stream = gate.client();
    stream.send(get("/", ""));
    stream.head();
    assert_eq!(stream.chunk().unwrap(), b"data: 1\n\n");
    gate.reload(&to_service(&[quick.address]));
    let mut idle = gate.client();
    idle.send(get("/", ""));
    assert_eq!(idle.response().text(), "ok");
    let address = gate.address();
    let draining = gate.drain();
    assert!(idle.is_closed());
    until("nobody listens any more", || TcpStream::connect(address).is_err().then_some(()));
    go.send(()).unwrap();
    assert_eq!(stream.chunk().unwrap(), b"data: 2\n\n");
    assert_eq!(stream.chunk().unwrap(), b"");
    assert!(stream.is_closed());
    assert_eq!(draining.join().unwrap(), Drained { cut: 0 });
}

#[test]
fn a_gateway_at_its_limit_of_connections_drains_too() {
    let endpoint = Endpoint::answering(ok("ok"));
    let gate = Gate::with(&to_service(&[endpoint.address]), Settings { connections_max: 1, ..settings() });
    let mut idle = gate.client();
    idle.send(get("/", ""));
    assert_eq!(idle.response().text(), "ok");
    let draining = gate.drain();
    assert!(idle.is_closed());
    assert_eq!(draining.join().unwrap(), Drained { cut: 0 });
}

#[test]
fn whoever_waits_to_be_accepted_when_the_drain_begins_is_served() {
    let endpoint = Endpoint::answering(ok("ok"));
    let gate = Gate::with(&to_service(&[endpoint.address]), Settings { connections_max: 1, ..settings() });
    let mut first = gate.client();
    first.send(get("/", ""));
    assert_eq!(first.response().text(), "ok");
    let mut waiting: Vec<_> = (0..300).map(|_| gate.client()).collect();
    for client in &mut waiting {
        client.send(get("/", ""));
    }
    let draining = gate.drain();
    for client in &mut waiting {
        assert_eq!(client.response().text(), "ok");
    }
    assert!(first.is_closed());
    assert_eq!(draining.join().unwrap(), Drained { cut: 0 });
}

#[test]
fn a_head_that_has_begun_when_the_drain_begins_is_waited_for() {
    let endpoint = Endpoint::answering(ok("ok"));
    let gate = Gate::start(&to_service(&[endpoint.address]));
    let mut first = gate.client();
    let mut second = gate.client();
    second.send(get("/", ""));
    assert_eq!(second.response().text(), "ok");
    first.send("GET / HTTP/1.1\r\nhost:");
    second.send("GET / HTTP/1.1\r\nhost:");
    let mut idle = gate.client();
    let draining = gate.drain();
    assert!(idle.is_closed(), "its grace is over");
    for client in [&mut first, &mut second] {
        client.send(" a.example\r\n\r\n");
        assert_eq!(client.response().text(), "ok");
        assert!(client.is_closed());
    }
    assert_eq!(draining.join().unwrap(), Drained { cut: 0 });
}

#[test]
fn a_response_that_begins_during_the_drain_ends_its_connection() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let endpoint = Endpoint::start(move |mut connection| {
        connection.request();
        connection.hear("begun");
        wait.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        connection.send(ok("late"));
    });
    let gate = Gate::start(&to_service(&[endpoint.address]));
    let mut client = gate.client();
    client.send(get("/", ""));
    until("the request has begun", || endpoint.heard().first().cloned());
    let mut idle = gate.client();
    idle.send("");
    let draining = gate.drain();
    go.send(()).unwrap();
    assert_eq!(client.response().text(), "late");
    assert!(client.is_closed());
    drop(idle);
    assert_eq!(draining.join().unwrap(), Drained { cut: 0 });
}

#[test]
fn a_connection_that_has_said_nothing_yet_does_not_hold_the_drain_up() {
    let patient = Settings { header_read_timeout: Duration::from_secs(600), ..settings() };
    let gate = Gate::with(&to_service(&[Endpoint::absent()]), patient);
    let mut silent = gate.client();
    until("it is served", || (gate.handle().connections() == 1).then_some(()));
    let draining = gate.drain();
    assert!(silent.is_closed());
    assert_eq!(draining.join().unwrap(), Drained { cut: 0 });
}

#[test]
fn a_stream_that_outlasts_the_drain_timeout_is_cut_and_counted() {
    // At the limit of connections nobody accepts either: the drain is not held up by that.
    for connections_max in [Settings::default().connections_max, 1] {
        stream_that_outlasts_the_drain_timeout(connections_max);
    }
}

fn stream_that_outlasts_the_drain_timeout(connections_max: usize) {
    let endpoint = Endpoint::start(|mut connection| {
        connection.request();
        connection.send(STREAM);
        connection.send(chunk("data: 1\n\n"));
        connection.wait_for_close();
        connection.hear("closed");
    });
    let hasty = Settings { drain_timeout: Duration::from_millis(100), connections_max, ..settings() };
    let gate = Gate::with(&to_service(&[endpoint.address]), hasty);
    let mut client = gate.client();
    client.send(get("/", "x-request-id: streamed\r\n"));
    client.head();
    assert_eq!(client.chunk().unwrap(), b"data: 1\n\n");
    let telemetry = Arc::clone(&gate.telemetry);
    assert_eq!(gate.drain().join().unwrap(), Drained { cut: 1 });
    let last = String::from_utf8(client.chunk().unwrap()).unwrap();
    assert!(last.starts_with("data: {\"error\":") && last.contains("the gateway stops"), "{last}");
    assert_eq!(client.chunk(), None);
    let record = telemetry.record("streamed").unwrap();
    let outcomes: Vec<_> = record.attempts.iter().map(|attempt| attempt.outcome).collect();
    assert_eq!((record.status, record.cancelled, outcomes), (200, false, vec![Outcome::Stopped]));
    until("the endpoint sees it", || endpoint.heard().first().cloned());
}
