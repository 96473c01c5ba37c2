//! Every message is read by Envoy's own definitions (the crate `envoy-types`) as it was meant, and the other way round.

use bytes::Bytes;
use envoy_types::pb::envoy as pb;
use envoy_types::pb::envoy::service::ext_proc::v3 as theirs;
use extproc::wire::{self as ours, Kind, Mutation, Request, Response};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use prost::Message;
use std::collections::BTreeMap;

/// Writes `message`, lets `T` read and write it, and reads it again.
fn through<T: Message + Default, M: Message + Default>(message: &M) -> (T, M) {
    let theirs = T::decode(message.encode_to_vec().as_slice()).expect("their definition reads it");
    let back = M::decode(theirs.encode_to_vec().as_slice()).expect("our definition reads it");
    (theirs, back)
}

fn text() -> impl Strategy<Value = Bytes> {
    "[a-z-]{0,12}".prop_map(Bytes::from)
}

fn raw() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn header() -> impl Strategy<Value = ours::HeaderValue> {
    (text(), text(), raw()).prop_map(|(key, value, raw_value)| ours::HeaderValue { key, value, raw_value })
}

fn headers() -> impl Strategy<Value = ours::HttpHeaders> {
    let header = ("[a-z-]{1,12}", vec(any::<u8>(), 1..40));
    (vec(header, 0..4), any::<bool>()).prop_map(|(headers, end_of_stream)| {
        let headers = headers.iter().map(|(name, value)| (name.as_bytes(), &value[..]));
        ours::HttpHeaders::of(headers, end_of_stream)
    })
}

fn metadata() -> impl Strategy<Value = ours::Metadata> {
    objects().prop_map(|filter_metadata| ours::Metadata { filter_metadata })
}

fn mutation() -> impl Strategy<Value = Option<ours::HeaderMutation>> {
    let set = (proptest::option::of(header()), proptest::option::of(any::<bool>()), 0..4);
    let set = set.prop_map(|(header, append, append_action)| ours::HeaderValueOption {
        header,
        append,
        append_action,
    });
    let both = (vec(set, 0..3), vec(text(), 0..3));
    proptest::option::of(
        both.prop_map(|(set_headers, remove_headers)| ours::HeaderMutation { set_headers, remove_headers }),
    )
}

fn value() -> impl Strategy<Value = ours::Value> {
    let leaf = prop_oneof![
        Just(Kind::NullValue(0)),
        (-1e9..1e9).prop_map(Kind::NumberValue),
        "[a-z:.,]{0,12}".prop_map(Kind::StringValue),
        any::<bool>().prop_map(Kind::BoolValue),
    ];
    let leaf = proptest::option::of(leaf).prop_map(|kind| ours::Value { kind });
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(ours::Value::list),
            btree_map("[a-z]{0,4}", inner, 0..3)
                .prop_map(|fields| ours::Value::object(ours::Struct { fields })),
        ]
    })
}

fn object() -> impl Strategy<Value = Option<ours::Struct>> {
    proptest::option::of(btree_map("[a-z.]{0,8}", value(), 0..3).prop_map(|fields| ours::Struct { fields }))
}

fn objects() -> impl Strategy<Value = BTreeMap<String, ours::Struct>> {
    btree_map("[a-z.]{0,8}", object().prop_map(Option::unwrap_or_default), 0..3)
}

/// What a filter that asks for the attribute `key` is told.
fn attribute(value: ours::Value) -> Bytes {
    let mut entry = Vec::new();
    prost::encoding::string::encode(1, &"filter".to_owned(), &mut entry);
    prost::encoding::message::encode(2, &ours::Struct::of("key", value), &mut entry);
    entry.into()
}

fn request() -> impl Strategy<Value = ours::ProcessingRequest> {
    let body = || {
        (raw(), any::<bool>())
            .prop_map(|(body, end_of_stream)| ours::HttpBody { body: body.into(), end_of_stream })
    };
    let trailers = || Just(ours::HttpTrailers {});
    let request = prop_oneof![
        headers().prop_map(Request::RequestHeaders),
        headers().prop_map(Request::ResponseHeaders),
        body().prop_map(Request::RequestBody),
        body().prop_map(Request::ResponseBody),
        trailers().prop_map(Request::RequestTrailers),
        trailers().prop_map(Request::ResponseTrailers),
    ];
    let metadata = vec(metadata().prop_map(|metadata| metadata.encode_to_vec().into()), 0..2);
    let protocol =
        proptest::option::of((0..6, 0..6, any::<bool>()).prop_map(|(request, response, eager)| {
            ours::ProtocolConfiguration {
                request_body_mode: request,
                response_body_mode: response,
                send_body_without_waiting_for_header_response: eager,
            }
        }));
    let attributes = vec(value().prop_map(attribute), 0..2);
    (proptest::option::of(request), metadata, attributes, any::<bool>(), protocol).prop_map(
        |(request, metadata_context, attributes, observability_mode, protocol_config)| {
            ours::ProcessingRequest {
                request,
                metadata_context,
                attributes,
                observability_mode,
                protocol_config,
            }
        },
    )
}

