//! The two messages of the stream: what the gateway asks, what it is answered.

use super::{BodyMutation, HeaderMutation, HttpBody, HttpHeaders, HttpTrailers, Struct};
use bytes::Bytes;

/// How the bodies of this stream travel; sent with its first message.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct ProtocolConfiguration {
    /// How the request's body comes.
    #[prost(enumeration = "BodySendMode", tag = "1")]
    pub request_body_mode: i32,
    /// How the response's body comes.
    #[prost(enumeration = "BodySendMode", tag = "2")]
    pub response_body_mode: i32,
    /// The body is sent without waiting for the answer to the headers.
    #[prost(bool, tag = "3")]
    pub send_body_without_waiting_for_header_response: bool,
}

/// One step of a request or response, as the gateway tells it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ProcessingRequest {
    /// What happened.
    #[prost(oneof = "Request", tags = "2, 3, 4, 5, 6, 7")]
    pub request: Option<Request>,
    /// What other filters say: [`Metadata`](super::Metadata), to be read where they lie; several are one.
    #[prost(bytes = "bytes", repeated, tag = "8")]
    pub metadata_context: Vec<Bytes>,
    /// What the gateway knows of the request, as its filter's settings ask for it, by the filter's name; to be read where it
    /// lies, by [`attribute`](super::attribute).
    #[prost(bytes = "bytes", repeated, tag = "9")]
    pub attributes: Vec<Bytes>,
    /// The gateway does not wait for answers, and reads none.
    #[prost(bool, tag = "10")]
    pub observability_mode: bool,
    /// How the bodies travel.
    #[prost(message, optional, tag = "11")]
    pub protocol_config: Option<ProtocolConfiguration>,
}

/// What happened.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Request {
    /// The request's headers were read.
    #[prost(message, tag = "2")]
    RequestHeaders(HttpHeaders),
    /// The response's headers were read.
    #[prost(message, tag = "3")]
    ResponseHeaders(HttpHeaders),
    /// A piece of the request's body, or all of it.
    #[prost(message, tag = "4")]
    RequestBody(HttpBody),
    /// A piece of the response's body, or all of it.
    #[prost(message, tag = "5")]
    ResponseBody(HttpBody),
    /// The request ended with trailers.
    #[prost(message, tag = "6")]
    RequestTrailers(HttpTrailers),
    /// The response ended with trailers.
    #[prost(message, tag = "7")]
    ResponseTrailers(HttpTrailers),
}

impl Request {
    /// True if it is a step of the response.
    pub fn is_of_response(&self) -> bool {
        matches!(self, Request::ResponseHeaders(_) | Request::ResponseBody(_) | Request::ResponseTrailers(_))
    }
}

/// The answer to a step.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ProcessingResponse {
    /// What is to be done.
    #[prost(oneof = "Response", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub response: Option<Response>,
    /// What later filters are told, by namespaces.
    #[prost(message, optional, tag = "8")]
    pub dynamic_metadata: Option<Struct>,
    /// Which later steps are to be sent; only in an answer to headers.
    #[prost(message, optional, tag = "9")]
    pub mode_override: Option<ProcessingMode>,
    /// More time is asked for: such an answer is about nothing else.
    #[prost(message, optional, tag = "10")]
    pub override_message_timeout: Option<Duration>,
}

/// `google.protobuf.Duration`
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Duration {
    /// Whole seconds.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// And nanoseconds, of the same sign.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// What is to be done.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Response {
    /// With the request's headers.
    #[prost(message, tag = "1")]
    RequestHeaders(HeadersResponse),
    /// With the response's headers.
    #[prost(message, tag = "2")]
    ResponseHeaders(HeadersResponse),
    /// With the request's body.
    #[prost(message, tag = "3")]
    RequestBody(BodyResponse),
    /// With the response's body.
    #[prost(message, tag = "4")]
    ResponseBody(BodyResponse),
    /// With the request's trailers.
    #[prost(message, tag = "5")]
    RequestTrailers(TrailersResponse),
    /// With the response's trailers.
    #[prost(message, tag = "6")]
    ResponseTrailers(TrailersResponse),
    /// Answer the client at once, and ask no further.
    #[prost(message, tag = "7")]
    ImmediateResponse(ImmediateResponse),
}

