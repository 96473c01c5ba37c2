//! Answers held against what is expected of them.

use crate::request::bytes;
use crate::{Answer, Ends, Response, Sent, Step};
use http::HeaderMap;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// Why an answer is not as it must be.
type Held = Result<(), String>;

/// The least and the most share of each.
type Shares = BTreeMap<String, [f64; 2]>;

/// What is expected; only what is named is checked, and that a body arrives as it was sent.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Expect {
    status: Option<u16>,
    #[serde(deserialize_with = "named")]
    pool: Option<Option<String>>,
    endpoint: Option<usize>,
    endpoint_same_as: Option<String>,
    model_sent: Option<String>,
    body_sent: Option<Value>,
    path_sent: Option<String>,
    headers_sent: BTreeMap<String, Option<String>>,
    headers: BTreeMap<String, Option<String>>,
    fields: BTreeMap<String, Value>,
    explained: BTreeMap<String, Value>,
    stream: bool,
    pools: Shares,
    endpoints: Shares,
    models_sent: Shares,
}

/// What is named, be it `null`.
fn named<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Expect {
    /// Holds the answers to a request against this; `endpoints` are those of earlier steps.
    pub(crate) fn hold(&self, step: &Step, answers: &[Answer], endpoints: &HashMap<&str, usize>) -> Held {
        let same_as = self.endpoint_same_as.as_deref().map(|step| {
            *endpoints.get(step).unwrap_or_else(|| panic!("no step {step:?} before reached an endpoint"))
        });
        for answer in answers {
            equal("status", &answer.status(), self.status.as_ref()).map_err(|why| told(why, answer))?;
            let sent = answer.sent.as_ref();
            let pool = sent.map(|sent| sent.pool.clone());
            equal("pool", &pool, self.pool.as_ref()).map_err(|why| told(why, answer))?;
            let endpoint = sent.map(|sent| sent.endpoint);
            for expected in [self.endpoint, same_as] {
                equal("endpoint", &endpoint, expected.map(Some).as_ref())?;
            }
            let model = self.model_sent.clone().map(Some);
            equal("model sent", &answer.model_sent(), model.as_ref()).map_err(|why| told(why, answer))?;
            match sent {
                Some(sent) => self.hold_sent(step, sent)?,
                None if self.path_sent.is_some() || self.body_sent.is_some() => {
                    return Err("nothing was sent".to_owned());
                }
                None => {}
            }
            if let Some(response) = &answer.response {
                self.hold_response(response).map_err(|why| told(why, answer))?;
                sent.map_or(Ok(()), |sent| passed_on(step, sent, response))?;
            }
            fields(answer.explained.as_ref().unwrap_or(&Value::Null), &self.explained)?;
        }
        let sent = || answers.iter().filter_map(|answer| answer.sent.as_ref());
        shares("pools", &self.pools, sent().map(|sent| sent.pool.clone()))?;
        shares("endpoints", &self.endpoints, sent().map(|sent| sent.endpoint.to_string()))?;
        shares("models sent", &self.models_sent, answers.iter().filter_map(Answer::model_sent))
    }

    fn hold_sent(&self, step: &Step, sent: &Sent) -> Held {
        equal("path sent", &sent.path, self.path_sent.as_ref())?;
        headers("header sent", &sent.headers, &self.headers_sent)?;
        let lengths = sent.headers.get_all(http::header::CONTENT_LENGTH).iter();
        for length in lengths.filter_map(|length| length.to_str().ok()) {
            equal("Content-Length sent", &length.to_owned(), Some(&sent.body.len().to_string()))?;
        }
        let expected = match &self.body_sent {
            Some(body) => Some(bytes(body).into()),
            None if self.rewrites(step) => None,
            None => Some(step.request.body()),
        };
        equal("body sent", &sent.body, expected.as_ref())
    }

    /// Whether another model than the one asked for is sent: then the body is another, too.
    fn rewrites(&self, step: &Step) -> bool {
        !self.models_sent.is_empty() || (self.model_sent.is_some() && self.model_sent != step.request.model())
    }

    fn hold_response(&self, response: &Response) -> Held {
        headers("header", &response.headers, &self.headers)?;
        let text = String::from_utf8_lossy(&response.body);
        if !self.fields.is_empty() {
            let body: Value = serde_json::from_slice(&response.body).map_err(|error| error.to_string())?;
            fields(&body, &self.fields)?;
        }
        if self.stream && !(text.starts_with("data: ") && text.trim_end().ends_with("data: [DONE]")) {
            return Err("it is no stream of events with an end".to_owned());
        }
        Ok(())
    }
}

/// A described reply reaches the client byte for byte, as far as it came; a gateway may add a word to one that broke.
fn passed_on(step: &Step, sent: &Sent, response: &Response) -> Held {
    let reply = step.reply(sent.endpoint);
    if step.replies.is_none() || step.request.method == "HEAD" || reply.ends == Ends::Silent {
        return Ok(());
    }
    let came = &response.body[..response.body.len().min(reply.body().len())];
    let whole = reply.ends == Ends::Broken || response.body.len() == came.len();
    equal("body of the answer", &came, Some(&&reply.body()[..]))?;
    if whole { Ok(()) } else { Err("more came than the endpoint answered".to_owned()) }
}

/// What stands in a JSON text at each pointer.
fn fields(body: &Value, expected: &BTreeMap<String, Value>) -> Held {
    for (pointer, value) in expected {
        let there = body.pointer(pointer).unwrap_or(&Value::Null);
        if !matches(there, value) {
            return Err(format!("{pointer} is {there}, not {value}"));
        }
    }
    Ok(())
}

/// The reason with what the client got.
fn told(why: String, answer: &Answer) -> String {
    let body = answer.response.as_ref().map(|response| String::from_utf8_lossy(&response.body));
    format!("{why}; the answer was {} {}", answer.status(), body.unwrap_or_default())
}

/// `found` is what is expected, if something is.
fn equal<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: Option<&T>) -> Held {
    match expected {
        Some(expected) if expected != found => Err(format!("{what} is {found:?}, not {expected:?}")),
        _ => Ok(()),
    }
}

/// Each header begins as expected, or is not there where that is expected.
fn headers(what: &str, found: &HeaderMap, expected: &BTreeMap<String, Option<String>>) -> Held {
    for (name, begins) in expected {
        let there = found.get(name).map(|there| String::from_utf8_lossy(there.as_bytes()));
        let matches = match (&there, begins) {
            (Some(there), Some(begins)) => there.starts_with(begins.as_str()),
            (there, begins) => there.is_none() && begins.is_none(),
        };
        if !matches {
            return Err(format!("{what} {name} is {there:?}, not {begins:?}"));
        }
    }
    Ok(())
}

/// A string matches if it is contained, `"*"` matches whatever is there.
fn matches(there: &Value, value: &Value) -> bool {
    match (there, value) {
        (_, Value::String(any)) if any == "*" => !there.is_null(),
        (Value::String(there), Value::String(part)) => there.contains(part.as_str()),
        _ => there == value,
    }
}

/// The shares of what was found lie between the least and the most expected.
fn shares(what: &str, expected: &Shares, found: impl Iterator<Item = String>) -> Held {
    let mut counts: BTreeMap<String, f64> = BTreeMap::new();
    found.for_each(|found| *counts.entry(found).or_default() += 1.0);
    let all: f64 = counts.values().sum();
    for (key, [least, most]) in expected {
        let share = counts.get(key).unwrap_or(&0.0) / all;
        if !(*least..=*most).contains(&share) {
            return Err(format!("{what}: {key} has {share} of {all}: {counts:?}"));
        }
    }
    Ok(())
}
