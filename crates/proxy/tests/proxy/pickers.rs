//! Pools whose endpoint picker is somebody else's.

use crate::epp::{
    End, Manner, PLAIN, Picker, Stream, Wire, brief, gate, gate_with, manifests, picked, picks, piece_of,
};
use crate::picker_responses::{answers, says_of_the_response};
use crate::support::{Endpoint, Gate, Response, answer, get, ok, post, settings, until};
use bytes::{Bytes, BytesMut};
use extproc::grpc::{Code, Status, frame};
use extproc::wire::{
    CommonResponse, HeaderMutation, HeadersResponse, HttpStatus, ImmediateResponse, Metadata,
    ProcessingRequest, ProcessingResponse, Request, Response as Processed, Value,
};
use journey::Outcome;
use proxy::Settings;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use telemetry::PickerOutcome;
use tokio::sync::watch;

const CHAT: &str = r#"{"model":"m","messages":[]}"#;

pub(crate) fn ask(gate: &Gate) -> Response {
    gate.ask(&post("/v1/chat/completions", "", CHAT))
}

pub(crate) fn in_flight(gate: &Gate, at: SocketAddr) -> u32 {
    let snapshot = gate.world.load();
    let state = snapshot.pools[0].domain.lock();
    let endpoints = state.endpoints(gate.world.clock().now());
    endpoints.iter().filter(|endpoint| endpoint.key.address == at).map(|endpoint| endpoint.in_flight).sum()
}

/// How the request of `response` was picked for, and why not.
pub(crate) fn told(gate: &Gate, response: &Response) -> (PickerOutcome, String) {
    let asked = gate.record(response).picker.expect("a picker was asked");
    assert_eq!(&*asked.picker, "default/epp:9002");
    (asked.outcome, asked.why.unwrap_or_default().into_string())
}

/// Refused with the picker's failure, which is told.
fn assert_closed(gate: &Gate, expected: &str) {
    let response = ask(gate);
    assert_eq!((response.status, response.code().as_str()), (503, "endpoint_picker_failed"));
    assert!(response.header("retry-after").is_some());
    let text = response.text();
    assert!(text.contains("default/epp:9002") && text.contains("FailClose"), "{text}");
    assert!(text.contains(expected), "{expected}: {text}");
    assert_eq!(told(gate, &response).0, PickerOutcome::Failed);
}

/// Served all the same, with its body, by the built-in picker.
fn assert_open(gate: &Gate, live: &Endpoint, expected: &str) {
    let before = live.got().len();
    let response = ask(gate);
    assert_eq!((response.status, response.text().as_str()), (200, "live"));
    let got = live.got();
    assert_eq!((got.len(), got[before].body.as_slice()), (before + 1, CHAT.as_bytes()));
    let (outcome, why) = told(gate, &response);
    assert_eq!(outcome, PickerOutcome::Failed);
    assert!(why.contains(expected), "{expected}: {why}");
    assert!(!gate.record(&response).decision.unwrap().candidates.is_empty(), "the built-in picker picked");
}

/// A picker of this script fails both ways as `expected` says.
fn assert_fails<F, S>(script: F, expected: &str)
where
    F: Fn(Stream) -> S + Send + Sync + 'static,
    S: Future<Output = ()> + 'static,
{
    let live = Endpoint::answering(ok("live"));
    let picker = Picker::start(PLAIN, script);
    assert_closed(&gate(picker.address, Wire::Plain, "FailClose", &[&live]), expected);
    assert_eq!(live.got().len(), 0);
    assert_open(&gate(picker.address, Wire::Plain, "FailOpen", &[&live]), &live, expected);
}

