//! Messages in, messages out.

use super::*;
use crate::Door;
use crate::bbr::{BaseModels, BbrSettings};
use crate::replies::tests::read;
use crate::spoken::{Stream, is_told_until_the_response_has_begun, zstd_of_a_large_window};
use crate::wire::{BodyMutation, BodySendMode, HttpHeaders, HttpTrailers, Mutation};
use arc_swap::ArcSwap;
use journey::BodyPace;
use payload::{Budget, FIELD_VALUE_BYTES_MAX, Field};
use resources::Folder;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use telemetry::{BODIES_PER_SAMPLE, BbrCounts, FieldMiss};

const STALL: Duration = Duration::from_secs(30);

/// A router whose base models know the adapter `food-review` of `gemma`.
fn router(pass_on: PassOn) -> (Rc<Bbr>, Arc<BbrCounts>) {
    router_of(pass_on, &[])
}

/// The same, where these fields go to these headers too.
fn router_of(pass_on: PassOn, further: &[(&str, &str)]) -> (Rc<Bbr>, Arc<BbrCounts>) {
    let folder = tempfile::tempdir().unwrap();
    let maps = "
apiVersion: v1
kind: ConfigMap
metadata: {name: a, labels: {inference.networking.k8s.io/bbr-managed: 'true'}}
data: {baseModel: gemma, adapters: '[food-review]'}
";
    std::fs::write(folder.path().join("maps.yaml"), maps).unwrap();
    let load = Folder::new(&[folder.path().to_owned()]).load();
    assert!(load.findings.is_empty(), "{:?}", load.findings);
    let models = BaseModels::of(load.store.config_maps.values(), None);
    let mut fields = FieldHeaders::default();
    further.iter().for_each(|(field, header)| fields.add(field, header).unwrap());
    let plugin = |kind: BbrPlugin| (kind, kind.name().into());
    let plugins = [BbrPlugin::BodyFieldToHeader, BbrPlugin::BaseModelToHeader].map(plugin);
    let counts = Arc::new(BbrCounts::new(fields.asked().iter(), plugins.into()));
    let settings = BbrSettings {
        pass_on,
        fields: Arc::new(fields),
        body_mode: BodyMode::Answered,
        body_bytes_max: 16 << 20,
        body_pace: BodyPace { stall_timeout: STALL, rate_min: 0 },
    };
    let models = Arc::new(ArcSwap::from_pointee(models));
    (Rc::new(Bbr::new(settings, models, Budget::new(32 << 20), Arc::clone(&counts))), counts)
}

const CHAT: [(&str, &str); 3] =
    [(":path", "/v1/chat/completions"), ("content-type", "application/json"), ("content-length", "26")];

