//! `plugins`: what the file declares, by name.

use super::fields::{Reader, not_among};
use super::{MetricsScheme, MetricsSource, TestPlugins, engines};
use crate::filters::{
    Filter, HeaderBasedTestingFilter, LeastKvCacheFilter, LeastQueueFilter, LoraAffinityFilter,
    LowQueueFilter,
};
use crate::pickers::{MaxScorePicker, Picker, RandomPicker, WeightedRandomPicker};
use crate::plugins::{PLUGINS, PluginKind, PluginType, REFUSED, plugin_type};
use crate::saturation::{ConcurrencyDetector, SaturationDetector, UtilizationDetector};
use crate::scorers::{
    ActiveRequestScorer, InFlightScorer, KvCacheUtilizationScorer, KvPressureScorer, LoraAffinityScorer,
    PrefixCacheScorer, PromptBacklogScorer, QueueScorer, RunningRequestsSizeScorer, Scorer,
    UncachedPromptScorer,
};
use crate::{BlockSettings, ENDPOINTS_MAX};
use signals::EngineNames;
use yaml::{FieldPath, Tree, field};

/// Plugins of one file: the reference has three dozen types.
const PLUGINS_MAX: usize = 256;

/// A plugin of the file, made.
#[derive(Debug, Clone)]
pub(super) enum Made<'t> {
    Filter(Filter),
    /// A `decision-tree-filter`: its parameters, and where they stand. Made when a profile refers to it.
    Tree(&'t Tree, FieldPath),
    Scorer(Scorer),
    /// A picker, and how many endpoints it names.
    Picker(Picker, usize),
    Detector(SaturationDetector),
    /// How prompts are cut, told by the data producer.
    Blocks(BlockSettings),
    /// A data source: what it says of metrics.
    Source(MetricsSource),
    /// An extractor, and the names of metrics that it was told.
    Extractor(Vec<EngineNames>),
    /// One that is always there, or never in force.
    Inert,
}

/// A plugin that the file declares.
#[derive(Debug)]
pub(super) struct Plugin<'t> {
    pub(super) name: &'t str,
    pub(super) of: &'static PluginType,
    pub(super) made: Made<'t>,
}

/// The plugins that the file declares, in its order.
#[derive(Debug)]
pub(super) struct Declared<'t>(pub(super) Vec<Plugin<'t>>);

impl<'t> Declared<'t> {
    pub(super) fn read(tree: &'t Tree, tests: TestPlugins, reader: &mut Reader<'t>) -> Declared<'t> {
        let mut declared = Declared(Vec::new());
        let elements = reader.list(tree, &FieldPath::default(), "plugins");
        if elements.len() > PLUGINS_MAX {
            reader.problem(&field!["plugins"], format!("are more than {PLUGINS_MAX}"));
        }
        for (index, element) in elements.iter().enumerate().take(PLUGINS_MAX) {
            let path = field!["plugins", index];
            if let Some(plugin) = plugin(element, &path, tests, reader) {
                if declared.get(plugin.name).is_some() {
                    reader.problem(&path, format!("a second plugin has the name `{}`", plugin.name));
                } else {
                    declared.0.push(plugin);
                }
            }
        }
        declared.let_the_producer_cut();
        declared
    }

    /// The plugin with a name.
    pub(super) fn get(&self, name: &str) -> Option<&Plugin<'t>> {
        self.0.iter().find(|plugin| plugin.name == name)
    }

    /// The plugin that a field refers to.
    pub(super) fn referred(
        &self,
        tree: &'t Tree,
        path: &FieldPath,
        reader: &mut Reader<'t>,
    ) -> Option<&Plugin<'t>> {
        let name = reader.required(tree, path, "pluginRef")?;
        let plugin = self.get(name);
        if plugin.is_none() {
            let names: Vec<&str> = self.0.iter().map(|plugin| plugin.name).collect();
            reader.problem(&path.then("pluginRef"), not_among("plugin", name, &names));
        }
        plugin
    }

    /// The names of metrics that extractors were told.
    pub(super) fn engines(&self) -> Vec<EngineNames> {
        let told = self.0.iter().filter_map(|plugin| match &plugin.made {
            Made::Extractor(engines) => Some(engines.iter().cloned()),
            _ => None,
        });
        told.flatten().collect()
    }

    /// There is one index: the data producer's parameters count, if it is declared, and else the scorer's.
    fn let_the_producer_cut(&mut self) {
        let cut = self.0.iter().find_map(|plugin| match plugin.made {
            Made::Blocks(blocks) => Some(blocks),
            _ => None,
        });
        for plugin in &mut self.0 {
            if let (Made::Scorer(Scorer::PrefixCache(scorer)), Some(blocks)) = (&mut plugin.made, cut) {
                scorer.blocks = blocks;
            }
        }
    }
}