#[test]
fn the_named_picker_picks_over_tls_and_sees_what_became_of_it() {
    let (other, chosen) = (
        Endpoint::answering(ok("other")),
        Endpoint::start(|mut connection| {
            while connection.request().is_some() {
                connection.send(answer("200 OK", "server: upstream\r\nx-of-the-picker: no\r\n", "chosen"));
            }
        }),
    );
    let tls = Manner { wire: Wire::Tls, streams_max: None };
    let picker = picks(tls, &[chosen.address]);
    let gate = gate(picker.address, Wire::Tls, "FailClose", &[&other, &chosen]);
    for _ in 0..3 {
        let response = ask(&gate);
        assert_eq!((response.status, response.text().as_str()), (200, "chosen"));
        let of_picker: Vec<_> = response
            .head
            .headers
            .iter()
            .filter(|(name, _)| name == "x-of-the-picker" || name == "server")
            .collect();
        assert_eq!(of_picker.len(), 2, "overwritten, not appended: {of_picker:?}");
        assert_eq!(
            (response.header("x-of-the-picker"), response.header("server")),
            (Some("seen"), Some("picked"))
        );
        assert_eq!(told(&gate, &response), (PickerOutcome::Picked, String::new()));
    }
    let got = &chosen.got()[0];
    assert_eq!(got.body, CHAT.as_bytes());
    assert_eq!(got.header("x-of-the-picker"), Some("1"));
    assert_eq!(got.header("content-length"), Some(CHAT.len().to_string().as_str()));
    assert_eq!(picker.connections(), 1, "one connection carries every request");
    assert!(other.got().is_empty());
    assert_was_told(&picker.heard()[..3], &[other.address, chosen.address], chosen.address);
}

/// The three messages of a request: its head with the pool's endpoints, its body, the head of its response.
fn assert_was_told(heard: &[ProcessingRequest], endpoints: &[SocketAddr], served: SocketAddr) {
    let metadata = |message: &ProcessingRequest, namespace, key| {
        Metadata::told(&message.metadata_context, namespace, key).expect("it can be read")
    };
    let Some(Request::RequestHeaders(head)) = &heard[0].request else { panic!("a head: {heard:?}") };
    let head = head.read().expect("it can be read");
    assert_eq!(head.get("x-gateway-model-name"), Some(&b"m"[..]));
    assert!(!head.end_of_stream);
    let mut sorted = endpoints.to_vec();
    sorted.sort_unstable();
    let hint = Value::list(sorted.iter().map(|endpoint| Value::string(endpoint.to_string())).collect());
    assert_eq!(
        metadata(&heard[0], "envoy.lb.subset_hint", "x-gateway-destination-endpoint-subset"),
        Some(hint)
    );
    let Some(Request::RequestBody(body)) = &heard[1].request else { panic!("a body") };
    assert_eq!((&body.body, body.end_of_stream), (&Bytes::from_static(CHAT.as_bytes()).into(), true));
    let Some(Request::ResponseHeaders(head)) = &heard[2].request else { panic!("a response") };
    assert_eq!(head.read().expect("it can be read").get(":status"), Some(&b"200"[..]));
    let told = metadata(&heard[2], "envoy.lb", "x-gateway-destination-endpoint-served");
    assert_eq!(told, Some(Value::string(served.to_string())));
}

#[test]
fn a_request_without_a_body_is_picked_for_by_its_head() {
    let live = Endpoint::answering(ok("live"));
    let picker = picks(PLAIN, &[live.address]);
    let gate = gate(picker.address, Wire::Plain, "FailClose", &[&live]);
    assert_eq!(gate.ask(&get("/v1/models", "")).text(), "live");
    let Some(Request::RequestHeaders(head)) = &picker.heard()[0].request else { panic!("a head") };
    assert!(head.end_of_stream);
}

