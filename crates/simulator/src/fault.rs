//! Faults on demand: what a model server does wrong, from the start or from a moment on.
//!
//! A fault is written `kind` or `kind=value`; `POST /sim/fault` takes a JSON list of such strings, which replaces every
//! fault there was (`[]` heals).

use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

/// Something done wrong.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub enum Fault {
    /// `slow=4`: every step takes this many times as long.
    Slow(f64),
    /// `hang`: requests (scrapes too) are read and never answered, as by a stopped process.
    Hang,
    /// `slow-headers=2s`: an answer's head comes this much later (wall time).
    SlowHeaders(Duration),
    /// `status=500` or `status=503@0.2`: a request gets this status at once, with this probability.
    Status {
        /// The status.
        code: u16,
        /// The probability, 0 to 1.
        rate: f64,
    },
    /// `reset-after-tokens=3`: the connection is reset after this many tokens of a streamed answer, and instead of a
    /// whole one's head.
    ResetAfterTokens(u32),
    /// `drop-after-bytes=100`: the connection is closed after this many bytes of an answer's body.
    DropAfterBytes(u64),
    /// `excess-bytes=10`: this many bytes follow the answer beyond its `Content-Length`.
    ExcessBytes(u32),
    /// `refuse`: connections are reset with their first bytes, but for those that begin with `POST /sim/fault`, which heals.
    /// `refuse=10`: the next 10 are reset as soon as they are accepted, whatever they are for.
    Refuse {
        /// How many connections; none means all.
        connections: Option<u32>,
    },
    /// `metrics=WAITING,RUNNING,KV`: what the metrics page claims, whatever is true.
    Metrics {
        /// Requests waiting.
        waiting: u32,
        /// Requests running.
        running: u32,
        /// KV cache in use, 0 to 1.
        kv_usage: f64,
    },
}

/// The kinds, and how each is written.
const FORMS: [(&str, &str); 9] = [
    ("slow", "slow=FACTOR (0 to 1000000)"),
    ("hang", "hang"),
    ("slow-headers", "slow-headers=TIME (2s, 500ms)"),
    ("status", "status=CODE or status=CODE@RATE (400 to 599, 0 to 1)"),
    ("reset-after-tokens", "reset-after-tokens=COUNT"),
    ("drop-after-bytes", "drop-after-bytes=COUNT"),
    ("excess-bytes", "excess-bytes=COUNT"),
    ("refuse", "refuse or refuse=COUNT"),
    ("metrics", "metrics=WAITING,RUNNING,KV (KV from 0 to 1)"),
];

/// Text that is not a fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// The kind is none of ours.
    #[error("`{0}` is no fault; there are {forms}", forms = FORMS.map(|(_, form)| form).join("; "))]
    Unknown(String),
    /// The kind is known, its value is not one.
    #[error("`{value}` is no value for the fault {kind}: write {form}")]
    BadValue {
        /// The fault.
        kind: String,
        /// How it is written.
        form: &'static str,
        /// What stood after the `=`.
        value: String,
    },
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, value) = text.split_once('=').unwrap_or((text, ""));
        let parsed = match kind {
            "slow" => value.parse().ok().filter(|factor: &f64| (0.0..=1e6).contains(factor)).map(Self::Slow),
            "hang" => value.is_empty().then_some(Self::Hang),
            "slow-headers" => duration(value).map(Self::SlowHeaders),
            "status" => status(value),
            "reset-after-tokens" => value.parse().ok().map(Self::ResetAfterTokens),
            "drop-after-bytes" => value.parse().ok().map(Self::DropAfterBytes),
            "excess-bytes" => value.parse().ok().map(Self::ExcessBytes),
            "refuse" if value.is_empty() => Some(Self::Refuse { connections: None }),
            "refuse" => value.parse().ok().map(|count| Self::Refuse { connections: Some(count) }),
            "metrics" => metrics(value),
            _ => None,
        };
        let form = FORMS.iter().find(|(known, _)| *known == kind);
        let &(_, form) = form.ok_or_else(|| FaultError::Unknown(text.into()))?;
        parsed.ok_or_else(|| FaultError::BadValue { kind: kind.into(), form, value: value.into() })
    }
}

