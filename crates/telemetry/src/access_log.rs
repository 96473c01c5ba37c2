//! A request in one line, when it has ended.
//!
//! In: a [`Record`]. Out: a line without its end. Never: a prompt; a byte from the client that a terminal or a log reader
//! could take for something else (names and messages are escaped).

use crate::{Record, names};
use serde::Serializer;
use serde_json::Value;
use std::fmt::Write;
use std::time::{Duration, SystemTime};

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `name=value` words, for people.
    Plain,
    /// One JSON object, for machines.
    Json,
}

/// A request as a line of the access log, without the line's end.
pub fn access_log(record: &Record, format: LogFormat) -> String {
    let fields = fields(record);
    match format {
        LogFormat::Json => json(fields),
        LogFormat::Plain => plain(fields),
    }
}

/// The fields of a line, in their order. What is not there is left out.
fn fields(record: &Record) -> Vec<(&'static str, Value)> {
    let refusal = record.refusal.as_ref();
    let picker = record.picker.as_deref();
    let mut fields: Vec<(&'static str, Value)> = vec![
        ("time", timestamp(record.at).into()),
        ("id", record.id.as_str().into()),
        ("status", record.status.into()),
        ("model", record.model.as_ref().map(|model| &*model.0).into()),
        ("target_model", record.target_model.as_ref().map(|target| &*target.0).into()),
        ("backend", record.backend.as_deref().into()),
        ("picker", picker.map(|asked| &*asked.picker).into()),
        ("picker_outcome", picker.map(|asked| names::picker_outcome(asked.outcome)).into()),
        ("picker_seconds", picker.map(|asked| seconds(asked.took)).into()),
        ("picker_error", picker.and_then(|asked| asked.why.as_deref()).into()),
        ("endpoint", record.attempts.last().map(|attempt| attempt.endpoint.to_string()).into()),
        ("rule", record.rule.as_deref().into()),
        ("dialect", names::dialect(record.dialect).into()),
        ("stream", record.stream.into()),
        ("priority", record.priority.into()),
        ("attempts", record.attempts.len().into()),
        ("outcome", record.attempts.last().map(|attempt| names::outcome(attempt.outcome)).into()),
        ("cancelled", record.cancelled.into()),
        ("duration_seconds", seconds(record.ended_in).into()),
        ("first_token_seconds", record.first_token_in.map(seconds).into()),
        ("request_bytes", record.request_bytes.into()),
        ("response_bytes", record.response_bytes.into()),
        ("input_tokens", record.usage.input_tokens.into()),
        ("cached_tokens", record.usage.cached_tokens.into()),
        ("output_tokens", record.usage.output_tokens.into()),
        ("tokens", record.usage.source.map(names::token_source).into()),
        ("headers_removed", (record.headers_removed > 0).then_some(record.headers_removed).into()),
        ("refused_by", refusal.map(|refused| names::step(refused.step)).into()),
        ("reason", refusal.map(|refused| refused.reason).into()),
        ("message", refusal.map(|refused| &*refused.message).into()),
    ];
    fields.retain(|(_, value)| !value.is_null());
    fields
}

fn json(fields: Vec<(&'static str, Value)>) -> String {
    let mut line = Vec::new();
    let written = serde_json::Serializer::new(&mut line).collect_map(fields);
    written.expect("names and plain values become JSON");
    String::from_utf8(line).expect("JSON is UTF-8")
}

/// The fields as `name=value`; a value with anything but plain characters is quoted and escaped.
fn plain(fields: Vec<(&'static str, Value)>) -> String {
    let mut words = String::new();
    for (name, value) in fields {
        let separator = if words.is_empty() { "" } else { " " };
        let written = match value.as_str() {
            Some(text) if !text.is_empty() && text.bytes().all(is_plain) => {
                write!(words, "{separator}{name}={text}")
            }
            Some(text) => write!(words, "{separator}{name}={text:?}"),
            None => write!(words, "{separator}{name}={value}"),
        };
        written.expect("writing to a String does not fail");
    }
    words
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_./:@+".contains(&byte)
}

/// A time as RFC 3339 has it, to the millisecond.
pub(crate) fn timestamp(at: SystemTime) -> String {
    jiff::Timestamp::try_from(at).map_or_else(|_| "unknown".to_owned(), |at| format!("{at:.3}"))
}

/// Seconds, to the microsecond: the digits beyond are noise.
pub(crate) fn seconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::{picked_elsewhere, refused, served};

    #[test]
    fn a_line_of_json_says_what_happened() {
        let line: Value = serde_json::from_str(&access_log(&served(), LogFormat::Json)).unwrap();
        assert_eq!(line["time"], "2025-11-23T12:00:00.250Z");
        assert_eq!((&line["model"], &line["target_model"]), (&"chatbot".into(), &"gemma3".into()));
        assert_eq!((&line["endpoint"], &line["attempts"]), (&"127.0.0.1:8002".into(), &2.into()));
        assert_eq!((&line["duration_seconds"], &line["tokens"]), (&1.25.into(), &"estimated".into()));
        assert!(line.get("reason").is_none() && line.get("headers_removed").is_none());
    }

    #[test]
    fn a_line_says_who_picked_if_it_was_somebody_else() {
        let line = access_log(&picked_elsewhere(), LogFormat::Plain);
        let expected = " picker=default/epp:9002 picker_outcome=picked picker_seconds=0.0015 endpoint=";
        assert!(line.contains(expected), "{line}");
        assert!(!access_log(&served(), LogFormat::Plain).contains("picker"));
    }

    #[test]
    fn a_plain_line_escapes_what_a_client_chose() {
        let line = access_log(&refused("evil\n\u{1b}[31m model"), LogFormat::Plain);
        assert!(line.contains(r#"model="evil\n\u{1b}[31m model""#), "{line}");
        assert!(
            line.contains("status=404 ") && line.contains("refused_by=route reason=model_unknown"),
            "{line}"
        );
        assert!(line.bytes().all(|byte| (b' '..0x7f).contains(&byte)), "{line}");
    }
}