#[test]
fn a_large_body_goes_to_the_picker_and_on_as_it_came() {
    let live = Endpoint::answering(ok("live"));
    let picker = picks(PLAIN, &[live.address]);
    let gate = gate(picker.address, Wire::Plain, "FailClose", &[&live]);
    let body = format!(r#"{{"model":"m","prompt":"{}"}}"#, "0123456789".repeat(300_000));
    assert_eq!(gate.ask(&post("/v1/completions", "", &body)).text(), "live");
    assert!(live.got()[0].body == body.as_bytes());
    let bodies =
        picker.heard().iter().filter(|heard| matches!(heard.request, Some(Request::RequestBody(_)))).count();
    assert_eq!(bodies, 3, "few and large messages");
    until("the body is given back", || (gate.handle().budget().held() == 0).then_some(()));
}

#[test]
fn the_pickers_order_is_obeyed_on_retry_and_nobody_else_is_tried() {
    let (live, third) = (Endpoint::answering(ok("live")), Endpoint::answering(ok("third")));
    let absent = Endpoint::absent();
    let pool = [absent, live.address, third.address];
    let picker = picks(PLAIN, &[absent, live.address]);
    let second = gate_with(picker.address, (Wire::Plain, "FailClose"), &pool, brief());
    let response = ask(&second);
    assert_eq!(response.text(), "live");
    let attempts: Vec<SocketAddr> =
        second.record(&response).attempts.iter().map(|attempt| attempt.endpoint).collect();
    assert_eq!(attempts, [absent, live.address]);
    let alone = picks(PLAIN, &[absent]);
    let gate = gate_with(alone.address, (Wire::Plain, "FailOpen"), &pool, brief());
    assert_eq!(ask(&gate).code(), "every_endpoint_failed");
    assert!(third.got().is_empty());
}

#[test]
fn the_endpoint_that_somebody_else_picked_is_in_flight_until_the_response_is_whole() {
    let waiting = Endpoint::start(|mut connection| {
        connection.request();
        connection.hear("here");
        connection.wait_for_close();
    });
    let idle = Endpoint::answering(ok("idle"));
    let picker = picks(PLAIN, &[waiting.address]);
    let gate = gate(picker.address, Wire::Plain, "FailClose", &[&waiting, &idle]);
    let mut client = gate.client();
    client.send(post("/v1/completions", "", CHAT));
    until("it is there", || (!waiting.heard().is_empty()).then_some(()));
    assert_eq!((in_flight(&gate, waiting.address), in_flight(&gate, idle.address)), (1, 0));
    drop(client);
    until("it is given back", || (in_flight(&gate, waiting.address) == 0).then_some(()));
}

#[test]
fn a_picker_that_hangs_is_given_up_and_its_endpoint_rests() {
    let live = Endpoint::answering(ok("live"));
    let hangs =
        || Picker::start(PLAIN, |mut stream: Stream| async move { while stream.next().await.is_some() {} });
    let brief = || Settings { endpoint_picker_timeout: Duration::from_millis(100), ..brief() };
    let picker = hangs();
    let closed = gate_with(picker.address, (Wire::Plain, "FailClose"), &[live.address], brief());
    assert_closed(&closed, "no answer within 0.1s");
    let picker = hangs();
    let open = gate_with(picker.address, (Wire::Plain, "FailOpen"), &[live.address], brief());
    assert_open(&open, &live, "no answer within 0.1s");
    until("its endpoint rests", || {
        let response = ask(&open);
        assert_eq!(response.text(), "live");
        told(&open, &response).1.contains("no answer within 0.1s; the next try is in").then_some(())
    });
}

#[test]
fn a_pool_that_changes_while_its_picker_thinks_is_picked_from_as_it_is_then() {
    for picks in [true, false] {
        let (old, new) = (Endpoint::answering(ok("old")), Endpoint::answering(ok("new")));
        let ((decide, decided), at) = (watch::channel(false), new.address);
        let picker = Picker::start(PLAIN, move |mut stream: Stream| {
            let mut decided = decided.clone();
            async move {
                let body = stream.request().await;
                decided.wait_for(|decided| *decided).await.unwrap();
                if picks {
                    stream.pick(&[at], &body);
                    stream.answer_response(&[]).await;
                } else {
                    stream.end(&Status::new(Code::Internal, "no endpoint"));
                }
            }
        });
        let before = manifests(Some(picker.address), (Wire::Plain, "FailOpen"), &[old.address]);
        let gate = Gate::with(&before, brief());
        let mut client = gate.client();
        client.send(post("/v1/chat/completions", "", CHAT));
        until("the picker is asked", || (!picker.heard().is_empty()).then_some(()));
        gate.reload(&manifests(Some(picker.address), (Wire::Plain, "FailOpen"), &[new.address]));
        decide.send_replace(true);
        let response = client.response();
        assert_eq!((response.status, response.text().as_str()), (200, "new"));
        let expected = if picks { PickerOutcome::Picked } else { PickerOutcome::Failed };
        assert_eq!(told(&gate, &response).0, expected);
    }
}

#[test]
fn a_picker_that_dies_mid_stream_fails() {
    assert_fails(
        |mut stream: Stream| async move {
            stream.next().await;
            stream.die();
        },
        "broke off before it had picked",
    );
    assert_fails(
        |mut stream: Stream| async move {
            let body = stream.request().await;
            stream.send(&picked(&["127.0.0.1:1".parse().unwrap()]));
            stream.send(&piece_of(&body[..5], false));
            // What was sent so far is to arrive before the connection breaks.
            tokio::task::yield_now().await;
            stream.die();
        },
        "broke off before it had picked",
    );
    assert_fails(
        |mut stream: Stream| async move {
            stream.request().await;
            stream.end(&Status::new(Code::Internal, "no endpoint"));
        },
        "gRPC status 13: no endpoint",
    );
}

#[test]
fn a_picker_that_answers_garbage_fails() {
    let answers = |bytes: &'static [u8]| {
        move |mut stream: Stream| async move {
            stream.request().await;
            stream.send_bytes(Bytes::from_static(bytes));
            while stream.next().await.is_some() {}
        }
    };
    assert_fails(answers(b"\x00\x00\x00\x00\x02\xff\xff"), "cannot be read");
    assert_fails(answers(b"HTTP/1.1 200 OK\r\n\r\n"), "compressed");
    assert_fails(answers(b"\x00\xff\xff\xff\xff"), "longer than");
    assert_fails(answers(b"\x00\x00\x00\x00\x00"), "an answer to nothing");
    assert_fails(
        |mut stream: Stream| async move {
            let body = stream.request().await;
            stream.pick(&[], &body);
            while stream.next().await.is_some() {}
        },
        "no list of ip:port",
    );
    // A web server in the picker's place.
    let live = Endpoint::answering(ok("live"));
    let web = Endpoint::answering(ok("I am no picker"));
    assert_closed(&gate(web.address, Wire::Plain, "FailClose", &[&live]), &web.address.to_string());
    assert_open(&gate(web.address, Wire::Tls, "FailOpen", &[&live]), &live, "cannot be reached");
}

