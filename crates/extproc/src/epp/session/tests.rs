//! Messages in, messages out, and what the domain knows of it afterwards.

use super::*;
use crate::Door;
use crate::epp::{EppSettings, PoolReference};
use crate::spoken::{Stream, is_told_until_the_response_has_begun, zstd_of_a_large_window};
use crate::wire::BodySendMode::{Buffered, FullDuplexStreamed, None as NoBody};
use crate::wire::{HttpHeaders, HttpTrailers, Kind, Metadata, ProtocolConfiguration};
use journey::{BodyPace, Outcome};
use payload::Budget;
use prost::Message as _;
use resources::{Folder, ObjectName};
use signals::Signals;
use state::{Clock, Settings, World};
use std::time::Duration;
use telemetry::{Record, Telemetry};

const POOL: &str = "
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: gemma}
spec: {selector: {matchLabels: {app: gemma}}, targetPorts: [{number: 8000}], endpointPickerRef: {name: epp, port: {number: 9002}}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: a, labels: {app: gemma}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1]}]
ports: [{name: http, port: 8000}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: b, labels: {app: gemma}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.2]}]
ports: [{name: http, port: 8000}]
---
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceModelRewrite
metadata: {name: r}
spec:
  poolRef: {name: gemma, group: inference.networking.k8s.io}
  rules: [{matches: [{model: {type: Exact, value: alias}}], targets: [{modelRewrite: gemma-3, weight: 1}]}]
---
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceObjective
metadata: {name: batch}
spec: {priority: -1, poolRef: {name: gemma, group: inference.networking.k8s.io}}
";

/// A picker for the pool `gemma` of two endpoints, on port 0, and for one that is not declared, on port 1.
struct Yard {
    epp: Rc<Epp>,
    world: World,
    telemetry: Arc<Telemetry>,
    budget: Arc<Budget>,
}

impl Yard {
    fn new() -> Yard {
        Yard::with(|settings| settings)
    }

    fn with(change: impl FnOnce(EppSettings) -> EppSettings) -> Yard {
        Yard::of(1000, change)
    }

    /// With a budget of so many bytes.
    fn of(held_bytes_max: u64, change: impl FnOnce(EppSettings) -> EppSettings) -> Yard {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pool.yaml"), POOL).unwrap();
        let load = Folder::new(&[folder.path().to_owned()]).load();
        assert_eq!(load.broken().count(), 0, "{:?}", load.findings);
        let world = World::new(Settings { seed: 1, ..Settings::default() }, Clock::start());
        world.apply(load);
        let pool = |name| PoolReference { name: ObjectName::new("default", name), version: None };
        let settings = EppSettings {
            pools: vec![pool("gemma"), pool("missing")],
            destination_key: "x-gateway-destination-endpoint".into(),
            destination_namespace: "envoy.lb".into(),
            subset_hint: SubsetHint::Obeyed,
            test_plugins: scheduling::config::TestPlugins::Refused,
            body_bytes_max: 1 << 20,
            body_pace: BodyPace { stall_timeout: Duration::from_secs(30), rate_min: 0 },
        };
        let telemetry = Telemetry::new(1, 16);
        let budget = Budget::new(held_bytes_max);
        let epp = Rc::new(Epp::new(&Arc::new(change(settings)), &budget, &world, &telemetry, 0));
        Yard { epp, world, telemetry, budget }
    }

    fn stream(&self, mode: crate::wire::BodySendMode) -> Stream<EppSession> {
        Stream::of(self.epp.open(0), mode)
    }

    /// Requests at each endpoint.
    fn in_flight(&self) -> [u32; 2] {
        let pool = Arc::clone(&self.world.load().pools[0]);
        let statuses = pool.domain.lock().endpoints(self.world.clock().now());
        let of = |address: &str| {
            let found = statuses.iter().find(|status| status.key.address.to_string() == address);
            found.expect("an endpoint of the pool").in_flight
        };
        [of("10.0.0.1:8000"), of("10.0.0.2:8000")]
    }

    /// Rests that endpoints have begun.
    fn ejections(&self) -> u64 {
        let pool = Arc::clone(&self.world.load().pools[0]);
        let statuses = pool.domain.lock().endpoints(self.world.clock().now());
        statuses.iter().map(|status| status.ejections).sum()
    }

