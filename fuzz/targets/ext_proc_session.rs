//! A stream at the body-based router or the endpoint picker, fed messages in any order: it never panics; what it does not
//! answer it holds until a deadline of its own; a body that passes is the body that came, byte for byte; and when the
//! stream is gone nothing is charged.
#![no_main]

use bytes::{Buf, Bytes};
use extproc::bbr::{Bbr, BbrSettings, FieldHeaders, PassOn};
use extproc::epp::{Epp, EppSettings, PoolReference, SubsetHint};
use extproc::grpc::Decoder;
use extproc::wire::{
    BodySendMode, HttpBody, HttpHeaders, HttpTrailers, Mutation, ProcessingRequest, ProcessingResponse,
    ProtocolConfiguration, Request, Response,
};
use extproc::{BodyMode, Door, Next, Replies, Session};
use journey::{BodyPace, Now};
use libfuzzer_sys::fuzz_target;
use payload::Budget;
use resources::{Folder, ObjectName};
use scheduling::config::TestPlugins;
use state::{Clock, World};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use telemetry::{BbrCounts, Telemetry};

const BODY_BYTES_MAX: u64 = 2000;
const HELD_BYTES_MAX: u64 = 1000;
const STALL: Duration = Duration::from_secs(30);

/// The doors, made once: three routers, the last of which is asked for a further field, and a picker.
struct Doors {
    budget: Arc<Budget>,
    bbrs: [Rc<Bbr>; 3],
    epp: Rc<Epp>,
}

impl Doors {
    fn new() -> Doors {
        let budget = Budget::new(HELD_BYTES_MAX);
        let mut fields = FieldHeaders::default();
        fields.add("user", "x-user").expect("a field and a header");
        let routers = [
            (PassOn::Early, FieldHeaders::default()),
            (PassOn::Whole, FieldHeaders::default()),
            (PassOn::Early, fields),
        ];
        let bbrs = routers.map(|(pass_on, fields)| {
            let settings = BbrSettings {
                pass_on,
                fields: Arc::new(fields),
                body_mode: BodyMode::Streamed,
                body_bytes_max: BODY_BYTES_MAX,
                body_pace: BodyPace { stall_timeout: STALL, rate_min: 0 },
            };
            let counts = BbrCounts::new(settings.fields.asked().iter(), Vec::new());
            Rc::new(Bbr::new(settings, Arc::default(), Arc::clone(&budget), Arc::new(counts)))
        });
        let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/two-models/manifests");
        let world = World::new(state::Settings { seed: 1, ..state::Settings::default() }, Clock::start());
        world.apply(Folder::new(&[manifests]).load());
        let settings = EppSettings {
            pools: vec![PoolReference { name: ObjectName::new("default", "gemma3"), version: None }],
            destination_key: "x-gateway-destination-endpoint".into(),
            destination_namespace: "envoy.lb".into(),
            subset_hint: SubsetHint::Obeyed,
            test_plugins: TestPlugins::Refused,
            body_bytes_max: BODY_BYTES_MAX,
            body_pace: BodyPace { stall_timeout: STALL, rate_min: 0 },
        };
        let epp = Rc::new(Epp::new(&Arc::new(settings), &budget, &world, &Telemetry::new(1, 1), 0));
        Doors { budget, bbrs, epp }
    }
}

thread_local!(static DOORS: Doors = Doors::new());

/// What is left of the input.
struct Input<'a> {
    left: &'a [u8],
    settled: bool,
}

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.left.split_first()?;
        self.left = rest;
        Some(*first)
    }

    fn piece(&mut self) -> &'a [u8] {
        let length = self.byte().map_or(0, usize::from).min(self.left.len());
        let (piece, rest) = self.left.split_at(length);
        self.left = rest;
        piece
    }

    /// The next message.
    fn message(&mut self, mode: BodySendMode) -> Option<ProcessingRequest> {
        let what = self.byte()?;
        let end_of_stream = what & 0x80 != 0;
        let request = match what & 0x0f {
            0 | 1 => Some(Request::RequestHeaders(self.headers(end_of_stream))),
            2..=6 => Some(Request::RequestBody(self.body(end_of_stream))),
            7 => Some(Request::RequestTrailers(HttpTrailers::default())),
            8 => Some(Request::ResponseHeaders(self.headers(end_of_stream))),
            9 | 10 => Some(Request::ResponseBody(self.body(end_of_stream))),
            11 => Some(Request::ResponseTrailers(HttpTrailers::default())),
            _ => None,
        };
        let observability_mode = what & 0x60 == 0x60;
        // The first message that is answered says how bodies travel; what a later one says counts no more.
        let said = match self.settled {
            false => Some(mode),
            true => (what & 0x10 != 0).then_some(BodySendMode::Grpc),
        };
        self.settled |= !observability_mode;
        let protocol_config = said.map(|mode| ProtocolConfiguration {
            request_body_mode: mode as i32,
            response_body_mode: mode as i32,
            ..ProtocolConfiguration::default()
        });
        Some(ProcessingRequest {
            request,
            protocol_config,
            observability_mode,
            ..ProcessingRequest::default()
        })
    }

    fn body(&mut self, end_of_stream: bool) -> HttpBody {
        HttpBody { body: Bytes::copy_from_slice(self.piece()).into(), end_of_stream }
    }

    fn headers(&mut self, end_of_stream: bool) -> HttpHeaders {
        const NAMES: [&str; 8] = [
            ":path",
            ":status",
            "content-type",
            "content-length",
            "content-encoding",
            "x-gateway-model-name",
            "x-gateway-inference-objective",
            "x-request-id",
        ];
        const VALUES: [&str; 8] = [
            "/v1/chat/completions",
            "/v1/completions",
            "application/json",
            "text/plain",
            "gzip",
            "200",
            "500",
            "",
        ];
        let count = self.byte().unwrap_or(0) % 8;
        let headers = (0..count).filter_map(|_| self.byte()).map(|pair| {
            let (name, value) = (NAMES[usize::from(pair & 7)], VALUES[usize::from(pair >> 3 & 7)]);
            (name.as_bytes(), value.as_bytes())
        });
        HttpHeaders::of(headers, end_of_stream)
    }
}

