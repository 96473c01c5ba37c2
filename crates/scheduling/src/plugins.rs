//! The table of plugin types: what an `EndpointPickerConfig` may name, and what the reference page shows.

use crate::filters::{
    DecisionTreeFilter, HeaderBasedTestingFilter, LeastKvCacheFilter, LeastQueueFilter, LoraAffinityFilter,
    LowQueueFilter,
};
use crate::pickers::{MaxScorePicker, RandomPicker, WeightedRandomPicker};
use crate::saturation::{ConcurrencyDetector, UtilizationDetector};
use crate::scorers::{
    ActiveRequestScorer, InFlightScorer, KvCacheUtilizationScorer, KvPressureScorer, LoraAffinityScorer,
    PrefixCacheScorer, PromptBacklogScorer, QueueScorer, RunningRequestsSizeScorer, UncachedPromptScorer,
};
use std::fmt::Write as _;

/// What a plugin does in a pick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PluginKind {
    /// Takes candidates away.
    Filter,
    /// Tells how good each candidate is.
    Scorer,
    /// Orders candidates by their scores.
    Picker,
    /// Chooses which profile runs.
    ProfileHandler,
    /// Tells whether the pool is full; a filter as well.
    SaturationDetector,
    /// Prepares what scorers read.
    DataProducer,
    /// Reads the metrics of model servers.
    DataSource,
    /// Finds in those metrics what scorers read.
    Extractor,
    /// Reads requests.
    Parser,
    /// Looks at responses.
    ResponsePlugin,
    /// Orders a queue.
    FlowControl,
}

impl PluginKind {
    /// The kind in words.
    pub fn name(self) -> &'static str {
        match self {
            PluginKind::Filter => "filter",
            PluginKind::Scorer => "scorer",
            PluginKind::Picker => "picker",
            PluginKind::ProfileHandler => "profile handler",
            PluginKind::SaturationDetector => "saturation detector, filter",
            PluginKind::DataProducer => "data producer",
            PluginKind::DataSource => "data source",
            PluginKind::Extractor => "extractor",
            PluginKind::Parser => "parser",
            PluginKind::ResponsePlugin => "response plugin",
            PluginKind::FlowControl => "flow control",
        }
    }
}

/// A parameter of a plugin.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Its default, as it would be written; empty: none.
    pub default: &'static str,
    /// What it means, with its unit.
    pub meaning: &'static str,
}

/// A type of plugin.
#[derive(Debug, Clone, Copy)]
pub struct PluginType {
    /// The type, as `plugins[].type` names it.
    pub name: &'static str,
    /// What it does.
    pub kind: PluginKind,
    /// Its parameters.
    pub parameters: &'static [Parameter],
    /// Its rule.
    pub rule: &'static str,
    /// The first and the last release of the reference that has it, or whose it is.
    pub since: &'static str,
}

impl PluginType {
    /// Whether it is taken only so that a file that names it need not be changed.
    pub(crate) fn does_nothing(&self) -> bool {
        [NOTHING_TO_DO, PASSED_THROUGH, SERVED_LEARNT].contains(&self.rule)
    }
}

/// A type of the reference that is not taken.
#[derive(Debug, Clone, Copy)]
pub struct RefusedType {
    /// The type.
    pub name: &'static str,
    /// Why not, and what to do instead.
    pub instead: &'static str,
}

const fn parameter(name: &'static str, default: &'static str, meaning: &'static str) -> Parameter {
    Parameter { name, default, meaning }
}

const fn plugin(
    name: &'static str,
    kind: PluginKind,
    since: &'static str,
    parameters: &'static [Parameter],
    rule: &'static str,
) -> PluginType {
    PluginType { name, kind, parameters, rule, since }
}

const ENDPOINTS: &[Parameter] =
    &[parameter("maxNumOfEndpoints", "1", "endpoints that a decision names: 1 to 4, 0 or less means 1")];

const BLOCKS: &[Parameter] = &[
    parameter(
        "autoTune",
        "true",
        "takes the size of a block and the capacity from what the model server reports, where it does",
    ),
    parameter("blockSizeTokens", "16", "tokens in a block, of 4 bytes each"),
    parameter("blockSize", "", "v1.2, v1.3: bytes in a block; turns autoTune off unless that is set"),
    parameter("hashBlockSize", "", "to v1.1: the same"),
    parameter("maxPrefixBlocksToMatch", "256", "blocks of a prompt that are looked at, up to 8192"),
    parameter("maxPrefixTokensToMatch", "0", "the same in tokens, if above 0"),
    parameter(
        "lruCapacityPerServer",
        "31250",
        "blocks remembered of an endpoint, up to 262144; 0 or less means the default",
    ),
];