    /// Every endpoint reports so many requests waiting.
    fn all_report_waiting(&self, waiting: u32) {
        let pool = Arc::clone(&self.world.load().pools[0]);
        for (slot, _) in &pool.endpoints {
            let signals = Signals { waiting: Some(waiting), ..Signals::default() };
            pool.domain.signal(*slot, Some(signals), self.world.clock().now());
        }
    }

    /// The records of the requests that have ended.
    fn records(&self) -> Vec<Record> {
        self.telemetry.since(&mut telemetry::Cursor::default())
    }
}

const CHAT: [(&str, &str); 4] = [
    (":path", "/v1/chat/completions?x"),
    ("content-type", "application/json"),
    ("content-length", "99"),
    ("x-request-id", "id-1"),
];

/// The endpoints of an answer to headers, in order.
fn endpoints(words: &[String]) -> Vec<&str> {
    let (_, rest) = words[0].split_once("x-gateway-destination-endpoint=").expect("a destination");
    rest.split(' ').next().expect("a value").split(',').collect()
}

fn hint(entries: &[&str]) -> Vec<Bytes> {
    let list = Value::list(entries.iter().map(|entry| Value::string(*entry)).collect());
    metadata("envoy.lb.subset_hint", "x-gateway-destination-endpoint-subset", list)
}

fn served(endpoint: &str) -> Vec<Bytes> {
    metadata("envoy.lb", "x-gateway-destination-endpoint-served", Value::string(endpoint))
}

fn metadata(namespace: &str, key: &str, value: Value) -> Vec<Bytes> {
    let fields = Struct::of(key, value);
    let told = Metadata { filter_metadata: [(namespace.to_owned(), fields)].into() };
    vec![told.encode_to_vec().into()]
}

