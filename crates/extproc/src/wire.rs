//! The messages of the protocol: only the fields that are read or written here; others are skipped.
//!
//! Strings of Envoy's are read as [`Bytes`](bytes::Bytes): on the wire both are the same, and header values need not be UTF-8.
//! Decoded from one piece of memory, every value is a slice of it; what comes with every message and is read once, headers and
//! metadata, is read where it lies. A test checks each field's number and type against
//! the `envoy-types` crate.
//! Source: `envoy/service/ext_proc/v3/external_processor.proto` and what it imports, Envoy 1.40.

mod bodies;
mod body;
mod fields;
mod headers;
mod health;
mod metadata;
mod processing;

pub use bodies::{BODIES_OF_REQUEST, BODIES_OF_RESPONSE, Bodies};
pub use body::{BodyMutation, HttpBody, Mutation, Pieces, StreamedBodyResponse, streamed_body};
pub use headers::{HeaderMutation, HeaderValue, HeaderValueOption, Headers, HttpHeaders, HttpTrailers, key};
pub use health::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse, ServingStatus,
};
pub use metadata::{Kind, LB_NAMESPACE, ListValue, Metadata, SUBSET_NAMESPACE, Struct, Value, attribute};
pub use processing::{
    BodyResponse, BodySendMode, CommonResponse, Duration, GrpcStatus, HeaderSendMode, HeadersResponse,
    HttpStatus, ImmediateResponse, Phase, ProcessingMode, ProcessingRequest, ProcessingResponse,
    ProtocolConfiguration, Request, Response, ResponseStatus, TrailersResponse,
};

/// The full name of the service.
pub const SERVICE: &str = "envoy.service.ext_proc.v3.ExternalProcessor";

/// The path of its one method.
pub const PROCESS_PATH: &str = "/envoy.service.ext_proc.v3.ExternalProcessor/Process";
