//! What a picker is sent, as pieces that are written one after the other: a body's bytes are shared, never copied.

use crate::grpc::{frame, frame_with_tail};
use crate::wire::{
    BodySendMode, HttpHeaders, LB_NAMESPACE, Metadata, ProcessingRequest, ProtocolConfiguration, Request,
    SUBSET_NAMESPACE, Struct, Value,
};
use bytes::{BufMut, Bytes, BytesMut};
use http::header::HOST;
use journey::headers::{DESTINATION_ENDPOINT_SERVED, DESTINATION_ENDPOINT_SUBSET};
use payload::Rope;
use prost::Message;
use prost::encoding::{encode_varint, encoded_len_varint};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The most bytes of a body in one message: gRPC in Go takes at most 4 MiB in one, and few messages cost less than many.
const BODY_MESSAGE_BYTES_MAX: usize = 1 << 20;

/// The most endpoints that a subset hint names. It is optional: a picker without one picks over the whole pool, which is
/// the same, and a longer one would cost more than the pick.
pub(super) const SUBSET_ENDPOINTS_MAX: usize = 1000;

/// The subset hint as a field of a message, to be sent with many.
pub(super) fn subset_hint(endpoints: impl ExactSizeIterator<Item = SocketAddr>) -> Bytes {
    if endpoints.len() > SUBSET_ENDPOINTS_MAX {
        return Bytes::new();
    }
    let subset = Value::list(endpoints.map(|endpoint| Value::string(endpoint.to_string())).collect());
    let hint = ProcessingRequest {
        metadata_context: metadata(SUBSET_NAMESPACE, DESTINATION_ENDPOINT_SUBSET.as_str(), subset),
        ..ProcessingRequest::default()
    };
    hint.encode_to_vec().into()
}

fn metadata(namespace: &str, key: &str, value: Value) -> Vec<Bytes> {
    let told = Metadata { filter_metadata: BTreeMap::from([(namespace.to_owned(), Struct::of(key, value))]) };
    vec![told.encode_to_vec().into()]
}

/// The head of a request: the first message.
pub(super) fn request_headers(
    head: &http::request::Parts,
    scheme: &'static str,
    bodiless: bool,
    hint: &Bytes,
    out: &mut Vec<Bytes>,
) {
    let authority = head.headers.get(HOST).map_or(&[][..], |host| host.as_bytes());
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let pseudo = [
        (&b":method"[..], head.method.as_str().as_bytes()),
        (b":path", path.as_bytes()),
        (b":scheme", scheme.as_bytes()),
        (b":authority", authority),
    ];
    let headers = pseudo.into_iter().chain(ordinary(&head.headers));
    let message = ProcessingRequest {
        request: Some(Request::RequestHeaders(HttpHeaders::of(headers, bodiless))),
        protocol_config: Some(ProtocolConfiguration {
            request_body_mode: BodySendMode::FullDuplexStreamed.into(),
            response_body_mode: BodySendMode::None.into(),
            send_body_without_waiting_for_header_response: true,
        }),
        ..ProcessingRequest::default()
    };
    let mut written = BytesMut::new();
    frame_with_tail(hint.len(), &mut written, |written| {
        message.encode(written).expect("a `BytesMut` grows");
    });
    out.push(written.freeze());
    out.push(hint.clone());
}

/// The body of a request, whole. Answers the length of each message's part of it.
pub(super) fn request_body(body: &Rope, out: &mut Vec<Bytes>) -> Vec<usize> {
    let mut parts = Vec::new();
    let mut left = body.bytes() as usize;
    let mut chunks = body.chunks().iter().cloned();
    let mut chunk = Bytes::new();
    while left > 0 {
        let part = left.min(BODY_MESSAGE_BYTES_MAX);
        left -= part;
        let mut head = BytesMut::new();
        frame_with_tail(part, &mut head, |head| body_head(part, left == 0, head));
        out.push(head.freeze());
        let mut missing = part;
        while missing > 0 {
            if chunk.is_empty() {
                chunk = chunks.next().expect("a rope's bytes are those of its chunks");
            }
            let piece = chunk.split_to(missing.min(chunk.len()));
            missing -= piece.len();
            out.push(piece);
        }
        parts.push(part);
    }
    parts
}

/// A `ProcessingRequest` of `part` bytes of the request's body, all but these bytes: they are its last.
fn body_head(part: usize, end_of_stream: bool, out: &mut BytesMut) {
    // ProcessingRequest.request_body, HttpBody.end_of_stream, HttpBody.body.
    let end: &[u8] = if end_of_stream { &[2 << 3, 1] } else { &[] };
    let body = end.len() + 1 + encoded_len_varint(part as u64) + part;
    out.put_u8(4 << 3 | 2);
    encode_varint(body as u64, out);
    out.put_slice(end);
    out.put_u8(1 << 3 | 2);
    encode_varint(part as u64, out);
}

/// The head of a response, and which endpoint gave it.
pub(super) fn response_headers(
    head: (http::StatusCode, &http::HeaderMap),
    served: SocketAddr,
    bodiless: bool,
) -> Bytes {
    let (status, headers) = head;
    let status = (&b":status"[..], status.as_str().as_bytes());
    let headers = std::iter::once(status).chain(ordinary(headers));
    let message = ProcessingRequest {
        request: Some(Request::ResponseHeaders(HttpHeaders::of(headers, bodiless))),
        metadata_context: metadata(
            LB_NAMESPACE,
            DESTINATION_ENDPOINT_SERVED.as_str(),
            Value::string(served.to_string()),
        ),
        ..ProcessingRequest::default()
    };
    let mut written = BytesMut::new();
    frame(&message, &mut written);
    written.freeze()
}