#[test]
fn a_picker_that_leads_out_of_the_pool_is_not_followed() {
    let outside = Endpoint::answering(ok("outside"));
    let live = Endpoint::answering(ok("live"));
    let picker = picks(PLAIN, &[outside.address]);
    let expected = format!("it picked {}, and none of that is an endpoint of the pool", outside.address);
    assert_closed(&gate(picker.address, Wire::Plain, "FailClose", &[&live]), &expected);
    assert_open(&gate(picker.address, Wire::Plain, "FailOpen", &[&live]), &live, &expected);
    // Of a list, what is of the pool is followed.
    let picker = picks(PLAIN, &[outside.address, live.address]);
    assert_eq!(ask(&gate(picker.address, Wire::Plain, "FailClose", &[&live])).text(), "live");
    assert!(outside.got().is_empty());
}

#[test]
fn a_pickers_own_answer_is_passed_on_as_it_is_in_either_mode() {
    let live = Endpoint::answering(ok("live"));
    let picker = Picker::start(PLAIN, |mut stream: Stream| async move {
        stream.request().await;
        let mut headers = HeaderMutation::default();
        headers.set("content-type", "text/plain");
        headers.set("retry-after", "7");
        headers.set("content-length", "1");
        let immediate = ImmediateResponse {
            status: Some(HttpStatus { code: 429 }),
            headers: Some(headers),
            body: Bytes::from_static(b"inference gateway: saturated"),
            details: "shed".to_owned(),
            grpc_status: None,
        };
        let response = Some(Processed::ImmediateResponse(immediate));
        stream.send(&ProcessingResponse { response, ..ProcessingResponse::default() });
    });
    for mode in ["FailOpen", "FailClose"] {
        let gate = gate(picker.address, Wire::Plain, mode, &[&live]);
        let response = ask(&gate);
        assert_eq!((response.status, response.text().as_str()), (429, "inference gateway: saturated"));
        assert_eq!(
            (response.header("content-type"), response.header("retry-after")),
            (Some("text/plain"), Some("7"))
        );
        assert_eq!(told(&gate, &response).0, PickerOutcome::Answered);
        let refusal = gate.record(&response).refusal.expect("it was not served");
        assert_eq!(refusal.reason, "endpoint_picker_answered");
        assert!(refusal.message.contains("answered 429 itself: shed"), "{}", refusal.message);
        assert_eq!(gate.record(&response).response_bytes, 28);
    }
    assert!(live.got().is_empty());
}

