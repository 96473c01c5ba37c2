//! `grpc.health.v1`, by which Kubernetes, Envoy and load balancers ask whether to send anything.

use std::collections::BTreeMap;

/// Asks for one service's health.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct HealthCheckRequest {
    /// The service; empty asks for the process.
    #[prost(string, tag = "1")]
    pub service: String,
}

/// One service's health.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct HealthCheckResponse {
    /// Whether it serves.
    #[prost(enumeration = "ServingStatus", tag = "1")]
    pub status: i32,
}

/// Asks for the health of every service.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct HealthListRequest {}

/// The health of every service.
#[derive(Clone, PartialEq, prost::Message)]
pub struct HealthListResponse {
    /// By the service's name.
    #[prost(btree_map = "string, message", tag = "1")]
    pub statuses: BTreeMap<String, HealthCheckResponse>,
}

/// Whether a service serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum ServingStatus {
    /// Nothing is known.
    Unknown = 0,
    /// It serves.
    Serving = 1,
    /// It does not.
    NotServing = 2,
    /// There is no such service.
    ServiceUnknown = 3,
}
