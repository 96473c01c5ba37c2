//! Why a request went where it went.
//!
//! In: a [`Record`] and the names of its pool's scorers. Out: an [`Explanation`], as JSON (it is `Serialize`) or as text
//! for a person (it is `Display`: `text`). Never: a prompt.

mod text;

use crate::access_log::{seconds, timestamp};
use crate::{AskedPicker, Attempt, PickerOutcome, Record, names};
use journey::{Candidate, Decision, Fitness, Outcome, PassedOver, WhyPassedOver};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Why a request went where it went: the rule, the candidates with each score, what was expected and what came.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    id: String,
    at: String,
    dialect: &'static str,
    stream: bool,
    model: Option<String>,
    target_model: Option<String>,
    priority: Option<i32>,
    request_bytes: u64,
    prompt_bytes: u64,
    headers_removed: u32,
    rule: Option<String>,
    backend: Option<String>,
    #[serde(skip)]
    place: String,
    picker: Option<Asked>,
    decision: Option<Decided>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    in_turn: Vec<SocketAddr>,
    attempts: Vec<Tried>,
    cached_tokens: CachedTokens,
    answer: Option<Answer>,
    refusal: Option<Why>,
}

/// The pool's own endpoint picker.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Asked {
    name: String,
    outcome: &'static str,
    took_seconds: f64,
    why: Option<String>,
    #[serde(skip)]
    did: PickerOutcome,
}

/// The pick.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Decided {
    decided_in_seconds: f64,
    sequence: u64,
    weighed: u32,
    passed_over: u32,
    passed: Vec<Passed>,
    endpoints: Vec<SocketAddr>,
    candidates: Vec<Weighed>,
    #[serde(skip)]
    prompt_bytes: u64,
}

/// A candidate, best first. What a server never reported is absent.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Weighed {
    endpoint: SocketAddr,
    total: f32,
    scores: BTreeMap<String, f32>,
    fitness: &'static str,
    in_flight: u32,
    of_others: u32,
    after_failures: f32,
    waiting: Option<u32>,
    kv_used: Option<f32>,
    matched_bytes: u64,
    #[serde(skip)]
    may: Fitness,
}

/// An endpoint that could not be picked.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Passed {
    endpoint: SocketAddr,
    why: &'static str,
    resting_for_seconds: Option<f64>,
    filter: Option<&'static str>,
    #[serde(skip)]
    cause: WhyPassedOver,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Tried {
    endpoint: SocketAddr,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
}

/// Prompt tokens from the prefix cache: what the index led to expect at the picked endpoint, and what the server reported.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct CachedTokens {
    predicted: Option<u32>,
    reported: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Answer {
    status: Option<u16>,
    cancelled: bool,
    first_token_in_seconds: Option<f64>,
    ended_in_seconds: f64,
    bytes: u64,
    input_tokens: Option<u32>,
    output_tokens: Option<u32>,
    tokens: Option<&'static str>,
    #[serde(skip)]
    cut_short: Option<&'static str>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Why {
    step: &'static str,
    reason: &'static str,
    message: String,
}

impl Explanation {
    /// Explains a record; `scorers` are the names of its pool's scorers, in the order of a candidate's parts.
    pub fn new(record: &Record, scorers: &[&str]) -> Explanation {
        let why = record.refusal.as_ref().map(|refused| Why {
            step: names::step(refused.step),
            reason: refused.reason,
            message: refused.message.to_string(),
        });
        Explanation {
            id: record.id.to_string(),
            at: timestamp(record.at),
            dialect: names::dialect(record.dialect),
            stream: record.stream,
            model: record.model.as_ref().map(|model| model.0.to_string()),
            target_model: record.target_model.as_ref().map(|target| target.0.to_string()),
            priority: record.priority,
            request_bytes: record.request_bytes,
            prompt_bytes: record.prompt_bytes,
            headers_removed: record.headers_removed,
            rule: record.rule.as_deref().map(str::to_owned),
            backend: record.backend.as_deref().map(str::to_owned),
            place: record.place().to_owned(),
            picker: record.picker.as_deref().map(Asked::new),
            decision: record.decision.as_ref().map(|decision| Decided::new(record, decision, scorers)),
            in_turn: Vec::new(),
            attempts: record.attempts.iter().map(Tried::new).collect(),
            cached_tokens: CachedTokens {
                predicted: predicted_tokens(record),
                reported: record.usage.cached_tokens,
            },
            answer: Answer::new(record),
            refusal: why,
        }
    }
}

impl Explanation {
    /// Tells the endpoints of a Service, any of which a request that was not sent would go to.
    #[must_use]
    pub fn in_turn(self, endpoints: Vec<SocketAddr>) -> Explanation {
        Explanation { in_turn: endpoints, ..self }
    }
}

