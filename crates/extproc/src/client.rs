//! Door 2 seen from the other side: an endpoint picker that is somebody else's is asked where a request goes.
//!
//! In: a request's head and its held body, an [`EndpointPicker`](state::EndpointPicker). Out: a [`Verdict`]: an ordered list
//! of endpoints with what is to be changed of the request, or an answer of the picker's own; later, at the head of the
//! response, what is to be changed of that. One [`Pickers`] lives on each data thread, with its own connections.
//! The files read in the order of a request: `channel` (connections, of h2 itself: hyper's client cannot say whether a
//! stream ends in order or is reset), `exchange` (one stream), `message` (what is sent),
//! `turn` (what the answers come to), `mutation` (headers).
//! Never: a second whole copy of the body that is sent; a wait that the caller cannot cut short; bytes of a picker that are held without
//! their charge; anything shared by two threads.
//! Source: Endpoint Picker Protocol (GAIE proposal 004); Envoy's `ext_proc` filter, for how a gateway behaves.

mod channel;
mod exchange;
mod message;
mod mutation;
mod tls;
mod turn;

pub use channel::{CONNECTIONS_MAX, Pickers, Settings};
pub use exchange::{Asked, Exchange, LimitOf};
pub use mutation::{apply, status};
pub use tls::{connector, unverified};
pub use turn::{Answer, Chosen, Shown, Verdict};

use std::net::SocketAddr;
use std::time::Duration;

/// Why a picker did not pick. Whether the request is served all the same is for the pool's `failureMode` to say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Its Service has no endpoint.
    #[error("its Service has no ready endpoint")]
    NoEndpoint,
    /// It cannot be reached.
    #[error("{endpoint} cannot be reached: {why}")]
    Unreachable {
        /// The picker's endpoint.
        endpoint: SocketAddr,
        /// What happened.
        why: String,
    },
    /// It did not answer in time.
    #[error("no answer within {}s", limit.as_secs_f32())]
    TimedOut {
        /// How long it was waited for.
        limit: Duration,
    },
    /// The stream ended before it had picked.
    #[error("{endpoint} broke off before it had picked: {why}")]
    Broken {
        /// The picker's endpoint.
        endpoint: SocketAddr,
        /// What happened.
        why: String,
    },
    /// What it answered is not the protocol.
    #[error("{endpoint} answered what cannot be used: {what}")]
    Garbage {
        /// The picker's endpoint.
        endpoint: SocketAddr,
        /// What is wrong.
        what: String,
    },
    /// It picked what is not an endpoint of the pool.
    #[error("it picked {picked}, and none of that is an endpoint of the pool")]
    OutsidePool {
        /// What it picked.
        picked: String,
    },
    /// The body that it gave back does not fit the gateway's limits.
    #[error("the body that it gave back is too large: {why}")]
    BodyTooLarge {
        /// Which limit.
        why: String,
    },
}