/// What came of a request and what of it goes on.
#[derive(Default)]
struct Passage {
    sent: Vec<u8>,
    passed: Vec<u8>,
    /// The request's body has come whole.
    whole: bool,
    /// Its headers have come, and so has its answer.
    headers: u32,
    answers: u32,
    /// The response began before it was whole: the gateway gave it up, and answered itself.
    given_up: bool,
}

impl Passage {
    fn comes(&mut self, message: &ProcessingRequest) {
        match &message.request {
            Some(Request::RequestHeaders(headers)) => {
                self.headers += 1;
                self.whole = headers.end_of_stream;
                self.given_up = false;
            }
            Some(Request::RequestBody(body)) => {
                self.sent.extend(body.body.iter().flatten());
                self.whole |= body.end_of_stream;
            }
            Some(Request::RequestTrailers(_)) => self.whole = true,
            Some(_) => self.given_up |= !self.whole,
            None => {}
        }
    }

    fn goes(&mut self, reply: ProcessingResponse) {
        match reply.response {
            Some(Response::RequestHeaders(_)) => self.answers += 1,
            Some(Response::RequestBody(body)) => {
                let mutation = body.response.and_then(|common| common.body_mutation?.mutation);
                if let Some(Mutation::StreamedResponse(piece)) = mutation {
                    self.passed.extend_from_slice(&piece.body);
                }
            }
            _ => {}
        }
    }
}

fn replies_of(replies: &mut Replies) -> Vec<ProcessingResponse> {
    let mut packet = replies.take();
    let mut decoder = Decoder::new(usize::MAX);
    decoder.feed(packet.copy_to_bytes(packet.remaining()));
    let mut messages = Vec::new();
    while let Some(message) = decoder.next_message().expect("what is written can be read") {
        messages.push(message);
    }
    assert_eq!(decoder.finish(), Ok(()));
    messages
}

fn play<S: Session<Message = ProcessingRequest>>(mut session: S, mode: BodySendMode, input: &mut Input<'_>) {
    let mut replies = Replies::default();
    let mut passage = Passage::default();
    let mut now = Now(0);
    while let Some(message) = input.message(mode) {
        now = now.plus(Duration::from_millis(1));
        let observed = message.observability_mode;
        if !observed {
            passage.comes(&message);
        }
        let mut next = session.on(message, now, &mut replies);
        while next == Next::Again {
            next = session.again(&mut replies);
        }
        let answered = replies_of(&mut replies);
        assert!(!observed || answered.is_empty());
        let count = answered.len();
        answered.into_iter().for_each(|reply| passage.goes(reply));
        if next != Next::Continue {
            return;
        }
        if mode != BodySendMode::FullDuplexStreamed {
            assert_eq!(count, usize::from(!observed), "one answer for each message");
        } else if passage.headers > 0 && !passage.given_up {
            let is_answered = passage.answers == passage.headers;
            assert!(passage.answers <= 1);
            assert!(passage.sent.starts_with(&passage.passed));
            assert!(is_answered || session.deadline().is_some_and(|deadline| deadline <= now.plus(STALL)));
            assert!(!is_answered || passage.passed.len() == passage.sent.len());
            assert!(!passage.whole || is_answered);
        }
    }
    if let Some(deadline) = session.deadline() {
        assert_ne!(session.late(deadline, &mut replies), Next::Continue, "what is held ends at its deadline");
        assert_eq!(replies_of(&mut replies).len(), 1);
    }
}

// The first byte tells the door, and how bodies travel.
fuzz_target!(|input: &[u8]| {
    let Some((first, rest)) = input.split_first() else { return };
    let mode = match first >> 2 & 3 {
        0 | 1 => BodySendMode::FullDuplexStreamed,
        2 => BodySendMode::Buffered,
        _ => BodySendMode::None,
    };
    let input = &mut Input { left: rest, settled: false };
    DOORS.with(|doors| {
        match first & 3 {
            place @ (0 | 1) => play(doors.bbrs[usize::from(place)].open(0), mode, input),
            3 => play(doors.bbrs[2].open(0), mode, input),
            _ => play(doors.epp.open(0), mode, input),
        }
        assert_eq!(doors.budget.held(), 0, "everything is given back");
    });
});