/// Which half of an exchange a body belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The client's.
    Request,
    /// The endpoint's.
    Response,
}

/// The answer to headers.
#[derive(Clone, PartialEq, prost::Message)]
pub struct HeadersResponse {
    /// What is to be done.
    #[prost(message, optional, tag = "1")]
    pub response: Option<CommonResponse>,
}

/// The answer to a piece of a body.
#[derive(Clone, PartialEq, prost::Message)]
pub struct BodyResponse {
    /// What is to be done.
    #[prost(message, optional, tag = "1")]
    pub response: Option<CommonResponse>,
}

/// The answer to trailers.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TrailersResponse {
    /// Changes of the trailers.
    #[prost(message, optional, tag = "1")]
    pub header_mutation: Option<HeaderMutation>,
}

/// What is to be done with headers or a body.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommonResponse {
    /// Whether the answer replaces the body that is still to come.
    #[prost(enumeration = "ResponseStatus", tag = "1")]
    pub status: i32,
    /// Changes of the headers.
    #[prost(message, optional, tag = "2")]
    pub header_mutation: Option<HeaderMutation>,
    /// Changes of the body.
    #[prost(message, optional, tag = "3")]
    pub body_mutation: Option<BodyMutation>,
    /// The route is to be found anew.
    #[prost(bool, tag = "5")]
    pub clear_route_cache: bool,
}

/// Whether an answer replaces the body that is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum ResponseStatus {
    /// No.
    Continue = 0,
    /// Yes.
    ContinueAndReplace = 1,
}

/// An answer to the client in the gateway's name.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ImmediateResponse {
    /// Its status.
    #[prost(message, optional, tag = "1")]
    pub status: Option<HttpStatus>,
    /// Its headers.
    #[prost(message, optional, tag = "2")]
    pub headers: Option<HeaderMutation>,
    /// Its body.
    #[prost(bytes = "bytes", tag = "3")]
    pub body: Bytes,
    /// Its gRPC status, if the client speaks gRPC.
    #[prost(message, optional, tag = "4")]
    pub grpc_status: Option<GrpcStatus>,
    /// A word for the gateway's log.
    #[prost(string, tag = "5")]
    pub details: String,
}

/// An HTTP status.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct HttpStatus {
    /// Its code.
    #[prost(int32, tag = "1")]
    pub code: i32,
}

/// A gRPC status.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct GrpcStatus {
    /// Its code.
    #[prost(uint32, tag = "1")]
    pub status: u32,
}

/// Which steps are sent.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct ProcessingMode {
    /// Of the request's headers.
    #[prost(enumeration = "HeaderSendMode", tag = "1")]
    pub request_header_mode: i32,
    /// Of the response's headers.
    #[prost(enumeration = "HeaderSendMode", tag = "2")]
    pub response_header_mode: i32,
    /// Of the request's body.
    #[prost(enumeration = "BodySendMode", tag = "3")]
    pub request_body_mode: i32,
    /// Of the response's body.
    #[prost(enumeration = "BodySendMode", tag = "4")]
    pub response_body_mode: i32,
    /// Of the request's trailers.
    #[prost(enumeration = "HeaderSendMode", tag = "5")]
    pub request_trailer_mode: i32,
    /// Of the response's trailers.
    #[prost(enumeration = "HeaderSendMode", tag = "6")]
    pub response_trailer_mode: i32,
}

/// Whether headers or trailers are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum HeaderSendMode {
    /// Headers are, trailers are not.
    Default = 0,
    /// They are.
    Send = 1,
    /// They are not.
    Skip = 2,
}

/// How a body is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum BodySendMode {
    /// It is not.
    None = 0,
    /// Piece by piece, each answered before it goes on.
    Streamed = 1,
    /// Whole.
    Buffered = 2,
    /// Its first part.
    BufferedPartial = 3,
    /// Piece by piece; what goes on is what the answers carry.
    FullDuplexStreamed = 4,
    /// Message by message of a gRPC body.
    Grpc = 5,
}
