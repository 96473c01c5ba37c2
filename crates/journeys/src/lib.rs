//! For tests: journeys, each a folder of manifests and of requests with what must become of them, the same at both doors.
//!
//! In: `requests.json` beside `manifests/`, and what a door's player got. Out: a panic that says which step is not as it must
//! be. Never: a socket, a wait, a word about how a door is asked; that is the player's.
//! The format is told by README.md beside this crate.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod answer;
mod expect;
mod reply;
mod request;
mod script;

pub use answer::{Answer, Response, Sent};
pub use reply::{Ends, Reply};
pub use request::Request;
pub use script::{Door, Journey, PerEndpoint, Playing, Report, Step, examples, tables};

/// Requests that a step sends side by side, at most.
pub const SIDE_BY_SIDE: usize = 16;