const EXTRACTOR: &[Parameter] = &[
    parameter(
        "engineLabelKey",
        "inference.networking.k8s.io/engine-type",
        "not needed: the engine is told by its page",
    ),
    parameter("defaultEngine", "vllm", "not needed, for the same reason"),
    parameter(
        "engineConfigs",
        "",
        "names of metrics by engine, as `name` or `name{label=value,…}`: where a page has such a metric it wins, where not the engine's own stands; which engine it is the page tells, and of one that nobody knows the first entry counts that it has a metric of",
    ),
];

use PluginKind::{
    DataProducer, DataSource, Extractor, Filter, FlowControl, Parser, Picker, ProfileHandler, ResponsePlugin,
    SaturationDetector, Scorer,
};

/// Every type that is taken, by kind.
pub static PLUGINS: &[PluginType] = &[
    plugin(
        DecisionTreeFilter::NAME,
        Filter,
        "v0.5.1",
        &[
            parameter("current", "", "the filter that runs first: `pluginRef` or `decisionTree`"),
            parameter("nextOnSuccess", "", "follows on those that it left"),
            parameter("nextOnFailure", "", "follows on all that it was given, if it left nobody"),
            parameter("nextOnSuccessOrFailure", "", "both"),
        ],
        "runs `current`, then what follows; without a follower, what is left stands",
    ),
    plugin(
        HeaderBasedTestingFilter::NAME,
        Filter,
        "v0.5.1 to v1.5",
        &[],
        "keeps endpoints that the header `test-epp-endpoint-selection` names; taken only where the process allows tests to pick",
    ),
    plugin(LeastKvCacheFilter::NAME, Filter, "v0.5.1", &[], "KV use ≤ least + (most − least) / endpoints"),
    plugin(
        LeastQueueFilter::NAME,
        Filter,
        "v0.5.1",
        &[],
        "queue ≤ least + (most − least) / endpoints, whole requests",
    ),
    plugin(
        LoraAffinityFilter::NAME,
        Filter,
        "v0.5.1",
        &[parameter("threshold", "0.999", "probability of the first choice, 0 to 1")],
        "keeps endpoints where the adapter runs or waits, else those with a free place",
    ),
    plugin(
        LowQueueFilter::NAME,
        Filter,
        "v0.5.1",
        &[parameter("threshold", "128", "requests waiting")],
        "queue ≤ threshold",
    ),
    plugin(
        ActiveRequestScorer::NAME,
        Scorer,
        "llm-d",
        &[],
        "1 − own requests in flight / those of the busiest",
    ),
    plugin(InFlightScorer::NAME, Scorer, "Pointsman", &[], "−0.02 s × (requests under way + 3 × waiting)"),
    plugin("kv-cache-scorer", Scorer, "v0.5.1", &[], "1 − KV use"),
    plugin(KvCacheUtilizationScorer::NAME, Scorer, "v1.0 to v1.5", &[], "1 − KV use"),
    plugin(
        KvPressureScorer::NAME,
        Scorer,
        "Pointsman",
        &[],
        "0 up to KV use 0.8, then evenly down to −1 s at 1",
    ),
    plugin(
        LoraAffinityScorer::NAME,
        Scorer,
        "v1.0 to v1.5",
        &[],
        "adapter runs 1, free place 0.8, adapter waits 0.6, else 0",
    ),
    plugin(
        PrefixCacheScorer::NAME,
        Scorer,
        "v0.5.1 to v1.5",
        BLOCKS,
        "blocks of the prompt's head that the endpoint was sent / blocks of the prompt",
    ),
    plugin(
        PromptBacklogScorer::NAME,
        Scorer,
        "Pointsman",
        &[],
        "−seconds of prompt work sent there and not computed yet",
    ),
    plugin(
        QueueScorer::NAME,
        Scorer,
        "v0.5.1 to v1.5",
        &[],
        "(longest − queue) / (longest − shortest); equal queues 1",
    ),
    plugin(
        RunningRequestsSizeScorer::NAME,
        Scorer,
        "v1.3 to v1.5",
        &[],
        "(most − running) / (most − least); equal 1",
    ),
    plugin(
        UncachedPromptScorer::NAME,
        Scorer,
        "Pointsman",
        &[],
        "−16 µs × bytes of the prompt that the endpoint does not hold, by the built-in index",
    ),
    plugin(
        MaxScorePicker::NAME,
        Picker,
        "v0.5.1 to v1.5",
        ENDPOINTS,
        "the highest sum first, equals in random order; the default",
    ),
    plugin(RandomPicker::NAME, Picker, "v0.5.1 to v1.5", ENDPOINTS, "any order, each as likely"),
    plugin(
        WeightedRandomPicker::NAME,
        Picker,
        "v1.0 to v1.5",
        ENDPOINTS,
        "draws in proportion to the sums (largest U^(1/sum)); sums of 0 come last",
    ),
    plugin(
        "single-profile-handler",
        ProfileHandler,
        "v0.5.1 to v1.5",
        &[],
        "runs the one profile; the default",
    ),
    plugin(
        ConcurrencyDetector::NAME,
        SaturationDetector,
        "v1.4 to v1.5",
        &[
            parameter("maxConcurrency", "100", "requests in flight at an endpoint, at least 1"),
            parameter("headroom", "0", "what the filter allows beyond that, as a share"),
            parameter("concurrencyMode", "requests", "`requests`; tokens in flight are not counted"),
            parameter("maxTokenConcurrency", "1000000", "without effect in this mode"),
        ],
        "own requests in flight / (maxConcurrency × endpoints) ≥ 1; as a filter: in flight < maxConcurrency × (1 + headroom)",
    ),
    plugin(
        UtilizationDetector::NAME,
        SaturationDetector,
        "v1.4 to v1.5",
        &[
            parameter("queueDepthThreshold", "5", "requests waiting, at least 1"),
            parameter("kvCacheUtilThreshold", "0.8", "KV use, above 0 and up to 1"),
            parameter("metricsStalenessThreshold", "200ms", "age from which a report is not believed"),
            parameter("headroom", "0", "what the filter allows beyond the thresholds, as a share"),
        ],
        "mean of max(queue / threshold, KV use / threshold) ≥ 1, stale reports counting 1; as a filter: both below, or all if there is none",
    ),
    plugin(
        "approx-prefix-cache-producer",
        DataProducer,
        "v1.5",
        BLOCKS,
        "the index that `prefix-cache-scorer` reads; its parameters go before the scorer's",
    ),
    plugin(
        "inflight-load-producer",
        DataProducer,
        "v1.5",
        &[],
        "always there: own requests in flight are counted",
    ),
    plugin(
        "metrics-data-source",
        DataSource,
        "v1.4 to v1.5",
        &[
            parameter("scheme", "http", "`http` or `https`"),
            parameter("path", "/metrics", "where model servers have their metrics"),
            parameter("insecureSkipVerify", "true", "over https: take any certificate"),
        ],
        "always there",
    ),
    plugin("k8s-notification-source", DataSource, "v1.4 to v1.5", &[], NOTHING_TO_DO),
    plugin("endpoint-notification-source", DataSource, "v1.5", &[], NOTHING_TO_DO),
    plugin("model-server-protocol-metrics", Extractor, "v1.4", EXTRACTOR, "always there"),
    plugin("core-metrics-extractor", Extractor, "v1.5", EXTRACTOR, "always there"),
    plugin("openai-parser", Parser, "v1.5", &[], "always there; the path tells the API"),
    plugin("passthrough-parser", Parser, "v1.5", &[], PASSED_THROUGH),
    plugin("destination-endpoint-served-verifier", ResponsePlugin, "v1.1 to v1.5", &[], SERVED_LEARNT),
    plugin(
        "fcfs-ordering-policy",
        FlowControl,
        "v1.1 to v1.5",
        &[],
        "part of the gate `flowControl`, which is refused",
    ),
    plugin("edf-ordering-policy", FlowControl, "v1.1 to v1.5", &[], "the same"),
    plugin("slo-deadline-ordering-policy", FlowControl, "v1.5", &[], "the same"),
    plugin("global-strict-fairness-policy", FlowControl, "v1.1 to v1.5", &[], "the same"),
    plugin("round-robin-fairness-policy", FlowControl, "v1.1 to v1.5", &[], "the same"),
    plugin("static-usage-limit-policy", FlowControl, "v1.5", &[], "the same"),
];