impl TryFrom<String> for Fault {
    type Error = FaultError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

fn duration(text: &str) -> Option<Duration> {
    match text.strip_suffix("ms") {
        Some(milliseconds) => milliseconds.parse().ok().map(Duration::from_millis),
        None => text.strip_suffix('s')?.parse().ok().map(Duration::from_secs),
    }
}

fn status(text: &str) -> Option<Fault> {
    let (code, rate) = text.split_once('@').unwrap_or((text, "1"));
    let code = code.parse().ok().filter(|code| (400..600).contains(code))?;
    let rate = rate.parse().ok().filter(|rate| (0.0..=1.0).contains(rate))?;
    Some(Fault::Status { code, rate })
}

fn metrics(text: &str) -> Option<Fault> {
    let mut parts = text.split(',');
    let waiting = parts.next()?.parse().ok()?;
    let running = parts.next()?.parse().ok()?;
    let kv_usage = parts.next()?.parse().ok().filter(|usage| (0.0..=1.0).contains(usage))?;
    parts.next().is_none().then_some(Fault::Metrics { waiting, running, kv_usage })
}

/// The faults of one server at one moment: the last of a kind counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn new(faults: Vec<Fault>) -> Self {
        Self(faults)
    }

    fn find<T>(&self, pick: impl Fn(&Fault) -> Option<T>) -> Option<T> {
        self.0.iter().rev().find_map(pick)
    }

    pub(crate) fn slowdown(&self) -> f64 {
        self.find(|fault| if let Fault::Slow(factor) = fault { Some(*factor) } else { None }).unwrap_or(1.0)
    }

    pub(crate) fn hangs(&self) -> bool {
        self.0.contains(&Fault::Hang)
    }

    pub(crate) fn slow_headers(&self) -> Option<Duration> {
        self.find(|fault| if let Fault::SlowHeaders(delay) = fault { Some(*delay) } else { None })
    }

    /// The status to answer with, if this `roll` (0 to 1) hits.
    pub(crate) fn status(&self, roll: f64) -> Option<u16> {
        self.find(|fault| match fault {
            Fault::Status { code, rate } if roll < *rate => Some(*code),
            _ => None,
        })
    }

    pub(crate) fn reset_after_tokens(&self) -> Option<u32> {
        self.find(|fault| if let Fault::ResetAfterTokens(tokens) = fault { Some(*tokens) } else { None })
    }

    pub(crate) fn drop_after_bytes(&self) -> Option<u64> {
        self.find(|fault| if let Fault::DropAfterBytes(bytes) = fault { Some(*bytes) } else { None })
    }

    pub(crate) fn excess_bytes(&self) -> Option<u32> {
        self.find(|fault| if let Fault::ExcessBytes(bytes) = fault { Some(*bytes) } else { None })
    }

    /// The load that the metrics page claims, if it lies: waiting, running, KV usage.
    pub(crate) fn metrics(&self) -> Option<(u32, u32, f64)> {
        self.find(|fault| match fault {
            Fault::Metrics { waiting, running, kv_usage } => Some((*waiting, *running, *kv_usage)),
            _ => None,
        })
    }

    /// What becomes of the connection just accepted; counts it.
    pub(crate) fn welcome(&mut self) -> Welcome {
        let welcome = self.0.iter_mut().find_map(|fault| match fault {
            Fault::Refuse { connections: None } => Some(Welcome::ToHeal),
            Fault::Refuse { connections: Some(left) } if *left > 0 => {
                *left -= 1;
                Some(Welcome::Not)
            }
            _ => None,
        });
        welcome.unwrap_or(Welcome::Yes)
    }
}

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Welcome {
    /// It is served.
    Yes,
    /// It is served if it begins by setting faults, and else reset.
    ToHeal,
    /// It is reset.
    Not,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_kind_is_read() {
        let table = [
            ("slow=2.5", Fault::Slow(2.5)),
            ("hang", Fault::Hang),
            ("slow-headers=20ms", Fault::SlowHeaders(Duration::from_millis(20))),
            ("slow-headers=3s", Fault::SlowHeaders(Duration::from_secs(3))),
            ("status=500", Fault::Status { code: 500, rate: 1.0 }),
            ("status=503@0.25", Fault::Status { code: 503, rate: 0.25 }),
            ("reset-after-tokens=3", Fault::ResetAfterTokens(3)),
            ("drop-after-bytes=7", Fault::DropAfterBytes(7)),
            ("excess-bytes=9", Fault::ExcessBytes(9)),
            ("refuse", Fault::Refuse { connections: None }),
            ("refuse=2", Fault::Refuse { connections: Some(2) }),
            ("metrics=3,2,0.5", Fault::Metrics { waiting: 3, running: 2, kv_usage: 0.5 }),
        ];
        for (text, fault) in table {
            assert_eq!(text.parse(), Ok(fault), "{text}");
        }
    }

    #[test]
    fn a_value_out_of_its_range_is_refused_with_the_form_that_is_wanted() {
        for text in [
            "slow=-1",
            "slow=NaN",
            "status=200",
            "status=500@2",
            "metrics=1,1,80",
            "metrics=1,1,NaN",
            "hang=1",
        ] {
            let refused = text.parse::<Fault>().expect_err(text).to_string();
            let (kind, _) = text.split_once('=').expect("each has a value");
            assert!(refused.contains(&format!("the fault {kind}: write {kind}")), "{refused}");
        }
        let unknown = "slo=1".parse::<Fault>().expect_err("no such fault").to_string();
        assert!(unknown.contains("; metrics=WAITING,RUNNING,KV (KV from 0 to 1)"), "{unknown}");
    }

    proptest! {
        #[test]
        fn no_text_panics(kind in "slow|hang|status|slow-headers|refuse|metrics|.*", value in ".*") {
            let _ = format!("{kind}={value}").parse::<Fault>();
        }
    }
}