#[test]
fn the_header_leaves_as_soon_as_the_model_was_read_and_the_body_follows_byte_for_byte() {
    let (bbr, counts) = router(PassOn::Early);
    let mut stream = Stream::of(bbr.open(0), BodySendMode::FullDuplexStreamed);
    assert!(stream.headers(&CHAT, false).is_empty());
    assert!(stream.body(r#"{ "mod"#, false).is_empty());
    assert_eq!(
        stream.body(r#"el":"food-review","#, false),
        [
            "headers anew x-gateway-model-name=food-review x-gateway-base-model-name=gemma content-length=26",
            r#"body "{ \"model\":\"food-review\",""#,
        ]
    );
    assert_eq!(stream.session.deadline(), None);
    assert_eq!(stream.body(r#""n":1.0"#, false), [r#"body "\"n\":1.0""#]);
    assert_eq!(stream.body("}", true), [r#"body "}" whole"#]);
    assert_eq!(counts.get(Routed::Success), 1);
}

#[test]
fn a_duplicate_model_or_broken_json_ends_the_request_before_its_body_is_whole() {
    let (bbr, counts) = router(PassOn::Early);
    for (rest, reason) in [(r#""model":"b"}"#, "model_twice"), ("]", "not_json"), ("", "not_json")] {
        let mut stream = Stream::of(bbr.open(0), BodySendMode::FullDuplexStreamed);
        stream.headers(&CHAT, false);
        assert_eq!(stream.body(r#"{"model":"a","#, false).len(), 2);
        assert_eq!(stream.body(rest, true), [format!("immediate 400 {reason}"), "end Ok".to_owned()]);
    }
    let refused = BTreeMap::from([("model_twice", 1), ("not_json", 2)]);
    assert_eq!((counts.get_refused(), counts.get(Routed::NotParsed)), (refused, 3));
}

#[test]
fn a_body_that_is_to_be_held_whole_and_announces_more_than_may_ever_be_held_is_refused_at_once() {
    for (pass_on, mode, announced, is_refused) in [
        (PassOn::Whole, BodySendMode::FullDuplexStreamed, (32_u64 << 20) + 1, true),
        (PassOn::Whole, BodySendMode::FullDuplexStreamed, 32 << 20, false),
        (PassOn::Early, BodySendMode::FullDuplexStreamed, 64 << 20, false),
        (PassOn::Whole, BodySendMode::Buffered, 64 << 20, false),
    ] {
        let mut stream = Stream::of(router(pass_on).0.open(0), mode);
        let length = announced.to_string();
        let said = stream.headers(&[CHAT[0], CHAT[1], ("content-length", &length)], false);
        assert_eq!(said == ["immediate 413 body_over_budget", "end Ok"], is_refused, "{said:?}");
    }
}

#[test]
fn a_body_that_waits_to_be_whole_goes_on_in_few_pieces() {
    let (bbr, _) = router(PassOn::Whole);
    let mut stream = Stream::of(bbr.open(0), BodySendMode::FullDuplexStreamed);
    stream.headers(&CHAT[..2], false);
    assert!(stream.body(r#"{"model":"a","#, false).is_empty());
    assert_eq!(
        stream.body(r#""n":1}"#, true),
        [
            "headers anew x-gateway-model-name=a content-length=19",
            r#"body "{\"model\":\"a\",\"n\":1}" whole"#,
        ]
    );
}

#[test]
fn what_the_client_says_of_the_model_is_replaced_or_removed() {
    let (bbr, _) = router(PassOn::Early);
    let liar = [
        (":path", "/v1/completions"),
        ("x-gateway-model-name", "liar"),
        ("x-gateway-base-model-name", "liar"),
        ("x_gateway_model_name", "liar"),
    ];
    let removed = "-x-gateway-base-model-name -x-gateway-model-name -x_gateway_model_name";
    let table = [
        (r#"{"model":"food-review"}"#, "headers anew x-gateway-model-name=food-review x-gateway-base-model-name=gemma content-length=23 -x_gateway_model_name".to_owned()),
        (r#"{"model":"other"}"#, "headers anew x-gateway-model-name=other content-length=17 -x-gateway-base-model-name -x_gateway_model_name".to_owned()),
        (r#"{"model":"a\nb"}"#, format!("headers anew content-length=16 {removed}")),
        (r#"{"n":1}"#, format!("headers anew content-length=7 {removed}")),
    ];
    for (body, expected) in table {
        let mut stream = Stream::of(bbr.open(0), BodySendMode::FullDuplexStreamed);
        stream.headers(&liar, false);
        assert_eq!(stream.body(body, true)[0], expected, "{body}");
    }
    let mut bodyless = Stream::of(bbr.open(0), BodySendMode::FullDuplexStreamed);
    assert_eq!(bodyless.headers(&liar, true), [format!("headers anew {removed}")]);
}

#[test]
fn a_body_without_a_model_goes_on_without_a_header() {
    let (bbr, counts) = router(PassOn::Early);
    let mut stream = Stream::of(bbr.open(0), BodySendMode::FullDuplexStreamed);
    stream.headers(&CHAT[..2], false);
    assert_eq!(stream.body("{}", true), ["headers content-length=2", r#"body "{}" whole"#]);
    let mut empty = Stream::of(bbr.open(0), BodySendMode::FullDuplexStreamed);
    empty.headers(&CHAT[..2], false);
    assert_eq!(empty.body(r#"{"model":""}"#, true)[0], "headers content-length=12");
    let missed = [FieldMiss::NotFound, FieldMiss::Empty].map(|miss| counts.get_missed(Field::Model, miss));
    assert_eq!((counts.get(Routed::Success), missed), (2, [1, 1]));
}

#[test]
fn of_many_bodies_one_is_timed() {
    let (bbr, counts) = router(PassOn::Early);
    for _ in 0..=BODIES_PER_SAMPLE {
        let mut stream = Stream::of(bbr.open(0), BodySendMode::FullDuplexStreamed);
        stream.headers(&CHAT, false);
        stream.body(r#"{"model":"food-review","#, false);
        stream.body(r#""n":1}"#, true);
    }
    let page = counts.text();
    for plugin in ["body-field-to-header", "base-model-to-header"] {
        let labels =
            format!(r#"{{extension_point="request",plugin_type="{plugin}",plugin_name="{plugin}"}}"#);
        assert!(page.contains(&format!("bbr_plugin_duration_seconds_count{labels} 2\n")), "{page}");
    }
}

#[test]
fn trailers_end_a_body_that_never_said_that_it_was_whole() {
    let (bbr, _) = router(PassOn::Early);
    let mut early = Stream::of(bbr.open(0), BodySendMode::FullDuplexStreamed);
    early.headers(&CHAT[..2], false);
    assert_eq!(early.body(r#"{"model":"a"}"#, false).len(), 2);
    assert_eq!(early.trailers(), ["trailers"]);
    let (bbr, _) = router(PassOn::Whole);
    let mut whole = Stream::of(bbr.open(0), BodySendMode::FullDuplexStreamed);
    whole.headers(&CHAT[..2], false);
    assert!(whole.body(r#"{"model":"a"}"#, false).is_empty());
    assert_eq!(
        whole.trailers(),
        ["headers anew x-gateway-model-name=a", r#"body "{\"model\":\"a\"}""#, "trailers"]
    );
    let mut broken = Stream::of(bbr.open(0), BodySendMode::FullDuplexStreamed);
    broken.headers(&CHAT[..2], false);
    broken.body("{", false);
    assert_eq!(broken.trailers(), ["immediate 400 not_json", "end Ok"]);
}

#[test]
fn in_buffered_mode_the_headers_are_answered_at_once_and_the_model_with_the_body() {
    let (bbr, _) = router(PassOn::Early);
    let mut stream = Stream::of(bbr.open(0), BodySendMode::Buffered);
    let liar = [CHAT[0], CHAT[1], CHAT[2], ("x-gateway-model-name", "liar")];
    assert_eq!(stream.headers(&liar, false), ["headers anew -x-gateway-model-name"]);
    assert_eq!(stream.session.deadline(), None);
    assert_eq!(stream.body(r#"{"model":"a"}"#, true), ["body anew x-gateway-model-name=a"]);
    let mut without = Stream::of(bbr.open(0), BodySendMode::Buffered);
    assert_eq!(without.headers(&CHAT, false), ["headers"]);
    assert_eq!(without.body("{}", true), ["body"]);
    let mut broken = Stream::of(bbr.open(0), BodySendMode::Buffered);
    broken.headers(&CHAT, false);
    assert_eq!(broken.body("[]", true), ["immediate 400 not_an_object", "end Ok"]);
}

#[test]
fn a_body_that_nobody_reads_passes_at_once_and_whatever_its_size() {
    let (bbr, _) = router(PassOn::Whole);
    let mut stream = Stream::of(bbr.open(0), BodySendMode::FullDuplexStreamed);
    let upload = [(":path", "/upload"), ("content-type", "image/png"), ("content-length", "4000000")];
    assert_eq!(stream.headers(&upload, false), ["headers content-length=4000000"]);
    let large = "x".repeat(2 << 20);
    assert_eq!(stream.body(&large, false).len(), large.len().div_ceil(62_000));
    assert_eq!(stream.body("x", true), [r#"body "x" whole"#]);
}

#[test]
fn a_conversation_goes_on_before_its_first_word() {
    let (bbr, counts) = router(PassOn::Early);
    let path = (":path", "/v1/realtime?model=x");
    for opening in [("upgrade", "websocket"), (":method", "CONNECT")] {
        let mut stream = Stream::of(bbr.open(0), BodySendMode::FullDuplexStreamed);
        let liar = ("x-gateway-model-name", "liar");
        let words = stream.headers(&[path, opening, liar, ("content-encoding", "br")], false);
        assert_eq!(words, ["headers anew -x-gateway-model-name"]);
        assert_eq!(stream.session.deadline(), None);
        assert_eq!(stream.body("hello", false), [r#"body "hello""#]);
    }
    let mut offered = Stream::of(bbr.open(0), BodySendMode::FullDuplexStreamed);
    offered.headers(&[CHAT[0], CHAT[1], ("upgrade", "h2c")], false);
    assert_eq!(offered.body(r#"{"model":"m","#, false)[0], "headers anew x-gateway-model-name=m");
    assert!(counts.get_refused().is_empty());
}

#[test]
fn a_request_whose_model_is_awaited_keeps_nothing_of_its_headers() {
    let (bbr, _) = router(PassOn::Early);
    let mut stream = Stream::of(bbr.open(0), BodySendMode::FullDuplexStreamed);
    let large = "x".repeat(30 << 10);
    let liar = [("x-gateway-model-name", "liar"), ("x_gateway_model-name", "liar")];
    let many = vec![liar; 500].concat();
    let message = stream.written(&[&CHAT[..], &many, &[("x-large", &large)]].concat());
    assert_eq!(stream.take(&message), Next::Continue);
    assert!(message.is_unique());
    let names = 2 * (size_of::<Bytes>() + "x-gateway-model-name".len()) as u64;
    assert_eq!(bbr.budget.held(), names);
    let read = Bytes::from([large.as_bytes(), b"{"].concat());
    stream.piece(read.slice(large.len()..));
    assert!(read.is_unique());
    let words = stream.body(r#""model":"m","#, false);
    assert_eq!(words[0], "headers anew x-gateway-model-name=m content-length=26 -x_gateway_model-name");
}

#[test]
fn modes_that_cannot_work_are_refused_in_words() {
    let (bbr, _) = router(PassOn::Early);
    for mode in [BodySendMode::Streamed, BodySendMode::BufferedPartial, BodySendMode::Grpc] {
        let mut stream = Stream::of(bbr.open(0), mode);
        assert_eq!(stream.headers(&CHAT, false), ["end InvalidArgument"]);
    }
    let mut none = Stream::of(bbr.open(0), BodySendMode::None);
    assert_eq!(none.headers(&CHAT, false), ["headers"]);
    let mut coded = Stream::of(bbr.open(0), BodySendMode::None);
    let unread = [CHAT[0], CHAT[1], ("content-encoding", "br")];
    assert_eq!(coded.headers(&unread, false), ["headers"], "nobody reads it");
    let mut headless = Stream::of(bbr.open(0), BodySendMode::FullDuplexStreamed);
    assert_eq!(headless.body("{}", true), ["end InvalidArgument"]);
}

#[test]
fn a_body_that_stalls_while_it_is_held_is_refused_in_time() {
    let (bbr, counts) = router(PassOn::Early);
    let mut stream = Stream::of(bbr.open(0), BodySendMode::FullDuplexStreamed);
    stream.headers(&CHAT, false);
    stream.now = Now(5);
    stream.body("{", false);
    assert_eq!(stream.session.deadline(), Some(Now(5).plus(STALL)));
    assert_eq!(stream.wait(), ["immediate 408 body_stalled", "end Ok"]);
    let refused = BTreeMap::from([("body_stalled", 1)]);
    assert_eq!((counts.get_refused(), counts.get(Routed::NotParsed)), (refused, 0));
}

#[test]
fn the_response_is_answered_emptily_or_passed_on_as_its_mode_wants() {
    let (bbr, _) = router(PassOn::Early);
    let body = || HttpBody { body: Bytes::from_static(b"x").into(), end_of_stream: true };
    for (mode, echoed) in [
        (BodySendMode::FullDuplexStreamed, r#"response body "x" whole"#),
        (BodySendMode::Buffered, "response body"),
    ] {
        let mut stream = Stream::of(bbr.open(0), mode);
        assert_eq!(stream.say(Request::ResponseHeaders(HttpHeaders::default())), ["response headers"]);
        assert_eq!(stream.say(Request::ResponseBody(body())), [echoed]);
        assert_eq!(stream.say(Request::ResponseTrailers(HttpTrailers::default())), ["response trailers"]);
    }
}

#[test]
fn however_a_body_is_cut_the_same_bytes_go_on() {
    let text = r#"{"messages":[{"role":"user","content":"grün \" }"}],"model":"a","temperature":1.0}"#;
    for pass_on in [PassOn::Early, PassOn::Whole] {
        let (bbr, _) = router(pass_on);
        for cut in 1..text.len() {
            let mut stream = Stream::of(bbr.open(0), BodySendMode::FullDuplexStreamed);
            stream.headers(&CHAT[..2], false);
            let mut passed = Vec::new();
            let chunks: Vec<&[u8]> = text.as_bytes().chunks(cut).collect();
            for (place, chunk) in chunks.iter().enumerate() {
                let body = HttpBody {
                    body: Bytes::copy_from_slice(chunk).into(),
                    end_of_stream: place + 1 == chunks.len(),
                };
                let message =
                    ProcessingRequest { request: Some(Request::RequestBody(body)), ..Default::default() };
                assert_eq!(stream.session.on(message, Now(0), &mut stream.replies), Next::Continue);
            }
            for reply in read(&mut stream.replies) {
                if let Some(Response::RequestBody(BodyResponse { response: Some(common) })) = reply.response
                    && let Some(BodyMutation { mutation: Some(Mutation::StreamedResponse(streamed)) }) =
                        common.body_mutation
                {
                    passed.extend_from_slice(&streamed.body);
                }
            }
            assert_eq!(passed, text.as_bytes(), "cut at {cut}");
        }
    }
}

#[test]
fn a_body_that_comes_in_drops_is_refused_though_it_never_stalls() {
    let (mut bbr, _) = router(PassOn::Whole);
    Rc::get_mut(&mut bbr).expect("nobody else has it yet").settings.body_pace.rate_min = 1024;
    let mut stream = Stream::of(bbr.open(0), BodySendMode::FullDuplexStreamed);
    stream.headers(&CHAT, false);
    assert_eq!(stream.body_in_drops(), ["immediate 408 body_slow", "end Ok"]);
}

#[test]
fn empty_pieces_do_not_keep_a_body_from_stalling() {
    let (bbr, _) = router(PassOn::Early);
    let mut stream = Stream::of(bbr.open(0), BodySendMode::FullDuplexStreamed);
    stream.headers(&CHAT, false);
    stream.now = Now(5);
    assert!(stream.body("", false).is_empty());
    assert_eq!(stream.session.deadline(), Some(Now(0).plus(STALL)));
    stream.body("{", false);
    assert_eq!(stream.session.deadline(), Some(Now(5).plus(STALL)));
}

#[test]
fn a_body_that_was_held_is_charged_until_it_has_left() {
    let (bbr, _) = router(PassOn::Whole);
    let mut session = bbr.open(0);
    let mut replies = Replies::default();
    let mut say = |request, protocol_config| {
        let message = ProcessingRequest { request: Some(request), protocol_config, ..Default::default() };
        assert_eq!(session.on(message, Now(0), &mut replies), Next::Continue);
    };
    let streamed = crate::wire::ProtocolConfiguration { request_body_mode: 4, ..Default::default() };
    say(Request::RequestHeaders(HttpHeaders::default()), Some(streamed));
    let piece = |text: &'static str, end_of_stream| {
        Request::RequestBody(HttpBody { body: Bytes::from_static(text.as_bytes()).into(), end_of_stream })
    };
    say(piece(r#"{"model":"#, false), None);
    say(piece(r#""a"}"#, true), None);
    drop(session);
    assert_eq!(bbr.budget.held(), 9);
    let packet = replies.take();
    assert_eq!(bbr.budget.held(), 9);
    drop(packet);
    assert_eq!(bbr.budget.held(), 0);
}

const CODED: [(&str, &str); 3] = [CHAT[0], CHAT[1], ("content-encoding", "zstd")];

#[test]
fn what_a_coded_body_makes_the_parser_hold_is_charged_and_has_a_deadline_after_the_headers_were_answered() {
    let (bbr, _) = router(PassOn::Early);
    let mut stream = Stream::of(bbr.open(0), BodySendMode::FullDuplexStreamed);
    stream.headers(&CODED, false);
    let piece = HttpBody { body: zstd_of_a_large_window(6).into(), end_of_stream: false };
    let words = stream.say(Request::RequestBody(piece));
    assert!(words[0].contains("x-gateway-model-name=m"), "{words:?}");
    assert!(bbr.budget.held() >= 6 * (128 << 10), "{} are charged", bbr.budget.held());
    assert_eq!(stream.wait(), ["immediate 408 body_stalled", "end Ok"]);
    drop(stream);
    assert_eq!(bbr.budget.held(), 0);
}

#[test]
fn a_coded_message_is_read_in_turns_each_of_which_is_charged() {
    for mode in [BodySendMode::FullDuplexStreamed, BodySendMode::Buffered] {
        let (bbr, _) = router(PassOn::Early);
        let mut stream = Stream::of(bbr.open(0), mode);
        stream.headers(&CODED, false);
        let body = HttpBody { body: zstd_of_a_large_window(64).into(), end_of_stream: false };
        let message = ProcessingRequest { request: Some(Request::RequestBody(body)), ..Default::default() };
        let mut next = stream.session.on(message, Now(0), &mut stream.replies);
        let mut charges = Vec::new();
        while next == Next::Again {
            charges.push(bbr.budget.held());
            next = stream.session.again(&mut stream.replies);
        }
        assert!(charges.len() >= 8, "{mode:?}: 8 MiB were decoded in {} turns", charges.len());
        assert!(charges[0] < 3 << 20 && charges.is_sorted(), "{mode:?}: {charges:?}");
    }
}

#[test]
fn only_the_first_message_says_how_bodies_travel_and_headers_come_once() {
    let (bbr, _) = router(PassOn::Early);
    let mut stream = Stream::of(bbr.open(0), BodySendMode::FullDuplexStreamed);
    stream.headers(&CHAT, false);
    stream.mode = Some(BodySendMode::Buffered);
    assert!(stream.body("{", false).is_empty(), "it is not taken for the whole body");
    assert_eq!(stream.headers(&CHAT, false), ["end InvalidArgument"]);
    let mut passing = Stream::of(bbr.open(0), BodySendMode::FullDuplexStreamed);
    passing.headers(&CHAT[..1], true);
    assert_eq!(passing.headers(&CHAT[..1], true), ["end InvalidArgument"]);
}

#[test]
fn in_buffered_mode_trailers_without_a_body_are_answered_alone() {
    let (bbr, _) = router(PassOn::Early);
    let mut stream = Stream::of(bbr.open(0), BodySendMode::Buffered);
    assert_eq!(stream.headers(&CHAT, false), ["headers"]);
    assert_eq!(stream.trailers(), ["trailers"]);
}

#[test]
fn a_response_ends_a_request_that_is_still_read() {
    let (bbr, _) = router(PassOn::Early);
    let mut stream = Stream::of(bbr.open(0), BodySendMode::FullDuplexStreamed);
    stream.headers(&CHAT, false);
    stream.body("{", false);
    assert_eq!(bbr.budget.held(), 1);
    assert_eq!(stream.response_headers(&[(":status", "408")], false), ["response headers"]);
    assert_eq!((bbr.budget.held(), stream.session.deadline()), (0, None));
    assert!(stream.body(r#""model":"m"}"#, false).is_empty() && stream.trailers().is_empty());
    let mut passing = Stream::of(bbr.open(0), BodySendMode::FullDuplexStreamed);
    passing.headers(&CHAT, false);
    passing.body(r#"{"model":"m","#, false);
    passing.response_headers(&[(":status", "200")], false);
    assert_eq!(passing.body("}", false), [r#"body "}""#], "it was sent on before");
}

#[test]
fn whoever_is_given_up_is_told_until_the_response_has_begun() {
    let (bbr, _) = router(PassOn::Early);
    let stream = || Stream::of(bbr.open(0), BodySendMode::FullDuplexStreamed);
    is_told_until_the_response_has_begun(stream, &CHAT);
}

const FURTHER: [(&str, &str); 3] = [("user", "X-User"), ("service_tier", "x-tier"), ("model", "x-model-too")];

#[test]
fn fields_that_were_asked_for_leave_with_the_model_as_soon_as_all_were_read() {
    let (bbr, _) = router_of(PassOn::Early, &FURTHER);
    let mut stream = Stream::of(bbr.open(0), BodySendMode::FullDuplexStreamed);
    stream.headers(&CHAT, false);
    assert!(stream.body(r#"{"model":"food-review","service_tier":1.0,"#, false).is_empty());
    assert!(stream.session.deadline().is_some(), "what waits for a field is held");
    assert_eq!(
        stream.body(r#""user":"gr\u00fcn","#, false),
        [
            "headers anew x-gateway-model-name=food-review x-user=grün x-tier=1.0 x-model-too=food-review \
             x-gateway-base-model-name=gemma content-length=26",
            r#"body "{\"model\":\"food-review\",\"service_tier\":1.0,\"user\":\"gr\\u00fcn\",""#,
        ]
    );
    assert_eq!(stream.session.deadline(), None);
    assert_eq!(stream.body(r#""n":1}"#, true), [r#"body "\"n\":1}" whole"#]);
}

#[test]
fn a_field_that_a_body_does_not_have_is_waited_for_until_the_body_is_whole() {
    for pass_on in [PassOn::Early, PassOn::Whole] {
        let (bbr, _) = router_of(pass_on, &FURTHER[..1]);
        let mut stream = Stream::of(bbr.open(0), BodySendMode::FullDuplexStreamed);
        stream.headers(&CHAT[..2], false);
        assert!(stream.body(r#"{"model":"a","#, false).is_empty());
        assert_eq!(
            stream.body(r#""n":1}"#, true),
            [
                "headers anew x-gateway-model-name=a content-length=19",
                r#"body "{\"model\":\"a\",\"n\":1}" whole"#
            ]
        );
    }
}

#[test]
fn in_buffered_mode_the_fields_come_with_the_answer_to_the_body() {
    let (bbr, _) = router_of(PassOn::Early, &FURTHER);
    let mut stream = Stream::of(bbr.open(0), BodySendMode::Buffered);
    let liar = [CHAT[0], CHAT[1], CHAT[2], ("x-tier", "liar"), ("x_user", "liar")];
    assert_eq!(stream.headers(&liar, false), ["headers anew -x-tier -x_user"]);
    assert_eq!(
        stream.body(r#"{"model":"a","user":true}"#, true),
        ["body anew x-gateway-model-name=a x-user=true x-model-too=a"]
    );
    let mut modelless = Stream::of(bbr.open(0), BodySendMode::Buffered);
    modelless.headers(&CHAT, false);
    assert_eq!(modelless.body(r#"{"user":"a"}"#, true), ["body anew x-user=a"]);
}

#[test]
fn what_the_client_says_in_a_fields_header_is_replaced_or_removed() {
    let (bbr, counts) = router_of(PassOn::Early, &FURTHER[..2]);
    let liar = [(":path", "/v1/completions"), ("x-user", "liar"), ("X_Tier", "liar")];
    let long = format!(r#"{{"user":"{}"}}"#, "x".repeat(FIELD_VALUE_BYTES_MAX + 1));
    let table = [
        (r#"{"user":"ann"}"#, "headers anew x-user=ann content-length=14 -X_Tier"),
        (r#"{"service_tier":7}"#, "headers anew x-tier=7 content-length=18 -X_Tier -x-user"),
        (r#"{"user":null}"#, "headers anew content-length=13 -X_Tier -x-user"),
        (r#"{"user":""}"#, "headers anew content-length=11 -X_Tier -x-user"),
        (r#"{"user":"a\nb"}"#, "headers anew content-length=15 -X_Tier -x-user"),
        (r#"{"user":{"a":1}}"#, "headers anew content-length=16 -X_Tier -x-user"),
        (&long, "headers anew content-length=524 -X_Tier -x-user"),
    ];
    for (body, expected) in table {
        let mut stream = Stream::of(bbr.open(0), BodySendMode::FullDuplexStreamed);
        stream.headers(&liar, false);
        assert_eq!(stream.body(body, true)[0], expected, "{body}");
    }
    let misses = [
        (FieldMiss::NotFound, 2),
        (FieldMiss::Empty, 1),
        (FieldMiss::ControlCharacter, 1),
        (FieldMiss::NotText, 1),
        (FieldMiss::TooLong, 1),
    ];
    for (miss, count) in misses {
        assert_eq!(counts.get_missed(Field::Asked(0), miss), count, "{miss:?}");
    }
    let mut bodyless = Stream::of(bbr.open(0), BodySendMode::FullDuplexStreamed);
    assert_eq!(bodyless.headers(&liar, true), ["headers anew -X_Tier -x-user"]);
    let mut unread = Stream::of(bbr.open(0), BodySendMode::FullDuplexStreamed);
    let upload = [liar[0], liar[1], ("content-type", "image/png")];
    assert_eq!(unread.headers(&upload, false), ["headers anew -x-user"]);
}

#[test]
fn a_field_that_stands_twice_is_refused_even_behind_its_header() {
    let (bbr, _) = router_of(PassOn::Early, &FURTHER[..1]);
    let mut stream = Stream::of(bbr.open(0), BodySendMode::FullDuplexStreamed);
    stream.headers(&CHAT, false);
    assert_eq!(stream.body(r#"{"model":"a","user":"ann","#, false).len(), 2);
    assert_eq!(stream.body(r#""user":"bob"}"#, true), ["immediate 400 field_twice", "end Ok"]);
}

#[test]
fn of_two_fields_for_one_header_the_later_that_the_body_has_goes_there() {
    let (bbr, _) = router_of(PassOn::Early, &[("engine", "X-Gateway-Model-Name")]);
    for (body, model) in [
        (r#"{"model":"a"}"#, "a"),
        (r#"{"engine":"b"}"#, "b"),
        (r#"{"model":"a","engine":"b"}"#, "b"),
        (r#"{"model":"a","engine":[]}"#, "a"),
    ] {
        let mut stream = Stream::of(bbr.open(0), BodySendMode::FullDuplexStreamed);
        stream.headers(&CHAT[..2], false);
        let expected = format!("headers anew x-gateway-model-name={model} content-length={}", body.len());
        assert_eq!(stream.body(body, true)[0], expected, "{body}");
    }
}

#[test]
fn a_request_whose_body_is_not_shown_goes_on_and_is_told_of() {
    let (bbr, _) = router(PassOn::Early);
    for (headers, end_of_stream, is_told) in [(&[CHAT[0]][..], true, false), (&CHAT, false, true)] {
        let headers = [&[(":method", "POST")], headers].concat();
        let mut stream = Stream::of(bbr.open(0), BodySendMode::None);
        assert_eq!(stream.headers(&headers, end_of_stream), ["headers"]);
        assert_eq!(bbr.misset.has_told_of(), [is_told, false]);
    }
}