fn plugin<'t>(
    tree: &'t Tree,
    path: &FieldPath,
    tests: TestPlugins,
    reader: &mut Reader<'t>,
) -> Option<Plugin<'t>> {
    reader.object(tree, path, &["name", "type", "parameters"])?;
    let named = reader.text(tree, path, "name");
    let kind = reader.required(tree, path, "type")?;
    let Some(of) = plugin_type(kind) else {
        let message = match REFUSED.iter().find(|refused| refused.name == kind) {
            Some(refused) => format!("`{kind}` is not taken: {}", refused.instead),
            None => unknown_type(kind),
        };
        reader.problem(&path.then("type"), message);
        return None;
    };
    if kind == HeaderBasedTestingFilter::NAME && tests == TestPlugins::Refused {
        let message =
            format!("`{kind}` lets a client choose its endpoint: it is taken only with --test-plugins");
        reader.problem(&path.then("type"), message);
        return None;
    }
    if of.does_nothing() {
        reader.note(&path.then("type"), format!("`{kind}` does nothing here: {}", of.rule));
    }
    let path = path.then("parameters");
    let known: Vec<&str> = of.parameters.iter().map(|parameter| parameter.name).collect();
    let none: &Tree = &NONE;
    let parameters = tree.get("parameters").unwrap_or(none);
    reader.parameters(parameters, &path, &known)?;
    Some(Plugin {
        name: named.unwrap_or(kind),
        of,
        made: make(of, Parameters { tree: parameters, path, reader }),
    })
}

/// A type that is none, with all that there are, a line for each kind.
fn unknown_type(written: &str) -> String {
    let near = yaml::nearest(written, PLUGINS.iter().map(|plugin| plugin.name));
    let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    let mut told = format!("there is no plugin type `{}`{hint}", yaml::shorten(written));
    for of_kind in PLUGINS.chunk_by(|one, next| one.kind == next.kind) {
        let names: Vec<&str> = of_kind.iter().map(|plugin| plugin.name).collect();
        told.push_str(&format!("\n    {}: {}", of_kind[0].kind.name(), names.join(", ")));
    }
    told
}

static NONE: Tree = Tree { value: yaml::Value::Null, line: 0 };

/// The parameters of one plugin.
pub(super) struct Parameters<'r, 't> {
    pub(super) tree: &'t Tree,
    pub(super) path: FieldPath,
    pub(super) reader: &'r mut Reader<'t>,
}

impl Parameters<'_, '_> {
    fn whole(&mut self, name: &str, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        self.reader.whole(self.tree, &self.path, name, range)
    }

    fn number(&mut self, name: &str, range: std::ops::RangeInclusive<f64>) -> Option<f64> {
        self.reader.number(self.tree, &self.path, name, range)
    }

    fn problem(&mut self, name: &str, message: impl Into<String>) {
        self.reader.problem(&self.path.then(name), message);
    }
}

fn make<'t>(of: &PluginType, parameters: Parameters<'_, 't>) -> Made<'t> {
    match of.kind {
        PluginKind::Filter => filter(of.name, parameters),
        PluginKind::Scorer => Made::Scorer(scorer(of.name, parameters)),
        PluginKind::Picker => picker(of.name, parameters),
        PluginKind::SaturationDetector => Made::Detector(detector(of.name, parameters)),
        PluginKind::DataProducer if !of.parameters.is_empty() => Made::Blocks(blocks(parameters)),
        PluginKind::DataSource if !of.parameters.is_empty() => source(parameters),
        PluginKind::Extractor => Made::Extractor(engines::read(parameters)),
        PluginKind::ProfileHandler
        | PluginKind::ResponsePlugin
        | PluginKind::DataProducer
        | PluginKind::DataSource
        | PluginKind::Parser
        | PluginKind::FlowControl => Made::Inert,
    }
}

