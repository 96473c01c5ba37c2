//! The proxy door over real sockets: raw clients, scripted endpoints, free ports.

mod forwarding;
mod support;