fn ordinary(headers: &http::HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    let ordinary = headers.iter().filter(|(name, _)| *name != HOST);
    ordinary.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::Decoder;

    fn decoded(pieces: Vec<Bytes>) -> Vec<ProcessingRequest> {
        let mut decoder = Decoder::new(4 << 20);
        pieces.into_iter().for_each(|piece| decoder.feed(piece));
        let messages =
            std::iter::from_fn(|| decoder.next_message().expect("what is written can be read")).collect();
        assert_eq!(decoder.finish(), Ok(()));
        messages
    }

    #[test]
    fn the_head_names_the_pools_endpoints_and_how_the_body_travels() {
        let endpoints: [SocketAddr; 2] = ["10.0.0.1:8000".parse().unwrap(), "[::1]:8000".parse().unwrap()];
        let request =
            http::Request::post("/v1/completions?a=b").header("host", "a.example").header("x-a", "1");
        let (head, ()) = request.body(()).unwrap().into_parts();
        let mut pieces = Vec::new();
        request_headers(&head, "http", false, &subset_hint(endpoints.into_iter()), &mut pieces);
        let [message] = &decoded(pieces)[..] else { panic!("one message") };
        let Some(Request::RequestHeaders(headers)) = &message.request else { panic!("headers") };
        let headers = headers.read().unwrap();
        for (name, value) in [
            (":method", "POST"),
            (":path", "/v1/completions?a=b"),
            (":authority", "a.example"),
            (":scheme", "http"),
            ("x-a", "1"),
        ] {
            assert_eq!(headers.get(name).unwrap(), value.as_bytes(), "{name}");
        }
        assert!(headers.get("host").is_none() && !headers.end_of_stream);
        let config = message.protocol_config.unwrap();
        assert_eq!(config.request_body_mode(), BodySendMode::FullDuplexStreamed);
        assert_eq!(config.response_body_mode(), BodySendMode::None);
        let hint =
            Metadata::told(&message.metadata_context, SUBSET_NAMESPACE, DESTINATION_ENDPOINT_SUBSET.as_str());
        let expected = ["10.0.0.1:8000", "[::1]:8000"].map(Value::string);
        assert_eq!(hint, Ok(Some(Value::list(expected.to_vec()))));
    }

    #[test]
    fn a_pool_of_very_many_endpoints_is_not_listed() {
        let many = |count: u16| (0..count).map(|port| SocketAddr::from(([10, 0, 0, 1], port)));
        let endpoints: Vec<_> = many(SUBSET_ENDPOINTS_MAX as u16).collect();
        assert!(!subset_hint(endpoints.into_iter()).is_empty());
        let endpoints: Vec<_> = many(SUBSET_ENDPOINTS_MAX as u16 + 1).collect();
        assert!(subset_hint(endpoints.into_iter()).is_empty());
    }

    #[test]
    fn a_body_travels_in_few_messages_that_share_its_bytes() {
        let chunk = |length: usize, fill: u8| Bytes::from(vec![fill; length]);
        for lengths in [&[1][..], &[5, 7, 9], &[BODY_MESSAGE_BYTES_MAX], &[700_000, 700_000, 1 << 21]] {
            let body: Rope = lengths.iter().zip(1..).map(|(&length, fill)| chunk(length, fill)).collect();
            let mut pieces = Vec::new();
            let parts = request_body(&body, &mut pieces);
            assert!(pieces.iter().any(|piece| piece.as_ptr() == body.chunks()[0].as_ptr()));
            let mut whole = Vec::new();
            let messages = decoded(pieces);
            for (place, message) in messages.iter().enumerate() {
                let Some(Request::RequestBody(part)) = &message.request else { panic!("a body") };
                assert_eq!(part.body.bytes(), parts[place]);
                assert_eq!(part.end_of_stream, place + 1 == parts.len());
                part.body.iter().for_each(|piece| whole.extend_from_slice(piece));
            }
            assert_eq!(whole, body.chunks().concat());
            assert_eq!(parts.len(), whole.len().div_ceil(BODY_MESSAGE_BYTES_MAX));
        }
    }

    #[test]
    fn the_head_of_a_response_says_who_served_it() {
        let headers = http::HeaderMap::from_iter([(http::header::SERVER, "x".parse().unwrap())]);
        let served = "10.0.0.1:8000".parse().unwrap();
        let written = response_headers((http::StatusCode::OK, &headers), served, false);
        let [message] = &decoded(vec![written])[..] else { panic!("one message") };
        let Some(Request::ResponseHeaders(head)) = &message.request else { panic!("headers") };
        let head = head.read().unwrap();
        assert_eq!((head.get(":status"), head.get("server")), (Some(&b"200"[..]), Some(&b"x"[..])));
        let told =
            Metadata::told(&message.metadata_context, LB_NAMESPACE, DESTINATION_ENDPOINT_SERVED.as_str());
        assert_eq!(told, Ok(Some(Value::string("10.0.0.1:8000"))));
    }
}
