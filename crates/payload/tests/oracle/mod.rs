//! What a DOM parser says of a request body, and that the incremental one says the same. The fuzz target uses it too.

use bytes::Bytes;
use payload::{
    BodyHead, FIELD_VALUE_BYTES_MAX, FieldNames, FieldValue, InferenceRequest, Limits, ParseError,
    RequestParser,
};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use std::sync::Arc;

/// As deep as serde_json goes.
const LIMITS: Limits = Limits { body_bytes_max: 1 << 20, model_bytes_max: 64, depth_max: 127 };

/// Fields that are asked for: of no meaning, of one of its own, and like one that has.
const ASKED: [&str; 4] = ["user", "stream", "prompt", "modell"];

/// The keys that count, each time they stand at the top level.
#[derive(Default)]
struct Object {
    models: Vec<Value>,
    stream: bool,
    max_tokens: Option<u32>,
    asked: [Vec<Value>; ASKED.len()],
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Object;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Object, M::Error> {
                let mut object = Object::default();
                while let Some((key, value)) = map.next_entry::<String, Value>()? {
                    if let Some(place) = ASKED.iter().position(|name| *name == key) {
                        object.asked[place].push(value.clone());
                    }
                    match key.as_str() {
                        "model" => object.models.push(value),
                        "stream" => object.stream = value == Value::Bool(true),
                        "max_tokens" | "max_completion_tokens" | "max_output_tokens" => {
                            let tokens = whole(&value);
                            object.max_tokens = tokens.or(object.max_tokens);
                        }
                        _ => {}
                    }
                }
                Ok(object)
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

fn whole(value: &Value) -> Option<u32> {
    value.as_u64().map(|number| u32::try_from(number).unwrap_or(u32::MAX))
}

/// Parses `body` cut into pieces of the lengths in `cuts`, then the rest.
pub(crate) fn parse(body: &[u8], cuts: &[usize]) -> Result<InferenceRequest, ParseError> {
    read(RequestParser::new(BodyHead::new("/v1/chat/completions", None, None)?, LIMITS), body, cuts)
}

/// The same, with the fields of [`ASKED`].
fn parse_asking(body: &[u8], cuts: &[usize]) -> Result<InferenceRequest, ParseError> {
    let mut names = FieldNames::default();
    for name in ASKED {
        names.ask(name).expect("a good name");
    }
    let mut parser = RequestParser::new(BodyHead::new("/v1/chat/completions", None, None)?, LIMITS);
    parser.ask_for(&Arc::new(names));
    read(parser, body, cuts)
}

fn read(mut parser: RequestParser, body: &[u8], cuts: &[usize]) -> Result<InferenceRequest, ParseError> {
    let mut rest = Bytes::copy_from_slice(body);
    for cut in cuts {
        parser.feed(&rest.split_to((*cut).min(rest.len())))?;
    }
    parser.feed(&rest)?;
    let early = parser.model().cloned();
    let asked = parser.asked().cloned();
    let request = parser.finish()?;
    assert_eq!(asked, request.asked.as_deref().cloned(), "the fields must be known before the end");
    assert_eq!(early, request.model, "the model must be known before the end");
    Ok(request)
}

/// Panics where the incremental parser and serde_json disagree.
pub(crate) fn check(body: &[u8], cuts: &[usize]) {
    let ours = parse(body, cuts);
    if body.is_empty() {
        assert!(ours.is_ok_and(|request| request.model.is_none()));
        return;
    }
    check_asked(body, cuts, &ours);
    match (ours, serde_json::from_slice::<Object>(body)) {
        (Ok(ours), Ok(theirs)) => agree(body, &ours, &theirs),
        // Numbers and halves of surrogate pairs are no reason to refuse: nobody here reads them.
        (Ok(_), Err(error)) => {
            let whole = serde_json::from_slice::<Object>(&without_surrogates(body));
            let is_number = |error: serde_json::Error| error.to_string().contains("number out of range");
            assert!(whole.err().is_none_or(is_number), "accepted what serde_json refuses: {error}");
        }
        (Err(ParseError::ModelTwice), Ok(theirs)) => assert!(theirs.models.len() > 1),
        (Err(ParseError::ModelNotAString { .. }), Ok(theirs)) => {
            assert!(theirs.models.iter().any(|model| !model.is_string()));
        }
        (Err(ParseError::ModelTooLong { limit }), Ok(theirs)) => {
            assert!(theirs.models.iter().any(|model| model.as_str().is_some_and(|name| name.len() > limit)));
        }
        (Err(error), Ok(_)) => panic!("refused what serde_json accepts: {error}"),
        (Err(_), Err(_)) => {}
    }
}

/// Panics where a field that was asked for is not what serde_json reads there, or asking changes what is refused.
fn check_asked(body: &[u8], cuts: &[usize], unasked: &Result<InferenceRequest, ParseError>) {
    let theirs = serde_json::from_slice::<Object>(body);
    match (parse_asking(body, cuts), theirs) {
        (Ok(ours), Ok(theirs)) => {
            let asked = ours.asked.expect("it was asked for");
            for (place, values) in theirs.asked.iter().enumerate() {
                assert!(values.len() <= 1, "accepted {values:?}");
                assert!(is_told(asked.get(place), values.first()), "{:?} for {values:?}", asked.get(place));
            }
            assert!(unasked.is_ok());
        }
        (Err(ParseError::FieldTwice { field }), Ok(theirs)) => {
            let place = ASKED.iter().position(|name| *name == &*field).expect("one that was asked for");
            assert!(theirs.asked[place].len() > 1);
        }
        // A second value came before what is broken, or half of a surrogate pair in a text that nobody else reads.
        (Err(ParseError::FieldTwice { .. } | ParseError::NotJson { .. }), Err(_)) => {}
        (ours, _) => assert_eq!(ours.err().as_ref(), unasked.as_ref().err()),
    }
}

fn is_told(ours: Option<&FieldValue>, theirs: Option<&Value>) -> bool {
    match (ours, theirs) {
        (None, None) | (Some(FieldValue::Null), Some(Value::Null)) => true,
        (Some(FieldValue::NotText), Some(theirs)) => theirs.is_object() || theirs.is_array(),
        (Some(FieldValue::TooLong), Some(Value::String(text))) => text.len() > FIELD_VALUE_BYTES_MAX,
        (Some(FieldValue::TooLong), Some(theirs)) => theirs.is_number(),
        (Some(FieldValue::Text(ours)), Some(Value::String(theirs))) => ours == theirs.as_bytes(),
        // A number's digits, or a truth value.
        (Some(FieldValue::Text(ours)), Some(theirs)) => {
            serde_json::from_slice::<Value>(ours).is_ok_and(|ours| ours == *theirs)
        }
        _ => false,
    }
}

/// Each escape of half a surrogate pair made one that stands for a character, of the same length.
fn without_surrogates(body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    for at in 0..body.len().saturating_sub(5) {
        if let [b'\\', b'u', b'd' | b'D', b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F', ..] = body[at..] {
            body[at + 2..at + 4].copy_from_slice(b"ff");
        }
    }
    body
}

fn agree(body: &[u8], ours: &InferenceRequest, theirs: &Object) {
    let expected = match theirs.models.as_slice() {
        [] => None,
        [Value::String(name)] => Some(name.as_str()).filter(|name| !name.is_empty()),
        other => panic!("accepted the models {other:?}"),
    };
    assert_eq!(ours.model.as_ref().map(|model| &*model.name.0), expected);
    if let Some(model) = &ours.model {
        let value = &body[model.span.start as usize..model.span.end as usize];
        let name: String = serde_json::from_slice(value).expect("the span is the whole value");
        assert_eq!(name, *model.name.0);
    }
    assert_eq!(ours.stream, theirs.stream);
    let max_tokens = ours.max_tokens;
    assert_eq!(max_tokens, theirs.max_tokens);
    assert_eq!(ours.bytes, body.len() as u64);
    let whole = parse(body, &[]).expect("accepted in pieces");
    assert_eq!(ours.prompt, whole.prompt, "the prompt's hashes depend on the cuts");
}
