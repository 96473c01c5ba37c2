//! More than one data thread, and many requests at one moment.

use crate::support::{Client, Endpoint, Gate, get, ok, post, settings, to_pool, to_service};
use proxy::Settings;

const CHAT: &str = r#"{"model":"m","messages":[]}"#;

/// Tells which of an endpoint's connections a client's request came by.
fn connection(client: &mut Client) -> String {
    client.send(get("/", ""));
    client.response().text()
}

#[test]
fn a_connection_goes_to_the_least_loaded_data_thread_and_stays_there() {
    // Each data thread has its own connection to the endpoint, which tells its number.
    let endpoint = Endpoint::start(|mut connection| {
        while connection.request().is_some() && connection.send(ok(&connection.number.to_string())) {}
    });
    let two = Settings { cores: 2, ..settings() };
    let gate = Gate::with(&to_service(&[endpoint.address]), two);
    let (mut first, mut second) = (gate.client(), gate.client());
    for _ in 0..3 {
        assert_eq!(connection(&mut first), "0");
        assert_eq!(connection(&mut second), "1");
    }
    let mut third = gate.client();
    assert_eq!(connection(&mut third), "0", "both threads had one: the first gets it");
    drop(second);
    crate::support::until("its connection has ended", || (gate.handle().connections() == 2).then_some(()));
    let mut fourth = gate.client();
    assert_eq!(connection(&mut fourth), "1", "the second thread had none");
}

#[test]
fn a_first_burst_loses_no_request_to_an_endpoint_that_is_dead() {
    let live: Vec<_> = (0..3).map(|_| Endpoint::answering(ok("live"))).collect();
    let mut endpoints: Vec<_> = live.iter().map(|endpoint| endpoint.address).collect();
    endpoints.insert(1, Endpoint::absent());
    let gate = Gate::with(&to_pool(&endpoints), Settings { cores: 2, ..settings() });
    let mut clients: Vec<_> = (0..100).map(|_| gate.client()).collect();
    for client in &mut clients {
        client.send(post("/v1/completions", "", CHAT));
    }
    let answers: Vec<_> = clients.iter_mut().map(Client::response).collect();
    assert!(answers.iter().all(|answer| (answer.status, &*answer.text()) == (200, "live")));
    let records = gate.telemetry.since(&mut telemetry::Cursor::default());
    assert!(records.iter().any(|record| record.attempts.len() == 2), "none met the dead endpoint");
}
