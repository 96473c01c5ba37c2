//! For tests: sessions that are spoken to in messages, and answer in words.

use crate::replies::Replies;
use crate::replies::tests::read;
use crate::session::{Next, Parting, Session};
use crate::wire::{
    BodyMutation, BodySendMode, CommonResponse, HttpBody, HttpHeaders, HttpTrailers, ImmediateResponse, Kind,
    Mutation, ProcessingRequest, ProcessingResponse, ProtocolConfiguration, Request, Response, Struct, Value,
};
use bytes::Bytes;
use journey::{Now, Refusal};
use prost::Message as _;
use std::time::Duration;

/// One stream, and what it says in words.
pub(crate) struct Stream<S> {
    pub(crate) session: S,
    pub(crate) replies: Replies,
    pub(crate) now: Now,
    /// What comes with the next message.
    pub(crate) metadata: Vec<Bytes>,
    /// And what the gateway says with it of how the response came about.
    pub(crate) code_details: Option<&'static str>,
    /// What the next message says of modes.
    pub(crate) mode: Option<BodySendMode>,
}

impl<S: Session<Message = ProcessingRequest>> Stream<S> {
    /// A stream whose bodies both come in this mode.
    pub(crate) fn of(session: S, mode: BodySendMode) -> Stream<S> {
        Stream {
            session,
            replies: Replies::default(),
            now: Now(0),
            metadata: Vec::new(),
            code_details: None,
            mode: Some(mode),
        }
    }

    pub(crate) fn say(&mut self, request: Request) -> Vec<String> {
        let protocol_config = self.mode.take().map(config);
        let metadata_context = std::mem::take(&mut self.metadata);
        let attributes = self.code_details.take().map(|details| {
            let object = Struct::of("response.code_details", Value::string(details)).encode_to_vec();
            let mut entry = Vec::new();
            prost::encoding::bytes::encode(2, &object, &mut entry);
            entry.into()
        });
        let message = ProcessingRequest {
            request: Some(request),
            protocol_config,
            metadata_context,
            attributes: attributes.into_iter().collect(),
            ..Default::default()
        };
        let mut next = self.session.on(message, self.now, &mut self.replies);
        while next == Next::Again {
            next = self.session.again(&mut self.replies);
        }
        self.told(next)
    }

    /// The message that says these headers, as it travels.
    pub(crate) fn written(&mut self, headers: &[(&str, &str)]) -> Bytes {
        let message = ProcessingRequest {
            request: Some(Request::RequestHeaders(http_headers(headers, false))),
            protocol_config: self.mode.take().map(config),
            metadata_context: std::mem::take(&mut self.metadata),
            ..Default::default()
        };
        message.encode_to_vec().into()
    }

    /// Takes a message, of whose bytes it may keep slices.
    pub(crate) fn take(&mut self, written: &Bytes) -> Next {
        let message = ProcessingRequest::decode(written.clone()).expect("what was written can be read");
        self.session.on(message, self.now, &mut self.replies)
    }

    /// The deadline passes.
    pub(crate) fn wait(&mut self) -> Vec<String> {
        let deadline = self.session.deadline().expect("something is held");
        let next = self.session.late(deadline, &mut self.replies);
        self.told(next)
    }

    /// The stream is given up in the middle of a message.
    pub(crate) fn give_up(&mut self, refusal: &Refusal) -> (Parting, Vec<String>) {
        let told = self.session.give_up(refusal, &mut self.replies);
        (told, self.told(Next::Continue))
    }

    fn told(&mut self, next: Next) -> Vec<String> {
        let mut words: Vec<String> = read(&mut self.replies).iter().map(in_words).collect();
        if let Next::End(status) = next {
            words.push(format!("end {:?}", status.code));
        }
        words
    }

    pub(crate) fn headers(&mut self, headers: &[(&str, &str)], end_of_stream: bool) -> Vec<String> {
        self.say(Request::RequestHeaders(http_headers(headers, end_of_stream)))
    }

    pub(crate) fn body(&mut self, body: &str, end_of_stream: bool) -> Vec<String> {
        self.say(Request::RequestBody(http_body(body, end_of_stream)))
    }

    /// A piece of a body, as a slice of what was read.
    pub(crate) fn piece(&mut self, piece: Bytes) {
        let body = HttpBody { body: piece.into(), end_of_stream: false };
        assert!(self.say(Request::RequestBody(body)).is_empty());
    }

    /// A body of which a byte comes each second, and what is said when it is waited for no longer.
    pub(crate) fn body_in_drops(&mut self) -> Vec<String> {
        self.body("{", false);
        for seconds in 1..30 {
            self.now = Now(0).plus(Duration::from_secs(seconds));
            assert!(self.session.deadline() > Some(self.now));
            self.body(" ", false);
        }
        let deadline = self.session.deadline().expect("it is waited for");
        assert_eq!(deadline.since(Now(0)).as_secs(), 30, "each byte gives it a millisecond");
        self.wait()
    }

    pub(crate) fn trailers(&mut self) -> Vec<String> {
        self.say(Request::RequestTrailers(HttpTrailers::default()))
    }

    pub(crate) fn response_headers(&mut self, headers: &[(&str, &str)], end_of_stream: bool) -> Vec<String> {
        self.say(Request::ResponseHeaders(http_headers(headers, end_of_stream)))
    }

