//! Where the bodies are in a message, and how much else there is.
//!
//! A body is as long as it may be, and stays where it lies. Everything else is read into many small values: a field of two
//! bytes becomes a hundred, so that the rest of a message has a bound of its own, looked at before it is read.

use bytes::Buf;
use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// The fields of a message in which bodies are.
#[derive(Debug)]
pub struct Bodies {
    /// Those that are a body.
    here: &'static [u32],
    /// Those that are a message in which there may be one.
    inside: &'static [(u32, &'static Bodies)],
}

/// `HttpBody.body`
const HTTP_BODY: Bodies = Bodies { here: &[1], inside: &[] };

/// `ProcessingRequest.{request,response}_body`
pub const BODIES_OF_REQUEST: Bodies = Bodies { here: &[], inside: &[(4, &HTTP_BODY), (5, &HTTP_BODY)] };

/// `ProcessingResponse`: of headers and bodies it is `CommonResponse.body_mutation`, whole or streamed.
pub const BODIES_OF_RESPONSE: Bodies =
    Bodies { here: &[], inside: &[(1, &ANSWER), (2, &ANSWER), (3, &ANSWER), (4, &ANSWER), (7, &IMMEDIATE)] };

/// `{Headers,Body}Response.response`
const ANSWER: Bodies = Bodies { here: &[], inside: &[(1, &COMMON)] };
const COMMON: Bodies = Bodies { here: &[], inside: &[(3, &MUTATION)] };
/// `BodyMutation.{body,streamed_response}`
const MUTATION: Bodies = Bodies { here: &[1], inside: &[(3, &STREAMED)] };
const STREAMED: Bodies = Bodies { here: &[1], inside: &[] };
/// `ImmediateResponse.body`
const IMMEDIATE: Bodies = Bodies { here: &[3], inside: &[] };

impl Bodies {
    /// Bytes of a message that are of no body.
    pub(crate) fn beside(&self, message: &mut impl Buf) -> Result<usize, DecodeError> {
        self.beside_until(0, message)
    }

    /// The same up to where so many bytes are left.
    fn beside_until(&self, end: usize, message: &mut impl Buf) -> Result<usize, DecodeError> {
        let mut beside = 0;
        while message.remaining() > end {
            let before = message.remaining();
            let (field, wire_type) = decode_key(message)?;
            let inside = self.inside.iter().find(|(inside, _)| *inside == field);
            let is_body = self.here.contains(&field);
            if wire_type != WireType::LengthDelimited || !(is_body || inside.is_some()) {
                skip_field(wire_type, field, message, DecodeContext::default())?;
                beside += before - message.remaining();
                continue;
            }
            let length = decode_varint(message)?;
            beside += before - message.remaining();
            // One that is cut short is told by whoever reads it.
            let length = usize::try_from(length).unwrap_or(usize::MAX).min(message.remaining());
            match inside {
                Some((_, bodies)) => beside += bodies.beside_until(message.remaining() - length, message)?,
                None => message.advance(length),
            }
        }
        Ok(beside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{
        BodyMutation, BodyResponse, CommonResponse, HeaderMutation, HeadersResponse, HttpBody,
        ImmediateResponse, Mutation, ProcessingRequest, ProcessingResponse, Request, Response,
        StreamedBodyResponse,
    };
    use bytes::Bytes;
    use proptest::prelude::*;
    use prost::Message;

    proptest! {
        #[test]
        fn no_more_is_counted_than_there_is_whatever_it_is(
            bytes in proptest::collection::vec(prop_oneof![0u8..60, any::<u8>()], 0..60),
        ) {
            for bodies in [&BODIES_OF_REQUEST, &BODIES_OF_RESPONSE] {
                let counted = bodies.beside(&mut &bytes[..]);
                prop_assert!(counted.is_err() || counted.is_ok_and(|beside| beside <= bytes.len()));
            }
        }
    }

    const BODY: usize = 10_000;

    fn beside(bodies: &Bodies, message: &impl Message) -> usize {
        bodies.beside(&mut &message.encode_to_vec()[..]).expect("a sound message")
    }

    fn body() -> Bytes {
        Bytes::from(vec![b'x'; BODY])
    }

    #[test]
    fn what_the_gateway_says_is_counted_but_for_bodies() {
        let of = |request| ProcessingRequest { request: Some(request), ..ProcessingRequest::default() };
        let http_body = || HttpBody { body: body().into(), end_of_stream: true };
        for request in [Request::RequestBody(http_body()), Request::ResponseBody(http_body())] {
            let message = of(request);
            assert_eq!(beside(&BODIES_OF_REQUEST, &message), message.encoded_len() - BODY);
        }
        // `request_headers` and `metadata_context`, whatever is in them.
        let mut written = Vec::new();
        for field in [2, 8] {
            prost::encoding::bytes::encode(field, &body(), &mut written);
        }
        assert_eq!(BODIES_OF_REQUEST.beside(&mut &written[..]), Ok(written.len()));
    }

    #[test]
    fn what_a_picker_says_is_counted_but_for_bodies() {
        let streamed = StreamedBodyResponse { body: body(), end_of_stream: true };
        for mutation in [Mutation::Body(body()), Mutation::StreamedResponse(streamed)] {
            let mut header_mutation = HeaderMutation::default();
            header_mutation.set("a", "b");
            let response = Some(CommonResponse {
                header_mutation: Some(header_mutation),
                body_mutation: Some(BodyMutation { mutation: Some(mutation) }),
                ..CommonResponse::default()
            });
            for response in [
                Response::RequestHeaders(HeadersResponse { response: response.clone() }),
                Response::RequestBody(BodyResponse { response }),
            ] {
                let message =
                    ProcessingResponse { response: Some(response), ..ProcessingResponse::default() };
                assert_eq!(beside(&BODIES_OF_RESPONSE, &message), message.encoded_len() - BODY);
            }
        }
        let immediate = ImmediateResponse { body: body(), details: "no".into(), ..Default::default() };
        let response = Some(Response::ImmediateResponse(immediate));
        let message = ProcessingResponse { response, ..ProcessingResponse::default() };
        assert_eq!(beside(&BODIES_OF_RESPONSE, &message), message.encoded_len() - BODY);
    }

    #[test]
    fn what_is_no_message_is_an_error_or_counted_as_far_as_it_goes() {
        let count = |bytes: &[u8]| BODIES_OF_RESPONSE.beside(&mut &*bytes);
        assert!(count(&[0xff]).is_err());
        assert_eq!(count(&[7 << 3 | 2, 100, 3 << 3 | 2, 100, 0]), Ok(4));
    }
}
