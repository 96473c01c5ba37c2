//! The bytes of an ext_proc stream: however they are cut, the same messages come out, or the same error; and what Envoy's
//! own definitions (the crate `envoy-types`) read of a message, ours read too.
#![no_main]

use bytes::{BufMut, Bytes, BytesMut};
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::service::ext_proc::v3 as theirs;
use envoy_types::pb::google::protobuf::{Struct, Value};
use extproc::grpc::{Decoder, FrameError};
use extproc::wire as ours;
use libfuzzer_sys::fuzz_target;
use prost::Message;
use std::collections::HashMap;
use theirs::processing_request::Request as Their;

const LIMIT: usize = 1 << 20;

/// The messages of a stream that comes in pieces of `piece` bytes, and how it ends.
fn read<M: Message + Default>(stream: &[u8], piece: usize) -> (Vec<M>, Result<(), FrameError>) {
    let mut decoder = Decoder::new(LIMIT);
    let mut messages = Vec::new();
    for piece in stream.chunks(piece) {
        decoder.feed(Bytes::copy_from_slice(piece));
        loop {
            match decoder.next_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Err(error)),
            }
        }
        assert!(decoder.held_bytes() <= (LIMIT + piece.len() + 5) as u64);
    }
    let end = decoder.finish();
    (messages, end)
}

/// Written again, as it is compared: a number that is none is not equal to itself.
fn written<M: Message>(messages: &[M]) -> Vec<Vec<u8>> {
    messages.iter().map(Message::encode_to_vec).collect()
}

fn cut_anywhere<M: Message + Default>(stream: &[u8], piece: usize) {
    let (whole, whole_end) = read::<M>(stream, usize::MAX);
    let (cut, cut_end) = read::<M>(stream, piece);
    assert_eq!((written(&whole), whole_end), (written(&cut), cut_end));
    for bytes in written(&whole) {
        let again = M::decode(&bytes[..]).expect("what was written can be read");
        assert_eq!(again.encode_to_vec(), bytes);
    }
}

fn same_headers(ours: &ours::HttpHeaders, theirs: &Option<core::HeaderMap>) {
    let ours = ours.read().expect("theirs read it");
    let theirs = theirs.iter().flat_map(|map| &map.headers);
    let theirs = theirs.map(|header| match &header.raw_value[..] {
        [] => (header.key.as_bytes(), header.value.as_bytes()),
        raw_value => (header.key.as_bytes(), raw_value),
    });
    assert!(ours.iter().eq(theirs));
}

/// Written again by our definition, as it is compared.
fn value(theirs: &Value) -> Vec<u8> {
    ours::Value::decode(&theirs.encode_to_vec()[..]).expect("theirs read it").encode_to_vec()
}

fn same_metadata(ours: &[Bytes], theirs: &Option<core::Metadata>) {
    for (namespace, object) in theirs.iter().flat_map(|metadata| &metadata.filter_metadata) {
        for (key, theirs) in &object.fields {
            let told = ours::Metadata::told(ours, namespace, key).expect("theirs read it");
            assert_eq!(told.expect("theirs have it").encode_to_vec(), value(theirs));
        }
    }
}

fn same_attributes(ours: &[Bytes], theirs: &HashMap<String, Struct>) {
    for key in theirs.values().flat_map(|object| object.fields.keys()) {
        let told = ours::attribute(ours, key).expect("theirs read it").expect("theirs have it");
        let mut values = theirs.values().filter_map(|object| object.fields.get(key));
        // Of objects with one name theirs keep the last.
        let replaced = ours.len() > theirs.len();
        assert!(replaced || values.any(|theirs| value(theirs) == told.encode_to_vec()));
    }
}

fn same_request(message: &[u8]) {
    // Theirs know more fields, and check that texts are UTF-8: what they refuse, ours may take.
    let Ok(their) = theirs::ProcessingRequest::decode(message) else { return };
    let our = ours::ProcessingRequest::decode(message).expect("theirs read it");
    assert_eq!(our.observability_mode, their.observability_mode);
    let modes = |modes: theirs::ProtocolConfiguration| (modes.request_body_mode, modes.response_body_mode);
    let own = our.protocol_config.map(|modes| (modes.request_body_mode, modes.response_body_mode));
    assert_eq!(own, their.protocol_config.map(modes));
    same_metadata(&our.metadata_context, &their.metadata_context);
    same_attributes(&our.attributes, &their.attributes);
    match (our.request, their.request) {
        (None, None) => {}
        (Some(ours::Request::RequestHeaders(our)), Some(Their::RequestHeaders(their)))
        | (Some(ours::Request::ResponseHeaders(our)), Some(Their::ResponseHeaders(their))) => {
            assert_eq!(our.end_of_stream, their.end_of_stream);
            same_headers(&our, &their.headers);
        }
        (Some(ours::Request::RequestBody(our)), Some(Their::RequestBody(their)))
        | (Some(ours::Request::ResponseBody(our)), Some(Their::ResponseBody(their))) => {
            assert_eq!(our.end_of_stream, their.end_of_stream);
            assert!(our.body.iter().flatten().eq(&their.body));
        }
        (Some(ours::Request::RequestTrailers(_)), Some(Their::RequestTrailers(_)))
        | (Some(ours::Request::ResponseTrailers(_)), Some(Their::ResponseTrailers(_))) => {}
        (our, their) => panic!("{our:?} is not {their:?}"),
    }
}

fn same_response(message: &[u8]) {
    let Ok(their) = theirs::ProcessingResponse::decode(message) else { return };
    let our = ours::ProcessingResponse::decode(message).expect("theirs read it");
    let known = !matches!(
        their.response,
        None | Some(theirs::processing_response::Response::StreamedImmediateResponse(_))
    );
    // A field that ours do not know leaves what stood before it.
    assert!(our.response.is_some() || !known);
    assert_eq!(our.dynamic_metadata.is_some(), their.dynamic_metadata.is_some());
}

// The first byte tells the length of the pieces.
fuzz_target!(|input: &[u8]| {
    let Some((piece, rest)) = input.split_first() else { return };
    let piece = usize::from(*piece).max(1);
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(rest.len() as u32);
    framed.put_slice(rest);
    for stream in [rest, &framed] {
        cut_anywhere::<ours::ProcessingRequest>(stream, piece);
        cut_anywhere::<ours::ProcessingResponse>(stream, piece);
    }
    same_request(rest);
    same_response(rest);
});
