//! The proxy door over real sockets: raw clients, scripted endpoints, free ports.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod bodies;
mod cores;
mod drain;
mod forwarding;
mod limits;
mod panics;
mod retries;
mod smuggling;
mod streaming;
mod support;