fn common() -> impl Strategy<Value = Option<ours::CommonResponse>> {
    let change = prop_oneof![
        raw().prop_map(Mutation::Body),
        any::<bool>().prop_map(Mutation::ClearBody),
        (raw(), any::<bool>()).prop_map(|(body, end_of_stream)| {
            Mutation::StreamedResponse(ours::StreamedBodyResponse { body, end_of_stream })
        }),
    ];
    let change = proptest::option::of(change);
    let body = proptest::option::of(change.prop_map(|mutation| ours::BodyMutation { mutation }));
    let common = (0..2, mutation(), body, any::<bool>());
    proptest::option::of(common.prop_map(|(status, header_mutation, body_mutation, clear_route_cache)| {
        ours::CommonResponse { status, header_mutation, body_mutation, clear_route_cache }
    }))
}

fn immediate() -> impl Strategy<Value = ours::ImmediateResponse> {
    let status = proptest::option::of((0..600).prop_map(|code| ours::HttpStatus { code }));
    let grpc = proptest::option::of((0u32..17).prop_map(|status| ours::GrpcStatus { status }));
    (status, mutation(), raw(), grpc, "[a-z_]{0,12}").prop_map(
        |(status, headers, body, grpc_status, details)| ours::ImmediateResponse {
            status,
            headers,
            body,
            grpc_status,
            details,
        },
    )
}

fn response() -> impl Strategy<Value = ours::ProcessingResponse> {
    let headers = || common().prop_map(|response| ours::HeadersResponse { response });
    let body = || common().prop_map(|response| ours::BodyResponse { response });
    let trailers = || mutation().prop_map(|header_mutation| ours::TrailersResponse { header_mutation });
    let response = prop_oneof![
        headers().prop_map(Response::RequestHeaders),
        headers().prop_map(Response::ResponseHeaders),
        body().prop_map(Response::RequestBody),
        body().prop_map(Response::ResponseBody),
        trailers().prop_map(Response::RequestTrailers),
        trailers().prop_map(Response::ResponseTrailers),
        immediate().prop_map(Response::ImmediateResponse),
    ];
    let modes = ((0..3, 0..3), (0..6, 0..6), (0..3, 0..3));
    let modes = proptest::option::of(modes.prop_map(|(headers, bodies, trailers)| ours::ProcessingMode {
        request_header_mode: headers.0,
        response_header_mode: headers.1,
        request_body_mode: bodies.0,
        response_body_mode: bodies.1,
        request_trailer_mode: trailers.0,
        response_trailer_mode: trailers.1,
    }));
    let more_time =
        (any::<i64>(), any::<i32>()).prop_map(|(seconds, nanos)| ours::Duration { seconds, nanos });
    (proptest::option::of(response), object(), modes, proptest::option::of(more_time)).prop_map(
        |(response, dynamic_metadata, mode_override, override_message_timeout)| ours::ProcessingResponse {
            response,
            dynamic_metadata,
            mode_override,
            override_message_timeout,
        },
    )
}

proptest! {
    #[test]
    fn a_request_means_the_same_to_both(message in request()) {
        let (theirs, mut back) = through::<theirs::ProcessingRequest, _>(&message);
        // A map has no order.
        let context = |of: &ours::ProcessingRequest| ours::Metadata::decode(&of.metadata_context.concat()[..]);
        prop_assert_eq!(context(&back), context(&message));
        let key = |of: &ours::ProcessingRequest| ours::attribute(&of.attributes, "key");
        prop_assert_eq!(key(&back), key(&message));
        back.metadata_context.clone_from(&message.metadata_context);
        back.attributes.clone_from(&message.attributes);
        prop_assert_eq!(&back, &message);
        let debug = format!("{theirs:?}");
        prop_assert_eq!(debug.contains("protocol_config: Some"), message.protocol_config.is_some());
    }

    #[test]
    fn a_response_means_the_same_to_both(message in response()) {
        let (_, back) = through::<theirs::ProcessingResponse, _>(&message);
        prop_assert_eq!(&back, &message);
    }
}