#[test]
fn a_refused_request_is_told_with_its_model_which_a_route_names() {
    let matched = "{matches: [{headers: [{name: X-Gateway-Model-Name, value: m}]}], backendRefs:";
    for (mode, reason) in [("FailClose", "endpoint_picker_failed"), ("FailOpen", "no_ready_endpoint")] {
        let text = manifests(Some(Endpoint::absent()), (Wire::Plain, mode), &[]);
        let gate = Gate::with(&text.replace("{backendRefs:", matched), brief());
        let record = gate.record(&ask(&gate));
        assert_eq!(record.refusal.map(|refused| refused.reason), Some(reason));
        assert_eq!((record.backend.as_deref(), record.model_known), (Some("default/llm"), true));
    }
    let broken = r#"{"model":"m","messages":[}"#;
    let gate = Gate::with(&manifests(None, (Wire::Plain, "FailOpen"), &[]), brief());
    let record = gate.record(&gate.ask(&post("/v1/chat/completions", "", broken)));
    assert_eq!((record.status, record.model.map(|model| model.0.to_string())), (400, Some("m".to_owned())));
}

#[test]
fn a_body_that_the_picker_changed_is_what_is_sent_within_the_limits() {
    let live = Endpoint::answering(ok("live"));
    let rewrites = |to: String| {
        let endpoint = live.address;
        Picker::start(PLAIN, move |mut stream: Stream| {
            let to = to.clone();
            async move {
                let body = String::from_utf8(stream.request().await).unwrap();
                stream.pick(&[endpoint], body.replace("\"m\"", &to).as_bytes());
                stream.answer_response(&[]).await;
            }
        })
    };
    let picker = rewrites("\"another-model\"".to_owned());
    let changed = gate(picker.address, Wire::Plain, "FailClose", &[&live]);
    assert_eq!(ask(&changed).text(), "live");
    let got = &live.got()[0];
    let expected = CHAT.replace("\"m\"", "\"another-model\"");
    assert_eq!(String::from_utf8_lossy(&got.body), expected);
    assert_eq!(got.header("content-length"), Some(expected.len().to_string().as_str()));
    let picker = rewrites(format!("\"{}\"", "m".repeat(2000)));
    let small = Settings { body_bytes_max: 1000, ..brief() };
    let limited = gate_with(picker.address, (Wire::Plain, "FailClose"), &[live.address], small);
    assert_closed(&limited, "more than 1000 bytes");
    until("the bytes are given back", || (limited.handle().budget().held() == 0).then_some(()));
}

/// The first half of an answer of 100,000 bytes in the picker's own name.
fn half_an_answer() -> Bytes {
    let body = Bytes::from(vec![b'x'; 100_000]);
    let immediate = ImmediateResponse { body, ..ImmediateResponse::default() };
    let response = Some(Processed::ImmediateResponse(immediate));
    let mut framed = BytesMut::new();
    frame(&ProcessingResponse { response, ..ProcessingResponse::default() }, &mut framed);
    framed.freeze().slice(..50_000)
}

#[test]
fn a_pickers_half_message_is_charged_until_it_has_failed() {
    let live = Endpoint::answering(ok("live"));
    let (release, released) = watch::channel(false);
    let picker = Picker::start(PLAIN, move |mut stream: Stream| {
        let mut released = released.clone();
        async move {
            stream.request().await;
            stream.send_bytes(half_an_answer());
            released.wait_for(|released| *released).await.unwrap();
            stream.end(&Status::OK);
        }
    });
    let gate = gate(picker.address, Wire::Plain, "FailOpen", &[&live]);
    let mut client = gate.client();
    client.send(post("/v1/chat/completions", "", CHAT));
    let budget = gate.handle().budget();
    until("the half is charged", || (budget.held() > 49_000).then_some(()));
    release.send_replace(true);
    assert_eq!(client.response().text(), "live");
    until("the bytes are given back", || (budget.held() == 0).then_some(()));
}

#[test]
fn what_the_budget_has_no_room_for_fails_its_picker_and_nobody_else() {
    let live = Endpoint::answering(ok("live"));
    let picker = Picker::start(PLAIN, |mut stream: Stream| async move {
        stream.request().await;
        stream.send_bytes(half_an_answer());
        while stream.next().await.is_some() {}
    });
    let small = Settings { held_bytes_max: 10_000, ..brief() };
    let gate = gate_with(picker.address, (Wire::Plain, "FailOpen"), &[live.address], small);
    assert_open(&gate, &live, "of at most 10000 bytes");
}

