//! Why a request went where it went.
//!
//! In: a [`Record`] and the names of its pool's scorers. Out: an [`Explanation`], as JSON (it is `Serialize`) or as text
//! for a person (it is `Display`). Never: a prompt.

use crate::access_log::{seconds, timestamp};
use crate::{AskedPicker, Attempt, PickerOutcome, Record, names};
use journey::{Candidate, Decision, Fitness, Outcome, PassedOver, WhyPassedOver, counted};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
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

impl Display for Passed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "  {:<21}   passed: ", self.endpoint.to_string())?;
        match self.cause {
            WhyPassedOver::Resting(left) => {
                writeln!(f, "it rests after failures, {} more", rounded(seconds(left)))
            }
            WhyPassedOver::OnTrial => writeln!(f, "it is on trial by another request"),
            WhyPassedOver::Unscraped => writeln!(f, "its metrics are not answered any more"),
            WhyPassedOver::OutsideSubset => writeln!(f, "it is outside the subset"),
            WhyPassedOver::Filtered(filter) => writeln!(f, "{filter} took it away"),
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

impl Display for Explanation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let stream = if self.stream { ", streamed" } else { "" };
        writeln!(f, "request   {} at {}", self.id, self.at)?;
        write!(f, "asked     {}{stream}, model {}", self.dialect, quoted(self.model.as_deref()))?;
        if let Some(target) = &self.target_model {
            write!(f, ", sent as {target:?}")?;
        }
        if let Some(priority) = self.priority {
            write!(f, ", priority {priority}")?;
        }
        writeln!(f, ", {}", counted(self.request_bytes, "byte"))?;
        if self.headers_removed > 0 {
            let removed = counted(self.headers_removed, "steering header");
            writeln!(
                f,
                "removed   {removed}: --trusted-peers tells who may send those that name no model or endpoint"
            )?;
        }
        match (&self.rule, &self.backend) {
            (Some(rule), _) => writeln!(f, "rule      {rule}")?,
            (None, None) => writeln!(f, "rule      none matched")?,
            // Behind a gateway: routing is that gateway's.
            (None, Some(_)) => {}
        }
        writeln!(f, "backend   {}", self.place)?;
        if let Some(picker) = &self.picker {
            picker.fmt(f)?;
        }
        if let Some(decision) = &self.decision {
            decision.fmt(f)?;
        }
        if !self.in_turn.is_empty() {
            let endpoints: Vec<String> = self.in_turn.iter().map(ToString::to_string).collect();
            writeln!(f, "in turn   {}", endpoints.join(", "))?;
        }
        for (number, tried) in self.attempts.iter().enumerate() {
            let status = tried.status.map_or(String::new(), |status| format!(" ({status})"));
            writeln!(f, "attempt {} {}: {}{status}", number + 1, tried.endpoint, tried.outcome)?;
        }
        if let CachedTokens { predicted: Some(predicted), reported } = self.cached_tokens {
            let reported = reported.map_or("none".to_owned(), |tokens| tokens.to_string());
            writeln!(f, "cached    {predicted} prompt tokens predicted, {reported} reported")?;
        }
        if let Some(answer) = &self.answer {
            answer.fmt(f)?;
        }
        match &self.refusal {
            Some(why) => {
                writeln!(f, "refused   by {}: {}: {}", why.step, why.reason, printable(&why.message))
            }
            None => Ok(()),
        }
    }
}

impl Display for Asked {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Asked { name, took_seconds, .. } = self;
        let why = printable(self.why.as_deref().unwrap_or_default());
        let took = rounded(*took_seconds);
        match self.did {
            PickerOutcome::Picked => write!(f, "picked    by {name} in {took}")?,
            PickerOutcome::Answered => write!(f, "picker    {name} answered itself in {took}")?,
            PickerOutcome::Failed => write!(f, "picker    {name} failed after {took}")?,
            PickerOutcome::NotAsked => {
                write!(f, "picker    {name} picks in a running gateway; here the built-in one stands in")?;
            }
        }
        if self.why.is_some() { writeln!(f, ": {why}") } else { writeln!(f) }
    }
}

