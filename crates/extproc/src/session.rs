//! One stream as a state machine: messages in, replies out.

use crate::grpc::{Code, FrameError, Status};
use crate::replies::Replies;
use journey::{Now, Refusal};
use payload::Budget;
use prost::{DecodeError, Message};
use std::rc::Rc;
use std::sync::Arc;

/// What becomes of a stream after a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// It goes on.
    Continue,
    /// The message was read only partly: [`Session::again`] is to be called before the next, once others have had their turn.
    Again,
    /// It ends with this status, after the replies.
    End(Status),
}

impl Next {
    /// A message cannot be read.
    pub(crate) fn unreadable(error: DecodeError) -> Next {
        Next::End(Status::new(Code::InvalidArgument, FrameError::from(error).to_string()))
    }
}

/// How a session leaves a stream that is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parting {
    /// It has told the client why.
    Answered,
    /// It has not: the stream's status tells.
    Silent,
}

/// One stream. Does no I/O and reads no clock; dropped when the stream ends, however it does.
pub trait Session: Unpin + 'static {
    /// What the peer sends.
    type Message: Message + Default;

    /// Takes the peer's next message.
    fn on(&mut self, message: Self::Message, now: Now, replies: &mut Replies) -> Next;

    /// Goes on with the message that was read only partly.
    fn again(&mut self, replies: &mut Replies) -> Next {
        let _ = replies;
        Next::Continue
    }

    /// Bytes that the session has charged for what it holds of its request.
    fn held_bytes(&self) -> u64 {
        0
    }

    /// While the session holds something back: the moment at which [`Session::late`] is to be called.
    fn deadline(&self) -> Option<Now> {
        None
    }

    /// The deadline has passed, and no message came.
    fn late(&mut self, now: Now, replies: &mut Replies) -> Next {
        let _ = (now, replies);
        Next::Continue
    }

    /// The stream ends in the middle of a message: the client is to be told why, if it still may be. A gateway turns an error
    /// of the stream into its own 500, or lets the request pass as if nobody had been asked.
    fn give_up(&mut self, refusal: &Refusal, replies: &mut Replies) -> Parting {
        let _ = (refusal, replies);
        Parting::Silent
    }
}

/// Opens sessions, on one thread.
pub trait Door: 'static {
    /// What a stream becomes.
    type Session: Session<Message = crate::wire::ProcessingRequest>;

    /// What is charged for the bytes that streams hold.
    fn budget(&self) -> &Arc<Budget>;

    /// A stream was opened on port number `port` of the server.
    fn open(self: &Rc<Self>, port: usize) -> Self::Session;
}
