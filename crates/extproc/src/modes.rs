//! How the bodies of a stream travel, as its first message says.

use crate::grpc::{Code, Status};
use crate::replies::Replies;
use crate::session::Next;
use crate::wire::{BodyResponse, BodySendMode, HttpBody, Phase, ProtocolConfiguration, Response};

/// How a body comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyMode {
    /// `FULL_DUPLEX_STREAMED`: what goes on is what the answers carry.
    Streamed,
    /// Message by message, each answered by what is to become of it; the request's only whole (`BUFFERED`).
    Answered,
    /// Not at all.
    Absent,
}

/// How both bodies of a stream come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Modes {
    pub(crate) request: BodyMode,
    pub(crate) response: BodyMode,
    /// The first message has come: what a later one says of modes counts no more.
    settled: bool,
}

impl Modes {
    /// Both alike, until the gateway says otherwise.
    pub(crate) fn both(mode: BodyMode) -> Modes {
        Modes { request: mode, response: mode, settled: false }
    }

    /// Takes over what the gateway says in a message, which counts in the first. A request's body that comes in pieces, each to be answered before the next, is of
    /// no use: its headers have gone on by the time that it was read.
    pub(crate) fn take(&mut self, said: Option<ProtocolConfiguration>) -> Result<(), Status> {
        let is_first = !std::mem::replace(&mut self.settled, true);
        let Some(said) = said.filter(|_| is_first) else { return Ok(()) };
        self.request = match said.request_body_mode() {
            BodySendMode::FullDuplexStreamed => BodyMode::Streamed,
            BodySendMode::Buffered => BodyMode::Answered,
            BodySendMode::None => BodyMode::Absent,
            mode @ (BodySendMode::Streamed | BodySendMode::BufferedPartial | BodySendMode::Grpc) => {
                let message = format!(
                    "request_body_mode {mode:?} is of no use here; set FULL_DUPLEX_STREAMED or BUFFERED"
                );
                tracing::warn!("{message}");
                return Err(Status::new(Code::InvalidArgument, message));
            }
        };
        self.response = match said.response_body_mode() {
            BodySendMode::FullDuplexStreamed => BodyMode::Streamed,
            BodySendMode::None => BodyMode::Absent,
            _ => BodyMode::Answered,
        };
        Ok(())
    }
}

/// Answers a piece of a body that goes on as it came.
pub(crate) fn pass(mode: BodyMode, phase: Phase, body: HttpBody, replies: &mut Replies) -> Next {
    match (mode, phase) {
        (BodyMode::Streamed, phase) => replies.pass_all(phase, body.body, body.end_of_stream),
        (_, Phase::Request) => replies.say(Response::RequestBody(BodyResponse::default())),
        (_, Phase::Response) => replies.say(Response::ResponseBody(BodyResponse::default())),
    }
    Next::Continue
}