impl Display for Decided {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Decided { decided_in_seconds, weighed, passed_over, .. } = self;
        let Some(best) = self.candidates.first() else {
            let endpoints: Vec<String> = self.endpoints.iter().map(ToString::to_string).collect();
            return writeln!(f, "ordered   {}", endpoints.join(", "));
        };
        let took = rounded(*decided_in_seconds);
        write!(f, "decided   in {took}: {weighed} weighed, {passed_over} passed over")?;
        let equal = self.candidates.iter().filter(|candidate| candidate.total == best.total).count();
        writeln!(
            f,
            "{}",
            if equal > 1 { format!("; the best {equal} are equal: drawn by lot") } else { String::new() }
        )?;
        for candidate in &self.candidates {
            let (endpoint, total) = (candidate.endpoint.to_string(), shown(candidate.total));
            writeln!(f, "  {endpoint:<21} {total:>8.3}  {}", candidate.load(self.prompt_bytes))?;
            for (scorer, score) in candidate.scores.iter().filter(|(_, score)| shown(**score) != 0.0) {
                writeln!(f, "    {:>28.3}  {scorer}", shown(*score))?;
            }
        }
        self.passed.iter().try_for_each(|passed| passed.fmt(f))?;
        match passed_over.saturating_sub(self.passed.len() as u32) {
            more if more > 0 && !self.passed.is_empty() => writeln!(f, "  and {more} more passed over"),
            _ => Ok(()),
        }
    }
}

impl Display for Answer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let status = self.status.map_or("nothing".to_owned(), |status| status.to_string());
        write!(f, "answered  {status}")?;
        // Offline no time passes.
        if self.ended_in_seconds > 0.0 {
            write!(f, " after {}, {}", rounded(self.ended_in_seconds), counted(self.bytes, "byte"))?;
        }
        if let Some(first) = self.first_token_in_seconds {
            write!(f, ", first byte after {}", rounded(first))?;
        }
        if let (Some(tokens), Some(source)) = (self.output_tokens, self.tokens) {
            write!(f, ", {} ({source})", counted(tokens, "token"))?;
        }
        if let Some(why) = self.cut_short {
            write!(f, ", {why}")?;
        }
        writeln!(f)
    }
}

/// A score with as many digits as are shown, and no sign where these are all zero.
fn shown(score: f32) -> f32 {
    (score * 1e3).round() / 1e3 + 0.0
}

/// A time with about three digits.
fn rounded(seconds: f64) -> String {
    match seconds {
        0.0..1e-3 => format!("{:.0} µs", seconds * 1e6),
        1e-3..10e-3 => format!("{:.1} ms", seconds * 1e3),
        10e-3..1.0 => format!("{:.0} ms", seconds * 1e3),
        1.0..10.0 => format!("{seconds:.2} s"),
        _ => format!("{seconds:.1} s"),
    }
}

/// A message with nothing in it that moves a terminal's cursor.
fn printable(message: &str) -> String {
    let mut printable = String::with_capacity(message.len());
    for char in message.chars() {
        match char {
            '"' | '\'' | '\\' => printable.push(char),
            char => printable.extend(char.escape_debug()),
        }
    }
    printable
}

