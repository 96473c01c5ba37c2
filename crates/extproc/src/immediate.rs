//! A refusal as the gateway is told to give it.

use crate::wire::{HeaderMutation, HttpStatus, ImmediateResponse, ProcessingResponse, Response};
use bytes::Bytes;
use journey::Refusal;
use payload::Dialect;

/// The refusal as an `ImmediateResponse`, in the error shape of the API that the client speaks.
pub(crate) fn immediate(refusal: &Refusal, dialect: Dialect) -> ProcessingResponse {
    let mut headers = HeaderMutation::default();
    headers.set("content-type", Bytes::from_static(b"application/json"));
    if let Some(after) = refusal.retry_after() {
        headers.set("retry-after", after.as_secs_f32().ceil().to_string());
    }
    let response = ImmediateResponse {
        status: Some(HttpStatus { code: i32::from(refusal.status().as_u16()) }),
        headers: Some(headers),
        body: Bytes::from(refusal.body(dialect)),
        grpc_status: None,
        details: refusal.reason().to_owned(),
    };
    ProcessingResponse {
        response: Some(Response::ImmediateResponse(response)),
        ..ProcessingResponse::default()
    }
}
