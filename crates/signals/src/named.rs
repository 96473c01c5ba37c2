//! Metrics under names that an operator gives, in the place of those that the engines document.
//!
//! In: a page, and what its engine's own names told. Out: the same [`Signals`], where a given name was found by that one.
//! Source: GAIE v0.5.1 to v1.5, flags `--total-queued-requests-metric` and its like: `name{label=value,…}`, empty for none.

use crate::engines::{Lora, Readings};
use crate::page::{Line, Sample, lines};
use crate::{Engine, Signals};
use std::str::FromStr;

/// The longest name with its labels, bytes: as long as no metric's name is.
const NAME_BYTES_MAX: usize = 1_024;

/// A metric to read, or that nothing is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetricName {
    /// Nothing is read; it is written as the empty text.
    Nothing,
    /// The series of this name that have these labels, and perhaps others.
    Series {
        /// The metric's name.
        name: String,
        /// Names and values of labels.
        labels: Vec<(String, String)>,
    },
}

/// Why a text names no metric.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no metric; write name or name{{label=value,…}}")]
pub struct NotAMetric(String);

impl FromStr for MetricName {
    type Err = NotAMetric;

    fn from_str(text: &str) -> Result<MetricName, NotAMetric> {
        let broken = || NotAMetric(text.chars().take(64).collect());
        if text.trim().is_empty() {
            return Ok(MetricName::Nothing);
        }
        let (name, labels) = match text.split_once('{') {
            Some((name, rest)) => (name, rest.trim_end().strip_suffix('}').ok_or_else(broken)?),
            None => (text, ""),
        };
        let name = name.trim();
        let is_named = |name: &str| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':');
            !name.is_empty() && !name.as_bytes()[0].is_ascii_digit() && name.bytes().all(fits)
        };
        if !is_named(name) || text.len() > NAME_BYTES_MAX {
            return Err(broken());
        }
        let mut read = Vec::new();
        for label in labels.split(',').filter(|label| !label.trim().is_empty()) {
            let (label, value) = label.split_once('=').ok_or_else(broken)?;
            if !is_named(label.trim()) {
                return Err(broken());
            }
            read.push((label.trim().to_owned(), value.trim().trim_matches('"').to_owned()));
        }
        Ok(MetricName::Series { name: name.to_owned(), labels: read })
    }
}

impl MetricName {
    fn takes<'p>(&self, line: &Line<'p>) -> Option<Sample<'p>> {
        let MetricName::Series { name, labels } = self else { return None };
        if line.name != name.as_bytes() {
            return None;
        }
        let sample = line.sample()?;
        let has = |(name, value): &(String, String)| sample.labels.get(name).as_deref() == Some(value);
        labels.iter().all(has).then_some(sample)
    }
}

/// Which metric tells what; `None` leaves it to the engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetricNames {
    /// Requests waiting.
    pub waiting: Option<MetricName>,
    /// Requests being computed.
    pub running: Option<MetricName>,
    /// KV cache in use, 0 to 1.
    pub kv_used: Option<MetricName>,
    /// LoRA adapters, in the labels that vLLM uses.
    pub adapters: Option<MetricName>,
    /// Tokens of a KV block and the number of blocks, in the labels that vLLM uses.
    pub cache: Option<MetricName>,
}

impl MetricNames {
    /// What the page tells, of `engine` if it is of one. Where a name was given and is on the page, it wins; where it is
    /// not there, the engine's own name stands. `None` if neither tells anything.
    pub(crate) fn read(&self, engine: Option<Engine>, page: &[u8]) -> Option<Signals> {
        let told = engine.map(|engine| engine.read(page));
        if *self == MetricNames::default() {
            return told;
        }
        let named = self.find(engine.map_or("", Engine::rank_label), page);
        if told.is_none() && named == Signals::default() {
            return None;
        }
        let told = told.unwrap_or_default();
        let (block_tokens, blocks) = match self.cache {
            Some(MetricName::Nothing) => (None, None),
            _ => (named.block_tokens.or(told.block_tokens), named.blocks.or(told.blocks)),
        };
        Some(Signals {
            waiting: wins(&self.waiting, named.waiting, told.waiting),
            running: wins(&self.running, named.running, told.running),
            kv_used: wins(&self.kv_used, named.kv_used, told.kv_used),
            adapters: wins(&self.adapters, named.adapters, told.adapters),
            block_tokens,
            blocks,
            served: told.served,
        })
    }