proptest! {
    #[test]
    fn metadata_are_told_where_they_lie(metadata in metadata(), namespace in "[a-z.]{0,8}", key in "[a-z.]{0,8}") {
        let written = [Bytes::from(metadata.encode_to_vec())];
        prop_assert_eq!(ours::Metadata::told(&written, &namespace, &key).unwrap_or_default(), None);
        for (namespace, object) in &metadata.filter_metadata {
            for (key, value) in &object.fields {
                prop_assert_eq!(ours::Metadata::told(&written, namespace, key), Ok(Some(value.clone())));
            }
        }
    }
}

#[test]
fn an_object_that_stands_twice_in_its_entry_is_one() {
    let value = |text: &str| ours::Value::string(text);
    let mut first = ours::Struct::of("a", value("of the first"));
    first.fields.insert("both".to_owned(), value("of the first"));
    let mut second = ours::Struct::of("b", value("of the second"));
    second.fields.insert("both".to_owned(), value("of the second"));
    let (mut entry, mut metadata) = (Vec::new(), Vec::new());
    prost::encoding::string::encode(1, &"name".to_owned(), &mut entry);
    for object in [&first, &second] {
        prost::encoding::message::encode(2, object, &mut entry);
    }
    prost::encoding::bytes::encode(1, &entry, &mut metadata);
    let (entry, metadata) = ([Bytes::from(entry)], [Bytes::from(metadata)]);
    let theirs = ours::Metadata::decode(&metadata[0][..]).expect("a map as prost reads it");
    let fields = &theirs.filter_metadata["name"].fields;
    assert_eq!(fields.len(), 3);
    for (key, value) in fields {
        let told = ours::Metadata::told(&metadata, "name", key);
        assert_eq!(told, Ok(Some(value.clone())), "{key}");
        assert_eq!(ours::attribute(&entry, key), told, "{key}");
    }
}

#[test]
fn headers_are_read_where_they_lie_and_wherever_their_values_stand() {
    let header = |key: &str, value: &str, raw_value: &str| pb::config::core::v3::HeaderValue {
        key: key.to_owned(),
        value: value.to_owned(),
        raw_value: raw_value.as_bytes().to_vec(),
    };
    let of = |headers| theirs::HttpHeaders {
        headers: Some(pb::config::core::v3::HeaderMap { headers }),
        ..theirs::HttpHeaders::default()
    };
    let first = of(vec![header("a", "1", ""), header("b", "", "2"), header("b", "3", "4")]);
    let second = of(vec![header("", "", ""), header("c", "", "")]);
    // A message that stands twice is one.
    let written = [first.encode_to_vec(), second.encode_to_vec()].concat();
    let headers = ours::HttpHeaders::decode(&written[..]).expect("it is whole");
    let headers = headers.read().expect("it can be read");
    let found: Vec<_> =
        headers.iter().map(|(name, value)| [name, value].map(String::from_utf8_lossy)).collect();
    assert_eq!(found, [["a", "1"], ["b", "2"], ["b", "4"], ["", ""], ["c", ""]]);
    assert_eq!(headers.get("b"), Some(&b"2"[..]));
}

#[test]
fn headers_and_metadata_that_are_cut_short_are_an_error() {
    for cut in [&b"\x0a"[..], b"\x0a\x05\x0a\x01a", b"\x0a\x03\x0a\x02a", b"\x0a\x02\x12\x01"] {
        let cut = vec![Bytes::from_static(cut)];
        assert!(ours::Metadata::told(&cut, "a", "b").is_err(), "{cut:?}");
        let headers = ours::HttpHeaders { headers: cut, end_of_stream: false };
        assert!(headers.read().is_err(), "{headers:?}");
    }
}

