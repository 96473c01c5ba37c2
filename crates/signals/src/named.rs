//! Metrics under names that an operator gives, in the place of those that the engines document.
//!
//! In: a page, and what its engine's own names told. Out: the same [`Signals`], where a given name was found by that one.
//! Source: GAIE v0.5.1 to v1.5, flags `--total-queued-requests-metric` and its like: `name{label=value,…}`, empty for none; from
//! v1.4 on `engineConfigs` of an `EndpointPickerConfig`.

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
    /// Tokens of a KV block and the number of blocks, in the labels that vLLM uses, or in these.
    pub cache: Option<MetricName>,
    /// The label of `cache` that tells the tokens of a block.
    pub block_tokens_label: Option<String>,
    /// The label of `cache` that tells the number of blocks.
    pub blocks_label: Option<String>,
    /// Tokens of a KV block, as a metric of its own.
    pub block_tokens: Option<MetricName>,
    /// The number of blocks, as a metric of its own.
    pub blocks: Option<MetricName>,
}

/// The names that one engine's metrics have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineNames {
    /// What the engine is called: as [`Engine::name`] has it, or as its operator does.
    pub engine: String,
    /// Its names.
    pub names: MetricNames,
}

/// What the page tells, of `engine` if it is of one: by the engine's own names, over them by those that `engines` has for it,
/// and over these by `names`. `None` if nothing is told.
pub(crate) fn read(
    names: &MetricNames,
    engines: &[EngineNames],
    engine: Option<Engine>,
    page: &[u8],
) -> Option<Signals> {
    let rank = engine.map_or("", Engine::rank_label);
    let told = engine.map(|engine| engine.read(page));
    let of_engine = engines.iter().find(|known| engine.is_some_and(|engine| engine.name() == known.engine));
    let of_page = || engines.iter().find(|known| known.names.find(rank, page) != Signals::default());
    let told = match of_engine.or_else(|| if engine.is_none() { of_page() } else { None }) {
        Some(known) => known.names.over(told, rank, page),
        None => told,
    };
    names.over(told, rank, page)
}

impl MetricNames {
    /// Where a name was given and is on the page, it wins; where it is not there, what was told stands. `None` if neither
    /// tells anything.
    fn over(&self, told: Option<Signals>, rank: &str, page: &[u8]) -> Option<Signals> {
        if *self == MetricNames::default() {
            return told;
        }
        let named = self.find(rank, page);
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
        let labels = (
            self.block_tokens_label.as_deref().unwrap_or("block_size"),
            self.blocks_label.as_deref().unwrap_or("num_gpu_blocks"),
        );
        let takes = |name: &Option<MetricName>, line: &Line<'_>| {
            name.as_ref().is_some_and(|name| name.takes(line).is_some())
        };
        for line in lines(page) {
            for (name, gauge) in [
                (&self.waiting, &mut readings.waiting),
                (&self.running, &mut readings.running),
                (&self.kv_used, &mut readings.kv_used),
                (&self.block_tokens, &mut readings.block_tokens),
                (&self.blocks, &mut readings.blocks),
            ] {
                if takes(name, &line) {
                    gauge.take(&line, rank);
                }
            }
            if takes(&self.adapters, &line) {
                lora.take(&line);
            }
            if takes(&self.cache, &line) {
                readings.take_cache_config(&line, rank, labels);
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
            let signals = super::read(&names, &[], Some(Engine::Vllm), page).unwrap();
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
            ..MetricNames::default()
        };
        assert_eq!(read(&names, &[], Some(Engine::Vllm), page), Some(Engine::Vllm.read(page)));
        let ranks = b"vllm:num_requests_waiting{engine=\"0\"} 3\nvllm:num_requests_waiting{engine=\"1\"} 4\n";
        assert_eq!(
            read(&names, &[], Some(Engine::Vllm), ranks).unwrap().waiting,
            Some(7),
            "ranks are one endpoint"
        );
    }

    #[test]
    fn an_engine_that_nobody_knows_is_read_by_the_names_alone() {
        let names = MetricNames { waiting: name("tgi_queue_size"), ..MetricNames::default() };
        assert_eq!(read(&names, &[], None, b"tgi_queue_size 3\n").unwrap().waiting, Some(3));
        assert_eq!(read(&names, &[], None, b"other 3\n"), None);
        assert_eq!(read(&MetricNames::default(), &[], None, b"tgi_queue_size 3\n"), None);
    }

    #[test]
    fn a_page_is_read_by_the_names_of_its_engine_or_of_the_first_that_it_has_a_metric_of() {
        let of = |engine: &str, waiting: &str| EngineNames {
            engine: engine.to_owned(),
            names: MetricNames { waiting: name(waiting), ..MetricNames::default() },
        };
        let usual = MetricNames::default();
        let engines = [of("mine", "my:queue{of=b}"), of("other", "other_queue"), of("vllm", "vllm:queue")];
        for (engine, page, waiting) in [
            (None, "my:queue{of=\"a\"} 1\nmy:queue{of=\"b\"} 2\n", Some(2)),
            (None, "other_queue 3\n", Some(3)),
            (None, "nobodys_queue 3\n", None),
            (Some(Engine::Vllm), "vllm:num_requests_waiting 4\nvllm:queue 5\nother_queue 6\n", Some(5)),
            (Some(Engine::Vllm), "vllm:num_requests_waiting 4\nother_queue 6\n", Some(4)),
            (Some(Engine::Sglang), "sglang:num_queue_reqs 4\nother_queue 6\n", Some(4)),
        ] {
            let told = read(&usual, &engines, engine, page.as_bytes());
            assert_eq!(told.and_then(|signals| signals.waiting), waiting, "{page}");
        }
        let given = MetricNames { waiting: name("other_queue"), ..MetricNames::default() };
        let told = read(&given, &engines, None, b"my:queue{of=\"b\"} 2\nother_queue 3\n");
        assert_eq!(told.unwrap().waiting, Some(3), "a flag wins");
    }

    #[test]
    fn blocks_are_read_from_labels_and_metrics_of_other_names() {
        let labels = MetricNames {
            cache: name("my:cache"),
            block_tokens_label: Some("tokens".to_owned()),
            blocks_label: Some("count".to_owned()),
            ..MetricNames::default()
        };
        let metrics = MetricNames {
            block_tokens: name("my:cache{of=tokens}"),
            blocks: name("my:cache{of=count}"),
            ..MetricNames::default()
        };
        for (names, page) in [
            (labels, "my:cache{tokens=\"32\",count=\"100\"} 1\n"),
            (metrics, "my:cache{of=\"tokens\"} 32\nmy:cache{of=\"count\"} 100\n"),
        ] {
            let told = read(&names, &[], None, page.as_bytes()).unwrap();
            assert_eq!((told.block_tokens, told.blocks), (Some(32), Some(100)), "{page}");
        }
    }
}
