//! An explanation as text for a person.
//!
//! In: an [`Explanation`]. Out: lines for a terminal. Never: a character of a message that moves the cursor.

use super::{Answer, Asked, CachedTokens, Decided, Explanation, Passed};
use crate::PickerOutcome;
use crate::access_log::seconds;
use journey::{WhyPassedOver, counted};
use std::fmt::{self, Display, Formatter};

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