    pub(crate) fn response_body(&mut self, body: &str, end_of_stream: bool) -> Vec<String> {
        self.say(Request::ResponseBody(http_body(body, end_of_stream)))
    }
}

/// `{"model":"m","prompt":"` and so many blocks of 128 KiB of one letter, in a zstd frame with a window of 8 MiB that is
/// never whole.
pub(crate) fn zstd_of_a_large_window(blocks: usize) -> Bytes {
    let start = br#"{"model":"m","prompt":""#;
    let block = |bytes: usize, kind: u32| ((bytes as u32) << 3 | kind << 1).to_le_bytes();
    let mut coded = vec![0x28, 0xB5, 0x2F, 0xFD, 0x00, 0x68];
    coded.extend_from_slice(&block(start.len(), 0)[..3]);
    coded.extend_from_slice(start);
    for _ in 0..blocks {
        coded.extend_from_slice(&block(128 << 10, 1)[..3]);
        coded.push(b'a');
    }
    coded.into()
}

fn config(mode: BodySendMode) -> ProtocolConfiguration {
    let mode = mode as i32;
    ProtocolConfiguration { request_body_mode: mode, response_body_mode: mode, ..Default::default() }
}

pub(crate) fn http_headers(headers: &[(&str, &str)], end_of_stream: bool) -> HttpHeaders {
    HttpHeaders::of(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())), end_of_stream)
}

fn http_body(body: &str, end_of_stream: bool) -> HttpBody {
    HttpBody { body: Bytes::copy_from_slice(body.as_bytes()).into(), end_of_stream }
}

/// A reply, short.
fn in_words(reply: &ProcessingResponse) -> String {
    let common = |what: &str, response: &Option<CommonResponse>| {
        let Some(common) = response else { return what.to_owned() };
        let mut words = what.to_owned();
        if common.clear_route_cache {
            words += " anew";
        }
        let mutation = common.header_mutation.clone().unwrap_or_default();
        for set in mutation.set_headers.iter().filter_map(|set| set.header.as_ref()) {
            let value = String::from_utf8_lossy(&set.raw_value);
            words += &format!(" {}={value}", String::from_utf8_lossy(&set.key));
        }
        for removed in &mutation.remove_headers {
            words += &format!(" -{}", String::from_utf8_lossy(removed));
        }
        if let Some(BodyMutation { mutation: Some(Mutation::Body(body)) }) = &common.body_mutation {
            words += &format!(" {:?}", String::from_utf8_lossy(body));
        }
        if let Some(BodyMutation { mutation: Some(Mutation::StreamedResponse(streamed)) }) =
            &common.body_mutation
        {
            words += &format!(" {:?}", String::from_utf8_lossy(&streamed.body));
            if streamed.end_of_stream {
                words += " whole";
            }
        }
        words
    };
    let words = match reply.response.as_ref() {
        Some(Response::RequestHeaders(headers)) => common("headers", &headers.response),
        Some(Response::RequestBody(body)) => common("body", &body.response),
        Some(Response::RequestTrailers(_)) => "trailers".to_owned(),
        Some(Response::ResponseHeaders(headers)) => common("response headers", &headers.response),
        Some(Response::ResponseBody(body)) => common("response body", &body.response),
        Some(Response::ResponseTrailers(_)) => "response trailers".to_owned(),
        Some(Response::ImmediateResponse(ImmediateResponse { status, body, .. })) => {
            let code = status.map_or(0, |status| status.code);
            let body: String = String::from_utf8_lossy(body).into_owned();
            let reason = body.split("\"code\":\"").nth(1).and_then(|rest| rest.split('"').next());
            format!("immediate {code} {}", reason.unwrap_or_default())
        }
        None => "nothing".to_owned(),
    };
    match &reply.dynamic_metadata {
        None => words,
        Some(metadata) => words + &format!(" {}", object_in_words(metadata)),
    }
}

/// An object of texts and objects, short.
fn object_in_words(object: &Struct) -> String {
    let fields = object.fields.iter().map(|(name, value)| match &value.kind {
        Some(Kind::StructValue(inner)) => format!("{name}:{}", object_in_words(inner)),
        _ => format!("{name}:{}", value.as_str().unwrap_or("?")),
    });
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

/// Whoever is given up is told, up to the response: before anything came, while the body is read, and once it was sent on.
pub(crate) fn is_told_until_the_response_has_begun<S: Session<Message = ProcessingRequest>>(
    stream: impl Fn() -> Stream<S>,
    chat: &[(&str, &str)],
) {
    let spent = Refusal::BodyBudgetSpent { held: 9, limit: 9 };
    let told = (Parting::Answered, vec!["immediate 503 body_budget_spent".to_owned()]);
    assert_eq!(stream().give_up(&spent), told);
    let mut reading = stream();
    reading.headers(chat, false);
    assert_eq!(reading.give_up(&spent), told);
    let mut sent = stream();
    sent.headers(chat, false);
    sent.body(r#"{"model":"gemma-3"}"#, true);
    assert_eq!(sent.give_up(&spent), told);
    let mut answered = stream();
    answered.headers(chat, false);
    answered.response_headers(&[(":status", "200")], false);
    assert_eq!(answered.give_up(&spent), (Parting::Silent, vec![]));
}