#[test]
fn what_a_picker_says_beside_a_body_has_a_limit_of_its_own() {
    assert_fails(
        |mut stream: Stream| async move {
            stream.request().await;
            let mut mutation = HeaderMutation::default();
            mutation.set("x-long", vec![b'x'; 300_000]);
            let response =
                Some(CommonResponse { header_mutation: Some(mutation), ..CommonResponse::default() });
            let response = Some(Processed::RequestHeaders(HeadersResponse { response }));
            stream.send(&ProcessingResponse { response, ..ProcessingResponse::default() });
            while stream.next().await.is_some() {}
        },
        "beside bodies",
    );
}

#[test]
fn a_request_is_charged_for_the_body_that_it_has() {
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let live = Endpoint::start(move |mut connection| {
        while connection.request().is_some() {
            let _ = released.lock().unwrap().recv();
            connection.send(ok("live"));
        }
    });
    let endpoint = live.address;
    let picker = Picker::start(PLAIN, move |mut stream: Stream| async move {
        let body = stream.request().await;
        let fails = body.len() == CHAT.len();
        // Of the body of a request that it fails it has given back a longer one before.
        if fails {
            stream.send(&piece_of(&[b'x'; 5000], false));
            return stream.end(&Status::OK);
        }
        stream.pick(&[endpoint], b"{}");
        while stream.next().await.is_some() {}
    });
    let gate = gate(picker.address, Wire::Plain, "FailOpen", &[&live]);
    let budget = gate.handle().budget();
    for (sent, held) in [(CHAT.to_owned(), CHAT.len()), (format!("{CHAT}{}", " ".repeat(3000)), 2)] {
        let mut client = gate.client();
        client.send(post("/v1/chat/completions", "", &sent));
        until("the endpoint is asked", || live.got().last().filter(|got| got.body.len() == held).map(drop));
        assert_eq!(budget.held(), held as u64);
        release.send(()).unwrap();
        assert_eq!(client.response().text(), "live");
    }
}

#[test]
fn a_picker_that_hangs_though_its_connection_lives_rests_and_fail_open_waits_no_more() {
    let live = Endpoint::answering(ok("live"));
    let picker = Picker::start(PLAIN, |mut stream: Stream| async move {
        stream.request().await;
        // The head of the stream, and nothing more.
        stream.send_bytes(Bytes::new());
        while stream.next().await.is_some() {}
    });
    let brief = Settings { endpoint_picker_timeout: Duration::from_millis(300), ..settings() };
    let gate = gate_with(picker.address, (Wire::Plain, "FailOpen"), &[live.address], brief);
    let why = || {
        let response = ask(&gate);
        assert_eq!(response.text(), "live");
        told(&gate, &response).1
    };
    assert_eq!(why(), "no answer within 0.3s");
    until("it rests", || why().contains("no answer within 0.3s; the next try is in").then_some(()));
    assert_eq!(picker.connections(), 1, "its connection is kept");
}

#[test]
fn at_the_peers_limit_of_streams_a_further_connection_is_opened() {
    const REQUESTS: usize = 4;
    let here = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&here);
    // Answers once all of them are here: until then each keeps its stream at the picker.
    let together = Endpoint::start(move |mut connection| {
        connection.request();
        counts.fetch_add(1, Ordering::SeqCst);
        until("all requests are here", || (counts.load(Ordering::SeqCst) == REQUESTS).then_some(()));
        connection.send(ok("together"));
    });
    let endpoint = together.address;
    let narrow = Manner { wire: Wire::Plain, streams_max: Some(1) };
    let picker = picks(narrow, &[endpoint]);
    let gate = gate(picker.address, Wire::Plain, "FailClose", &[&together]);
    let mut clients: Vec<_> = (0..REQUESTS).map(|_| gate.client()).collect();
    for client in &mut clients {
        client.send(post("/v1/completions", "", CHAT));
    }
    for client in &mut clients {
        assert_eq!(client.response().text(), "together");
    }
    assert!(picker.connections() >= REQUESTS, "{} connections", picker.connections());
}

