//! Door 2: Envoy's external processing protocol, `envoy.service.ext_proc.v3.ExternalProcessor` over gRPC.
//!
//! An Envoy-based gateway is the data plane and asks: which model does this request name, which endpoint serves it? The
//! same journey answers as at door 1. This room speaks the protocol, and decides nothing itself.
//! `wire` is what stands in the messages, `grpc` how they are framed.
//! Never: a copy of a body that a message boundary does not force; a task for each message; an unbounded queue.

pub mod grpc;
pub mod wire;
