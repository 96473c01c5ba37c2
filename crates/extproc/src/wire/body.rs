//! Bodies: the only messages that are large, so that their bytes are never copied into one.

use super::Phase;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::encoding::{
    self, DecodeContext, WireType, check_wire_type, decode_varint, encode_key, encode_varint,
    encoded_len_varint,
};
use prost::{DecodeError, Message};
use smallvec::SmallVec;

/// Bytes, in the pieces of memory that they came in.
#[derive(Debug, Clone, Default)]
pub struct Pieces(SmallVec<[Bytes; 1]>);

impl Pieces {
    /// How many bytes these are.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// The piece at this place; none is empty.
    pub(crate) fn get(&self, place: usize) -> Option<&Bytes> {
        self.0.get(place)
    }

    /// One after the other; none is empty.
    pub fn iter(&self) -> std::slice::Iter<'_, Bytes> {
        self.0.iter()
    }
}

impl From<Bytes> for Pieces {
    fn from(whole: Bytes) -> Pieces {
        Pieces((!whole.is_empty()).then_some(whole).into_iter().collect())
    }
}

impl IntoIterator for Pieces {
    type Item = Bytes;
    type IntoIter = smallvec::IntoIter<[Bytes; 1]>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// The same bytes, however they are cut.
impl PartialEq for Pieces {
    fn eq(&self, other: &Pieces) -> bool {
        self.bytes() == other.bytes() && self.iter().flatten().eq(other.iter().flatten())
    }
}

impl Eq for Pieces {}

/// A piece of a body, or all of it.
///
/// Gateways send a body of hundreds of kilobytes in one message, which comes in frames of 16 KiB: where prost would copy
/// them together, they stay where they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpBody {
    /// The bytes; field 1.
    pub body: Pieces,
    /// Nothing follows: no more of the body, and no trailers. Field 2.
    pub end_of_stream: bool,
}

impl Message for HttpBody {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        if !self.body.0.is_empty() {
            encode_key(1, WireType::LengthDelimited, buf);
            encode_varint(self.body.bytes() as u64, buf);
            self.body.iter().for_each(|piece| buf.put_slice(piece));
        }
        if self.end_of_stream {
            encoding::bool::encode(2, &self.end_of_stream, buf);
        }
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            1 => {
                check_wire_type(WireType::LengthDelimited, wire_type)?;
                let length = decode_varint(buf)?;
                let length = usize::try_from(length).ok().filter(|length| *length <= buf.remaining());
                let mut left = length.ok_or_else(cut_short)?;
                self.body = Pieces::default();
                while left > 0 {
                    let step = left.min(buf.chunk().len());
                    self.body.0.push(buf.copy_to_bytes(step));
                    left -= step;
                }
                Ok(())
            }
            2 => encoding::bool::merge(wire_type, &mut self.end_of_stream, buf, context),
            _ => encoding::skip_field(wire_type, tag, buf, context),
        }
    }

    fn encoded_len(&self) -> usize {
        let length = self.body.bytes();
        let of_body = if length == 0 { 0 } else { 1 + encoded_len_varint(length as u64) + length };
        of_body + if self.end_of_stream { END_OF_STREAM.len() } else { 0 }
    }

    fn clear(&mut self) {
        *self = HttpBody::default();
    }
}

/// What prost says of a field that is longer than its message; it makes such an error for nobody else.
pub(super) fn cut_short() -> DecodeError {
    let nothing: &mut &[u8] = &mut &[][..];
    encoding::skip_field(WireType::ThirtyTwoBit, 1, nothing, DecodeContext::default())
        .expect_err("four bytes are not there")
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
