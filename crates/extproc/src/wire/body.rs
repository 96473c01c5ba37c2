//! Bodies: the only messages that are large, so that their bytes are never copied into one.

use super::Phase;
use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{encode_varint, encoded_len_varint};

/// A piece of a body, or all of it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct HttpBody {
    /// The bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub body: Bytes,
    /// Nothing follows: no more of the body, and no trailers.
    #[prost(bool, tag = "2")]
    pub end_of_stream: bool,
}

/// A change of a body.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct BodyMutation {
    /// The change.
    #[prost(oneof = "Mutation", tags = "1, 2, 3")]
    pub mutation: Option<Mutation>,
}

/// What becomes of a body.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum Mutation {
    /// It is replaced.
    #[prost(bytes = "bytes", tag = "1")]
    Body(Bytes),
    /// It is emptied.
    #[prost(bool, tag = "2")]
    ClearBody(bool),
    /// This is its next piece, in FULL_DUPLEX_STREAMED mode.
    #[prost(message, tag = "3")]
    StreamedResponse(StreamedBodyResponse),
}

/// The next piece of a body as it is to go on.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StreamedBodyResponse {
    /// The bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub body: Bytes,
    /// Nothing follows.
    #[prost(bool, tag = "2")]
    pub end_of_stream: bool,
}

/// A field of the type that has a length.
const fn key(tag: u8) -> u8 {
    tag << 3 | 2
}

/// `end_of_stream: true` of a [`StreamedBodyResponse`].
const END_OF_STREAM: [u8; 2] = [2 << 3, 1];

/// The most that [`streamed_body`] writes, bytes: five lengths of at most five bytes with their keys, and the end.
const HEAD_BYTES_MAX: usize = 5 * 6 + 2;

/// Writes a `ProcessingResponse` that passes `length` bytes of a body on, all but these bytes: they are its last, and
/// follow from where they are.
pub fn streamed_body(phase: Phase, length: usize, end_of_stream: bool, out: &mut BytesMut) {
    // The messages around the bytes, from the innermost: BodyMutation.streamed_response, CommonResponse.body_mutation,
    // BodyResponse.response, ProcessingResponse.{request,response}_body.
    let outermost = match phase {
        Phase::Request => 3,
        Phase::Response => 4,
    };
    let keys = [key(3), key(3), key(1), key(outermost)];
    let of_bytes = if length == 0 { 0 } else { 1 + encoded_len_varint(length as u64) + length };
    let mut lengths = [0; 4];
    let mut inner = of_bytes + if end_of_stream { END_OF_STREAM.len() } else { 0 };
    for place in &mut lengths {
        *place = inner;
        inner += 1 + encoded_len_varint(inner as u64);
    }
    out.reserve(HEAD_BYTES_MAX);
    for (key, length) in keys.into_iter().zip(lengths).rev() {
        out.put_u8(key);
        encode_varint(length as u64, out);
    }
    if end_of_stream {
        out.put_slice(&END_OF_STREAM);
    }
    if length > 0 {
        out.put_u8(key(1));
        encode_varint(length as u64, out);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BodyResponse, CommonResponse, ProcessingResponse, Response};
    use super::*;
    use prost::Message;

    #[test]
    fn a_streamed_body_with_its_bytes_behind_it_is_the_message() {
        for phase in [Phase::Request, Phase::Response] {
            for (length, end_of_stream) in [
                (0, false),
                (0, true),
                (1, true),
                (127, false),
                (128, true),
                (200_000, true),
                (5_000_000, false),
            ] {
                let body = Bytes::from(vec![b'x'; length]);
                let mut written = BytesMut::new();
                streamed_body(phase, length, end_of_stream, &mut written);
                assert!(written.len() <= HEAD_BYTES_MAX);
                written.extend_from_slice(&body);
                let streamed = StreamedBodyResponse { body, end_of_stream };
                let mutation = Some(Mutation::StreamedResponse(streamed));
                let response = Some(CommonResponse {
                    body_mutation: Some(BodyMutation { mutation }),
                    ..CommonResponse::default()
                });
                let answer = BodyResponse { response };
                let response = match phase {
                    Phase::Request => Response::RequestBody(answer),
                    Phase::Response => Response::ResponseBody(answer),
                };
                let message =
                    ProcessingResponse { response: Some(response), ..ProcessingResponse::default() };
                assert_eq!(ProcessingResponse::decode(written.freeze()).as_ref(), Ok(&message));
                assert_eq!(message.encoded_len() - length, {
                    let mut head = BytesMut::new();
                    streamed_body(phase, length, end_of_stream, &mut head);
                    head.len()
                });
            }
        }
    }
}
