//! What is kept of a request.

use arrayvec::{ArrayString, ArrayVec};
use journey::{Decision, Outcome, Refusal, Step, TargetModel};
use payload::{Dialect, ModelName, Usage};
use scheduling::ENDPOINTS_MAX;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The longest request id that is kept from its sender, bytes.
const REQUEST_ID_BYTES_MAX: usize = 64;

/// `x-request-id`, as [`request_id`] gives it.
pub type RequestId = ArrayString<REQUEST_ID_BYTES_MAX>;

/// A request's id: the sender's own if that is at most 64 bytes of visible ASCII, else 16 hexadecimal digits of `random`.
pub fn request_id(sent: Option<&[u8]>, random: impl FnOnce() -> u64) -> RequestId {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let sane = sent.filter(|id| !id.is_empty() && id.iter().all(u8::is_ascii_graphic));
    if let Some(kept) = sane.and_then(|id| RequestId::from(std::str::from_utf8(id).ok()?).ok()) {
        return kept;
    }
    let random = random();
    let mut made = RequestId::new_const();
    for shift in (0..64).step_by(4).rev() {
        made.push(char::from(DIGITS[(random >> shift) as usize & 15]));
    }
    made
}

/// One try at an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// The endpoint.
    pub endpoint: SocketAddr,
    /// How it went.
    pub outcome: Outcome,
}

/// Why a request was refused, as a `Refusal` told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The step that refused.
    pub step: Step,
    /// The refusal's metric reason.
    pub reason: &'static str,
    /// What the client was told.
    pub message: Box<str>,
}

/// What became of asking a pool's own endpoint picker, a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedPicker {
    /// The picker, as `namespace/service:port`.
    pub picker: Arc<str>,
    /// What it did.
    pub outcome: PickerOutcome,
    /// How long that took.
    pub took: Duration,
    /// Why it failed, be it only at the head of the response.
    pub why: Option<Box<str>>,
}

/// What an endpoint picker did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PickerOutcome {
    /// It picked.
    Picked,
    /// It answered the client itself.
    Answered,
    /// Neither: the pool's `failureMode` says what becomes of the request.
    Failed,
    /// It is asked by a running gateway only.
    NotAsked,
}

/// Who chose the model that is sent, and so how far its name may be a metric's label.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TargetChosen {
    /// The configuration gives it to the model asked for.
    #[default]
    ByConfiguration,
    /// The client, out of the names that the configuration knows.
    ByClient,
    /// The client, and the configuration does not know it: no label.
    FromNowhere,
}

/// What is kept of a request; never a prompt. Cheap to write: names are shared, the rest is plain data.
#[derive(Debug, Clone)]
pub struct Record {
    /// The request's id.
    pub id: RequestId,
    /// When its head was read.
    pub at: SystemTime,
    /// The API it spoke.
    pub dialect: Dialect,
    /// The rule that matched, as `namespace/route rule N match M`; `None` if none did.
    pub rule: Option<Arc<str>>,
    /// The InferencePool or Service, as `namespace/name`.
    pub backend: Option<Arc<str>>,
    /// The model asked for.
    pub model: Option<ModelName>,
    /// The model sent, if it was rewritten.
    pub target_model: Option<TargetModel>,
    /// The `InferenceModelRewrite` that chose it, be it the one asked for.
    pub rewritten_by: Option<Arc<str>>,
    /// True if the model asked for may be a metric's label.
    pub model_known: bool,
    /// Who chose the model sent, if it was rewritten.
    pub target_chosen: TargetChosen,
    /// Its priority; `None` before it was weighed.
    pub priority: Option<i32>,
    /// The client asked for a stream.
    pub stream: bool,
    /// Bytes of the prompt, as the picker saw it.
    pub prompt_bytes: u64,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the response's body.
    pub response_bytes: u64,
    /// The pool's own endpoint picker; `None` if the built-in one is the pool's.
    pub picker: Option<Box<AskedPicker>>,
    /// Where it was sent, and why; `None` if no pick was made.
    pub decision: Option<Decision>,
    /// The tries, in order.
    pub attempts: ArrayVec<Attempt, ENDPOINTS_MAX>,
    /// Status of the response.
    pub status: u16,
    /// Why it was refused.
    pub refusal: Option<Refused>,
    /// How many steering headers (`x-gateway-*` and the like) were removed: those that only a trusted peer may send, and
    /// those that nobody may.
    pub headers_removed: u32,
    /// True if the client went away before the response was whole.
    pub cancelled: bool,
    /// Time inside parse, route, admit and pick, without waiting for the body.
    pub decided_in: Duration,
    /// From the head of the request to the first byte of the response's body.
    pub first_token_in: Option<Duration>,
    /// From the head of the request to the last byte of the response.
    pub ended_in: Duration,
    /// Tokens.
    pub usage: Usage,
}

impl Record {
    /// A record of nothing yet: no id, no time, no model; filled in as the request travels.
    pub fn blank() -> Record {
        Record {
            id: RequestId::new_const(),
            at: SystemTime::UNIX_EPOCH,
            dialect: Dialect::Other,
            rule: None,
            backend: None,
            model: None,
            target_model: None,
            rewritten_by: None,
            model_known: false,
            target_chosen: TargetChosen::default(),
            priority: None,
            stream: false,
            prompt_bytes: 0,
            request_bytes: 0,
            response_bytes: 0,
            picker: None,
            decision: None,
            attempts: ArrayVec::new_const(),
            status: 0,
            refusal: None,
            headers_removed: 0,
            cancelled: false,
            decided_in: Duration::ZERO,
            first_token_in: None,
            ended_in: Duration::ZERO,
            usage: Usage::default(),
        }
    }

