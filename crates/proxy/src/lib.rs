//! Door 1: the whole journey in one process, over HTTP/1.1.
//!
//! In: a client's connection. Out: the request at the endpoint that was picked, and its response back, frame by frame.
//! The files read in the order of a request: `accept`, `core`, `connection`, `request` (the five steps), `read`,
//! `picker`, `upstream`, `body`, `response`, `account`.
//! Never: a decision of its own; a lock, a task or a timer for each request; a socket that crosses threads while it is
//! served; a wait without a limit.

mod accept;
mod account;
mod body;
mod client_io;
mod connection;
mod core;
mod deadlines;
mod headers;
mod mirror;
mod picker;
mod proxy;
mod read;
mod request;
mod response;
mod settings;
mod socket;
mod target;
mod unread_head;
mod upstream;

pub use accept::BindError;
pub use proxy::{Drained, Handle, Proxy};
pub use settings::Settings;
