//! The names of the headers that carry a request's journey, as both doors say them.
//!
//! Source: GAIE, "Endpoint Picker Protocol", "Body-Based Routing" and the endpoint picker's request headers.

use http::HeaderName;

/// The model that the body asks for, told to rules and to the endpoint; never a client's word.
pub const MODEL_NAME: HeaderName = HeaderName::from_static("x-gateway-model-name");
/// The base model of an adapter that was asked for (body-based routing); empty if there is none.
pub const BASE_MODEL_NAME: HeaderName = HeaderName::from_static("x-gateway-base-model-name");
/// The model to send in place of the one asked for.
pub const MODEL_NAME_REWRITE: HeaderName = HeaderName::from_static("x-gateway-model-name-rewrite");
/// The `InferenceObjective` of a request, by its name.
pub const OBJECTIVE: HeaderName = HeaderName::from_static("x-gateway-inference-objective");
/// The flow that a request belongs to, for fairness.
pub const FAIRNESS_ID: HeaderName = HeaderName::from_static("x-gateway-inference-fairness-id");
/// Where a request is to go, best first: `ip:port`, joined by commas. Also a key of `envoy.lb`.
pub const DESTINATION_ENDPOINT: HeaderName = HeaderName::from_static("x-gateway-destination-endpoint");
/// Only these endpoints may be picked: a key of `envoy.lb.subset_hint`.
pub const DESTINATION_ENDPOINT_SUBSET: HeaderName =
    HeaderName::from_static("x-gateway-destination-endpoint-subset");
/// Where a request went in the end: a key of `envoy.lb`.
pub const DESTINATION_ENDPOINT_SERVED: HeaderName =
    HeaderName::from_static("x-gateway-destination-endpoint-served");
/// A request's id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
