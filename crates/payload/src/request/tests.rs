use super::*;
use crate::{FIELD_NAME_BYTES_MAX, FIELD_VALUE_BYTES_MAX, FIELDS_MAX, Field, FieldNameError, FieldValue};
use proptest::prelude::*;
use std::io::Write;

fn head(path: &str, content_type: Option<&str>, coding: Option<&str>) -> BodyHead {
    BodyHead::new(path, content_type.map(str::as_bytes), coding.map(str::as_bytes)).expect("a good head")
}

fn chat() -> BodyHead {
    head("/v1/chat/completions", None, None)
}

fn form() -> BodyHead {
    head("/v1/audio/transcriptions", Some("multipart/form-data; boundary=XX"), None)
}

fn read(head: BodyHead, limits: Limits, body: &[u8], cut: usize) -> Result<InferenceRequest, ParseError> {
    let mut parser = RequestParser::new(head, limits);
    for chunk in body.chunks(cut) {
        parser.feed(&Bytes::copy_from_slice(chunk))?;
    }
    parser.finish()
}

fn parse(head: BodyHead, body: &[u8]) -> Result<InferenceRequest, ParseError> {
    let whole = read(head.clone(), Limits::default(), body, usize::MAX);
    let cut = read(head, Limits::default(), body, 1);
    assert_eq!(format!("{:?}", whole.as_ref().map(told)), format!("{:?}", cut.as_ref().map(told)));
    whole
}

