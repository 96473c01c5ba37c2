//! Responses: frame by frame, with back-pressure, and cut so that it shows.

use crate::support::{
    Endpoint, GATEWAY, Gate, PATIENCE, chunk, get, ok, post, route, service, settings, to_pool, to_service,
    until,
};
use journey::Outcome;
use proxy::Settings;
use std::sync::Mutex;
use std::sync::mpsc;
use std::time::Duration;
use telemetry::Attempt;

const CHAT: &str = r#"{"model":"m","messages":[],"stream":true}"#;
const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

fn event(word: &str) -> String {
    format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{word}\"}}}}]}}\n\n")
}

#[test]
fn each_frame_reaches_the_client_before_the_next_is_made() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let endpoint = Endpoint::start(move |mut connection| {
        connection.request();
        connection.send(STREAM);
        for word in ["one", "two", "three"] {
            connection.send(chunk(&event(word)));
            wait.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        }
        connection.send("0\r\n\r\n");
    });
    let gate = Gate::start(&to_pool(&[endpoint.address]));
    let mut client = gate.client();
    client.send(post("/v1/chat/completions", "", CHAT));
    let head = client.head();
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    for word in ["one", "two", "three"] {
        assert_eq!(String::from_utf8(client.chunk().unwrap()).unwrap(), event(word));
        assert_eq!(gate.in_flight(), 1);
        go.send(()).unwrap();
    }
    assert_eq!(client.chunk().unwrap(), b"");
    until("the reservation is given back", || (gate.in_flight() == 0).then_some(()));
    let id = head.header("x-request-id").unwrap();
    let record = until("the record is written", || gate.telemetry.record(id));
    assert_eq!(record.usage.output_tokens, Some(3));
    assert!(record.stream && record.first_token_in.is_some() && !record.cancelled);
    assert_eq!(record.attempts[0].outcome, Outcome::Served);
}

#[test]
fn an_event_stream_that_dies_ends_with_an_error_event_and_no_final_chunk() {
    let endpoint = Endpoint::start(|mut connection| {
        connection.request();
        connection.send(STREAM);
        connection.send(chunk(&event("one")));
        connection.send(chunk("data: {\"cut"));
    });
    let gate = Gate::start(&to_pool(&[endpoint.address]));
    let response = gate.ask(&post("/v1/chat/completions", "", CHAT));
    assert!(!response.whole, "the client sees that it is cut");
    let text = response.text();
    let (before, error) = text.split_once("data: {\"cut\n\n").unwrap_or_else(|| panic!("{text}"));
    assert_eq!(before, event("one"));
    assert!(error.contains("\"error\"") && !error.contains("[DONE]"), "{text}");
    assert_eq!(gate.record(&response).attempts[0].outcome, Outcome::Broken);
    until("the reservation is given back", || (gate.in_flight() == 0).then_some(()));
}

#[test]
fn an_event_stream_of_an_announced_length_that_dies_is_not_filled_up_with_an_error() {
    let endpoint = Endpoint::start(|mut connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 1000\r\n\r\n");
        connection.send(event("one"));
    });
    let gate = Gate::start(&to_pool(&[endpoint.address]));
    let response = gate.ask(&post("/v1/chat/completions", "", CHAT));
    assert_eq!((response.whole, response.text()), (false, event("one")));
}

#[test]
fn any_other_body_that_dies_is_simply_cut_after_what_had_come() {
    let endpoint = Endpoint::start(|mut connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
    });
    let gate = Gate::start(&to_service(&[endpoint.address]));
    let response = gate.ask(&get("/", ""));
    assert_eq!((response.whole, response.text().as_str()), (false, "half"));
}

#[test]
fn a_response_that_stalls_is_cut() {
    let endpoint = Endpoint::start(|mut connection| {
        connection.request();
        connection.send(STREAM);
        connection.send(chunk(&event("one")));
        connection.wait_for_close();
    });
    let hasty = Settings { response_stall_timeout: Duration::from_millis(100), ..settings() };
    let gate = Gate::with(&to_pool(&[endpoint.address]), hasty);
    let response = gate.ask(&post("/v1/chat/completions", "", CHAT));
    assert!(!response.whole && response.text().contains("\"error\""), "{}", response.text());
    assert_eq!(gate.record(&response).attempts[0].outcome, Outcome::TimedOut);
}

