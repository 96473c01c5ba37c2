//! What a person at a terminal sees: colours only where there is a terminal (`anstream` strips them elsewhere).

use anstyle::{AnsiColor, Style};
use journey::counted;

/// Something failed.
pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
/// Something to look at.
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
/// It worked.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// A name: a model, a pool, an endpoint.
pub(crate) const NAME: Style = AnsiColor::Cyan.on_default();
/// Details.
pub(crate) const DIM: Style = Style::new().dimmed();
/// A heading.
pub(crate) const HEADING: Style = Style::new().bold();

/// A request in one line: what was asked, where it went, what came, and why it went there.
pub(crate) fn request_line(record: &telemetry::Record) -> String {
    let at = jiff::Timestamp::try_from(record.at).map_or_else(
        |_| "--:--:--".to_owned(),
        |at| at.to_zoned_datetime(jiff::tz::TimeZone::system()).strftime("%H:%M:%S").to_string(),
    );
    let asked = record.model.as_ref().map_or("no model", |model| &model.0);
    let sent = match &record.target_model {
        Some(target) if *target.0 != *asked => format!(" as {NAME}{}{NAME:#}", target.0),
        _ => String::new(),
    };
    let backend = record.place();
    let place =
        record.attempts.last().map_or(String::new(), |last| format!(" → {NAME}{}{NAME:#}", last.endpoint));
    let style = if record.status < 400 { GOOD } else { ERROR };
    format!(
        "{DIM}{at}{DIM:#}  {NAME}{asked}{NAME:#}{sent} → {NAME}{backend}{NAME:#}{place}  {style}{}{style:#}  {}{}",
        record.status,
        outcome(record),
        why(record),
    )
}

fn outcome(record: &telemetry::Record) -> String {
    if let Some(refused) = &record.refusal {
        // What came from the client must not move the terminal's cursor.
        let message: String = refused.message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        return format!("{}: {message}", refused.reason);
    }
    // Of an answer that comes whole the first byte tells nothing of the first token.
    let first = record.first_token_in.filter(|_| record.stream);
    let first = first.map_or(String::new(), |first| format!("first token {}, ", milliseconds(first)));
    let tokens = record.usage.output_tokens;
    let tokens = tokens.map_or(String::new(), |tokens| format!("{}, ", counted(tokens, "token")));
    let cut_short = record.cut_short().map_or(String::new(), |why| format!(", {why}"));
    format!("{first}{tokens}{} in all{cut_short}", milliseconds(record.ended_in))
}

fn why(record: &telemetry::Record) -> String {
    let Some(decision) = &record.decision else { return String::new() };
    let Some(best) = decision.candidates.first() else { return String::new() };
    let next = decision
        .candidates
        .get(1)
        .map_or(String::new(), |next| format!("; next best: {}", load(next, record)));
    format!("  {DIM}picked of {}: {}{next}{DIM:#}", decision.weighed, load(best, record))
}

fn load(candidate: &journey::Candidate, record: &telemetry::Record) -> String {
    let mut said = format!("{} in flight", candidate.in_flight);
    if candidate.waiting != u32::MAX {
        said.push_str(&format!(", {} waiting", candidate.waiting));
    }
    if candidate.kv_used.is_finite() {
        said.push_str(&format!(", KV {:.0} %", candidate.kv_used * 100.0));
    }
    if candidate.matched_bytes > 0 {
        said.push_str(&format!(", {} of {} B known", candidate.matched_bytes, record.request_bytes));
    }
    said
}

fn milliseconds(time: std::time::Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    if ms < 10.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn only_a_streams_first_token_is_told() {
        let told = |stream, tokens| {
            let mut record = telemetry::Record { stream, ..telemetry::Record::blank() };
            record.first_token_in = Some(Duration::from_millis(20));
            record.ended_in = Duration::from_millis(80);
            record.usage.output_tokens = Some(tokens);
            outcome(&record)
        };
        assert_eq!(told(true, 43), "first token 20 ms, 43 tokens, 80 ms in all");
        assert_eq!(told(false, 1), "1 token, 80 ms in all");
    }
}