fn filter<'t>(name: &str, mut parameters: Parameters<'_, 't>) -> Made<'t> {
    Made::Filter(match name {
        HeaderBasedTestingFilter::NAME => Filter::HeaderBasedTesting(HeaderBasedTestingFilter),
        LeastKvCacheFilter::NAME => Filter::LeastKvCache(LeastKvCacheFilter),
        LeastQueueFilter::NAME => Filter::LeastQueue(LeastQueueFilter),
        LoraAffinityFilter::NAME => {
            let default = parameters.reader.defaults.lora_affinity.threshold;
            let threshold = parameters.number("threshold", 0.0..=1.0).unwrap_or(default);
            Filter::LoraAffinity(LoraAffinityFilter { threshold })
        }
        LowQueueFilter::NAME => {
            let default = parameters.reader.defaults.low_queue.threshold;
            let threshold = parameters.whole("threshold", 0..=i64::from(u32::MAX));
            Filter::LowQueue(LowQueueFilter { threshold: threshold.map_or(default, |number| number as u32) })
        }
        _ => return Made::Tree(parameters.tree, parameters.path),
    })
}

fn scorer(name: &str, parameters: Parameters<'_, '_>) -> Scorer {
    match name {
        ActiveRequestScorer::NAME => Scorer::ActiveRequest(ActiveRequestScorer),
        InFlightScorer::NAME => Scorer::InFlight(InFlightScorer),
        KvPressureScorer::NAME => Scorer::KvPressure(KvPressureScorer),
        LoraAffinityScorer::NAME => Scorer::LoraAffinity(LoraAffinityScorer::default()),
        PrefixCacheScorer::NAME => Scorer::PrefixCache(PrefixCacheScorer { blocks: blocks(parameters) }),
        PromptBacklogScorer::NAME => Scorer::PromptBacklog(PromptBacklogScorer),
        QueueScorer::NAME => Scorer::Queue(QueueScorer),
        RunningRequestsSizeScorer::NAME => Scorer::RunningRequestsSize(RunningRequestsSizeScorer),
        UncachedPromptScorer::NAME => Scorer::UncachedPrompt(UncachedPromptScorer),
        // Under both of its names.
        _ => Scorer::KvCacheUtilization(KvCacheUtilizationScorer),
    }
}

fn picker<'t>(name: &str, mut parameters: Parameters<'_, 't>) -> Made<'t> {
    let picker = match name {
        RandomPicker::NAME => Picker::Random(RandomPicker),
        WeightedRandomPicker::NAME => Picker::WeightedRandom(WeightedRandomPicker),
        _ => Picker::MaxScore(MaxScorePicker),
    };
    let endpoints = parameters.whole("maxNumOfEndpoints", i64::MIN..=i64::from(u32::MAX)).unwrap_or(1);
    let most = ENDPOINTS_MAX as i64;
    if endpoints > most {
        let path = parameters.path.then("maxNumOfEndpoints");
        parameters.reader.note(&path, format!("is {endpoints}: at most {most} are named"));
    }
    Made::Picker(picker, endpoints.clamp(1, most) as usize)
}

fn detector(name: &str, mut parameters: Parameters<'_, '_>) -> SaturationDetector {
    if name == UtilizationDetector::NAME {
        return SaturationDetector::Utilization(utilization(&mut parameters));
    }
    let default = ConcurrencyDetector::default();
    let mode = parameters.reader.text(parameters.tree, &parameters.path, "concurrencyMode");
    if let Some(mode) = mode.filter(|mode| *mode != "requests") {
        let message = format!(
            "`{}` cannot be had: tokens in flight are not counted; use `requests`",
            yaml::shorten(mode)
        );
        parameters.problem("concurrencyMode", message);
    }
    let max = parameters.whole("maxConcurrency", 1..=i64::from(u32::MAX));
    let headroom = parameters.number("headroom", 0.0..=1e6);
    SaturationDetector::Concurrency(ConcurrencyDetector {
        max_concurrency: max.map_or(default.max_concurrency, |number| number as u32),
        headroom: headroom.map_or(default.headroom, |number| number as f32),
    })
}

