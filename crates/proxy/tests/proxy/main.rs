//! The proxy door over real sockets: raw clients, scripted endpoints, free ports.

mod bodies;
mod drain;
mod forwarding;
mod limits;
mod retries;
mod smuggling;
mod streaming;
mod support;
