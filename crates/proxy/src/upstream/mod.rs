//! The endpoints' side: idle connections, connecting, and sending a request until somebody answers it.

mod connect;
mod heard;
mod pool;
mod send;

pub(crate) use pool::{Endpoints, Lease};
pub(crate) use send::{Answer, Destination, Limits, Outbound, Payload, outcome_of, send, try_once};
