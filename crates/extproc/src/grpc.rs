//! How gRPC frames messages over HTTP/2: five bytes, then the message.
//!
//! In: the bytes of an HTTP/2 body in pieces cut anywhere. Out: messages; one that came in one piece is a slice of it.
//! And the other way: a message as the pieces that are written one after the other, a large body never copied into it.
//! Never: a message longer than the limit in memory.
//! Source: the gRPC documentation, "gRPC over HTTP2".

mod message;
mod status;

pub use message::{Decoder, FrameError, frame, frame_with_tail};
pub use status::{Code, Status};
