//! The built program as a user has it: its folder, its sockets, its signals, its words.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod check;
mod descriptors;
mod examples;
mod explain;
mod findings;
mod journeys;
mod quickstart;
mod recorder;
mod reload;
mod shutdown;
mod stand_in;
mod support;
mod words;