/// What of a request does not depend on how it was cut.
fn told(request: &InferenceRequest) -> (Option<ModelField>, bool, Option<u32>, Prompt, u64) {
    (request.model.clone(), request.stream, request.max_tokens, request.prompt.clone(), request.bytes)
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_chat_request_tells_its_model_its_stream_its_limit_and_its_prompt() {
    let body = br#"{"model":"cha\u0074bot","messages":[{"role":"user","content":"hi"}],"stream":true,"max_tokens":100}"#;
    let request = parse(chat(), body).unwrap();
    let model = request.model.expect("a model");
    assert_eq!((&*model.name.0, model.span), ("chatbot", 9..23));
    assert_eq!((request.stream, request.max_tokens), (true, Some(100)));
    assert_eq!(request.prompt.bytes, br#"[{"role":"user","content":"hi"}]"#.len() as u64);
    assert!(request.decoded.is_none());
}

#[test]
fn what_is_wrong_with_a_body_is_said() {
    let not_json = |what, offset| ParseError::NotJson { what, offset };
    for (body, error) in [
        (r#"[1]"#, ParseError::NotAnObject { found: "an array" }),
        (r#""x""#, ParseError::NotAnObject { found: "a string" }),
        ("null", ParseError::NotAnObject { found: "null" }),
        ("nope", not_json("expected `{`", 0)),
        (" truth", not_json("expected `{`", 1)),
        ("nul", not_json("it ends too early", 3)),
        ("\u{feff}{}", not_json("a byte order mark", 0)),
        ("{}x", not_json("something follows the object", 2)),
        (r#"{"a":"#, not_json("it ends too early", 5)),
        (" ", not_json("it ends too early", 1)),
        (r#"{"model":null}"#, ParseError::ModelNotAString { found: "null" }),
        (r#"{"model":true}"#, ParseError::ModelNotAString { found: "a boolean" }),
        (r#"{"model":{"a":1}}"#, ParseError::ModelNotAString { found: "an object" }),
        (r#"{"model":"a","x":1,"\u006dodel":"a"}"#, ParseError::ModelTwice),
        ("{\"a\":\"\u{1}\"}", not_json("a control character in a string", 6)),
        (r#"{"model":"\ud800x"}"#, not_json("half of a surrogate pair", 16)),
        (r#"{"\udc00":1}"#, not_json("half of a surrogate pair", 8)),
    ] {
        assert_eq!(parse(chat(), body.as_bytes()).unwrap_err(), error, "{body}");
    }
    assert_eq!(parse(chat(), b"{\"a\":\"x\xffy\"}").unwrap_err(), not_json("not UTF-8", 7));
}

#[test]
fn each_limit_refuses_the_first_byte_or_level_beyond_it() {
    let limits = Limits { body_bytes_max: 40, model_bytes_max: 4, depth_max: 3 };
    for (body, error) in [
        (r#"{"model":"abcd"}"#, None),
        (r#"{"model":"abcde"}"#, Some(ParseError::ModelTooLong { limit: 4 })),
        (r#"{"a":[[1]]}"#, None),
        (r#"{"a":[[[]]]}"#, Some(ParseError::TooDeep { limit: 3 })),
        (r#"{"a":"0123456789012345678901234567890"}"#, None),
        (r#"{"a":"012345678901234567890123456789012"}"#, Some(ParseError::TooLarge { limit: 40 })),
    ] {
        assert_eq!(read(chat(), limits, body.as_bytes(), 7).err(), error, "{body}");
    }
}

#[test]
fn an_empty_body_or_name_is_a_request_without_a_model() {
    for head in [chat(), form(), head("/v1/completions", None, Some("gzip"))] {
        let request = parse(head, b"").unwrap();
        assert_eq!((request.model, request.bytes), (None, 0));
    }
    assert_eq!(parse(chat(), br#"{"model":""}"#).unwrap().model, None);
}

#[test]
fn an_opaque_body_is_counted_and_not_read() {
    let request = parse(head("/upload", Some("image/png"), Some("br")), b"\x89PNG").unwrap();
    assert_eq!((request.media, request.model, request.bytes), (Media::Opaque, None, 4));
}

#[test]
fn the_model_is_known_before_the_body_ends_and_a_second_one_is_refused_later() {
    let mut parser = RequestParser::new(chat(), Limits::default());
    parser.feed(&Bytes::from_static(br#"{"model":"chat"#)).unwrap();
    assert_eq!(parser.model(), None);
    parser.feed(&Bytes::from_static(br#"bot","messages":["#)).unwrap();
    assert_eq!(parser.model().map(|model| &*model.name.0), Some("chatbot"));
    assert_eq!(parser.feed(&Bytes::from_static(br#"],"model":"x"}"#)), Err(ParseError::ModelTwice));
}

#[test]
fn tools_and_system_salt_the_prompt_and_another_api_has_none() {
    let salt = |path: &str, body: &str| parse(head(path, None, None), body.as_bytes()).unwrap().prompt.salt;
    let chat = "/v1/chat/completions";
    assert_eq!(salt(chat, r#"{"messages":[]}"#), 0);
    assert_ne!(salt(chat, r#"{"tools":[]}"#), 0);
    assert_eq!(
        salt(chat, r#"{"tools":[],"cache_salt":"x"}"#),
        salt(chat, r#"{"cache_salt":"x","tools":[]}"#)
    );
    assert_ne!(salt(chat, r#"{"cache_salt":"x"}"#), salt(chat, r#"{"cache_salt":"y"}"#));
    let other = parse(head("/v1/rerank", None, None), br#"{"model":"a","prompt":"b","tools":[]}"#).unwrap();
    assert_eq!(other.prompt, Prompt::default());
}

#[test]
fn a_longer_conversation_shares_the_blocks_of_the_shorter_whatever_stands_around_it() {
    let turns = |count: usize| {
        let turns: Vec<String> =
            (0..count).map(|turn| format!(r#"{{"role":"user","content":"turn {turn:0200}"}}"#)).collect();
        turns.join(",")
    };
    let short = format!(r#"{{"model":"a","messages":[{}]}}"#, turns(30));
    let long = format!(r#"{{"messages":[{}],"temperature":0.5,"model":"b"}}"#, turns(60));
    let short = parse(chat(), short.as_bytes()).unwrap().prompt.blocks;
    let long = parse(chat(), long.as_bytes()).unwrap().prompt.blocks;
    assert_eq!(short.len(), 6);
    assert_eq!(short[..], long[..short.len()]);
}

#[test]
fn a_compressed_body_is_read_and_kept_decoded() {
    let body = br#"{"model":"chatbot","messages":[]}"#;
    for (coding, coded) in [("gzip", gzip(body)), ("zstd", zstd::encode_all(&body[..], 3).unwrap())] {
        let request = parse(head("/v1/chat/completions", None, Some(coding)), &coded).unwrap();
        assert_eq!(request.model.as_ref().map(|model| model.span.clone()), Some(9..18));
        assert_eq!(request.bytes, body.len() as u64);
        let decoded = request.decoded.as_ref().expect("the decoded body");
        let spliced = decoded.splice(9..18, request.model_value("x"));
        assert_eq!(spliced.chunks().concat(), br#"{"model":"x","messages":[]}"#);
    }
}

#[test]
fn a_parser_that_only_looks_keeps_nothing_of_a_compressed_body_but_a_window_and_room_for_a_piece() {
    let body = [br#"{"model":"chatbot","x":""#.to_vec(), vec![b'x'; 8 << 20], br#""}"#.to_vec()].concat();
    let mut parser = RequestParser::looking(head("/", None, Some("gzip")), Limits::default());
    parser.feed(&Bytes::from(gzip(&body))).unwrap();
    let held = parser.held_bytes();
    assert!((32 << 10..3 << 20).contains(&held), "{held} bytes are held");
    let request = parser.finish().unwrap();
    assert_eq!((request.bytes, request.decoded.is_none()), (body.len() as u64, true));
    assert_eq!(&*request.model.unwrap().name.0, "chatbot");
}

#[test]
fn a_bomb_is_refused_at_the_limit_and_broken_coding_is_told() {
    let bomb = [br#"{"a":""#.to_vec(), vec![b'x'; 5 << 20], br#""}"#.to_vec()].concat();
    let limits = Limits { body_bytes_max: 1 << 20, ..Limits::default() };
    for (coding, coded) in [("gzip", gzip(&bomb)), ("zstd", zstd::encode_all(&bomb[..], 3).unwrap())] {
        let refused = read(head("/", None, Some(coding)), limits, &coded, usize::MAX).unwrap_err();
        assert_eq!(refused, ParseError::TooLarge { limit: 1 << 20 });
        let broken = read(head("/", None, Some(coding)), limits, b"{}", usize::MAX).unwrap_err();
        assert!(matches!(broken, ParseError::BrokenCoding { .. }), "{coding}: {broken}");
    }
}

proptest! {
    #[test]
    fn a_compressed_body_decodes_to_what_was_compressed_however_it_is_cut(
        prompt in "[a-z\u{e9} ]{0,20000}",
        cut in 1usize..5000,
        broken in any::<prop::sample::Index>(),
    ) {
        let body = format!(r#"{{"model":"m","prompt":"{prompt}"}}"#).into_bytes();
        for (coding, coded) in [("gzip", gzip(&body)), ("zstd", zstd::encode_all(&body[..], 3).unwrap())] {
            let head = || head("/v1/completions", None, Some(coding));
            let request = read(head(), Limits::default(), &coded, cut).unwrap();
            prop_assert_eq!(request.decoded.expect("kept").chunks().concat(), &body[..], "{}", coding);
            // Whatever is cut off or turned over, it is an answer, not a panic; and what is cut off is never taken for whole.
            let end = broken.index(coded.len());
            prop_assert!(read(head(), Limits::default(), &coded[..end], cut).is_err() || end == 0, "{}", coding);
            let mut turned = coded.clone();
            turned[end] ^= 0x55;
            let _ = read(head(), Limits::default(), &turned, cut);
        }
    }
}

const FORM: &str = concat!(
    "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\nContent-Type: audio/wav\r\n\r\n",
    "\r\n--X\r\r\n--XY\r\n",
    "\r\n--XX \r\ncontent-disposition: form-data; name=model\r\n\r\nwhis\r\n--per",
    "\r\n--XX\r\nContent-Disposition: form-data; name=\"stream\"\r\n\r\nTrue",
    "\r\n--XX--\r\nwhatever",
);

#[test]
fn a_form_tells_its_model_as_it_stands_and_its_stream() {
    let request = parse(form(), FORM.as_bytes()).unwrap();
    let model = request.model.as_ref().expect("a model");
    assert_eq!(&*model.name.0, "whis\r\n--per");
    assert_eq!(&FORM[model.span.start as usize..model.span.end as usize], "whis\r\n--per");
    assert!(request.stream);
    assert_eq!(&request.model_value("a\r\nb\"c\"")[..], b"ab\"c\"");
}

#[test]
fn what_is_wrong_with_a_form_is_said() {
    let part = |head: &str, value: &str| format!("--XX\r\n{head}\r\n\r\n{value}\r\n");
    let model = part("Content-Disposition: form-data; name=\"model\"", "a");
    let broken = |what| ParseError::BrokenMultipart { what };
    for (body, error) in [
        ("nothing".to_owned(), broken("it ends before its last boundary")),
        (model.clone(), broken("it ends before its last boundary")),
        (format!("{model}--XX-"), broken("it ends before its last boundary")),
        (format!("{model}--XX-x"), broken("a boundary is not alone on its line")),
        (format!("{model}--XXX\r\n"), broken("a boundary is not alone on its line")),
        (format!("{model}{model}--XX--"), ParseError::ModelTwice),
        (part("Content-Disposition: form-data; name=a; name=model", "a"), broken("a part has two names")),
        (
            part("Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=model", "a"),
            broken("a part has two Content-Dispositions"),
        ),
        (part(&"x".repeat(9000), ""), broken("a part's header lines are longer than 8 KiB")),
        (
            part("Content-Disposition: form-data; name=model", &"x".repeat(257)),
            ParseError::ModelTooLong { limit: 256 },
        ),
    ] {
        assert_eq!(parse(form(), body.as_bytes()).unwrap_err(), error, "{}", &body[..body.len().min(100)]);
    }
    for (body, model) in [
        ("--XX--".to_owned(), None),
        ("a preamble\r\n--XX--\r\n".to_owned(), None),
        (format!("{model}--XX--"), Some("a")),
        (part("", "a") + "--XX--", None),
        (part("Content-Disposition: form-data; name=\"model\"", "") + "--XX--", None),
    ] {
        let request = parse(form(), body.as_bytes()).unwrap();
        assert_eq!(request.model.as_ref().map(|model| &*model.name.0), model, "{body}");
    }
}

proptest! {
    #[test]
    fn a_form_reads_alike_however_it_is_cut_and_broken(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in 1usize..50,
    ) {
        let mut body = FORM.as_bytes().to_vec();
        body[at.index(FORM.len())] = byte;
        let whole = read(form(), Limits::default(), &body, usize::MAX);
        let pieces = read(form(), Limits::default(), &body, cut);
        prop_assert_eq!(whole.as_ref().map(told), pieces.as_ref().map(told));
    }

    #[test]
    fn a_rewritten_body_reads_as_the_target(model in ".{1,20}", target in ".{1,20}") {
        let body = format!(r#"{{"n":1.0,"model" : {},"x":[]}}"#, quoted(&model));
        let request = parse(chat(), body.as_bytes()).unwrap();
        let field = request.model.as_ref().expect("a model");
        prop_assert_eq!(&*field.name.0, &model);
        let rope: Rope = [Bytes::from(body.clone())].into_iter().collect();
        let spliced = rope.splice(field.span.clone(), request.model_value(&target)).chunks().concat();
        let expected = format!(r#"{{"n":1.0,"model" : {},"x":[]}}"#, quoted(&target));
        prop_assert_eq!(String::from_utf8(spliced).unwrap(), expected);
        let again = parse(chat(), &rope.splice(field.span.clone(), request.model_value(&target)).chunks().concat());
        prop_assert_eq!(&*again.unwrap().model.unwrap().name.0, &target);
    }
}

#[test]
fn the_prompt_is_told_by_where_it_stands_and_may_be_cut_into_blocks() {
    let prompt = format!("[{}]", "\"0123456789\", ".repeat(20).trim_end_matches(", "));
    let body = format!(r#"{{"model":"m","cache_salt":"s","prompt": {prompt} ,"messages":[1,2,3]}}"#);
    let start = body.find('[').expect("a list") as u64;
    for cut in [1, 7, usize::MAX] {
        let request =
            read(head("/v1/completions", None, None), Limits::default(), body.as_bytes(), cut).unwrap();
        assert_eq!(request.prompt_span, start..start + prompt.len() as u64, "the first one counts");
        let rope: Rope = body.as_bytes().chunks(cut).map(Bytes::copy_from_slice).collect();
        let in_blocks = request.prompt_in_blocks(&rope, 64, 256);
        assert_eq!((in_blocks.blocks.len(), in_blocks.salt), (prompt.len() / 64, request.prompt.salt));
        assert_eq!(request.prompt_in_blocks(&rope, 64, 2).blocks[..], in_blocks.blocks[..2]);
    }
    let none = parse(chat(), br#"{"model":"m"}"#).unwrap();
    assert!(none.prompt_in_blocks(&Rope::default(), 64, 256).blocks.is_empty());
}

#[test]
fn a_coded_body_that_decodes_byte_by_byte_is_held_in_few_buffers() {
    let body = format!(r#"{{"model":"m","prompt":"{}"}}"#, "a".repeat(40_000));
    let mut parser = RequestParser::new(head("/v1/completions", None, Some("zstd")), Limits::default());
    // A frame with a window of 1 KiB, no size and no checksum, then raw blocks of one byte.
    parser.feed(&Bytes::from_static(b"\x28\xb5\x2f\xfd\0\0")).unwrap();
    for (place, byte) in body.bytes().enumerate() {
        let last = u8::from(place + 1 == body.len());
        parser.feed(&Bytes::copy_from_slice(&[0x08 | last, 0, 0, byte])).unwrap();
    }
    let decoded = parser.finish().unwrap().decoded.expect("a decoded body");
    assert_eq!(decoded.chunks().concat(), body.as_bytes());
    assert!(decoded.chunks().len() <= 10, "{} chunks", decoded.chunks().len());
}

/// What a body has in `user`, however it is cut.
fn user(head: &BodyHead, body: &str) -> Result<Option<FieldValue>, ParseError> {
    let mut names = FieldNames::default();
    assert_eq!(names.ask("user"), Ok(Field::Asked(0)));
    let names = Arc::new(names);
    let read = |cut| {
        let mut parser = RequestParser::new(head.clone(), Limits::default());
        parser.ask_for(&names);
        body.as_bytes().chunks(cut).try_for_each(|chunk| parser.feed(chunk))?;
        Ok(parser.finish()?.asked.expect("it was asked for").get(0).cloned())
    };
    let whole = read(usize::MAX);
    for cut in [1, 2, 7, 100] {
        assert_eq!(read(cut), whole, "{body} cut at {cut}");
    }
    whole
}

#[test]
fn a_field_that_was_asked_for_is_told_as_the_text_that_the_body_has() {
    let text = |text: &str| Some(FieldValue::Text(Bytes::copy_from_slice(text.as_bytes())));
    let long = "x".repeat(FIELD_VALUE_BYTES_MAX + 1);
    let table = [
        (r#"{"us\u0065r":"gr\u00fcn \"a\"","model":"m"}"#.to_owned(), text("grün \"a\"")),
        (r#"{"user":""}"#.to_owned(), text("")),
        (r#"{"user":12345678901234567890}"#.to_owned(), text("12345678901234567890")),
        (r#"{"user": -1.50e+3 }"#.to_owned(), text("-1.50e+3")),
        (r#"{"user":true}"#.to_owned(), text("true")),
        (r#"{"user":false}"#.to_owned(), text("false")),
        (r#"{"user":null}"#.to_owned(), Some(FieldValue::Null)),
        (r#"{"user":{"user":"inner"}}"#.to_owned(), Some(FieldValue::NotText)),
        (r#"{"user":["a"]}"#.to_owned(), Some(FieldValue::NotText)),
        (r#"{"metadata":{"user":"inner"},"users":"a","use":"b"}"#.to_owned(), None),
        (format!(r#"{{"user":"{}"}}"#, &long[1..]), text(&long[1..])),
        (format!(r#"{{"user":"{long}"}}"#), Some(FieldValue::TooLong)),
        (format!(r#"{{"user":1{}}}"#, long.replace('x', "0")), Some(FieldValue::TooLong)),
    ];
    for (body, expected) in table {
        assert_eq!(user(&chat(), &body), Ok(expected), "{body}");
    }
}

#[test]
fn a_forms_part_that_was_asked_for_is_told_too() {
    let body = |parts: &[&str]| {
        let part =
            |value: &&str| format!("--XX\r\nContent-Disposition: form-data; name=user\r\n\r\n{value}\r\n");
        parts.iter().map(part).collect::<String>() + "--XX--"
    };
    let long = "x".repeat(FIELD_VALUE_BYTES_MAX + 1);
    for (value, expected) in [
        ("a\r\nb", FieldValue::Text(Bytes::from_static(b"a\r\nb"))),
        ("", FieldValue::Text(Bytes::new())),
        (&long[1..], FieldValue::Text(Bytes::copy_from_slice(&long.as_bytes()[1..]))),
        (&long, FieldValue::TooLong),
    ] {
        assert_eq!(user(&form(), &body(&[value])), Ok(Some(expected)));
    }
    assert_eq!(user(&form(), "--XX--"), Ok(None));
    let twice = ParseError::FieldTwice { field: "user".into() };
    assert_eq!(user(&form(), &body(&["a", "a"])), Err(twice));
    let mut parser = RequestParser::new(form(), Limits::default());
    let mut names = FieldNames::default();
    names.ask("user").unwrap();
    parser.ask_for(&Arc::new(names));
    parser.feed(b"--XX\r\nContent-Disposition: form-data; name=user\r\n\r\n\xff\r\n--XX--").unwrap();
    assert_eq!(parser.asked().unwrap().get(0), Some(&FieldValue::NotText));
}

#[test]
fn a_field_that_was_asked_for_stands_once_or_the_body_is_refused() {
    for body in
        [r#"{"user":"a","user":"a"}"#, r#"{"user":null,"n":1,"user":"a"}"#, r#"{"user":[],"us\u0065r":1}"#]
    {
        assert_eq!(user(&chat(), body), Err(ParseError::FieldTwice { field: "user".into() }), "{body}");
    }
}

#[test]
fn the_fields_are_known_as_soon_as_the_last_of_them_was_read() {
    let mut names = FieldNames::default();
    assert_eq!([names.ask("user"), names.ask("stream")], [Ok(Field::Asked(0)), Ok(Field::Asked(1))]);
    let mut parser = RequestParser::new(chat(), Limits::default());
    parser.ask_for(&Arc::new(names));
    let is_known = |parser: &RequestParser| parser.asked().is_some_and(crate::AskedFields::are_all_known);
    parser.feed(br#"{"stream":true,"model":"m","user":"a"#).unwrap();
    assert!(!is_known(&parser));
    parser.feed(br#"b","#).unwrap();
    assert!(is_known(&parser));
    parser.feed(br#""n":1}"#).unwrap();
    let request = parser.finish().unwrap();
    assert_eq!(request.asked.unwrap().get(1), Some(&FieldValue::Text(Bytes::from_static(b"true"))));
    assert_eq!(request.model.map(|model| model.name), Some(ModelName("m".into())));
}

#[test]
fn as_many_fields_may_be_asked_for_as_are_compared_with_each_key_and_their_names_fit_a_key() {
    let mut names = FieldNames::default();
    assert_eq!(names.ask("model"), Ok(Field::Model));
    let long = "x".repeat(FIELD_NAME_BYTES_MAX + 1);
    for name in ["", &long] {
        assert_eq!(names.ask(name), Err(FieldNameError::Length { name: name.to_owned() }));
    }
    assert_eq!(names.ask(&long[1..]), Ok(Field::Asked(0)));
    let mut longer = RequestParser::new(chat(), Limits::default());
    longer.ask_for(&Arc::new(names.clone()));
    longer.feed(format!(r#"{{"{long}x":1}}"#).as_bytes()).unwrap();
    assert_eq!(longer.asked().unwrap().get(0), None);
    for place in 1..FIELDS_MAX {
        assert_eq!(names.ask(&place.to_string()), Ok(Field::Asked(place)));
    }
    assert_eq!(names.ask("7"), Ok(Field::Asked(7)));
    assert_eq!(names.ask("b"), Err(FieldNameError::TooMany { name: "b".to_owned() }));
}
