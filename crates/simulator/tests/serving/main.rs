//! The simulated model server over real sockets.

mod adapters;
mod answers;
mod client;
mod faults;
mod hangups;
mod pages;
