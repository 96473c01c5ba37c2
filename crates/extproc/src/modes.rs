//! How the bodies of a stream travel, as its first message says.

use crate::grpc::{Code, Status};
use crate::replies::Replies;
use crate::session::Next;
use crate::wire::{BodyResponse, BodySendMode, HttpBody, Phase, ProtocolConfiguration, Response};
use journey::Now;
use std::borrow::Cow;
use std::cell::Cell;
use std::time::Duration;

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
    /// The stream lasts as long as its request, whatever is shown of the response: so does `pointsman run` hold it, which
    /// tells so by sending bodies without waiting for an answer. An Envoy does neither unless it is told to.
    outlasts_the_response: bool,
    /// The first message has come: what a later one says of modes counts no more.
    settled: bool,
}

impl Modes {
    /// Both alike, until the gateway says otherwise.
    pub(crate) fn both(mode: BodyMode) -> Modes {
        Modes { request: mode, response: mode, outlasts_the_response: false, settled: false }
    }

    /// Takes over what the gateway says in a message, which counts in the first. A request's body that comes in pieces, each
    /// to be answered before the next, is of no use: its headers have gone on by the time that it was read. Answers what the
    /// operator of the gateway is to set.
    pub(crate) fn take(&mut self, said: Option<ProtocolConfiguration>) -> Result<(), Cow<'static, str>> {
        let is_first = !std::mem::replace(&mut self.settled, true);
        let Some(said) = said.filter(|_| is_first) else { return Ok(()) };
        self.request = match said.request_body_mode() {
            BodySendMode::FullDuplexStreamed => BodyMode::Streamed,
            BodySendMode::Buffered => BodyMode::Answered,
            BodySendMode::None => BodyMode::Absent,
            BodySendMode::Streamed => return Err(of_no_use("STREAMED")),
            BodySendMode::BufferedPartial => return Err(of_no_use("BUFFERED_PARTIAL")),
            BodySendMode::Grpc => return Err(of_no_use("GRPC")),
        };
        self.response = match said.response_body_mode() {
            BodySendMode::FullDuplexStreamed => BodyMode::Streamed,
            BodySendMode::None => BodyMode::Absent,
            _ => BodyMode::Answered,
        };
        self.outlasts_the_response = said.send_body_without_waiting_for_header_response;
        Ok(())
    }

    /// Whether the stream may end with the response's headers, long before the response.
    pub(crate) fn may_end_early(&self) -> bool {
        self.response == BodyMode::Absent && !self.outlasts_the_response
    }
}

fn of_no_use(mode: &str) -> Cow<'static, str> {
    format!(
        "processing_mode.request_body_mode of the gateway's ext_proc filter is {mode}, by which a request's headers go on \
         before its body is read; set it to FULL_DUPLEX_STREAMED, and request_trailer_mode to SEND, or to BUFFERED"
    )
    .into()
}

/// What the operator is to set where bodies come without the headers that tell what they are.
pub(crate) const HEADERS_SKIPPED: &str = "a request's body came before its headers; set \
    processing_mode.request_header_mode of the gateway's ext_proc filter to SEND";

/// What the operator is to set where nothing is shown of a response's body.
pub(crate) const RESPONSE_UNSEEN: &str = "processing_mode.response_body_mode of the gateway's ext_proc filter is NONE: unless \
    response_trailer_mode is SEND, Envoy ends the stream with the response's headers, and a request is in flight no longer \
    while its answer is generated; set response_body_mode to FULL_DUPLEX_STREAMED, and response_trailer_mode to SEND";

/// How often the log is told of such settings, at most; every request shows them again.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// When the log was last told of a gateway whose settings cannot work.
#[derive(Debug, Default)]
pub(crate) struct Misset(Cell<Option<Now>>);

/// Whether the log is told again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Telling {
    Due,
    TooSoon,
}

impl Misset {
    /// Ends a stream of such a gateway, which writes the message into its own log.
    pub(crate) fn end(&self, message: impl Into<Cow<'static, str>>, now: Now) -> Next {
        let message = message.into();
        if self.telling(now) == Telling::Due {
            tracing::warn!("{message}");
        }
        Next::End(Status::new(Code::InvalidArgument, message))
    }

    fn telling(&self, now: Now) -> Telling {
        if self.0.get().is_some_and(|told| now.since(told) < TOLD_EVERY) {
            return Telling::TooSoon;
        }
        self.0.set(Some(now));
        Telling::Due
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_mode_that_cannot_work_is_answered_with_the_setting_that_is_to_be_changed() {
        for (mode, name) in [
            (BodySendMode::Streamed, "STREAMED"),
            (BodySendMode::BufferedPartial, "BUFFERED_PARTIAL"),
            (BodySendMode::Grpc, "GRPC"),
        ] {
            let said = ProtocolConfiguration { request_body_mode: mode as i32, ..Default::default() };
            let message = Modes::both(BodyMode::Streamed).take(Some(said)).unwrap_err();
            let is =
                format!("processing_mode.request_body_mode of the gateway's ext_proc filter is {name}, ");
            let set = "set it to FULL_DUPLEX_STREAMED, and request_trailer_mode to SEND, or to BUFFERED";
            assert!(message.starts_with(&is) && message.ends_with(set), "{message}");
        }
    }

    #[test]
    fn the_log_is_told_of_settings_that_cannot_work_once_a_minute() {
        let misset = Misset::default();
        let at = |seconds| Now::default().plus(Duration::from_secs(seconds));
        let told = [0, 0, 1, 59, 60, 61, 119, 500].map(|seconds| misset.telling(at(seconds)));
        use Telling::{Due, TooSoon};
        assert_eq!(told, [Due, TooSoon, TooSoon, TooSoon, Due, TooSoon, TooSoon, Due]);
    }
}