#[test]
fn a_picker_that_comes_back_picks_again() {
    let live = Endpoint::answering(ok("live"));
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let gate = gate(address, Wire::Plain, "FailOpen", &[&live]);
    assert_open(&gate, &live, "cannot be reached");
    let listener = std::net::TcpListener::bind(address).unwrap();
    let endpoint = live.address;
    let _picker = Picker::on(listener, PLAIN, move |mut stream: Stream| async move {
        let body = stream.request().await;
        stream.pick(&[endpoint], &body);
        stream.answer_response(&[]).await;
    });
    until("it is asked again", || {
        let response = ask(&gate);
        assert_eq!(response.text(), "live");
        (told(&gate, &response).0 == PickerOutcome::Picked).then_some(())
    });
}

#[test]
fn a_picker_without_endpoints_fails_at_once() {
    let live = Endpoint::answering(ok("live"));
    let gone = |mode| {
        let gate = gate(live.address, Wire::Plain, mode, &[&live]);
        gate.reload(&crate::epp::manifests(None, (Wire::Plain, mode), &[live.address]));
        gate
    };
    assert_closed(&gone("FailClose"), "its Service has no ready endpoint");
    assert_open(&gone("FailOpen"), &live, "its Service has no ready endpoint");
}

#[test]
fn an_attempt_at_the_picked_endpoint_is_learnt_as_any() {
    let broken = Endpoint::answering(answer("500 Internal Server Error", "", "broken"));
    let picker = picks(PLAIN, &[broken.address]);
    let gate = gate(picker.address, Wire::Plain, "FailClose", &[&broken]);
    let response = ask(&gate);
    assert_eq!(response.status, 500);
    assert_eq!(gate.record(&response).attempts[0].outcome, Outcome::ServerError { status: 500 });
}

#[test]
fn a_picker_that_hangs_leaves_time_to_fail_open_and_rests_whatever_the_routes_time_limit() {
    let live = Endpoint::answering(ok("live"));
    let picker =
        Picker::start(PLAIN, |mut stream: Stream| async move { while stream.next().await.is_some() {} });
    let text = manifests(Some(picker.address), (Wire::Plain, "FailOpen"), &[live.address]);
    let limited = text.replace("backendRefs:", "timeouts: {request: 400ms}, backendRefs:");
    assert_ne!(text, limited);
    let gate = Gate::with(&limited, brief());
    until("its endpoint rests", || {
        let response = ask(&gate);
        assert_eq!((response.status, response.text().as_str()), (200, "live"));
        told(&gate, &response).1.contains("the next try is in").then_some(())
    });
    let snapshot = gate.world.load();
    let endpoints = snapshot.pools[0].domain.lock().endpoints(gate.world.clock().now());
    assert_eq!(endpoints[0].ejections, 0);
}

#[test]
fn a_stream_ends_with_its_request_in_order_and_is_reset_only_if_that_was_broken_off() {
    let live = Endpoint::answering(ok("live"));
    let picker = picks(PLAIN, &[live.address]);
    let served = gate(picker.address, Wire::Plain, "FailClose", &[&live]);
    assert_eq!(ask(&served).text(), "live");
    until("the stream has ended", || (picker.ends() == [End::Closed]).then_some(()));
    let absent = Endpoint::absent();
    let picker = picks(PLAIN, &[absent]);
    let refused = gate_with(picker.address, (Wire::Plain, "FailClose"), &[absent], brief());
    assert_eq!(ask(&refused).code(), "every_endpoint_failed");
    until("the stream has ended", || (picker.ends() == [End::Closed]).then_some(()));
    let immediate = ImmediateResponse { body: "no".into(), ..ImmediateResponse::default() };
    let immediate = Processed::ImmediateResponse(immediate);
    for picker in [answers(immediate.clone()), says_of_the_response(live.address, immediate)] {
        let gate = gate(picker.address, Wire::Plain, "FailClose", &[&live]);
        assert_eq!(ask(&gate).text(), "no");
        until("the stream has ended", || (picker.ends() == [End::Closed]).then_some(()));
    }
    let silent = Endpoint::start(|mut connection| {
        connection.request();
        connection.hear("here");
        connection.wait_for_close();
    });
    let picker = picks(PLAIN, &[silent.address]);
    let left = gate(picker.address, Wire::Plain, "FailClose", &[&silent]);
    let mut client = left.client();
    client.send(post("/v1/completions", "", CHAT));
    until("it is there", || (!silent.heard().is_empty()).then_some(()));
    drop(client);
    until("the stream has ended", || (picker.ends() == [End::Cancelled]).then_some(()));
}