#[test]
fn a_client_that_hangs_up_cancels_its_request_wherever_it_is() {
    let endpoint = Endpoint::start(|mut connection| {
        let Some(got) = connection.request() else { return };
        if got.head.start.contains("stream") {
            connection.send(STREAM);
            connection.send(chunk(&event("one")));
        }
        connection.hear("begun");
        connection.wait_for_close();
        connection.hear("closed");
    });
    let gate = Gate::start(&to_pool(&[endpoint.address]));
    let paths = ["/stream", "/waiting", "/half-closed", "/line-feed-behind", "/next-request-behind"];
    for (round, path) in paths.into_iter().enumerate() {
        let mut client = gate.client();
        let id = format!("round-{round}");
        client.send(post(path, &format!("x-request-id: {id}\r\n"), CHAT));
        until("the request has begun", || (endpoint.heard().len() == 2 * round + 1).then_some(()));
        if path == "/stream" {
            client.head();
        }
        assert_eq!(gate.in_flight(), 1);
        match path {
            "/line-feed-behind" => client.send("\r\n"),
            "/next-request-behind" => client.send(post(path, "", &"x".repeat(10_000))),
            _ => {}
        }
        if path == "/half-closed" {
            client.end_sending();
        } else {
            drop(client);
        }
        until("the endpoint sees it", || (endpoint.heard().len() == 2 * round + 2).then_some(()));
        until("the reservation is given back", || (gate.in_flight() == 0).then_some(()));
        let record = until("it has ended", || gate.telemetry.record(&id));
        let asked = Attempt { endpoint: endpoint.address, outcome: Outcome::Cancelled };
        assert_eq!((record.cancelled, &record.attempts[..]), (true, &[asked][..]), "{path}");
    }
    let page = gate.telemetry.text(&telemetry::Gauges::default());
    assert!(page.contains("pointsman_attempts_total{outcome=\"cancelled\"} 5\n"), "{page}");
}

#[test]
fn a_client_that_leaves_in_the_middle_of_its_body_is_answered_nothing_and_a_badly_framed_one_400() {
    let endpoint = Endpoint::answering(ok("ok"));
    for manifests in [to_pool(&[endpoint.address]), to_service(&[endpoint.address])] {
        let gate = Gate::start(&manifests);
        let half = |id: &str, framing: &str, body: &str| {
            let mut client = gate.client();
            client.send(format!(
                "POST /v1/completions HTTP/1.1\r\nhost: a\r\nx-request-id: {id}\r\n{framing}\r\n\r\n{body}"
            ));
            client
        };
        let chunked = "transfer-encoding: chunked";
        for (id, framing, begun) in
            [("by-length", "content-length: 99", "{\"mo"), ("chunked", chunked, "4\r\n{\"mo\r\n")]
        {
            drop(half(id, framing, begun));
            let record = until("it has ended", || gate.telemetry.record(id));
            assert_eq!((record.status, record.cancelled, &record.refusal), (0, true, &None), "{id}");
        }
        let badly_framed = half("framing", chunked, "g\r\n{\"mo\r\n");
        let record = until("it has ended", || gate.telemetry.record("framing"));
        let reason = record.refusal.as_ref().map(|refused| refused.reason);
        assert_eq!((record.status, record.cancelled, reason), (400, false, Some("malformed_request")));
        drop(badly_framed);
        let page = gate.telemetry.text(&telemetry::Gauges::default());
        assert!(page.contains("pointsman_responses_total{code=\"400\"} 1\n"), "{page}");
    }
}

#[test]
fn a_client_that_hangs_up_behind_its_next_request_cancels_one_that_streams_through_too() {
    let endpoint = Endpoint::start(|mut connection| {
        if connection.request().is_none() {
            return;
        }
        connection.hear("begun");
        connection.wait_for_close();
        connection.hear("closed");
    });
    let gate = Gate::start(&to_service(&[endpoint.address]));
    let in_chunks =
        "POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";
    let requests = [get("/", ""), post("/", "", "body"), in_chunks.to_owned()];
    for (round, request) in requests.into_iter().enumerate() {
        let mut client = gate.client();
        client.send(request);
        until("the request has begun", || (endpoint.heard().len() == 2 * round + 1).then_some(()));
        client.send(get("/next", ""));
        drop(client);
        until("the endpoint sees it", || (endpoint.heard().len() == 2 * round + 2).then_some(()));
    }
}