impl Asked {
    fn new(asked: &AskedPicker) -> Asked {
        Asked {
            name: asked.picker.to_string(),
            outcome: names::picker_outcome(asked.outcome),
            took_seconds: seconds(asked.took),
            why: asked.why.as_deref().map(str::to_owned),
            did: asked.outcome,
        }
    }
}

impl Decided {
    fn new(record: &Record, decision: &Decision, scorers: &[&str]) -> Decided {
        Decided {
            decided_in_seconds: record.decided_in.as_secs_f64(),
            sequence: decision.sequence,
            weighed: decision.weighed,
            passed_over: decision.passed_over,
            passed: decision.passed.iter().map(Passed::new).collect(),
            endpoints: decision.endpoints.iter().map(|target| target.address).collect(),
            candidates: decision
                .candidates
                .iter()
                .map(|candidate| Weighed::new(candidate, scorers))
                .collect(),
            prompt_bytes: record.prompt_bytes,
        }
    }
}

impl Weighed {
    fn new(candidate: &Candidate, scorers: &[&str]) -> Weighed {
        Weighed {
            endpoint: candidate.target.address,
            total: candidate.total,
            scores: scorers.iter().map(ToString::to_string).zip(candidate.parts).collect(),
            fitness: names::fitness(candidate.fitness),
            in_flight: candidate.in_flight,
            of_others: candidate.of_others,
            after_failures: candidate.after_failures,
            waiting: (candidate.waiting != u32::MAX).then_some(candidate.waiting),
            kv_used: (!candidate.kv_used.is_nan()).then_some(candidate.kv_used),
            matched_bytes: candidate.matched_bytes,
            may: candidate.fitness,
        }
    }

    /// What the endpoint carried, and what it holds of a prompt of so many bytes, in words.
    fn load(&self, prompt_bytes: u64) -> String {
        let mut said = format!("{} in flight", self.in_flight);
        if self.of_others > 0 {
            said.push_str(&format!(", {} of others", self.of_others));
        }
        if self.after_failures > 0.0 {
            let digits = (self.after_failures * 100.0).round() / 100.0;
            said.push_str(&format!(", {digits} counted after failures"));
        }
        if let Some(waiting) = self.waiting {
            said.push_str(&format!(", {waiting} waiting"));
        }
        if let Some(used) = self.kv_used {
            said.push_str(&format!(", KV {:.0}%", used * 100.0));
        }
        if self.waiting.is_none() && self.kv_used.is_none() {
            said.push_str(", nothing reported yet");
        }
        if self.matched_bytes > 0 {
            said.push_str(&format!(", {} of {prompt_bytes} prompt bytes known", self.matched_bytes));
        }
        said.push_str(match self.may {
            Fitness::Ready => "",
            Fitness::Trial => ", on trial",
            Fitness::ThoughResting => ", should rest but half of its pool does",
        });
        said
    }
}

impl Passed {
    fn new(passed: &PassedOver) -> Passed {
        let (resting, filter) = match passed.why {
            WhyPassedOver::Resting(left) => (Some(left), None),
            WhyPassedOver::Filtered(filter) => (None, Some(filter)),
            _ => (None, None),
        };
        Passed {
            endpoint: passed.endpoint,
            why: names::passed_over(passed.why),
            resting_for_seconds: resting.map(seconds),
            filter,
            cause: passed.why,
        }
    }
}

impl Tried {
    fn new(attempt: &Attempt) -> Tried {
        let status = match attempt.outcome {
            Outcome::ServerError { status } => Some(status),
            _ => None,
        };
        Tried { endpoint: attempt.endpoint, outcome: names::outcome(attempt.outcome), status }
    }
}

impl Answer {
    /// What the client got. `None` if it still waited when it was decided where the request goes, as offline.
    fn new(record: &Record) -> Option<Answer> {
        let status = (record.status != 0).then_some(record.status);
        (status.is_some() || record.cancelled).then(|| Answer {
            status,
            cancelled: record.cancelled,
            first_token_in_seconds: record.first_token_in.map(seconds),
            ended_in_seconds: seconds(record.ended_in),
            bytes: record.response_bytes,
            input_tokens: record.usage.input_tokens,
            output_tokens: record.usage.output_tokens,
            tokens: record.usage.source.map(names::token_source),
            cut_short: record.cut_short(),
        })
    }
}

/// The picked endpoint's part of the prompt by the prefix index, in the tokens that the server counted.
fn predicted_tokens(record: &Record) -> Option<u32> {
    let picked = record.decision.as_ref()?.candidates.first()?;
    let tokens = f64::from(record.usage.input_tokens?);
    (record.prompt_bytes > 0).then(|| {
        let part = (picked.matched_bytes as f64 / record.prompt_bytes as f64).min(1.0);
        (part * tokens).round() as u32
    })
}

#[cfg(test)]
mod tests;
