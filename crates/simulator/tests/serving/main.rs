//! The simulated model server over real sockets.

mod answers;
mod client;