const LATENCIES: &str = "latencies are not predicted by a sidecar here; use prompt-backlog-scorer, uncached-prompt-scorer and in-flight-scorer, which are in seconds";
/// Why plugins do nothing here.
const NOTHING_TO_DO: &str = "there is nothing to turn on here; it may be left out";
const PASSED_THROUGH: &str =
    "a body whose type or path is not known is passed through unread already; it may be left out";
const SERVED_LEARNT: &str = "which endpoint served is learnt by itself; it may be left out";

/// Every type of the reference that is not taken.
pub static REFUSED: &[RefusedType] = &[
    RefusedType { name: "predicted-latency-scorer", instead: LATENCIES },
    RefusedType { name: "predicted-latency-producer", instead: LATENCIES },
    RefusedType { name: "latency-scorer", instead: LATENCIES },
    RefusedType { name: "latency-slo-admitter", instead: LATENCIES },
    RefusedType { name: "slo-headroom-tier-filter", instead: LATENCIES },
    RefusedType {
        name: "prefix-cache-affinity-filter",
        instead: "it weighs predicted latencies; use prefix-cache-scorer",
    },
    RefusedType {
        name: "token-load-scorer",
        instead: "tokens in flight are not counted; use prompt-backlog-scorer or active-request-scorer",
    },
    RefusedType {
        name: "request-attribute-reporter",
        instead: "what a response used is not reported to the gateway; leave it out",
    },
    RefusedType {
        name: "vllmgrpc-parser",
        instead: "requests are read as HTTP APIs; there is no gRPC parser",
    },
];