#[test]
fn a_request_that_comes_before_the_answer_to_the_one_before_is_answered_after_it() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let endpoint = Endpoint::start(move |mut connection| {
        while let Some(got) = connection.request() {
            let path = got.head.start.split(' ').nth(1).unwrap_or_default().to_owned();
            connection.hear(&path);
            if path == "/0" {
                wait.lock().unwrap().recv_timeout(PATIENCE).unwrap();
            }
            connection.send(ok(&format!("{path} {}", got.body.len())));
        }
    });
    let gate = Gate::start(&to_service(&[endpoint.address]));
    let mut client = gate.client();
    client.send(get("/0", ""));
    until("the first has begun", || (endpoint.heard().len() == 1).then_some(()));
    for (index, bytes) in [(1, 100), (2, 40_000), (3, 200)] {
        client.send(post(&format!("/{index}"), "", &"x".repeat(bytes)));
    }
    go.send(()).unwrap();
    for expected in ["/0 0", "/1 100", "/2 40000", "/3 200"] {
        assert_eq!(client.response().text(), expected);
    }
}

#[test]
fn a_client_that_does_not_read_holds_its_endpoint_back() {
    const PIECE: usize = 64 << 10;
    let endpoint = Endpoint::start(|mut connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n");
        let piece = vec![b'x'; PIECE];
        connection.patience(Duration::from_millis(300));
        let mut sent = 0;
        while connection.send(&piece) {
            sent += piece.len();
        }
        connection.hear(&sent.to_string());
    });
    let gate = Gate::start(&to_service(&[endpoint.address]));
    let mut client = gate.client();
    client.send(get("/", ""));
    let sent: usize = until("the endpoint is held back", || endpoint.heard().first()?.parse().ok());
    // What two pairs of socket buffers of the loopback device take in, and one read buffer.
    assert!(sent < 64 << 20, "{sent} bytes of 1 GB were taken in for a client that reads nothing");
}

/// An endpoint whose stream goes on until it is cut.
fn without_end() -> Endpoint {
    Endpoint::start(|mut connection| {
        connection.request();
        connection.send(STREAM);
        let piece = chunk(&event(&"x".repeat(64 << 10)));
        while connection.send(&piece) {}
        connection.hear("cut");
    })
}

#[test]
fn a_response_that_a_client_takes_too_slowly_ends_with_its_time_limit() {
    let endpoint = without_end();
    let rule = "{backendRefs: [{name: web, port: 80}], timeouts: {request: 300ms}}";
    let patient = Settings { write_stall_timeout: Duration::from_secs(600), ..settings() };
    let gate = Gate::with(&[GATEWAY, &route(rule), &service("web", &[endpoint.address])].concat(), patient);
    let mut client = gate.client();
    client.send(get("/", ""));
    until("the endpoint sees it", || (endpoint.heard().len() == 1).then_some(()));
    until("the connection is counted out", || (gate.handle().connections() == 0).then_some(()));
}

#[test]
fn a_client_that_takes_nothing_for_too_long_is_let_go_with_its_request() {
    let endpoint = without_end();
    let hasty = Settings { write_stall_timeout: Duration::from_millis(200), ..settings() };
    let gate = Gate::with(&to_pool(&[endpoint.address]), hasty);
    let mut client = gate.client();
    client.send(post("/v1/chat/completions", "", CHAT));
    until("the endpoint sees it", || (endpoint.heard().len() == 1).then_some(()));
    until("the reservation is given back", || (gate.in_flight() == 0).then_some(()));
    until("the connection is counted out", || (gate.handle().connections() == 0).then_some(()));
    let head = client.head();
    assert!(gate.telemetry.record(head.header("x-request-id").unwrap()).unwrap().cancelled);
}

#[test]
fn a_cut_reaches_a_client_that_pauses_wherever_it_comes() {
    static PIECE: [u8; 8 << 20] = [b'x'; 8 << 20];
    let endpoint = Endpoint::start(|mut connection| {
        while let Some(got) = connection.request() {
            let path = got.head.start.split(' ').nth(1).unwrap();
            let Ok(pieces) = path.trim_start_matches('/').parse::<usize>() else {
                connection.send(ok("turn"));
                continue;
            };
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n";
            connection.patience(PATIENCE);
            connection.send(head);
            connection.send(&PIECE[..(56 << 10) + pieces * (64 << 10) - head.len()]);
            return;
        }
    });
    let gate = Gate::start(&to_service(&[endpoint.address]));
    let mut other = gate.client();
    // The data thread has its turn, and sends the paused client all that its socket takes.
    let mut pause = || {
        for _ in 0..PAUSE_TURNS {
            other.send(get("/turn", ""));
            assert_eq!(other.response().text(), "turn");
        }
    };
    for pieces in 56..88 {
        let mut client = gate.client();
        client.send(get(&format!("/{pieces}"), ""));
        pause();
        assert!(client.takes_all(1536 << 10, &mut pause), "no end of {pieces} pieces");
    }
    until("every connection has ended", || (gate.handle().connections() == 1).then_some(()));
}

/// Requests of another client that make a pause.
const PAUSE_TURNS: usize = 32;