    /// Where it went, for people: the backend, or whoever answered in its place.
    pub fn place(&self) -> &str {
        match &self.backend {
            Some(backend) => backend,
            // A redirect, a list of models.
            None if self.refusal.is_none() && self.status != 0 => "the gateway itself",
            None => "nowhere",
        }
    }

    /// Why the client did not get the whole of a model server's answer, for people; `None` if it did, or was refused.
    pub fn cut_short(&self) -> Option<&'static str> {
        if self.cancelled {
            return Some("the client went away");
        }
        match self.attempts.last().filter(|_| self.refusal.is_none())?.outcome {
            Outcome::Served | Outcome::ServerError { .. } | Outcome::Cancelled => None,
            Outcome::Broken => Some("the model server broke off"),
            Outcome::TimedOut => Some("the model server took too long"),
            Outcome::Late => Some("the route's time for the request was over"),
            Outcome::LocalReply => Some("the gateway in front seems to have answered itself"),
            Outcome::Stopped => Some("the gateway stopped"),
        }
    }

    /// The request is refused.
    pub fn refuse(&mut self, refusal: &Refusal) {
        self.status = refusal.status().as_u16();
        self.priority = refusal.priority().or(self.priority);
        self.refusal = Some(Refused {
            step: refusal.step(),
            reason: refusal.reason(),
            message: refusal.to_string().into_boxed_str(),
        });
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use journey::{Candidate, Fitness, PassedOver, ReservationId, Target, WhyPassedOver};
    use payload::TokenSource;
    use scheduling::Slot;

    pub(crate) fn endpoint(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// A streamed request that was served at the second try.
    pub(crate) fn served() -> Record {
        let target = Target { slot: Slot(0), address: endpoint(8001) };
        let best = Candidate {
            target,
            total: 0.75,
            parts: [0.5, 0.25, 0.0, 0.0, 0.0, 0.0],
            fitness: Fitness::Ready,
            in_flight: 3,
            of_others: 0,
            after_failures: 0.0,
            waiting: u32::MAX,
            kv_used: f32::NAN,
            matched_bytes: 1024,
        };
        let decision = Decision {
            reservation: ReservationId { index: 0, generation: 0 },
            endpoints: ArrayVec::from_iter([target, Target { slot: Slot(1), address: endpoint(8002) }]),
            candidates: ArrayVec::from_iter([best]),
            weighed: 4,
            passed_over: 2,
            passed: ArrayVec::from_iter([PassedOver {
                endpoint: endpoint(8003),
                why: WhyPassedOver::Resting(Duration::from_secs(12)),
            }]),
            sequence: 17,
        };
        let failed = Attempt { endpoint: endpoint(8001), outcome: Outcome::ServerError { status: 503 } };
        Record {
            id: RequestId::from("req-1").unwrap(),
            at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_763_899_200_250),
            dialect: Dialect::ChatCompletions,
            rule: Some("default/routes-to-llms rule 0 match 0".into()),
            backend: Some("default/gemma3".into()),
            model: Some(ModelName("chatbot".into())),
            target_model: Some(TargetModel("gemma3".into())),
            rewritten_by: Some("rollout".into()),
            model_known: true,
            target_chosen: TargetChosen::ByConfiguration,
            priority: Some(0),
            stream: true,
            prompt_bytes: 1536,
            request_bytes: 2048,
            response_bytes: 4096,
            picker: None,
            decision: Some(decision),
            attempts: ArrayVec::from_iter([
                failed,
                Attempt { endpoint: endpoint(8002), outcome: Outcome::Served },
            ]),
            status: 200,
            refusal: None,
            headers_removed: 0,
            cancelled: false,
            decided_in: Duration::from_nanos(2_500),
            first_token_in: Some(Duration::from_millis(250)),
            ended_in: Duration::from_millis(1_250),
            usage: Usage {
                input_tokens: Some(38),
                cached_tokens: Some(16),
                output_tokens: Some(11),
                source: Some(TokenSource::Estimated),
            },
        }
    }

    #[test]
    fn a_request_id_is_kept_if_it_is_short_and_visible_and_else_made_of_sixteen_digits() {
        let made = || 0x0123_4567_89ab_cdef;
        let longest = "a".repeat(64);
        for kept in ["abc-1", "~", &longest] {
            assert_eq!(request_id(Some(kept.as_bytes()), made).as_str(), kept);
        }
        let too_long = "a".repeat(65);
        for not_kept in ["", "a b", "\u{7f}", "a\n", "é", &too_long] {
            let id = request_id(Some(not_kept.as_bytes()), made);
            assert_eq!(id.as_str(), "0123456789abcdef", "{not_kept:?}");
        }
        assert_eq!(request_id(None, || 0).as_str(), "0000000000000000");
    }

    /// The same, picked for by somebody else.
    pub(crate) fn picked_elsewhere() -> Record {
        let mut record = served();
        if let Some(decision) = &mut record.decision {
            decision.candidates.clear();
            decision.passed.clear();
            (decision.weighed, decision.passed_over) = (0, 0);
        }
        let picker = AskedPicker {
            picker: "default/epp:9002".into(),
            outcome: PickerOutcome::Picked,
            took: Duration::from_micros(1_500),
            why: None,
        };
        Record { picker: Some(Box::new(picker)), ..record }
    }

    /// A request for a model that no rule knows.
    pub(crate) fn refused(model: &str) -> Record {
        Record {
            rule: None,
            backend: None,
            priority: None,
            model: Some(ModelName(model.into())),
            target_model: None,
            model_known: false,
            decision: None,
            attempts: ArrayVec::new(),
            status: 404,
            refusal: Some(Refused {
                step: Step::Route,
                reason: "model_unknown",
                message: format!("the model {model:?} does not exist here").into(),
            }),
            first_token_in: None,
            usage: Usage::default(),
            ..served()
        }
    }
}