/// A round trip cannot tell two fields of one type apart: these are told by name.
#[test]
fn fields_of_one_type_are_not_mixed_up() {
    use theirs::processing_request::Request as TheirRequest;
    use theirs::processing_response::Response as TheirResponse;

    let of = |request| ours::ProcessingRequest { request: Some(request), ..Default::default() };
    let named = |request: &ours::ProcessingRequest| match through::<theirs::ProcessingRequest, _>(request)
        .0
        .request
        .expect("one of them")
    {
        TheirRequest::RequestHeaders(_) => "request headers",
        TheirRequest::ResponseHeaders(_) => "response headers",
        TheirRequest::RequestBody(_) => "request body",
        TheirRequest::ResponseBody(_) => "response body",
        TheirRequest::RequestTrailers(_) => "request trailers",
        TheirRequest::ResponseTrailers(_) => "response trailers",
    };
    for (request, name) in [
        (Request::RequestHeaders(ours::HttpHeaders::default()), "request headers"),
        (Request::ResponseHeaders(ours::HttpHeaders::default()), "response headers"),
        (Request::RequestBody(ours::HttpBody::default()), "request body"),
        (Request::ResponseBody(ours::HttpBody::default()), "response body"),
        (Request::RequestTrailers(ours::HttpTrailers::default()), "request trailers"),
        (Request::ResponseTrailers(ours::HttpTrailers::default()), "response trailers"),
    ] {
        assert_eq!(named(&of(request)), name);
    }
    for (response, name) in [
        (Response::RequestHeaders(ours::HeadersResponse::default()), "request headers"),
        (Response::ResponseHeaders(ours::HeadersResponse::default()), "response headers"),
        (Response::RequestBody(ours::BodyResponse::default()), "request body"),
        (Response::ResponseBody(ours::BodyResponse::default()), "response body"),
        (Response::RequestTrailers(ours::TrailersResponse::default()), "request trailers"),
        (Response::ResponseTrailers(ours::TrailersResponse::default()), "response trailers"),
        (Response::ImmediateResponse(ours::ImmediateResponse::default()), "immediate"),
    ] {
        let response = ours::ProcessingResponse { response: Some(response), ..Default::default() };
        let theirs = through::<theirs::ProcessingResponse, _>(&response).0;
        let found = match theirs.response.expect("one of them") {
            TheirResponse::RequestHeaders(_) => "request headers",
            TheirResponse::ResponseHeaders(_) => "response headers",
            TheirResponse::RequestBody(_) => "request body",
            TheirResponse::ResponseBody(_) => "response body",
            TheirResponse::RequestTrailers(_) => "request trailers",
            TheirResponse::ResponseTrailers(_) => "response trailers",
            TheirResponse::ImmediateResponse(_) => "immediate",
            TheirResponse::StreamedImmediateResponse(_) => "streamed immediate",
        };
        assert_eq!(found, name);
    }
}

#[test]
fn headers_modes_and_ends_mean_what_envoy_means_by_them() {
    let header = ours::HeaderValue {
        key: Bytes::from_static(b"key"),
        value: Bytes::from_static(b"value"),
        raw_value: Bytes::from_static(b"raw"),
    };
    let (read, _) = through::<pb::config::core::v3::HeaderValue, _>(&header);
    assert_eq!((&*read.key, &*read.value, &*read.raw_value), ("key", "value", &b"raw"[..]));

    let mut mutation = ours::HeaderMutation::default();
    mutation.set("set", "1");
    mutation.remove(&http::header::CONTENT_ENCODING);
    let (read, _) = through::<theirs::HeaderMutation, _>(&mutation);
    let set = read.set_headers[0].header.as_ref().expect("a header");
    assert_eq!((&*set.key, &*set.raw_value), ("set", &b"1"[..]));
    assert_eq!(read.remove_headers, ["content-encoding"]);

    let modes = ours::ProcessingMode {
        request_header_mode: ours::HeaderSendMode::Send as i32,
        response_header_mode: ours::HeaderSendMode::Skip as i32,
        request_body_mode: ours::BodySendMode::FullDuplexStreamed as i32,
        response_body_mode: ours::BodySendMode::BufferedPartial as i32,
        request_trailer_mode: ours::HeaderSendMode::Default as i32,
        response_trailer_mode: ours::HeaderSendMode::Skip as i32,
    };
    use filter::processing_mode::{BodySendMode, HeaderSendMode};
    use pb::extensions::filters::http::ext_proc::v3 as filter;
    let (read, _) = through::<filter::ProcessingMode, _>(&modes);
    assert_eq!(read.request_header_mode(), HeaderSendMode::Send);
    assert_eq!(read.response_header_mode(), HeaderSendMode::Skip);
    assert_eq!(read.request_body_mode(), BodySendMode::FullDuplexStreamed);
    assert_eq!(read.response_body_mode(), BodySendMode::BufferedPartial);
    assert_eq!(read.request_trailer_mode(), HeaderSendMode::Default);
    assert_eq!(read.response_trailer_mode(), HeaderSendMode::Skip);

    let streamed = ours::StreamedBodyResponse { body: Bytes::from_static(b"x"), end_of_stream: true };
    let (read, _) = through::<theirs::StreamedBodyResponse, _>(&streamed);
    assert!(read.end_of_stream && !read.end_of_stream_without_message);
    let protocol = ours::ProtocolConfiguration {
        request_body_mode: ours::BodySendMode::FullDuplexStreamed as i32,
        response_body_mode: ours::BodySendMode::Buffered as i32,
        send_body_without_waiting_for_header_response: true,
    };
    let (read, _) = through::<theirs::ProtocolConfiguration, _>(&protocol);
    assert_eq!(read.request_body_mode(), BodySendMode::FullDuplexStreamed);
    assert_eq!(read.response_body_mode(), BodySendMode::Buffered);
    assert!(read.send_body_without_waiting_for_header_response);
}