#[test]
fn the_endpoints_stand_in_header_and_metadata_once_the_body_is_whole() {
    let yard = Yard::new();
    let mut stream = yard.stream(FullDuplexStreamed);
    assert!(stream.headers(&CHAT, false).is_empty());
    assert!(stream.body(r#"{"model":"gemma-3","#, false).is_empty());
    let words = stream.body(r#""prompt":"x"}"#, true);
    let both = endpoints(&words).join(",");
    assert_eq!(endpoints(&words).len(), 2);
    assert_eq!(
        words,
        [
            format!(
                "headers anew x-gateway-destination-endpoint={both} content-length=32 \
                 {{envoy.lb:{{x-gateway-destination-endpoint:{both}}}}}"
            ),
            r#"body "{\"model\":\"gemma-3\",\"prompt\":\"x\"}" whole"#.to_owned(),
        ]
    );
    assert_eq!(yard.in_flight().iter().sum::<u32>(), 1);
    assert_eq!(yard.budget.held(), 0);
    drop(stream);
    assert_eq!(yard.in_flight(), [0, 0]);
    let record = &yard.records()[0];
    assert_eq!((record.id.as_str(), record.cancelled, record.request_bytes), ("id-1", true, 32));
}

#[test]
fn what_has_no_body_to_read_is_picked_for_at_once() {
    let yard = Yard::new();
    let upload = [(":path", "/v1/files"), ("content-type", "image/png"), ("content-length", "9"), CHAT[3]];
    for (mode, headers, end_of_stream) in [
        (FullDuplexStreamed, &[(":path", "/v1/models"), CHAT[3]][..], true),
        (NoBody, &CHAT, false),
        (FullDuplexStreamed, &upload, false),
    ] {
        let mut stream = yard.stream(mode);
        let words = stream.headers(headers, end_of_stream);
        assert_eq!((words.len(), endpoints(&words).len()), (1, 2), "{words:?}");
        if mode == FullDuplexStreamed && !end_of_stream {
            assert!(words[0].contains(" content-length=9 "), "{words:?}");
            assert_eq!(stream.body("123", false), [r#"body "123""#]);
            assert_eq!(stream.body("", true), [r#"body "" whole"#]);
        }
    }
}

#[test]
fn a_request_without_an_id_or_with_one_that_cannot_be_kept_gets_one() {
    let yard = Yard::new();
    let (path, too_long) = ((":path", "/v1/models"), "i".repeat(65));
    for headers in [&[path][..], &[path, ("x-request-id", &too_long)], &[path, ("x-request-id", "an id")]] {
        let words = yard.stream(FullDuplexStreamed).headers(headers, true);
        let (_, id) = words[0].split_once("x-request-id=").expect("an id");
        assert_eq!(id.split(' ').next().map(str::len), Some(16));
    }
    let longest = &too_long[1..];
    let words = yard.stream(FullDuplexStreamed).headers(&[path, ("x-request-id", longest)], true);
    assert!(!words[0].contains("x-request-id"), "{words:?}");
}

#[test]
fn a_conversation_is_picked_for_before_its_first_word() {
    let yard = Yard::new();
    let path = (":path", "/v1/realtime?model=x");
    for opening in [("upgrade", "websocket"), (":method", "CONNECT")] {
        let mut stream = yard.stream(FullDuplexStreamed);
        let words = stream.headers(&[path, opening, ("content-encoding", "br"), CHAT[3]], false);
        assert_eq!((words.len(), endpoints(&words).len()), (1, 2), "{words:?}");
        assert_eq!(stream.session.deadline(), None);
        assert_eq!(stream.body("hello", false), [r#"body "hello""#]);
        stream.response_headers(&[(":status", "101")], false);
        assert_eq!(stream.response_body("hello", false), [r#"response body "hello""#]);
        assert_eq!(yard.in_flight().iter().sum::<u32>(), 1);
        stream.response_body("", true);
        assert_eq!(yard.in_flight(), [0, 0]);
    }
    let mut offered = yard.stream(FullDuplexStreamed);
    assert!(offered.headers(&[CHAT[0], CHAT[1], ("upgrade", "h2c")], false).is_empty(), "it has a body");
}

#[test]
fn a_rewritten_model_is_spliced_in_and_the_length_is_mended() {
    let yard = Yard::new();
    let mut stream = yard.stream(FullDuplexStreamed);
    stream.headers(&CHAT, false);
    let words = stream.body(r#"{"model" : "alias","n":1.0}"#, true);
    assert!(words[0].contains(" content-length=29 "), "{words:?}");
    assert_eq!(words[1], r#"body "{\"model\" : \"gemma-3\",\"n\":1.0}" whole"#);
    let mut by_header = yard.stream(FullDuplexStreamed);
    by_header.headers(&[CHAT[0], CHAT[1], ("x-gateway-model-name-rewrite", "tuned")], false);
    assert_eq!(by_header.body(r#"{"model":"gemma-3"}"#, true)[1], r#"body "{\"model\":\"tuned\"}" whole"#);
    let mut buffered = yard.stream(Buffered);
    assert_eq!(buffered.headers(&CHAT, false), ["headers"]);
    let words = buffered.body(r#"{"model":"alias"}"#, true);
    assert!(words[0].starts_with("body anew x-gateway-destination-endpoint="), "{words:?}");
    assert!(words[0].contains(r#" content-length=19 "{\"model\":\"gemma-3\"}" {envoy.lb:"#), "{words:?}");
}

#[test]
fn a_body_whose_length_was_not_told_has_none_told_and_so_keeps_its_trailers() {
    let yard = Yard::new();
    for mode in [FullDuplexStreamed, Buffered] {
        let mut stream = yard.stream(mode);
        stream.headers(&[CHAT[0], CHAT[1]], false);
        let words = [stream.body(r#"{"model":"alias"}"#, false), stream.trailers()].concat();
        assert!(words[0].contains("x-gateway-destination-endpoint="), "{words:?}");
        assert!(!words[0].contains("content-length"), "{words:?}");
    }
}

#[test]
fn only_endpoints_of_the_subset_are_picked() {
    let yard = Yard::new();
    for (entries, picked) in [
        (&["10.0.0.2:8000", "10.9.9.9:1"][..], &["10.0.0.2:8000"][..]),
        (&["10.0.0.1"], &["10.0.0.1:8000"]),
        (&[" 10.0.0.2 ", "nonsense", "10.0.0.2:8000", "[::1]", "::1"], &["10.0.0.2:8000"]),
    ] {
        let mut stream = yard.stream(FullDuplexStreamed);
        stream.metadata = hint(entries);
        assert_eq!(endpoints(&stream.headers(&[(":path", "/")], true)), picked, "{entries:?}");
    }
    for (said, picked) in [
        (Value { kind: Some(Kind::NullValue(0)) }, 2),
        (Value { kind: None }, 2),
        (Value { kind: Some(Kind::NumberValue(1.0)) }, 2),
        (Value::string("10.9.9.9:8000, 10.0.0.2:8000"), 1),
    ] {
        let mut stream = yard.stream(FullDuplexStreamed);
        stream.metadata =
            metadata("envoy.lb.subset_hint", "x-gateway-destination-endpoint-subset", said.clone());
        assert_eq!(endpoints(&stream.headers(&[(":path", "/")], true)).len(), picked, "{said:?}");
    }
    for entries in [&[][..], &["10.9.9.9:8000"], &["10.0.0.1:1"]] {
        let mut stream = yard.stream(FullDuplexStreamed);
        stream.metadata = hint(entries);
        let words = stream.headers(&[(":path", "/")], true);
        assert_eq!(words, ["immediate 503 no_ready_endpoint", "end Ok"], "{entries:?}");
    }
    let yard = Yard::with(|settings| EppSettings { subset_hint: SubsetHint::PassedOver, ..settings });
    let mut stream = yard.stream(FullDuplexStreamed);
    stream.metadata = hint(&[]);
    assert_eq!(endpoints(&stream.headers(&[(":path", "/")], true)).len(), 2);
}

#[test]
fn a_request_is_counted_where_the_gateway_sent_it() {
    let yard = Yard::new();
    let mut stream = yard.stream(FullDuplexStreamed);
    let words = stream.headers(&[(":path", "/")], true);
    let second = endpoints(&words)[1].to_owned();
    stream.metadata = served(&second);
    assert_eq!(stream.response_headers(&[(":status", "200")], false), ["response headers"]);
    let expected = if second == "10.0.0.1:8000" { [1, 0] } else { [0, 1] };
    assert_eq!(yard.in_flight(), expected);
    stream.response_body("x", true);
    assert_eq!(yard.in_flight(), [0, 0]);
    let attempts: Vec<String> =
        yard.records()[0].attempts.iter().map(|attempt| format!("{:?}", attempt.outcome)).collect();
    assert_eq!(attempts, ["Broken", "Served"]);
    let mut disobeyed = yard.stream(FullDuplexStreamed);
    disobeyed.metadata = hint(&["10.0.0.1"]);
    disobeyed.headers(&[(":path", "/")], true);
    disobeyed.metadata = served("10.0.0.2:8000");
    disobeyed.response_headers(&[(":status", "200")], true);
    let attempts = yard.records()[1].attempts.iter().map(|attempt| attempt.outcome).collect::<Vec<_>>();
    assert_eq!(attempts, [Outcome::Cancelled, Outcome::Served], "it was given no list");
    for nonsense in ["10.9.9.9:8000", "x"] {
        let mut stream = yard.stream(FullDuplexStreamed);
        stream.headers(&[(":path", "/")], true);
        stream.metadata = served(nonsense);
        stream.response_headers(&[(":status", "200")], true);
    }
    assert_eq!(yard.in_flight(), [0, 0]);
}

#[test]
fn the_response_passes_at_once_and_is_learnt_from() {
    let yard = Yard::new();
    let mut stream = yard.stream(FullDuplexStreamed);
    stream.headers(&CHAT, false);
    stream.body(r#"{"model":"gemma-3","stream":true}"#, true);
    let head = [(":status", "200"), ("content-type", "text/event-stream")];
    assert_eq!(stream.response_headers(&head, false), ["response headers"]);
    let event = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
    assert_eq!(stream.response_body(event, false).len(), 1);
    assert_eq!(stream.response_body(event, false).len(), 1);
    assert_eq!(stream.response_body("data: [DONE]\n\n", true).len(), 1);
    assert_eq!(yard.in_flight(), [0, 0]);
    let record = &yard.records()[0];
    assert_eq!((record.status, record.usage.output_tokens, record.cancelled), (200, Some(2), false));
    assert!(record.first_token_in.is_some());
}

#[test]
fn a_response_ends_with_its_headers_its_body_its_trailers_or_the_stream() {
    let yard = Yard::new();
    let outcomes = |yard: &Yard| yard.records().last().map(|record| (record.status, record.cancelled));
    let mut failed = yard.stream(FullDuplexStreamed);
    failed.headers(&[(":path", "/")], true);
    failed.response_headers(&[(":status", "500")], true);
    assert_eq!(outcomes(&yard), Some((500, false)));
    let mut trailers = yard.stream(FullDuplexStreamed);
    trailers.headers(&[(":path", "/")], true);
    trailers.response_headers(&[(":status", "201")], false);
    trailers.response_body("x", false);
    assert_eq!(trailers.say(Request::ResponseTrailers(HttpTrailers::default())), ["response trailers"]);
    assert_eq!(outcomes(&yard), Some((201, false)));
    let mut unseen = yard.stream(NoBody);
    unseen.headers(&[(":path", "/")], true);
    unseen.response_headers(&[(":status", "202")], false);
    assert_eq!(yard.in_flight().iter().sum::<u32>(), 1);
    drop(unseen);
    assert_eq!(outcomes(&yard), Some((202, false)));
    let mut left = yard.stream(FullDuplexStreamed);
    left.headers(&[(":path", "/")], true);
    left.response_headers(&[(":status", "203")], false);
    left.response_body("x", false);
    drop(left);
    assert_eq!(outcomes(&yard), Some((203, true)));
    assert_eq!(yard.in_flight(), [0, 0]);
}

#[test]
fn a_gateway_that_may_end_streams_before_their_responses_is_told_of_and_one_that_holds_them_is_not() {
    for (response, is_eager, told) in
        [(NoBody, false, true), (NoBody, true, false), (FullDuplexStreamed, false, false)]
    {
        let yard = Yard::new();
        let config = ProtocolConfiguration {
            request_body_mode: FullDuplexStreamed as i32,
            response_body_mode: response as i32,
            send_body_without_waiting_for_header_response: is_eager,
        };
        let message = ProcessingRequest {
            request: Some(Request::RequestHeaders(HttpHeaders { headers: Vec::new(), end_of_stream: true })),
            protocol_config: Some(config),
            ..Default::default()
        };
        let mut stream = yard.stream(FullDuplexStreamed);
        assert_eq!(stream.take(&message.encode_to_vec().into()), Next::Continue);
        assert_eq!(yard.epp.unseen[0].get().is_some(), told, "{response:?} {is_eager}");
    }
}

#[test]
fn trailers_end_a_body_that_never_said_that_it_was_whole() {
    let yard = Yard::new();
    let mut stream = yard.stream(FullDuplexStreamed);
    stream.headers(&CHAT, false);
    assert!(stream.body(r#"{"model":"gemma-3"}"#, false).is_empty());
    let words = stream.trailers();
    assert_eq!(endpoints(&words).len(), 2);
    assert_eq!(words[1..], [r#"body "{\"model\":\"gemma-3\"}""#, "trailers"]);
}

#[test]
fn what_cannot_be_served_is_refused_in_the_apis_own_shape() {
    let yard = Yard::new();
    let refused = |body: &str| {
        let mut stream = yard.stream(FullDuplexStreamed);
        stream.headers(&CHAT, false);
        stream.body(body, true)
    };
    assert_eq!(refused("[]"), ["immediate 400 not_an_object", "end Ok"]);
    assert_eq!(refused(r#"{"model":1}"#), ["immediate 400 model_not_a_string", "end Ok"]);
    assert_eq!(refused(&" ".repeat(1001)), ["immediate 413 body_over_budget", "end Ok"]);
    let mut coded = yard.stream(FullDuplexStreamed);
    let words = coded.headers(&[CHAT[0], CHAT[1], ("content-encoding", "br")], false);
    assert_eq!(words, ["immediate 415 unsupported_coding", "end Ok"]);
    let mut missing = Stream::of(yard.epp.open(1), FullDuplexStreamed);
    assert_eq!(missing.headers(&CHAT, false), ["immediate 503 pool_not_declared", "end Ok"]);
    yard.all_report_waiting(100);
    let mut shed = yard.stream(FullDuplexStreamed);
    let batch = [(":path", "/"), ("x-gateway-inference-objective", "batch")];
    assert_eq!(shed.headers(&batch, true), ["immediate 429 saturated", "end Ok"]);
    assert_eq!(yard.stream(FullDuplexStreamed).headers(&batch[..1], true).len(), 1);
    let reasons: Vec<&str> =
        yard.records().iter().filter_map(|record| Some(record.refusal.as_ref()?.reason)).collect();
    assert_eq!(reasons.len(), 6, "{reasons:?}");
    assert_eq!((yard.in_flight(), yard.budget.held()), ([0, 0], 0));
}

#[test]
fn a_refused_request_is_told_with_its_pool_and_with_the_model_as_far_as_it_was_read() {
    let yard = Yard::new();
    let alias = Some("alias".to_owned());
    let told = |known: Option<String>| {
        let record = yard.records().pop().expect("a record");
        assert_eq!(record.backend.as_deref(), Some("default/gemma"));
        assert_eq!(
            (record.model.map(|model| model.0.to_string()), record.model_known),
            (known.clone(), known.is_some())
        );
        record.refusal.map_or("cancelled", |refused| refused.reason)
    };
    let after = |body: &str| {
        let mut stream = yard.stream(FullDuplexStreamed);
        stream.headers(&CHAT, false);
        stream.body(body, false);
        stream
    };
    for (end, reason, model) in [
        (r#","model":"alias"}"#, "model_twice", &alias),
        ("", "not_json", &alias),
        ("}}", "not_json", &alias),
    ] {
        after(r#"{"model":"alias""#).body(end, true);
        assert_eq!(told(model.clone()), reason, "{end}");
    }
    after(r#"{"model":1"#);
    assert_eq!(told(None), "model_not_a_string");
    after(r#"{"model":"alias","#).wait();
    assert_eq!(told(alias.clone()), "body_stalled");
    after(r#"{"model":"alias","#).give_up(&Refusal::BodyBudgetSpent { held: 9, limit: 9 });
    assert_eq!(told(alias.clone()), "body_budget_spent");
    drop(after(r#"{"model":"alias","#));
    assert_eq!(told(alias.clone()), "cancelled");
    after(r#"{"model":"alias","#).response_headers(&[(":status", "413")], true);
    assert_eq!(told(alias.clone()), "cancelled", "the gateway answered itself");
    yard.stream(FullDuplexStreamed).headers(&[CHAT[0], CHAT[1], ("content-encoding", "br")], false);
    assert_eq!(told(None), "unsupported_coding");
    yard.all_report_waiting(100);
    let mut shed = yard.stream(FullDuplexStreamed);
    shed.headers(&[CHAT[0], CHAT[1], ("x-gateway-inference-objective", "batch")], false);
    shed.body(r#"{"model":"alias"}"#, true);
    assert_eq!(told(alias.clone()), "saturated");
}

#[test]
fn a_body_that_announces_more_than_may_ever_be_held_is_refused_at_once() {
    let yard = Yard::new();
    let announcing = |length| {
        let mut stream = yard.stream(FullDuplexStreamed);
        stream.headers(&[CHAT[0], CHAT[1], ("content-length", length)], false)
    };
    assert_eq!(announcing("1001"), ["immediate 413 body_over_budget", "end Ok"]);
    assert!(announcing("1000").is_empty() && announcing("more").is_empty());
}

#[test]
fn a_body_that_stalls_is_refused_in_time_and_its_bytes_given_back() {
    let yard = Yard::new();
    let mut stream = yard.stream(FullDuplexStreamed);
    stream.headers(&CHAT, false);
    stream.body("{", false);
    assert_eq!(yard.budget.held(), 1);
    assert_eq!(stream.wait(), ["immediate 408 body_stalled", "end Ok"]);
    drop(stream);
    assert_eq!(yard.budget.held(), 0);
}

#[test]
fn a_body_before_its_headers_ends_the_stream() {
    let yard = Yard::new();
    assert_eq!(yard.stream(FullDuplexStreamed).body("{}", true), ["end InvalidArgument"]);
}

#[test]
fn a_body_is_charged_until_it_has_left() {
    let yard = Yard::new();
    let mut stream = yard.stream(FullDuplexStreamed);
    stream.headers(&CHAT, false);
    let body = HttpBody { body: Bytes::from_static(br#"{"model":"gemma-3"}"#).into(), end_of_stream: true };
    let message = ProcessingRequest { request: Some(Request::RequestBody(body)), ..Default::default() };
    assert_eq!(stream.session.on(message, Now(0), &mut stream.replies), Next::Continue);
    let packet = stream.replies.take();
    drop(stream);
    assert_eq!(yard.budget.held(), 19);
    drop(packet);
    assert_eq!(yard.budget.held(), 0);
}

#[test]
fn a_body_that_comes_in_drops_is_refused_though_it_never_stalls() {
    let pace = BodyPace { stall_timeout: Duration::from_secs(30), rate_min: 1024 };
    let yard = Yard::with(|settings| EppSettings { body_pace: pace, ..settings });
    let mut stream = yard.stream(FullDuplexStreamed);
    stream.headers(&CHAT, false);
    assert_eq!(stream.body_in_drops(), ["immediate 408 body_slow", "end Ok"]);
}

#[test]
fn empty_pieces_do_not_keep_a_body_from_stalling() {
    let yard = Yard::new();
    let mut stream = yard.stream(FullDuplexStreamed);
    stream.headers(&CHAT, false);
    stream.now = Now(5);
    stream.body("", false);
    assert_eq!(stream.session.deadline(), Some(Now(0).plus(Duration::from_secs(30))));
    stream.body("{", false);
    assert_eq!(stream.session.deadline(), Some(Now(5).plus(Duration::from_secs(30))));
    let mut buffered = yard.stream(Buffered);
    buffered.headers(&CHAT, false);
    assert_eq!(buffered.session.deadline(), None, "the gateway holds it");
}

#[test]
fn only_the_first_message_says_how_bodies_travel_and_headers_come_once() {
    let yard = Yard::new();
    let mut stream = yard.stream(FullDuplexStreamed);
    stream.headers(&CHAT, false);
    stream.mode = Some(Buffered);
    assert!(stream.body("{", false).is_empty(), "it is not taken for the whole body");
    assert_eq!(stream.headers(&CHAT, false), ["end InvalidArgument"]);
    drop(stream);
    assert_eq!((yard.budget.held(), yard.records().len()), (0, 1));
}

#[test]
fn in_buffered_mode_trailers_without_a_body_are_answered_with_the_endpoints_in_metadata() {
    let yard = Yard::new();
    let mut stream = yard.stream(Buffered);
    assert_eq!(stream.headers(&CHAT, false), ["headers"]);
    let words = stream.trailers();
    assert_eq!(words.len(), 1);
    assert!(words[0].starts_with("trailers {envoy.lb:{x-gateway-destination-endpoint:10.0.0."), "{words:?}");
    let mut behind = yard.stream(Buffered);
    behind.headers(&CHAT, false);
    assert!(behind.body(r#"{"model":"gemma-3"}"#, false)[0].starts_with("body anew"));
    assert_eq!(behind.trailers(), ["trailers"]);
}

#[test]
fn a_response_ends_a_request_that_is_still_read() {
    let yard = Yard::new();
    let mut stream = yard.stream(FullDuplexStreamed);
    stream.headers(&CHAT, false);
    stream.body("{", false);
    assert_eq!(stream.response_headers(&[(":status", "413")], true), ["response headers"]);
    assert_eq!((yard.budget.held(), stream.session.deadline()), (0, None));
    assert_eq!(yard.records()[0].status, 413);
    assert!(stream.body(r#""model":"gemma-3"}"#, false).is_empty() && stream.trailers().is_empty());
    assert_eq!(yard.in_flight(), [0, 0], "nothing is picked for it any more");
    let mut headless = yard.stream(Buffered);
    headless.headers(&CHAT, false);
    assert_eq!(headless.response_body("x", true), ["response body"]);
    assert_eq!(headless.trailers(), ["trailers"], "every message has its answer");
}

#[test]
fn a_coded_message_is_read_in_turns_each_of_which_is_charged() {
    let yard = Yard::of(64 << 20, |settings| EppSettings { body_bytes_max: 16 << 20, ..settings });
    let mut stream = yard.stream(FullDuplexStreamed);
    stream.headers(&[CHAT[0], CHAT[1], ("content-encoding", "zstd")], false);
    let body = HttpBody { body: zstd_of_a_large_window(64).into(), end_of_stream: false };
    let message = ProcessingRequest { request: Some(Request::RequestBody(body)), ..Default::default() };
    let mut next = stream.session.on(message, Now(0), &mut stream.replies);
    let mut charges = Vec::new();
    while next == Next::Again {
        charges.push(yard.budget.held());
        next = stream.session.again(&mut stream.replies);
    }
    assert!(charges.len() >= 8, "8 MiB were decoded in {} turns", charges.len());
    assert!(charges[0] < 3 << 20 && charges.is_sorted(), "{charges:?}");
    drop(stream);
    assert_eq!(yard.budget.held(), 0);
}

#[test]
fn whoever_is_given_up_is_told_until_the_response_has_begun() {
    let yard = Yard::new();
    let stream = || yard.stream(FullDuplexStreamed);
    is_told_until_the_response_has_begun(stream, &CHAT);
}

#[test]
fn a_request_whose_body_is_awaited_keeps_nothing_of_its_headers_but_what_is_charged() {
    let yard = Yard::new();
    let mut stream = yard.stream(FullDuplexStreamed);
    stream.metadata = hint(&["10.0.0.1", "10.0.0.1:8000", "10.9.9.9:8000"]);
    let large = "x".repeat(30 << 10);
    let told = [("x-gateway-inference-objective", "batch"), ("x-gateway-model-name-rewrite", "tuned")];
    let headers = [&CHAT[..], &told, &[("x-large", &large)]].concat();
    let message = stream.written(&headers);
    assert_eq!(stream.take(&message), Next::Continue);
    assert!(message.is_unique());
    let subset = size_of::<SocketAddr>() as u64;
    assert_eq!(yard.budget.held(), "batch".len() as u64 + "tuned".len() as u64 + subset);
    let read = Bytes::from([large.as_bytes(), b"{"].concat());
    stream.piece(read.slice(large.len()..));
    assert!(read.is_unique());
    assert_eq!(yard.budget.held(), 10 + subset + 1);
    drop(stream);
    assert_eq!(yard.budget.held(), 0);
    let yard = Yard::of(9, |settings| settings);
    let words = yard.stream(FullDuplexStreamed).headers(&headers, false);
    assert_eq!(words, ["immediate 413 body_over_budget", "end Ok"]);
}

#[test]
fn an_answer_of_the_gateways_own_says_nothing_of_the_endpoint() {
    let overflow = "upstream_reset_before_response_started{overflow}";
    let refused = "upstream_reset_before_response_started{remote_connection_failure}";
    for (details, headers, outcome) in [
        (Some(overflow), &[(":status", "503")][..], Outcome::LocalReply),
        (None, &[(":status", "503"), ("x-envoy-overloaded", "true")], Outcome::LocalReply),
        (None, &[(":status", "403")], Outcome::LocalReply),
        (None, &[(":status", "403"), ("x-envoy-upstream-service-time", "1")], Outcome::Served),
        (Some(refused), &[(":status", "503")], Outcome::Broken),
        (None, &[(":status", "503")], Outcome::ServerError { status: 503 }),
    ] {
        let yard = Yard::new();
        for _ in 0..8 {
            let mut stream = yard.stream(FullDuplexStreamed);
            stream.metadata = hint(&["10.0.0.1"]);
            stream.headers(&[(":path", "/")], true);
            stream.code_details = details;
            assert_eq!(stream.response_headers(headers, false), ["response headers"]);
            stream.response_body("no", true);
        }
        let told = format!("{details:?} {headers:?}");
        let record = yard.records().pop().expect("a record");
        assert_eq!((record.attempts[0].outcome, record.cancelled), (outcome, false), "{told}");
        let failed = matches!(outcome, Outcome::Broken | Outcome::ServerError { .. });
        assert_eq!(yard.ejections() > 0, failed, "{told}");
        assert_eq!(yard.in_flight(), [0, 0], "{told}");
    }
}

#[test]
fn a_gateway_that_shows_neither_bodies_nor_responses_is_told_of() {
    let yard = Yard::new();
    for _ in 0..16 {
        assert!(!yard.epp.misset.has_told_of()[1]);
        let mut stream = yard.stream(NoBody);
        let picked = stream.headers(&[(":method", "POST"), CHAT[0], CHAT[1]], false);
        assert!(picked[0].contains("x-gateway-destination-endpoint"), "{picked:?}");
    }
    assert_eq!(yard.epp.misset.has_told_of(), [true, true]);
    let yard = Yard::new();
    for place in 0..40 {
        let mut stream = yard.stream(NoBody);
        stream.headers(&[CHAT[0]], true);
        if place == 0 {
            stream.response_headers(&[(":status", "200")], true);
        }
    }
    assert_eq!(yard.epp.misset.has_told_of(), [false, false], "these clients left");
    let mut stream = yard.stream(FullDuplexStreamed);
    stream.headers(&[CHAT[0]], true);
    stream.response_body("its head was kept back", false);
    assert_eq!(yard.epp.misset.has_told_of(), [false, true]);
}