    fn find(&self, rank: &str, page: &[u8]) -> Signals {
        let (mut readings, mut lora) = (Readings::default(), Lora::default());
        let takes = |name: &Option<MetricName>, line: &Line<'_>| {
            name.as_ref().is_some_and(|name| name.takes(line).is_some())
        };
        for line in lines(page) {
            for (name, gauge) in [
                (&self.waiting, &mut readings.waiting),
                (&self.running, &mut readings.running),
                (&self.kv_used, &mut readings.kv_used),
            ] {
                if takes(name, &line) {
                    gauge.take(&line, rank);
                }
            }
            if takes(&self.adapters, &line) {
                lora.take(&line);
            }
            if takes(&self.cache, &line) {
                readings.take_cache_config(&line, rank, ("block_size", "num_gpu_blocks"));
            }
        }
        Signals { adapters: lora.adapters(), ..readings.signals() }
    }
}

fn wins<T>(name: &Option<MetricName>, named: Option<T>, told: Option<T>) -> Option<T> {
    match name {
        Some(MetricName::Nothing) => None,
        _ => named.or(told),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Option<MetricName> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_name_is_read_with_and_without_labels_and_quotes() {
        let series = |labels: &[(&str, &str)]| MetricName::Series {
            name: "nv_trt_llm_request_metrics".to_owned(),
            labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        for (text, expected) in [
            ("", Some(MetricName::Nothing)),
            ("nv_trt_llm_request_metrics", Some(series(&[]))),
            ("nv_trt_llm_request_metrics{}", Some(series(&[]))),
            (
                "nv_trt_llm_request_metrics{request_type=waiting}",
                Some(series(&[("request_type", "waiting")])),
            ),
            ("nv_trt_llm_request_metrics{a=\"b\", c=\"\"}", Some(series(&[("a", "b"), ("c", "")]))),
            ("{a=b}", None),
            ("a{b", None),
            ("a{b}", None),
            ("a b", None),
            ("1a", None),
        ] {
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_name_that_is_on_the_page_wins_over_the_engines_own_and_one_that_is_not_leaves_it() {
        let page = b"vllm:num_requests_waiting 7\nvllm:num_requests_running 3\nmy:queue{of=\"a\"} 2\nmy:queue{of=\"b\"} 4\n";
        let read = |names: MetricNames| {
            let signals = names.read(Some(Engine::Vllm), page).unwrap();
            (signals.waiting, signals.running)
        };
        let of = |waiting| MetricNames { waiting: name(waiting), ..MetricNames::default() };
        assert_eq!(read(MetricNames::default()), (Some(7), Some(3)));
        assert_eq!(read(of("my:queue{of=b}")), (Some(4), Some(3)));
        assert_eq!(read(of("my:queue{of=c}")), (Some(7), Some(3)));
        assert_eq!(read(of("")), (None, Some(3)));
    }

    #[test]
    fn the_references_default_names_read_what_the_engine_reads() {
        let page = include_bytes!("engines/pages/vllm.txt");
        let names = MetricNames {
            waiting: name("vllm:num_requests_waiting"),
            running: name("vllm:num_requests_running"),
            kv_used: name("vllm:kv_cache_usage_perc"),
            adapters: name("vllm:lora_requests_info"),
            cache: name("vllm:cache_config_info"),
        };
        assert_eq!(names.read(Some(Engine::Vllm), page), Some(Engine::Vllm.read(page)));
        let ranks = b"vllm:num_requests_waiting{engine=\"0\"} 3\nvllm:num_requests_waiting{engine=\"1\"} 4\n";
        assert_eq!(names.read(Some(Engine::Vllm), ranks).unwrap().waiting, Some(7), "ranks are one endpoint");
    }

    #[test]
    fn an_engine_that_nobody_knows_is_read_by_the_names_alone() {
        let names = MetricNames { waiting: name("tgi_queue_size"), ..MetricNames::default() };
        assert_eq!(names.read(None, b"tgi_queue_size 3\n").unwrap().waiting, Some(3));
        assert_eq!(names.read(None, b"other 3\n"), None);
        assert_eq!(MetricNames::default().read(None, b"tgi_queue_size 3\n"), None);
    }
}
