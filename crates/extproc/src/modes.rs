//! How the bodies of a stream travel, as its first message says.

use crate::grpc::{Code, Status};
use crate::replies::Replies;
use crate::session::Next;
use crate::wire::{BodyResponse, BodySendMode, Headers, HttpBody, Phase, ProtocolConfiguration, Response};
use journey::Now;
use payload::{BodyHead, Media, ParseError};
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

    /// Whether a body comes behind these headers of a request.
    pub(crate) fn show_body_of(&self, headers: &Headers<'_>) -> bool {
        self.request != BodyMode::Absent && !headers.end_of_stream && !headers.opens_a_conversation()
    }

    /// Whether these are the headers of a request with a body that would be read, and is not shown.
    pub(crate) fn withhold_body_of(&self, headers: &Headers<'_>) -> bool {
        if self.request != BodyMode::Absent || headers.end_of_stream {
            return false;
        }
        headers.get(":method") == Some(b"POST")
            && body_head(headers).is_ok_and(|head| head.media != Media::Opaque)
    }
}

/// What a request's headers say of its body.
pub(crate) fn body_head(headers: &Headers<'_>) -> Result<BodyHead, ParseError> {
    BodyHead::new(headers.path(), headers.get("content-type"), headers.get("content-encoding"))
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

/// So many requests in a row from the first, of whose responses nothing was shown, are hardly clients that left.
const UNSHOWN_MIN: u32 = 16;

/// When the log was last told of a gateway whose settings cannot work, or are hardly meant.
#[derive(Debug, Default)]
pub(crate) struct Misset {
    /// Its streams ended.
    ended: Told,
    /// Its requests' bodies are not shown.
    withheld: Told,
    /// Its responses are not shown.
    unshown: Told,
    /// Requests of which that is so, in a row from the first.
    unshown_requests: Cell<u32>,
    /// A response's head was shown, once.
    shown: Cell<bool>,
}

/// When the log was last told of a thing.
#[derive(Debug, Default)]
struct Told(Cell<Option<Now>>);

/// Whether the log is told again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Telling {
    Due,
    TooSoon,
}

impl Told {
    fn telling(&self, now: Now) -> Telling {
        if self.0.get().is_some_and(|told| now.since(told) < TOLD_EVERY) {
            return Telling::TooSoon;
        }
        self.0.set(Some(now));
        Telling::Due
    }
}

impl Misset {
    /// Ends a stream of such a gateway, which writes the message into its own log.
    pub(crate) fn end(&self, message: impl Into<Cow<'static, str>>, now: Now) -> Next {
        let message = message.into();
        if self.ended.telling(now) == Telling::Due {
            tracing::warn!("{message}");
        }
        Next::End(Status::new(Code::InvalidArgument, message))
    }

    /// Tells of a body that is not shown. The request goes on: a route may have been set so on purpose.
    pub(crate) fn withheld(&self, what_follows: &'static str, now: Now) {
        if self.withheld.telling(now) == Telling::Due {
            tracing::warn!(
                "processing_mode.request_body_mode of the gateway's ext_proc filter is NONE, Envoy's default: {what_follows}; \
                 set it to FULL_DUPLEX_STREAMED, and request_trailer_mode to SEND, or to BUFFERED"
            );
        }
    }

    /// The head of a response was shown.
    pub(crate) fn shown(&self) {
        self.shown.set(true);
    }

    /// The stream of a request that was sent on has ended, and nothing of its response was shown: because its client left, or
    /// because the gateway never shows any, which no message says.
    pub(crate) fn ended_unshown(&self, now: Now) {
        if self.unshown_so_often(now) == Telling::Due {
            tracing::warn!(
                requests = self.unshown_requests.get(),
                "of no response anything was shown here yet; unless each client left before, set \
                 processing_mode.response_header_mode of the gateway's ext_proc filter to SEND: without it nothing is learnt of \
                 endpoints, and a request counts as in flight no longer than its stream lasts"
            );
        }
    }

    /// A response's body came, and its head did not.
    pub(crate) fn headless(&self, now: Now) {
        if self.unshown.telling(now) == Telling::Due {
            tracing::warn!(
                "processing_mode.response_header_mode of the gateway's ext_proc filter is SKIP: no response's status is known, so                  that an endpoint which fails counts as well; set it to SEND"
            );
        }
    }

    fn unshown_so_often(&self, now: Now) -> Telling {
        if self.shown.get() {
            return Telling::TooSoon;
        }
        self.unshown_requests.set(self.unshown_requests.get().saturating_add(1));
        if self.unshown_requests.get() < UNSHOWN_MIN { Telling::TooSoon } else { self.unshown.telling(now) }
    }
}

#[cfg(test)]
impl Misset {
    /// Whether the log was told of bodies, or of responses, that are not shown.
    pub(crate) fn has_told_of(&self) -> [bool; 2] {
        [&self.withheld, &self.unshown].map(|told| told.0.get().is_some())
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
    use crate::spoken::http_headers;
    use crate::wire::HttpHeaders;

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
        let told = Told::default();
        let told = [0, 0, 1, 59, 60, 61, 119, 500].map(|seconds| told.telling(at(seconds)));
        use Telling::{Due, TooSoon};
        assert_eq!(told, [Due, TooSoon, TooSoon, TooSoon, Due, TooSoon, TooSoon, Due]);
    }

    #[test]
    fn responses_that_are_never_shown_are_told_of_and_clients_that_left_are_not() {
        let misset = Misset::default();
        for _ in 1..UNSHOWN_MIN {
            assert_eq!(misset.unshown_so_often(at(0)), Telling::TooSoon);
        }
        assert_eq!(misset.unshown_so_often(at(0)), Telling::Due);
        assert_eq!(misset.unshown_so_often(at(59)), Telling::TooSoon);
        assert_eq!(misset.unshown_so_often(at(60)), Telling::Due);
        misset.shown();
        assert_eq!(misset.unshown_so_often(at(600)), Telling::TooSoon);
    }

    #[test]
    fn a_body_that_would_be_read_is_withheld_in_mode_none_and_no_other() {
        let none = Modes { request: BodyMode::Absent, ..Modes::both(BodyMode::Streamed) };
        let withheld = |modes: Modes, headers: HttpHeaders| modes.withhold_body_of(&headers.read().unwrap());
        let post = |content_type| http_headers(&[(":method", "POST"), ("content-type", content_type)], false);
        assert!(withheld(none, post("application/json")));
        assert!(!withheld(Modes::both(BodyMode::Streamed), post("application/json")));
        assert!(!withheld(none, post("image/png")));
        assert!(!withheld(none, http_headers(&[(":method", "POST")], true)));
        assert!(!withheld(none, http_headers(&[(":method", "GET")], false)));
    }

    fn at(seconds: u64) -> Now {
        Now::default().plus(Duration::from_secs(seconds))
    }
}