/// The thresholds, which stand in the section `saturationDetector` up to v1.4 and in the plugin's parameters since.
pub(super) fn utilization(parameters: &mut Parameters<'_, '_>) -> UtilizationDetector {
    let default = UtilizationDetector::default();
    let queue = parameters.whole("queueDepthThreshold", 1..=i64::from(u32::MAX));
    let kv = parameters.number("kvCacheUtilThreshold", f64::MIN_POSITIVE..=1.0);
    let age = parameters.reader.seconds(parameters.tree, &parameters.path, "metricsStalenessThreshold");
    let headroom = parameters.number("headroom", 0.0..=1e6);
    UtilizationDetector {
        queue_depth_threshold: queue.map_or(default.queue_depth_threshold, |number| number as u32),
        kv_cache_util_threshold: kv.map_or(default.kv_cache_util_threshold, |number| number as f32),
        metrics_staleness_threshold_seconds: age.unwrap_or(default.metrics_staleness_threshold_seconds),
        headroom: headroom.map_or(default.headroom, |number| number as f32),
    }
}

/// How prompts are cut. Tokens count, and where only bytes are told, as releases up to v1.3 had it, those do.
fn blocks(mut parameters: Parameters<'_, '_>) -> BlockSettings {
    let default = BlockSettings::default();
    let bytes_max = i64::from(BlockSettings::BLOCK_BYTES_MAX);
    let tokens = parameters.whole("blockSizeTokens", 1..=bytes_max / 4);
    let bytes = ["blockSize", "hashBlockSize"].map(|name| parameters.whole(name, 0..=bytes_max));
    let bytes = bytes.into_iter().flatten().find(|bytes| *bytes > 0);
    let auto_tune = parameters.reader.boolean(parameters.tree, &parameters.path, "autoTune");
    let blocks_max = parameters.whole("maxPrefixBlocksToMatch", 0..=i64::from(BlockSettings::BLOCKS_MAX));
    let tokens_max = parameters.whole("maxPrefixTokensToMatch", 0..=i64::from(u32::MAX));
    let capacity =
        parameters.whole("lruCapacityPerServer", i64::MIN..=i64::from(BlockSettings::CAPACITY_MAX));
    BlockSettings {
        block_bytes: tokens
            .map(|tokens| tokens * 4)
            .or(bytes)
            .map_or(default.block_bytes, |bytes| bytes as u32),
        blocks_max: blocks_max.filter(|max| *max > 0).map_or(default.blocks_max, |max| max as u16),
        prefix_bytes_max: tokens_max.filter(|max| *max > 0).map(|max| max as u64 * 4),
        capacity_blocks: capacity.filter(|max| *max > 0).map_or(default.capacity_blocks, |max| max as u32),
        auto_tune: auto_tune.unwrap_or(tokens.is_some() || bytes.is_none()),
    }
}

fn source<'t>(parameters: Parameters<'_, 't>) -> Made<'t> {
    let Parameters { tree, path, reader } = parameters;
    let scheme = match reader.text(tree, &path, "scheme") {
        None => None,
        Some("http") => Some(MetricsScheme::Http),
        Some("https") => Some(MetricsScheme::Https),
        Some(other) => {
            let message = format!("is `{}`; write `http` or `https`", yaml::shorten(other));
            reader.problem(&path.then("scheme"), message);
            None
        }
    };
    let metrics_path = reader.text(tree, &path, "path");
    if metrics_path.is_some_and(|path| !path.starts_with('/')) {
        reader.problem(&path.then("path"), "is no path; write one that begins with /");
    }
    Made::Source(MetricsSource {
        scheme,
        path: metrics_path.map(str::to_owned),
        insecure_skip_verify: reader.boolean(tree, &path, "insecureSkipVerify"),
    })
}