fn quoted(text: Option<&str>) -> String {
    text.map_or("none".to_owned(), |text| format!("{text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::{picked_elsewhere, refused, served};

    const SCORERS: [&str; 2] = ["queue-scorer", "prefix-cache-scorer"];

    #[test]
    fn an_explanation_tells_the_rule_each_score_and_what_was_expected_and_came() {
        let json = serde_json::to_value(Explanation::new(&served(), &SCORERS)).unwrap();
        assert_eq!(json["rule"], "default/routes-to-llms rule 0 match 0");
        let best = &json["decision"]["candidates"][0];
        assert_eq!(best["scores"], serde_json::json!({"queue-scorer": 0.5, "prefix-cache-scorer": 0.25}));
        assert_eq!(
            (&best["waiting"], &best["kv_used"]),
            (&serde_json::Value::Null, &serde_json::Value::Null)
        );
        assert_eq!(json["cached_tokens"], serde_json::json!({"predicted": 25, "reported": 16}));
        assert_eq!(
            json["attempts"][0],
            serde_json::json!({"endpoint": "127.0.0.1:8001", "outcome": "server_error", "status": 503})
        );
    }

    #[test]
    fn the_text_says_the_same_to_a_person() {
        let text = Explanation::new(&served(), &SCORERS).to_string();
        let expected = r#"request   req-1 at 2025-11-23T12:00:00.250Z
asked     chat_completions, streamed, model "chatbot", sent as "gemma3", priority 0, 2048 bytes
rule      default/routes-to-llms rule 0 match 0
backend   default/gemma3
decided   in 2 µs: 4 weighed, 2 passed over
  127.0.0.1:8001           0.750  3 in flight, nothing reported yet, 1024 of 1536 prompt bytes known
                           0.250  prefix-cache-scorer
                           0.500  queue-scorer
  127.0.0.1:8003          passed: it rests after failures, 12.0 s more
  and 1 more passed over
attempt 1 127.0.0.1:8001: server_error (503)
attempt 2 127.0.0.1:8002: served
cached    25 prompt tokens predicted, 16 reported
answered  200 after 1.25 s, 4096 bytes, first byte after 250 ms, 11 tokens (estimated)
"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn a_pick_of_somebody_else_is_told_with_its_time_and_its_failure() {
        let text = Explanation::new(&picked_elsewhere(), &SCORERS).to_string();
        let expected = "picked    by default/epp:9002 in 1.5 ms
ordered   127.0.0.1:8001, 127.0.0.1:8002
attempt 1";
        assert!(text.contains(expected), "{text}");
        let mut failed = served();
        failed.picker = picked_elsewhere().picker.map(|asked| {
            let why = Some("no answer within 10s".into());
            Box::new(AskedPicker { outcome: PickerOutcome::Failed, why, ..*asked })
        });
        let text = Explanation::new(&failed, &SCORERS).to_string();
        let expected = "picker    default/epp:9002 failed after 1.5 ms: no answer within 10s\ndecided   in";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn a_score_that_rounds_to_zero_has_no_sign_and_no_line() {
        let mut record = served();
        let decision = record.decision.as_mut().unwrap();
        decision.candidates[0].total = -0.0001;
        decision.candidates[0].parts[0] = -0.0;
        let text = Explanation::new(&record, &SCORERS).to_string();
        assert!(text.contains(" 0.000  3 in flight") && !text.contains("-0.000"), "{text}");
        assert!(!text.contains("queue-scorer"), "{text}");
    }

    #[test]
    fn what_the_gateway_answered_itself_is_told_as_that() {
        let listed = Record { status: 200, ..Record::blank() };
        assert!(Explanation::new(&listed, &[]).to_string().contains("backend   the gateway itself\n"));
        let gone = Record { cancelled: true, ..Record::blank() };
        assert!(Explanation::new(&gone, &[]).to_string().contains("backend   nowhere\n"));
    }

    #[test]
    fn a_response_that_was_cut_short_is_told_with_who_cut_it() {
        for (outcome, name, why) in [
            (Outcome::Broken, "broken", ", the model server broke off"),
            (Outcome::TimedOut, "timed_out", ", the model server took too long"),
            (Outcome::Late, "late", ", the route's time for the request was over"),
            (Outcome::LocalReply, "local_reply", ", the gateway in front seems to have answered itself"),
            (Outcome::Stopped, "stopped", ", the gateway stopped"),
            (Outcome::Cancelled, "cancelled", ", the client went away"),
            (Outcome::Served, "served", ""),
        ] {
            let mut record = Record { cancelled: outcome == Outcome::Cancelled, ..served() };
            record.attempts[1].outcome = outcome;
            let text = Explanation::new(&record, &SCORERS).to_string();
            let expected = format!("11 tokens (estimated){why}\n");
            assert!(
                text.ends_with(&expected) && text.contains(&format!("attempt 2 127.0.0.1:8002: {name}\n")),
                "{text}"
            );
        }
    }

    #[test]
    fn endpoints_that_are_equally_good_are_told_to_be() {
        let mut record = served();
        let decision = record.decision.as_mut().unwrap();
        let candidate =
            journey::Candidate { matched_bytes: 0, waiting: 2, kv_used: 0.5, ..decision.candidates[0] };
        decision.candidates = [candidate, candidate].into_iter().collect();
        let text = Explanation::new(&record, &SCORERS).to_string();
        assert!(text.contains("2 passed over; the best 2 are equal: drawn by lot\n"), "{text}");
        assert!(text.contains("0.750  3 in flight, 2 waiting, KV 50%\n"), "{text}");
    }

    #[test]
    fn what_makes_a_score_besides_requests_in_flight_is_told_with_the_endpoints_standing() {
        let mut record = served();
        let decision = record.decision.as_mut().unwrap();
        let best = &mut decision.candidates[0];
        (best.in_flight, best.of_others, best.after_failures) = (0, 2, 16.104);
        best.fitness = Fitness::ThoughResting;
        let text = Explanation::new(&record, &SCORERS).to_string();
        let expected = "0 in flight, 2 of others, 16.1 counted after failures, nothing reported yet, 1024 of 1536 prompt \
                        bytes known, should rest but half of its pool does\n";
        assert!(text.contains(expected), "{text}");
        let json = serde_json::to_value(Explanation::new(&record, &SCORERS)).unwrap();
        let best = &json["decision"]["candidates"][0];
        assert_eq!((&best["fitness"], &best["of_others"]), (&"though_resting".into(), &2.into()));
    }

    #[test]
    fn each_endpoint_that_was_passed_over_is_told_with_why() {
        let mut record = served();
        let decision = record.decision.as_mut().unwrap();
        let table = [
            (WhyPassedOver::Filtered("low-queue-filter"), "filtered", "low-queue-filter took it away"),
            (WhyPassedOver::OnTrial, "on_trial", "it is on trial by another request"),
            (WhyPassedOver::OutsideSubset, "outside_subset", "it is outside the subset"),
            (WhyPassedOver::Unscraped, "unscraped", "its metrics are not answered any more"),
        ];
        let passed = |why| PassedOver { endpoint: SocketAddr::from(([10, 0, 0, 9], 8000)), why };
        decision.passed = table.iter().map(|(why, ..)| passed(*why)).collect();
        let explanation = Explanation::new(&record, &SCORERS);
        let json = serde_json::to_value(&explanation).unwrap();
        for (place, (_, name, words)) in table.into_iter().enumerate() {
            assert_eq!(json["decision"]["passed"][place]["why"], name);
            let line = format!("  10.0.0.9:8000           passed: {words}\n");
            assert!(explanation.to_string().contains(&line), "{explanation}");
        }
        assert_eq!(json["decision"]["passed"][0]["filter"], "low-queue-filter");
    }

    #[test]
    fn behind_a_gateway_nothing_is_said_of_rules() {
        let picked = Record { rule: None, ..served() };
        let text = Explanation::new(&picked, &SCORERS).to_string();
        assert!(!text.contains("rule ") && text.contains("backend   default/gemma3\n"), "{text}");
    }

    #[test]
    fn a_refused_request_has_the_priority_that_it_was_refused_by() {
        let mut record = refused("chatbot");
        let saturated = journey::Refusal::table().into_iter().find(|refusal| refusal.priority() == Some(-1));
        record.refuse(&saturated.unwrap());
        let text = Explanation::new(&record, &[]).to_string();
        assert!(text.contains(r#"model "chatbot", priority -1, "#), "{text}");
        assert!(text.contains("is saturated and the request's priority is -1"), "{text}");
    }

    #[test]
    fn a_refusal_is_explained_with_its_step_and_nothing_raw_from_the_client() {
        let text = Explanation::new(&refused("evil\u{1b}[31m"), &[]).to_string();
        assert!(text.contains("rule      none matched\n"), "{text}");
        assert!(text.contains("backend   nowhere\n"), "{text}");
        let refusal = r#"refused   by route: model_unknown: the model "evil\u{1b}[31m" does not exist here"#;
        assert!(text.contains(refusal) && !text.contains("priority"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}