/// The row of a type that is taken.
pub fn plugin_type(name: &str) -> Option<&'static PluginType> {
    PLUGINS.iter().find(|plugin| plugin.name == name)
}

/// The reference page of plugins, as Markdown.
pub fn reference() -> String {
    let mut page = String::from(HEADING);
    for plugin in PLUGINS {
        let parameters: Vec<String> = plugin.parameters.iter().map(Parameter::row).collect();
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} | {} |",
            plugin.name,
            plugin.kind.name(),
            plugin.rule,
            parameters.join("<br>"),
            plugin.since,
        );
    }
    page.push_str("\n## Not taken\n\n| type | why, and what to do instead |\n|---|---|\n");
    for refused in REFUSED {
        let _ = writeln!(page, "| `{}` | {} |", refused.name, refused.instead);
    }
    page
}

const HEADING: &str = "\
# Plugins

Generated by `pointsman reference plugins`. These are the types that `plugins[].type` of an `EndpointPickerConfig`
(`apiVersion: inference.networking.x-k8s.io/v1alpha1`) may name: those of the reference from v0.5.1 to v1.5, and some more.
A file is obeyed to the letter, or refused with the line and field of everything that is wrong; without a file the default
policy picks (`in-flight-scorer` 1, `prompt-backlog-scorer` 1, `uncached-prompt-scorer` 2, `kv-pressure-scorer` 1,
`lora-affinity-scorer` 0.2), which none of the reference's files describes.

- A profile has at most 4 filters, 6 scorers and one picker; there is one profile, by `single-profile-handler`.
- What is left out is added as the reference adds it: `name` (the type), `weight` (1, where v0.5.1 refused the file),
  the picker, the profile handler, and the profile itself, of every filter, scorer and picker.
- The reference's scorers answer 0 to 1. Pointsman's own answer seconds of delay, negated; their sums mean something among
  themselves.
- Requests under way, as `in-flight-scorer` counts them, are this process's own in flight, those of others by the last scrape,
  and what counts after failures: a request that failed goes on counting for about as long as it should have taken (fading,
  and forgotten below 0.05), and an endpoint that should rest while half of its pool rests already counts 16 more. `explain`
  tells each of these numbers; a part of a sum is the scorer's answer times its weight.
- The built-in prefix index, which `uncached-prompt-scorer` reads, cuts a prompt into blocks of 1 KiB, from 64 KiB on of 4 KiB,
  and knows whole blocks only: a prompt shorter than 1 KiB has no affinity, by design (it is
  computed in about 16 ms, and shared heads as short as that say little).
- An endpoint that never reported counts by this process's own requests in flight, where the reference takes it to be empty.
- `prefix-cache-scorer` cuts the bytes of the prompt's value as it was sent, not its characters. Its score is that of v1.5:
  v0.5.1 also counted a block for the model.
- `saturationDetector` takes thresholds (to v1.4) and a `pluginRef` (from v1.5). Without it `utilization-detector`
  judges, as in the reference, by the process's own settings (`--queue-depth-max`, `--kv-used-max`).
  `metricsStalenessThreshold` must be longer than the time between two scrapes, or every endpoint counts as full.
- The feature gates `dataLayer`, `enableLegacyMetrics` and `prepareDataPlugins` turn on nothing that is not there; the gate
  `flowControl` is refused: there are no queues yet.
- A parameter that its plugin does not know has no effect, as in the reference; that is logged.

| type | kind | rule | parameters (default) | where |
|---|---|---|---|---|
";

impl Parameter {
    fn row(&self) -> String {
        let default = if self.default.is_empty() { "none".to_owned() } else { format!("`{}`", self.default) };
        format!("`{}` ({default}): {}", self.name, self.meaning)
    }
}
