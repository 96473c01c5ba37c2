//! Door 2: Envoy's external processing protocol, `envoy.service.ext_proc.v3.ExternalProcessor` over gRPC.
//!
//! An Envoy-based gateway is the data plane and asks: which model does this request name, which endpoint serves it? The
//! same journey answers as at door 1. This room speaks the protocol, and decides nothing itself.
//! The files read from the socket inwards: `tls`, `server`, `authority`, `connection`, `corked`, `exchange` (messages in, replies out),
//! then a `session` for each stream: [`bbr`], [`epp`], which read bodies by way of `unread`. `wire` is what stands in the messages, `grpc` how they are framed.
//! [`client`] is the other side: door 1 asks somebody else's endpoint picker.
//! Never: a copy of a body that a message boundary does not force; a task for each message; an unbounded queue; I/O or a
//! clock in a session.

mod authority;
pub mod bbr;
#[cfg(test)]
mod behind_envoy;
pub mod client;
mod connection;
mod corked;
pub mod epp;
mod exchange;
pub mod grpc;
mod health;
mod immediate;
mod modes;
mod replies;
mod server;
mod session;
mod settings;
#[cfg(test)]
mod spoken;
mod tls;
mod unread;
pub mod wire;

pub use health::{Health, Serving};
pub use modes::BodyMode;
pub use replies::Replies;
pub use server::{Drained, Port, Server, StartError};
pub use session::{Door, Next, Parting, Session};
pub use settings::Settings;
pub use tls::{Certificates, TlsError};
