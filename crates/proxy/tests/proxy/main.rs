//! The proxy door over real sockets: raw clients, scripted endpoints, free ports.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod bodies;
mod cores;
mod drain;
mod ejection;
mod epp;
mod forwarding;
mod limits;
mod own_epp;
mod panics;
mod picker_responses;
mod pickers;
mod retries;
mod smuggling;
mod streaming;
mod support;
